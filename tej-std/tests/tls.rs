//! TLS in either role, over memory and over TCP.

#[path = "common/authority.rs"]
mod authority;

use std::fs;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use authority::{Authority, pem};
use rcgen::{CertificateParams, date_time_ymd};
use tej_std::service::{Failed, Frame, Handler, Options, Peer};
use tej_std::tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tej_std::tls::rustls::crypto::ring;
use tej_std::tls::rustls::pki_types::pem::PemObject;
use tej_std::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tej_std::tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tej_std::tls::rustls::{
    self, AlertDescription, CertificateError, DigitallySignedStruct, SignatureScheme,
};
use tej_std::tls::{
    Acceptor, Authorities, Connector, Fingerprint, HandshakeError, Identity, SetupError, TlsConnection, Trust,
};
use tej_std::{
    Backoff, Client, Config, DecodeErrorKind, Event, OutgoingFrame, ReceiveError, Receiver, SendError,
    Server, Status, Timeouts, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

fn pinned(identities: &[&Identity]) -> Trust {
    Trust::Pinned(identities.iter().map(|identity| identity.fingerprint()).collect())
}

fn identity() -> Identity {
    Identity::generate().unwrap()
}

fn hasty(handshake: Duration) -> Config {
    Config { timeouts: Timeouts { handshake: Some(handshake), ..Timeouts::PATIENT }, ..Config::default() }
}

type Side = Result<TlsConnection<DuplexStream>, HandshakeError>;

/// What each side makes of the handshake with the other, the client's first.
async fn meet(connector: &Connector, acceptor: &Acceptor, host: &str) -> (Side, Side) {
    let (near, far) = duplex(1024);
    let config = Config::default();
    tokio::join!(connector.connect_over(near, host, &config), acceptor.accept_over(far, &config))
}

/// Both halves of a handshake that must succeed.
async fn meet_well(
    connector: &Connector,
    acceptor: &Acceptor,
    host: &str,
) -> [TlsConnection<DuplexStream>; 2] {
    let (client, server) = meet(connector, acceptor, host).await;
    [client.unwrap(), server.unwrap()]
}

/// The messages up to the end of the stream, or the error instead of it.
async fn messages<R: tokio::io::AsyncRead + Unpin>(
    receiver: &mut Receiver<R>,
) -> (Vec<u8>, Result<(), ReceiveError>) {
    let mut all = Vec::new();
    loop {
        match receiver.next().await {
            Ok(Some(Event::MessageData(bytes))) => all.extend(bytes),
            Ok(Some(_)) => {}
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// A frame each way, and a clean end each way.
async fn talk(connections: [TlsConnection<DuplexStream>; 2]) {
    let sides = connections.map(|connection| async {
        let (mut receiver, mut sender) = connection.split();
        let send = async {
            sender.send_message(Status::ZERO, b"hello").await.unwrap();
            sender.shutdown().await.unwrap();
        };
        let ((), (received, end)) = tokio::join!(send, messages(&mut receiver));
        assert_eq!(received, b"hello");
        end.unwrap();
    });
    let [client, server] = sides;
    tokio::join!(client, server);
}

#[tokio::test]
async fn both_sides_are_known_by_their_fingerprints() {
    let (ours, theirs) = (identity(), identity());
    let connector = Connector::new(Some(&ours), &pinned(&[&theirs])).unwrap();
    let acceptor = Acceptor::new(&theirs, &pinned(&[&identity(), &ours])).unwrap();
    // What a certificate says of names does not matter to a fingerprint.
    for host in ["localhost", "192.0.2.1", "[fe80::1%eth0]"] {
        talk(meet_well(&connector, &acceptor, host).await).await;
    }
}

#[tokio::test]
async fn a_server_for_anyone_takes_clients_with_and_without_an_identity() {
    let (ours, theirs) = (identity(), identity());
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    for identity in [None, Some(&ours)] {
        let connector = Connector::new(identity, &pinned(&[&theirs])).unwrap();
        talk(meet_well(&connector, &acceptor, "x").await).await;
    }
}

#[tokio::test]
async fn a_client_refuses_a_server_with_another_fingerprint() {
    let (theirs, other) = (identity(), identity());
    let connector = Connector::new(None, &pinned(&[&other])).unwrap();
    let (client, server) = meet(&connector, &Acceptor::for_anyone(&theirs).unwrap(), "x").await;
    let Err(HandshakeError::Mismatch(mismatch)) = client else { panic!("{client:?}") };
    assert_eq!(mismatch.presented, theirs.fingerprint());
    assert_eq!(mismatch.expected, [other.fingerprint()]);
    let text = mismatch.to_string();
    assert!(text.contains(&theirs.fingerprint().to_string()), "{text}");
    assert!(text.contains(&other.fingerprint().to_string()), "{text}");
    assert!(matches!(server, Err(HandshakeError::Refused(_))), "{server:?}");
}

#[tokio::test]
async fn a_server_refuses_a_client_with_another_fingerprint_or_none() {
    let (ours, theirs, other) = (identity(), identity(), identity());
    let acceptor = Acceptor::new(&theirs, &pinned(&[&other])).unwrap();
    for identity in [Some(&ours), None] {
        let connector = Connector::new(identity, &pinned(&[&theirs])).unwrap();
        let (client, server) = meet(&connector, &acceptor, "x").await;
        match (identity, server) {
            (Some(_), Err(HandshakeError::Mismatch(mismatch))) => {
                assert_eq!(mismatch.presented, ours.fingerprint());
            }
            (None, Err(HandshakeError::NoCertificate)) => {}
            (_, server) => panic!("{server:?}"),
        }
        // The client is done before the server has decided.
        let (mut receiver, _sender) = client.unwrap().split();
        let (_, Err(ReceiveError::Io(error))) = messages(&mut receiver).await else { panic!("no error") };
        let refused = HandshakeError::of(&error).unwrap();
        let expected = match identity {
            Some(_) => AlertDescription::CertificateUnknown,
            None => AlertDescription::CertificateRequired,
        };
        assert!(matches!(refused, HandshakeError::Refused(alert) if alert == expected), "{refused:?}");
    }
}

#[tokio::test]
async fn who_has_a_certificate_without_its_key_proves_nothing() {
    let (victim, other) = (identity(), identity());
    let dir = tempfile::tempdir().unwrap();
    let read = |identity: &Identity, name: &str| {
        let path = dir.path().join(name);
        identity.save(&path).unwrap();
        fs::read(path).unwrap()
    };
    let certificate = CertificateDer::from_pem_slice(&read(&victim, "victim")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read(&identity(), "thief")).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let stolen = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
    let provider = Arc::new(ring::default_provider());
    let config = Config::default();
    let is_caught =
        |error: HandshakeError| matches!(error, HandshakeError::Certificate(CertificateError::BadSignature));

    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&stolen) as _);
    let (near, far) = duplex(1024);
    let thief = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(far);
    let connector = Connector::new(None, &pinned(&[&victim])).unwrap();
    let (error, _) = tokio::join!(connector.connect_over(near, "x", &config), thief);
    assert!(is_caught(error.unwrap_err()));

    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_cert_resolver(stolen);
    let (near, far) = duplex(1024);
    let thief = tokio_rustls::TlsConnector::from(Arc::new(client)).connect("x".try_into().unwrap(), near);
    let acceptor = Acceptor::new(&other, &pinned(&[&victim])).unwrap();
    let (error, _) = tokio::join!(acceptor.accept_over(far, &config), thief);
    assert!(is_caught(error.unwrap_err()));
}

/// Believes everything.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[test]
fn a_certificate_with_another_key_is_no_identity() {
    let (theirs, thief) = (identity(), identity());
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("theirs"), dir.path().join("thief"));
    theirs.save(&certificate).unwrap();
    thief.save(&key).unwrap();
    let mixed = Identity::from_pem_files(&certificate, &key).unwrap();
    let error = Acceptor::for_anyone(&mixed).unwrap_err();
    assert!(matches!(error, SetupError::Unusable(_)), "{error:?}");
    assert!(error.to_string().contains("does not belong"), "{error}");
}

#[test]
fn an_identity_is_the_same_after_it_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.pem");
    let identity = identity();
    identity.save(&path).unwrap();
    assert_eq!(Identity::load(&path).unwrap().fingerprint(), identity.fingerprint());
    // It can be used as one.
    Acceptor::for_anyone(&Identity::load(&path).unwrap()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let text = fs::read(&path).unwrap();
    let error = Identity::generate().unwrap().save(&path).unwrap_err();
    assert!(matches!(error, SetupError::Exists { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), text);
    // Nothing else is left behind.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(!format!("{identity:?}").contains("key"));
}

#[test]
fn what_is_missing_in_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pem");
    let error = Identity::load(&path).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("x.pem"), "{error}");
    identity().save(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let key = text.find("-----BEGIN PRIVATE KEY").unwrap();
    for (content, missing) in [
        (&text[key..], "no certificate"),
        (&text[..key], "no private key"),
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "no certificate"),
    ] {
        fs::write(&path, content).unwrap();
        let error = Identity::load(&path).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("x.pem"), "{error}");
    }
}

