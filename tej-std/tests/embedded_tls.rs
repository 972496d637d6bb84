//! TLS with the client that devices have: `embedded-tls`, which shares no code with ours.

use std::sync::Arc;

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_tls::{
    Aes128GcmSha256, Certificate, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider,
    CryptoRngCore, Sha256, SignatureScheme, TlsConfig, TlsContext, TlsError, TlsVerifier,
};
use p256::ecdsa::signature::digest::Digest;
use p256::ecdsa::signature::{SignerMut, Verifier};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::DecodePrivateKey;
use rcgen::{CertificateParams, KeyPair};
use tej_std::core::io::{FrameReader, FrameWriter, ReadError};
use tej_std::core::{Decoder, DefaultLimits};
use tej_std::tls::rustls::ServerConfig;
use tej_std::tls::rustls::crypto::ring;
use tej_std::tls::rustls::pki_types::PrivatePkcs8KeyDer;
use tej_std::tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tej_std::tls::rustls::version::TLS13;
use tej_std::tls::{Acceptor, Fingerprint, HandshakeError, Identity, TlsConnection, Trust};
use tej_std::{Config, Event, ReceiveError, Status};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

/// A device, with the identity that `tej identity` made for it.
struct Device {
    fingerprint: Fingerprint,
    key: SigningKey,
    /// `None` for one that says nothing of itself.
    certificate: Option<Vec<u8>>,
    server: Pinned,
}

impl Device {
    fn new(server: Fingerprint) -> Self {
        let identity = Identity::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.pem");
        identity.save(&path).unwrap();
        let file = pem::parse_many(std::fs::read(path).unwrap()).unwrap();
        let part = |tag: &str| file.iter().find(|part| part.tag() == tag).unwrap().contents();
        Self {
            fingerprint: identity.fingerprint(),
            key: SigningKey::from_pkcs8_der(part("PRIVATE KEY")).unwrap(),
            certificate: Some(part("CERTIFICATE").to_vec()),
            server: Pinned { expected: server, seen: None, verified: false },
        }
    }
}

impl CryptoProvider for Device {
    type CipherSuite = Aes128GcmSha256;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        OsRng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.server)
    }

    fn signer(&mut self) -> Result<(impl SignerMut<DerSignature>, SignatureScheme), TlsError> {
        Ok((self.key.clone(), SignatureScheme::EcdsaSecp256r1Sha256))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        self.certificate.as_deref().map(Certificate::X509)
    }
}

/// Knows a server by its fingerprint. It needs no parser: of a certificate that is the one expected, byte by byte, the
/// key can be taken from where it is.
struct Pinned {
    expected: Fingerprint,
    /// The handshake up to the certificate, and its key.
    seen: Option<(Sha256, VerifyingKey)>,
    verified: bool,
}

