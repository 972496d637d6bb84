//! TLS with the client that devices have, which shares no code with ours: embedded-tls, as the examples' `tls` makes it strict.

#[path = "common/anonymous.rs"]
mod anonymous;

use std::sync::Arc;
use std::time::Duration;

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{Read, Write};
use rand_core::OsRng;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use tej_apps::tls::{Buffers, Connection, Credentials, Error, Identity as OwnIdentity, Transport};
use tej_apps::{Fingerprint as Pin, GeneratedFile};
use tej_std::core::io::{FrameReader, FrameWriter, ReadError, WriteError};
use tej_std::core::{Decoder, DefaultLimits};
use tej_std::tls::rustls::ServerConfig;
use tej_std::tls::rustls::crypto::ring;
use tej_std::tls::rustls::pki_types::PrivatePkcs8KeyDer;
use tej_std::tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tej_std::tls::rustls::version::TLS13;
use tej_std::tls::{Acceptor, Fingerprint, HandshakeError, Identity, TlsConnection, Trust};
use tej_std::{Config, Event, ReceiveError, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio_rustls::TlsAcceptor;

type Stream = Transport<FromTokio<ReadHalf<DuplexStream>>, FromTokio<WriteHalf<DuplexStream>>>;
type DeviceConnection<'a> =
    Connection<'a, FromTokio<ReadHalf<DuplexStream>>, FromTokio<WriteHalf<DuplexStream>>>;

/// A device, with the identity that `tej identity` made for it.
struct Device {
    fingerprint: Fingerprint,
    /// As it is in the device's flash.
    page: Vec<u8>,
    server: Pin,
}

impl Device {
    fn new(server: Fingerprint) -> Self {
        let identity = Identity::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.pem");
        identity.save(&path).unwrap();
        let parts = pem::parse_many(std::fs::read(path).unwrap()).unwrap();
        let mut page: Vec<u8> = parts.iter().flat_map(pem::Pem::contents).copied().collect();
        // What is behind it is erased.
        page.resize(2048, 0xff);
        Self { fingerprint: identity.fingerprint(), page, server: pin(server) }
    }

    /// One that says nothing of itself.
    fn without_identity(server: Fingerprint) -> Self {
        Self { page: vec![0xff; 2048], ..Self::new(server) }
    }

    async fn connect<'a>(
        &self,
        stream: &'a Stream,
        buffers: &'a mut Buffers,
    ) -> Result<DeviceConnection<'a>, Error> {
        let identity = OwnIdentity::from_der(&self.page).ok();
        let mut credentials = Credentials { server: self.server, identity, random: OsRng };
        Connection::open(stream, buffers, &mut credentials).await
    }

    /// A frame with a file and a message, then whatever is answered. It closes when that is complete.
    async fn upload(&self, stream: DuplexStream, file: &[u8]) -> Result<Vec<u8>, Error> {
        soon(self.upload_whole(stream, file)).await
    }

    async fn upload_whole(&self, stream: DuplexStream, file: &[u8]) -> Result<Vec<u8>, Error> {
        let (stream, mut buffers) = (transport(stream), Buffers::new());
        let mut connection = self.connect(&stream, &mut buffers).await?;
        let (reader, writer) = connection.split();
        let mut writer = FrameWriter::new(writer, [0; 256]);
        send(&mut writer, file).await.unwrap();
        let mut reader = FrameReader::new(reader, [0; 1024], Decoder::new([0; 16], DefaultLimits));
        let answer = receive(&mut reader).await?.ok_or(Error::Ended)?;
        connection.close().await?;
        Ok(answer)
    }
}

fn pin(fingerprint: Fingerprint) -> Pin {
    // As a person copies it.
    fingerprint.to_string().parse().unwrap()
}

fn transport(stream: DuplexStream) -> Stream {
    let (read, write) = split(stream);
    Transport::new(FromTokio::new(read), FromTokio::new(write))
}

async fn send<W: Write>(
    writer: &mut FrameWriter<W, [u8; 256]>,
    file: &[u8],
) -> Result<(), WriteError<W::Error>> {
    writer.start_frame(Status::ZERO, 1).await?;
    writer.start_file(b"log", file.len() as u64).await?;
    writer.write_payload(file).await?;
    writer.start_message(0).await?;
    writer.push().await
}