#[test]
fn a_fingerprint_is_read_as_people_write_it() {
    let fingerprint = identity().fingerprint();
    let text = fingerprint.to_string();
    assert_eq!(text.len(), 64);
    assert!(text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)));
    let pairs: Vec<_> = (0..32).map(|at| &text[2 * at..2 * at + 2]).collect();
    for text in [text.clone(), text.to_uppercase(), pairs.join(":"), pairs.join(":").to_uppercase()] {
        assert_eq!(text.parse(), Ok(fingerprint));
    }
    let faulty = [
        text[1..].to_owned(),
        format!("{text}0"),
        format!("g{}", &text[1..]),
        format!("+{}", &text[1..]),
        format!("ä{}", &text[2..]),
        pairs.join("-"),
        format!("{}:", &pairs.join(":")[..94]),
        String::new(),
    ];
    for text in faulty {
        assert!(text.parse::<Fingerprint>().is_err(), "{text}");
    }
}

fn trust(authority: &Authority) -> Trust {
    Trust::Authorities(Authorities::from_pem_file(authority.certificate()).unwrap())
}

fn signed(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let [certificate, key] = authority.sign(name, change);
    Identity::from_pem_files(certificate, key).unwrap()
}

#[tokio::test]
async fn both_sides_are_known_by_an_authority() {
    let authority = Authority::new();
    let (server, client) = (signed(&authority, "localhost", |_| {}), signed(&authority, "anyone", |_| {}));
    let acceptor = Acceptor::new(&server, &trust(&authority)).unwrap();
    let connector = Connector::new(Some(&client), &trust(&authority)).unwrap();
    talk(meet_well(&connector, &acceptor, "localhost").await).await;
    // Whom the authority did not sign is refused, on each side.
    let stranger = identity();
    let connector = Connector::new(Some(&stranger), &trust(&authority)).unwrap();
    let (_, refused) = meet(&connector, &acceptor, "localhost").await;
    assert!(
        matches!(refused, Err(HandshakeError::Certificate(CertificateError::UnknownIssuer))),
        "{refused:?}"
    );
    let (refused, _) = meet(&connector, &Acceptor::for_anyone(&stranger).unwrap(), "localhost").await;
    assert!(matches!(refused, Err(HandshakeError::Certificate(_))), "{refused:?}");
}