impl TlsVerifier<Aes128GcmSha256> for Pinned {
    fn set_hostname_verification(&mut self, _hostname: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(
        &mut self,
        transcript: &Sha256,
        certificate: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        let Some(CertificateEntryRef::X509(certificate)) = certificate.entries.first() else {
            return Err(TlsError::InvalidCertificate);
        };
        if Fingerprint::of(certificate) != self.expected {
            return Err(TlsError::InvalidCertificate);
        }
        let head = certificate.windows(P256_KEY.len()).position(|window| window == P256_KEY).unwrap();
        let point = &certificate[head + P256_KEY.len()..][..65];
        self.seen = Some((transcript.clone(), VerifyingKey::from_sec1_bytes(point).unwrap()));
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let Some((transcript, key)) = self.seen.take() else { return Err(TlsError::InvalidHandshake) };
        assert_eq!(verify.signature_scheme, SignatureScheme::EcdsaSecp256r1Sha256);
        let mut signed = vec![b' '; 64];
        signed.extend(b"TLS 1.3, server CertificateVerify\0");
        signed.extend(transcript.finalize());
        let signature = DerSignature::from_bytes(verify.signature).map_err(|_| TlsError::InvalidSignature)?;
        key.verify(&signed, &signature).map_err(|_| TlsError::InvalidSignature)?;
        self.verified = true;
        Ok(())
    }
}

/// The device's side: a frame with a file and a message, then whatever is answered. It closes when that is complete.
async fn upload(stream: DuplexStream, device: &mut Device, file: &[u8]) -> Result<Vec<u8>, TlsError> {
    // The largest record that TLS allows; what we send may be smaller.
    let (mut read, mut write) = (vec![0; 16_640], vec![0; 2048]);
    let mut tls = embedded_tls::TlsConnection::new(FromTokio::new(stream), &mut read, &mut write);
    tls.open(TlsContext::new(&TlsConfig::new(), &mut *device)).await?;
    // embedded-tls 0.19 goes on with a server that shows no certificate at all, and asks the verifier nothing: a device
    // must look for itself before it says anything.
    if !device.server.verified {
        return Err(TlsError::InvalidCertificate);
    }

    let mut writer = FrameWriter::new(&mut tls, [0; 256]);
    writer.start_frame(Status::ZERO, 1).await.unwrap();
    writer.start_file(b"log", file.len() as u64).await.unwrap();
    writer.write_payload(file).await.unwrap();
    writer.start_message(0).await.unwrap();
    writer.flush().await.unwrap();

    let mut reader = FrameReader::new(&mut tls, [0; 1024], Decoder::new([0; 16], DefaultLimits));
    let mut answer = Vec::new();
    loop {
        match reader.next().await {
            Ok(Some(Event::MessageData(bytes))) => answer.extend_from_slice(bytes),
            Ok(Some(Event::FrameEnd)) => break,
            Ok(Some(_)) => {}
            Ok(None) => return Err(TlsError::ConnectionClosed),
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }
    tls.close().await.map_err(|(_, error)| error)?;
    Ok(answer)
}

/// The server's side: takes a file, answers, and waits for the end, after which the device is gone.
async fn serve(connection: TlsConnection<DuplexStream>, answer: &[u8]) -> Result<Vec<u8>, ReceiveError> {
    let (mut receiver, mut sender) = connection.split();
    let mut file = Vec::new();
    while let Some(event) = receiver.next().await? {
        match event {
            Event::FileData(bytes) => file.extend_from_slice(bytes),
            Event::FrameEnd => sender.send_message(Status::ZERO, answer).await.unwrap(),
            _ => {}
        }
    }
    Ok(file)
}

/// More than one record, more than the wire holds, and all bytes in it.
fn bytes(len: u32) -> Vec<u8> {
    (0..len).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[tokio::test]
async fn a_device_and_a_server_know_each_other_by_their_fingerprints() {
    let theirs = Identity::generate().unwrap();
    let mut device = Device::new(theirs.fingerprint());
    let acceptor = Acceptor::new(&theirs, &Trust::Pinned(vec![device.fingerprint])).unwrap();
    let (near, far) = duplex(1000);
    let (file, answer) = (bytes(300_000), bytes(100_000));
    let config = Config::default();
    let server = async { serve(acceptor.accept_over(far, &config).await.unwrap(), &answer).await };
    let (answered, stored) = tokio::join!(upload(near, &mut device, &file), server);
    assert!(answered.unwrap() == answer);
    // It ended as it should, with a close_notify.
    assert!(stored.unwrap() == file);
}

#[tokio::test]
async fn a_device_refuses_another_server() {
    let (theirs, expected) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut device = Device::new(expected.fingerprint());
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    let (near, far) = duplex(1000);
    let config = Config::default();
    let (refused, server) =
        tokio::join!(upload(near, &mut device, b"secret"), acceptor.accept_over(far, &config));
    assert!(matches!(refused, Err(TlsError::InvalidCertificate)), "{refused:?}");
    // It sends no alert.
    assert!(matches!(server, Err(HandshakeError::Closed)), "{server:?}");
}

#[tokio::test]
async fn a_device_refuses_a_server_that_has_the_certificate_without_its_key() {
    let (owners, thiefs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::default().self_signed(&owners).unwrap();
    let mut device = Device::new(Fingerprint::of(certificate.der()));
    let key = PrivatePkcs8KeyDer::from(thiefs.serialize_der());
    let key = ring::sign::any_supported_type(&key.into()).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], key));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_protocol_versions(&[&TLS13]).unwrap().with_no_client_auth();
    let config = config.with_cert_resolver(Arc::new(resolver));
    let (near, far) = duplex(1000);
    let thief = TlsAcceptor::from(Arc::new(config)).accept(far);
    let (refused, served) = tokio::join!(upload(near, &mut device, b"secret"), thief);
    assert!(matches!(refused, Err(TlsError::InvalidSignature)), "{refused:?}");
    assert!(served.is_err());
}

#[tokio::test]
async fn a_server_refuses_another_device_and_one_without_a_certificate() {
    let theirs = Identity::generate().unwrap();
    let expected = Identity::generate().unwrap();
    let acceptor = Acceptor::new(&theirs, &Trust::Pinned(vec![expected.fingerprint()])).unwrap();
    for silent in [false, true] {
        let mut device = Device::new(theirs.fingerprint());
        if silent {
            device.certificate = None;
        }
        let (near, far) = duplex(100_000);
        let config = Config::default();
        let (told, server) =
            tokio::join!(upload(near, &mut device, b"hello"), acceptor.accept_over(far, &config));
        // The device is done before the server has decided, and hears of it when it reads.
        assert!(told.is_err(), "{told:?}");
        match server {
            Err(HandshakeError::Mismatch(mismatch)) if !silent => {
                assert_eq!(mismatch.presented, device.fingerprint);
            }
            Err(HandshakeError::NoCertificate) if silent => {}
            server => panic!("{server:?}"),
        }
    }
}

/// What stands before the point of a P-256 key in a certificate: the head of its `SubjectPublicKeyInfo`.
const P256_KEY: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