/// The message of the next frame.
async fn receive<R: Read<Error = Error>>(
    reader: &mut FrameReader<R, [u8; 1024], [u8; 16], DefaultLimits>,
) -> Result<Option<Vec<u8>>, Error> {
    let mut message = Vec::new();
    loop {
        match reader.next().await {
            Ok(Some(Event::MessageData(bytes))) => message.extend_from_slice(bytes),
            Ok(Some(Event::FrameEnd)) => return Ok(Some(message)),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }
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
    let device = Device::new(theirs.fingerprint());
    let acceptor = Acceptor::new(&theirs, &Trust::Pinned(vec![device.fingerprint])).unwrap();
    let (near, far) = duplex(1000);
    let (file, answer) = (bytes(300_000), bytes(100_000));
    let config = Config::default();
    let server = async { serve(acceptor.accept_over(far, &config).await.unwrap(), &answer).await };
    let (answered, stored) = tokio::join!(device.upload(near, &file), server);
    assert!(answered.unwrap() == answer);
    // It ended as it should, with a close_notify.
    assert!(stored.unwrap() == file);
}

#[tokio::test]
async fn a_device_refuses_another_server() {
    let (theirs, expected) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let device = Device::new(expected.fingerprint());
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    let (near, far) = duplex(1000);
    let config = Config::default();
    let (refused, server) = tokio::join!(device.upload(near, b"secret"), acceptor.accept_over(far, &config));
    let Err(Error::OtherServer { presented }) = refused else { panic!("{refused:?}") };
    assert_eq!(presented, pin(theirs.fingerprint()));
    // It sends no alert.
    assert!(matches!(server, Err(HandshakeError::Closed)), "{server:?}");
}

/// What a device says of a server with this certificate and this key, which may be another's.
async fn refusal(certified: &KeyPair, key: &KeyPair) -> Error {
    let certificate = CertificateParams::default().self_signed(certified).unwrap();
    let device = Device::new(Fingerprint::of(certificate.der()));
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = ring::sign::any_supported_type(&key.into()).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.der().clone()], key));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_protocol_versions(&[&TLS13]).unwrap().with_no_client_auth();
    let config = config.with_cert_resolver(Arc::new(resolver));
    let (near, far) = duplex(1000);
    let server = TlsAcceptor::from(Arc::new(config)).accept(far);
    let (refused, served) = tokio::join!(device.upload(near, b"secret"), server);
    assert!(served.is_err());
    refused.unwrap_err()
}

#[tokio::test]
async fn a_device_refuses_a_server_that_has_the_certificate_without_its_key() {
    let (owners, thiefs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let refused = refusal(&owners, &thiefs).await;
    assert!(matches!(refused, Error::Unproven), "{refused:?}");
}

#[tokio::test]
async fn a_device_refuses_a_server_that_proves_nothing_and_shows_it_no_certificate() {
    let certificate = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let certificate = certificate.der();
    let device = Device::new(Fingerprint::of(certificate));
    for shown in [None, Some(&certificate[..])] {
        let (near, far) = duplex(10_000);
        let server = anonymous::shake_hands(far, shown);
        let (refused, said) = tokio::join!(device.upload(near, b"secret"), server);
        match refused {
            Err(Error::NoCertificate) if shown.is_none() => {}
            Err(Error::Unproven) if shown.is_some() => {}
            refused => panic!("{refused:?}"),
        }
        // That it has no certificate, and that the handshake is over: in two records, of 30 and 58 bytes.
        assert_eq!(said.len(), 88);
    }
}

#[tokio::test]
async fn a_device_refuses_keys_that_it_cannot_verify() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let refused = refusal(&key, &key).await;
    assert!(matches!(refused, Error::UnsupportedKey), "{refused:?}");
}