#[tokio::test]
async fn an_authority_vouches_for_a_name() {
    let authority = Authority::new();
    let acceptor = Acceptor::for_anyone(&signed(&authority, "device.example", |_| {})).unwrap();
    let connector = Connector::new(None, &trust(&authority)).unwrap();
    talk(meet_well(&connector, &acceptor, "device.example").await).await;
    for host in ["other.example", "192.0.2.1"] {
        let (client, _) = meet(&connector, &acceptor, host).await;
        let Err(error @ HandshakeError::Certificate(_)) = client else { panic!("{client:?}") };
        let text = error.to_string();
        assert!(text.contains(host) && text.contains("device.example"), "{text}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_each_side() {
    let authority = Authority::new();
    let expired =
        signed(&authority, "localhost", |parameters| parameters.not_after = date_time_ymd(2001, 1, 1));
    let good = signed(&authority, "localhost", |_| {});
    let connector = |identity| Connector::new(Some(identity), &trust(&authority)).unwrap();
    let acceptor = |identity| Acceptor::new(identity, &trust(&authority)).unwrap();
    let (refused, _) = meet(&connector(&good), &acceptor(&expired), "localhost").await;
    assert!(refused.unwrap_err().to_string().contains("expired"));
    let (_, refused) = meet(&connector(&expired), &acceptor(&good), "localhost").await;
    assert!(refused.unwrap_err().to_string().contains("expired"));
}

#[test]
fn a_file_without_an_authority_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    fs::write(&path, "").unwrap();
    assert!(Authorities::from_pem_file(&path).unwrap_err().to_string().contains("no certificate"));
    fs::write(&path, pem("CERTIFICATE", b"not a certificate")).unwrap();
    assert!(matches!(Authorities::from_pem_file(&path).unwrap_err(), SetupError::Unusable(_)));
}

// case 37
#[tokio::test]
async fn a_stalled_handshake_ends_at_its_time_and_others_are_served_meanwhile() {
    let theirs = identity();
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    let limit = Duration::from_millis(500);
    let server = Server::bind("127.0.0.1:0", hasty(limit)).await.unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let start = Instant::now();
    // One says nothing, one begins: the head of a record that never comes.
    let mut stalled = [TcpStream::connect(&addr).await.unwrap(), TcpStream::connect(&addr).await.unwrap()];
    stalled[1].write_all(b"\x16\x03\x01\x01\x00\x01").await.unwrap();
    let mut handshakes = tokio::task::JoinSet::new();
    for _ in &stalled {
        let (stream, _, place) = server.accept_stream().await.unwrap();
        let (acceptor, config) = (acceptor.clone(), server.config().clone());
        handshakes.spawn(async move {
            let error = acceptor.accept(stream, &config).await.unwrap_err();
            drop(place);
            error
        });
    }
    let serve = async {
        let (stream, _, place) = server.accept_stream().await.unwrap();
        let connection = acceptor.accept(stream, server.config()).await.unwrap();
        let (mut receiver, _sender) = connection.holding(place).split();
        messages(&mut receiver).await.0
    };
    let send = async {
        let connector = Connector::new(None, &pinned(&[&theirs])).unwrap();
        let connection = connector.connect(&addr, &Config::default()).await.unwrap();
        let (_receiver, mut sender) = connection.split();
        sender.send_message(Status::ZERO, b"good").await.unwrap();
        sender.shutdown().await.unwrap();
    };
    let (received, ()) = tokio::join!(serve, send);
    assert_eq!(received, b"good");
    assert!(start.elapsed() < limit, "the others waited: {:?}", start.elapsed());
    assert_eq!(server.connections(), 2);
    while let Some(error) = handshakes.join_next().await {
        let error = error.unwrap();
        assert!(matches!(error, HandshakeError::Timeout), "{error:?}");
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= limit && elapsed < limit * 4, "{elapsed:?}");
    assert_eq!(server.connections(), 0);
    for stalled in &mut stalled {
        assert_eq!(timeout(limit, stalled.read(&mut [0])).await.unwrap().unwrap(), 0);
    }
}

// case 37
#[tokio::test]
async fn a_server_that_stalls_ends_a_client_at_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let connector = Connector::new(None, &pinned(&[])).unwrap();
    let error = connector.connect(&addr, &hasty(Duration::from_millis(100))).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout), "{error:?}");
}

