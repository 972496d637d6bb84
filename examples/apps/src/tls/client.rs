//! What a handshake asks of the client.

use embedded_tls::{
    Aes128GcmSha256, Certificate, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider,
    CryptoRngCore, Sha256, SignatureScheme, TlsError, TlsVerifier,
};
use p256::ecdsa::signature::digest::Digest;
use p256::ecdsa::signature::{SignerMut, Verifier};
use p256::ecdsa::{DerSignature, VerifyingKey};

use super::{Credentials, Error};
use crate::Fingerprint;

/// The client of one handshake.
pub(super) struct Client<'c, 'a, G> {
    server: Pinned,
    credentials: &'c mut Credentials<'a, G>,
}

impl<'c, 'a, G> Client<'c, 'a, G> {
    pub(super) fn new(credentials: &'c mut Credentials<'a, G>) -> Self {
        Self { server: Pinned { expected: credentials.server, seen: Seen::Nothing }, credentials }
    }

    /// What to make of a handshake that ended like this. That it was completed says nothing of the server yet.
    pub(super) fn verdict(&self, opened: Result<(), TlsError>) -> Result<(), Error> {
        match (&self.server.seen, opened) {
            // The reason why embedded-tls has an error, and more than it says.
            (Seen::Refused(error), _) => Err(*error),
            (_, Err(error)) => Err(Error::of(error)),
            (Seen::Nothing, Ok(())) => Err(Error::NoCertificate),
            (Seen::Certificate(..), Ok(())) => Err(Error::Unproven),
            (Seen::Proof, Ok(())) => Ok(()),
        }
    }
}

impl<G: CryptoRngCore> CryptoProvider for Client<'_, '_, G> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.credentials.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.server)
    }

    fn signer(&mut self) -> Result<(impl SignerMut<DerSignature>, SignatureScheme), TlsError> {
        let identity = self.credentials.identity.as_ref().ok_or(TlsError::InvalidPrivateKey)?;
        Ok((identity.key.clone(), SignatureScheme::EcdsaSecp256r1Sha256))
    }

    /// For a server that was verified.
    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        let identity = self.credentials.identity.as_ref();
        identity
            .filter(|_| matches!(self.server.seen, Seen::Proof))
            .map(|identity| Certificate::X509(identity.certificate))
    }
}

/// Knows a server by its fingerprint. It needs no parser: of a certificate that is the one expected, byte by byte, the key can
/// be taken from where it is.
struct Pinned {
    expected: Fingerprint,
    seen: Seen,
}

/// What the server has shown so far.
enum Seen {
    Nothing,
    /// The expected certificate: the hash of the handshake up to it, and the key in it.
    Certificate(Sha256, VerifyingKey),
    /// The certificate, and that it has the key.
    Proof,
    Refused(Error),
}

impl Pinned {
    /// Keeps the reason, for which embedded-tls has no words.
    fn refuse(&mut self, error: Error) -> TlsError {
        self.seen = Seen::Refused(error);
        TlsError::InvalidCertificate
    }
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
            return Err(self.refuse(Error::NoCertificate));
        };
        let presented = Fingerprint::of(certificate);
        if presented != self.expected {
            return Err(self.refuse(Error::OtherServer { presented }));
        }
        let Some(key) = key(certificate) else { return Err(self.refuse(Error::UnsupportedKey)) };
        self.seen = Seen::Certificate(transcript.clone(), key);
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        // Once for each certificate.
        let Seen::Certificate(transcript, key) = core::mem::replace(&mut self.seen, Seen::Nothing) else {
            return Err(self.refuse(Error::Unproven));
        };
        let mut signed = [b' '; PADDING + CONTEXT.len() + HASH];
        signed[PADDING..][..CONTEXT.len()].copy_from_slice(CONTEXT);
        signed[PADDING + CONTEXT.len()..].copy_from_slice(&transcript.finalize());
        let proven = verify.signature_scheme == SignatureScheme::EcdsaSecp256r1Sha256
            && DerSignature::from_bytes(verify.signature)
                .is_ok_and(|signature| key.verify(&signed, &signature).is_ok());
        if !proven {
            return Err(self.refuse(Error::Unproven));
        }
        self.seen = Seen::Proof;
        Ok(())
    }
}

/// The key of a certificate; `None` if it is none of P-256.
fn key(certificate: &[u8]) -> Option<VerifyingKey> {
    let head = certificate.windows(P256_KEY.len()).position(|window| window == P256_KEY)?;
    let point = certificate.get(head + P256_KEY.len()..)?.get(..POINT)?;
    VerifyingKey::from_sec1_bytes(point).ok()
}

/// What stands before the point of a P-256 key in a certificate: the head of its `SubjectPublicKeyInfo`.
const P256_KEY: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// Bytes of the point: what form it has, and two coordinates.
const POINT: usize = 65;
/// What a server signs, by RFC 8446, section 4.4.3: 64 spaces, this context, and the hash of the handshake so far.
const PADDING: usize = 64;
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
const HASH: usize = 32;

#[cfg(test)]
mod tests {
    use embedded_tls::TlsError;

    use super::*;

    #[test]
    fn a_handshake_without_a_certificate_is_no_success() {
        let mut credentials = Credentials { server: Fingerprint([0; 32]), identity: None, random: () };
        let mut client = Client::new(&mut credentials);
        assert!(matches!(client.verdict(Ok(())), Err(Error::NoCertificate)));
        assert!(matches!(client.verdict(Err(TlsError::IoError)), Err(Error::Cut)));
        client.server.seen = Seen::Refused(Error::Unproven);
        assert!(matches!(client.verdict(Err(TlsError::InvalidCertificate)), Err(Error::Unproven)));
        assert!(matches!(client.verdict(Ok(())), Err(Error::Unproven)));
        client.server.seen = Seen::Proof;
        assert!(matches!(client.verdict(Ok(())), Ok(())));
    }
}