#[tokio::test]
async fn a_server_refuses_another_device_and_one_without_a_certificate() {
    let theirs = Identity::generate().unwrap();
    let expected = Identity::generate().unwrap();
    let acceptor = Acceptor::new(&theirs, &Trust::Pinned(vec![expected.fingerprint()])).unwrap();
    for silent in [false, true] {
        let device = if silent {
            Device::without_identity(theirs.fingerprint())
        } else {
            Device::new(theirs.fingerprint())
        };
        let (near, far) = duplex(100_000);
        let config = Config::default();
        let (told, server) = tokio::join!(device.upload(near, b"hello"), acceptor.accept_over(far, &config));
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

/// A device and a server that have shaken hands, with `pipe` bytes between them.
macro_rules! connected {
    ($connection:ident, $server:ident, $pipe:expr) => {
        let theirs = Identity::generate().unwrap();
        let device = Device::new(theirs.fingerprint());
        let acceptor = Acceptor::for_anyone(&theirs).unwrap();
        let (near, far) = duplex($pipe);
        let (stream, mut buffers, config) = (transport(near), Buffers::new(), Config::default());
        let (connection, server) =
            tokio::join!(device.connect(&stream, &mut buffers), acceptor.accept_over(far, &config));
        let (mut $connection, $server) = (connection.unwrap(), server.unwrap());
    };
}

#[tokio::test]
async fn both_directions_are_used_at_once() {
    connected!(connection, server, 1000);
    let (file, answer) = (bytes(200_000), bytes(150_000));
    let (mut receiver, mut sender) = server.split();
    let (reader, writer) = connection.split();
    let mut reader = FrameReader::new(reader, [0; 1024], Decoder::new([0; 16], DefaultLimits));
    let mut writer = FrameWriter::new(writer, [0; 256]);
    let theirs = async {
        // Before it takes anything, and more than the pipe holds: the device has to read while it writes.
        sender.send_message(Status::ZERO, &answer).await.unwrap();
        let mut stored = Vec::new();
        loop {
            match receiver.next().await.unwrap().unwrap() {
                Event::FileData(bytes) => stored.extend_from_slice(bytes),
                Event::FrameEnd => return stored,
                _ => {}
            }
        }
    };
    let (sent, received, stored) = tokio::join!(send(&mut writer, &file), receive(&mut reader), theirs);
    sent.unwrap();
    assert!(received.unwrap().unwrap() == answer);
    assert!(stored == file);
}

#[tokio::test]
async fn what_is_written_is_on_its_way_without_a_flush() {
    connected!(connection, server, 10_000);
    let (mut receiver, _sender) = server.split();
    let file = GeneratedFile { seed: 1, size: 100 };
    let (_, writer) = connection.split();
    file.send(&mut FrameWriter::new(writer, [0; 256])).await.unwrap();
    loop {
        if soon(receiver.next()).await.unwrap().unwrap() == Event::FrameEnd {
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_ends_at_a_close_notify_and_not_at_a_cut() {
    for cut in [false, true] {
        connected!(connection, server, 1000);
        let (receiver, mut sender) = server.split();
        sender.send_message(Status::ZERO, b"bye").await.unwrap();
        if cut {
            drop((receiver, sender));
        } else {
            sender.shutdown().await.unwrap();
        }
        let (reader, mut writer) = connection.split();
        let mut reader = FrameReader::new(reader, [0; 1024], Decoder::new([0; 16], DefaultLimits));
        assert_eq!(receive(&mut reader).await.unwrap().unwrap(), b"bye");
        let end = receive(&mut reader).await;
        if cut {
            assert!(matches!(end, Err(Error::Cut)), "{end:?}");
            continue;
        }
        assert!(matches!(end, Ok(None)), "{end:?}");
        assert!(matches!(receive(&mut reader).await, Ok(None)));
        // embedded-tls cannot answer to that.
        let written = writer.write(b"more").await;
        assert!(matches!(written, Err(Error::Ended)), "{written:?}");
    }
}

#[tokio::test]
async fn a_forged_end_is_none() {
    let theirs = Identity::generate().unwrap();
    let device = Device::new(theirs.fingerprint());
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    let (near, here) = duplex(10_000);
    let (there, far) = duplex(10_000);
    let config = Config::default();
    // Somebody on the way, who adds a record of his own when nothing has come for a while.
    let forger = async {
        let (mut from_device, mut to_device) = split(here);
        let (mut from_server, mut to_server) = split(there);
        let to_server = tokio::io::copy(&mut from_device, &mut to_server);
        let to_device = async {
            let mut buffer = [0; 1000];
            while let Ok(read) = tokio::time::timeout(LULL, from_server.read(&mut buffer)).await {
                to_device.write_all(&buffer[..read.unwrap()]).await.unwrap();
            }
            to_device.write_all(b"\x15\x03\x03\x00\x02\x01\x00").await.unwrap();
            std::future::pending::<()>().await;
        };
        let _ = tokio::join!(to_server, to_device);
    };
    let (stream, mut buffers) = (transport(near), Buffers::new());
    let told = async {
        let (connection, server) =
            tokio::join!(device.connect(&stream, &mut buffers), acceptor.accept_over(far, &config));
        let (mut connection, _server) = (connection.unwrap(), server.unwrap());
        let (mut reader, _) = connection.split();
        reader.read(&mut [0; 10]).await
    };
    let told = tokio::select! {
        told = told => told,
        () = forger => unreachable!(),
    };
    assert!(matches!(told, Err(Error::Tls(_))), "{told:?}");
}

#[tokio::test]
async fn a_direction_that_was_dropped_half_way_is_of_no_further_use() {
    connected!(connection, server, 100);
    let (mut receiver, _sender) = server.split();
    let (mut reader, mut writer) = connection.split();
    tokio::time::timeout(LULL, reader.read(&mut [0; 10])).await.unwrap_err();
    let read = soon(reader.read(&mut [0; 10])).await;
    assert!(matches!(read, Err(Error::Interrupted)), "{read:?}");
    // The other direction goes on, until it meets the same.
    let ping = async {
        let mut writer = FrameWriter::new(&mut writer, [0; 256]);
        writer.send_ping().await.unwrap();
    };
    let pong = async { while receiver.next().await.unwrap().unwrap() != Event::FrameEnd {} };
    tokio::join!(ping, pong);
    tokio::time::timeout(LULL, writer.write(&[0; 1000])).await.unwrap_err();
    let written = soon(writer.write(b"more")).await;
    assert!(matches!(written, Err(Error::Interrupted)), "{written:?}");
    let closed = connection.close().await;
    assert!(matches!(closed, Err(Error::Interrupted)), "{closed:?}");
}

/// Gives what is to come without anybody else doing something first.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it waits for ever")
}

/// As long as nothing comes on a wire in memory whose other end is done.
const LULL: Duration = Duration::from_millis(200);