// case 37
#[tokio::test]
async fn plaintext_to_a_tls_port_is_named() {
    let acceptor = Acceptor::for_anyone(&identity()).unwrap();
    let server = Server::bind("127.0.0.1:0", Config::default()).await.unwrap();
    let addr = server.local_addr().unwrap();
    let accept = async {
        let (stream, _, _place) = server.accept_stream().await.unwrap();
        acceptor.accept(stream, server.config()).await.unwrap_err()
    };
    let plain = async {
        let (mut receiver, mut sender) = connect(addr, &Config::default()).await.unwrap().split();
        sender.send_message(Status::ZERO, b"plain").await.unwrap();
        receiver.next().await.map(drop).unwrap_err()
    };
    let (error, seen) = tokio::join!(accept, plain);
    assert!(matches!(error, HandshakeError::NotTls), "{error:?}");
    // An alert of TLS is no frame.
    let ReceiveError::Decode(fault) = seen else { panic!("{seen:?}") };
    assert_eq!((fault.kind, fault.offset), (DecodeErrorKind::BadStartBit, 0));
}

#[tokio::test]
async fn tls_to_a_plaintext_port_is_named() {
    let server = Server::bind("127.0.0.1:0", Config::default()).await.unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let accept = async {
        let (mut receiver, _sender) = server.accept().await.unwrap().0.split();
        receiver.next().await.map(drop).unwrap_err()
    };
    let connector = Connector::new(None, &pinned(&[])).unwrap();
    let config = Config::default();
    let (seen, error) = tokio::join!(accept, connector.connect(&addr, &config));
    let error = error.unwrap_err();
    assert!(matches!(error, HandshakeError::Closed), "{error:?}");
    let ReceiveError::Decode(fault) = seen else { panic!("{seen:?}") };
    assert_eq!((fault.kind, fault.offset), (DecodeErrorKind::BadStartBit, 0));
}

#[tokio::test]
async fn an_older_version_of_tls_is_named() {
    let acceptor = Acceptor::for_anyone(&identity()).unwrap();
    let (mut near, far) = duplex(1024);
    // A hello of TLS 1.2: random and empty session, one cipher suite, no compression, the curve and the signature.
    let extensions = b"\x00\x0a\x00\x04\x00\x02\x00\x17\x00\x0d\x00\x04\x00\x02\x04\x03";
    let hello =
        [b"\x03\x03", &[7; 32][..], b"\0", b"\x00\x02\xc0\x2b", b"\x01\0", b"\x00\x10", extensions].concat();
    let len = u8::try_from(hello.len()).unwrap();
    near.write_all(&[b"\x16\x03\x01\0", &[len + 4][..], b"\x01\0\0", &[len], &hello].concat()).await.unwrap();
    let talk = async {
        // The head of an alert, and protocol_version.
        let mut alert = [0; 7];
        near.read_exact(&mut alert).await.unwrap();
        assert_eq!((alert[0], alert[6]), (21, 70));
        drop(near);
    };
    let config = Config::default();
    let (error, ()) = tokio::join!(acceptor.accept_over(far, &config), talk);
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("it must speak TLS 1.3"), "{text}");
}

/// What a server sees of a client that sends a whole message, and `more`, and is then cut off.
async fn cut_off(more: &[u8]) -> (Vec<u8>, ReceiveError) {
    let theirs = identity();
    let connector = Connector::new(None, &pinned(&[&theirs])).unwrap();
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    let (near, middle_near) = duplex(1024);
    let (middle_far, far) = duplex(1024);
    let (mut from_client, mut to_client) = split(middle_near);
    let (mut from_server, mut to_server) = split(middle_far);
    let config = Config::default();
    let proxy = async {
        // The client goes without a word, and the proxy passes just that on.
        let up = async {
            copy(&mut from_client, &mut to_server).await.unwrap();
            to_server.shutdown().await.unwrap();
        };
        tokio::join!(up, copy(&mut from_server, &mut to_client)).1.unwrap();
    };
    let client = async {
        let connection = connector.connect_over(near, "x", &config).await.unwrap();
        let (_receiver, mut sender) = connection.split();
        sender.send_message(Status::ZERO, b"whole").await.unwrap();
        if !more.is_empty() {
            sender.start_frame(Status::ZERO, 0).await.unwrap();
            sender.start_message(100).await.unwrap();
            let space = sender.payload_space().await.unwrap();
            space[..more.len()].copy_from_slice(more);
            sender.commit_payload(more.len()).unwrap();
            sender.push().await.unwrap();
        }
    };
    let server = async {
        let (mut receiver, _sender) = acceptor.accept_over(far, &config).await.unwrap().split();
        messages(&mut receiver).await
    };
    let ((), (), (received, end)) = tokio::join!(proxy, client, server);
    (received, end.unwrap_err())
}

// case 37
#[tokio::test]
async fn an_end_without_close_notify_inside_a_frame_is_a_truncated_frame() {
    let (received, error) = cut_off(b"half").await;
    assert_eq!(received, b"wholehalf");
    let ReceiveError::Decode(fault) = error else { panic!("{error:?}") };
    // The first frame of 23 bytes, the head of the second with the length of its message, and four bytes of it.
    assert_eq!((fault.kind, fault.offset), (DecodeErrorKind::Truncated, 23 + 18 + 4));
}

// case 37
#[tokio::test]
async fn an_end_without_close_notify_between_frames_is_no_end_of_the_stream() {
    let (received, error) = cut_off(b"").await;
    assert_eq!(received, b"whole");
    let ReceiveError::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(HandshakeError::of(&error).is_none());
}

#[tokio::test]
async fn a_sent_frame_is_not_held_back() {
    let (ours, theirs) = (identity(), identity());
    let connector = Connector::new(Some(&ours), &pinned(&[&theirs])).unwrap();
    let acceptor = Acceptor::new(&theirs, &pinned(&[&ours])).unwrap();
    let [client, server] = meet_well(&connector, &acceptor, "x").await;
    let (_receiver, mut sender) = client.split();
    let (mut receiver, _sender) = server.split();
    // Far more than the transport takes at once, so that TLS has records waiting when the last write is done.
    let message = vec![7; 40_000];
    let receive = async {
        let mut received = 0;
        while received < message.len() {
            tokio::time::sleep(Duration::from_micros(100)).await;
            if let Some(Event::MessageData(bytes)) = receiver.next().await.unwrap() {
                received += bytes.len();
            }
        }
    };
    let exchange = async { tokio::join!(sender.send_message(Status::ZERO, &message), receive) };
    let (sent, ()) = timeout(Duration::from_secs(10), exchange).await.expect("bytes were held back");
    sent.unwrap();
}

/// Answers each message with itself, and says when it is dropped.
struct Echo(#[expect(dead_code, reason = "held until it is dropped")] Arc<()>);

impl Handler for Echo {
    async fn received(&mut self, peer: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
        let message = frame.message().await?;
        peer.send(OutgoingFrame::new(Status::ZERO).message(message)).await?;
        Ok(())
    }
}

#[tokio::test]
async fn handlers_are_served_over_tls() {
    let (ours, theirs) = (identity(), identity());
    let acceptor = Acceptor::new(&theirs, &pinned(&[&ours])).unwrap();
    let server = Server::bind("127.0.0.1:0", Config::default()).await.unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let handlers = Arc::new(());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serve = server.serve_tls(&acceptor, |_| Echo(Arc::clone(&handlers)), Options::default(), stopped);
    // Programs spawn it.
    let serve: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(serve);
    let talk = async {
        let config = Config::default();
        // One that is not let in, and one that has said nothing when the server ends.
        let stranger = Connector::new(None, &pinned(&[&theirs])).unwrap();
        let (mut receiver, _sender) = stranger.connect(&addr, &config).await.unwrap().split();
        let (_, Err(ReceiveError::Io(error))) = messages(&mut receiver).await else { panic!("let in") };
        assert!(matches!(HandshakeError::of(&error), Some(HandshakeError::Refused(_))), "{error:?}");
        let _silent = TcpStream::connect(&addr).await.unwrap();
        let connector = Connector::new(Some(&ours), &pinned(&[&theirs])).unwrap();
        let (mut receiver, mut sender) = connector.connect(&addr, &config).await.unwrap().split();
        sender.send_message(Status::ZERO, b"hello").await.unwrap();
        while !matches!(receiver.next().await.unwrap().unwrap(), Event::FrameEnd) {}
        stop.send(()).unwrap();
        // Its end is one that TLS knows of.
        messages(&mut receiver).await.1.unwrap();
    };
    let start = Instant::now();
    let (served, ()) = tokio::join!(serve, talk);
    served.unwrap();
    assert!(start.elapsed() < Options::default().shutdown / 2, "a handshake held the server up");
    assert_eq!((server.connections(), Arc::strong_count(&handlers)), (0, 1));
}

#[tokio::test]
async fn a_client_with_a_handler_connects_over_tls_until_it_is_let_in() {
    /// Greets, and ends the client when it is answered.
    struct Greeter(Arc<Notify>);

    impl Handler for Greeter {
        async fn connected(&mut self, peer: &Peer) -> Result<(), Failed> {
            Ok(peer.send_message(Status::ZERO, "hello").await?)
        }

        async fn received(&mut self, _: &Peer, frame: &mut Frame<'_>) -> Result<(), Failed> {
            assert_eq!(frame.message().await?, b"hello");
            self.0.notify_one();
            Ok(())
        }
    }

    let (ours, theirs, other) = (identity(), identity(), identity());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let soon = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(10) };
    let client =
        Client::new(listener.local_addr().unwrap().to_string(), Config::default()).with_backoff(soon);
    let connector = Connector::new(Some(&ours), &pinned(&[&theirs])).unwrap();
    let answered = Arc::new(Notify::new());
    let greeter = || Greeter(Arc::clone(&answered));
    let talk = client.serve_tls(&connector, greeter, Options::default(), answered.notified());
    let serve = async {
        // Somebody else has its address at first.
        let acceptor = Acceptor::new(&other, &pinned(&[&ours])).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream, &Config::default()).await.unwrap_err();
        let acceptor = Acceptor::new(&theirs, &pinned(&[&ours])).unwrap();
        let server = Server::new(listener, Config::default());
        server.serve_tls(&acceptor, |_| Echo(Arc::default()), Options::default(), pending()).await
    };
    tokio::select! {
        () = talk => {}
        served = serve => panic!("{served:?}"),
    }
}

/// Passes on a kilobyte, and then nothing for `pause`, over and over.
async fn trickle(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    pause: Duration,
) {
    let mut bytes = [0; 1000];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    let _ = to.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_bytes_slowly_is_not_silent() {
    let limit = Duration::from_secs(1);
    let timeouts = [
        Timeouts { idle: Some(limit), ..Timeouts::PATIENT },
        Timeouts { write: Some(limit), ..Timeouts::PATIENT },
    ];
    let theirs = identity();
    let acceptor = Acceptor::for_anyone(&theirs).unwrap();
    let connector = Connector::new(None, &pinned(&[&theirs])).unwrap();
    for timeouts in timeouts {
        for (pause, steady) in [(limit - limit / 10, true), (limit + limit / 10, false)] {
            let (near, from_client) = duplex(1000);
            let (to_server, far) = duplex(1000);
            let (from_client, mut to_client) = split(from_client);
            let (mut from_server, to_server) = split(to_server);
            let patient = Config::default();
            let hasty = Config { timeouts, ..Config::default() };
            let up = trickle(from_client, to_server, pause);
            let down = async { drop(copy(&mut from_server, &mut to_client).await) };
            let client = async {
                let connection = connector.connect_over(near, "x", &hasty).await.unwrap();
                let (_receiver, mut sender) = connection.split();
                // More than waits on the way at any time, most of it inside of TLS.
                let sent = sender.send_message(Status::ZERO, &[7; 50_000]).await;
                match sent {
                    Ok(()) => sender.shutdown().await,
                    failed => failed,
                }
            };
            let server = async {
                let (mut receiver, _sender) = acceptor.accept_over(far, &patient).await.unwrap().split();
                messages(&mut receiver).await
            };
            let ((), (), sent, (received, end)) = tokio::join!(up, down, client, server);
            match sent {
                Ok(()) => assert!(steady && end.is_ok() && received.len() == 50_000, "{end:?}"),
                Err(error) => assert!(!steady && matches!(error, SendError::Timeout), "{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn both_sides_push_much_at_once() {
    let theirs = identity();
    let connector = Connector::new(None, &pinned(&[&theirs])).unwrap();
    let connections = meet_well(&connector, &Acceptor::for_anyone(&theirs).unwrap(), "x").await;
    let message: Vec<_> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let sides = connections.map(|connection| async {
        let (mut receiver, mut sender) = connection.split();
        let send = async {
            sender.send_message(Status::ZERO, &message).await.unwrap();
            sender.shutdown().await.unwrap();
        };
        let ((), (received, end)) = tokio::join!(send, messages(&mut receiver));
        end.unwrap();
        assert!(received == message);
    });
    let [client, server] = sides;
    timeout(Duration::from_secs(60), async { tokio::join!(client, server) }).await.unwrap();
}
