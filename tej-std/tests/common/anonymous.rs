//! A TLS 1.3 server that no library has to offer: it proves nothing, and shakes hands nevertheless. RFC 8446.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest::{Context, SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Shakes hands, with somebody's `certificate` or none, asks the client for its own, and gives what the client has to say to
/// that, still encrypted.
pub(crate) async fn shake_hands(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    certificate: Option<&[u8]>,
) -> Vec<u8> {
    let mut transcript = Context::new(&SHA256);
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut client_hello = vec![0; u16::from_be_bytes([head[3], head[4]]).into()];
    stream.read_exact(&mut client_hello).await.unwrap();
    transcript.update(&client_hello);

    // The client's share of P-256, behind its number and its length.
    let share = client_hello.windows(5).position(|window| window == b"\x00\x17\x00\x41\x04").unwrap() + 4;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &client_hello[share..][..65]);
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
    let mut server_hello = b"\x02\x00\x00\x77\x03\x03".to_vec();
    server_hello.extend([7; 32]);
    // No session; TLS_AES_128_GCM_SHA256; no compression; of 79 bytes, TLS 1.3 and a share.
    server_hello.extend(b"\x00\x13\x01\x00\x00\x4f\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x45\x00\x17\x00\x41");
    server_hello.extend(ours.compute_public_key().unwrap().as_ref());
    transcript.update(&server_hello);
    stream.write_all(&record(22, &server_hello)).await.unwrap();

    let early = Salt::new(HKDF_SHA256, &[0; 32]).extract(&[0; 32]);
    let derived: [u8; 32] = expand(&early, "derived", digest(&SHA256, b"").as_ref());
    let salt = Salt::new(HKDF_SHA256, &derived);
    let handshake = agree_ephemeral(ours, &theirs, |secret| salt.extract(secret)).unwrap();
    let traffic: [u8; 32] = expand(&handshake, "s hs traffic", transcript.clone().finish().as_ref());
    let traffic = Prk::new_less_safe(HKDF_SHA256, &traffic);
    let key: [u8; 16] = expand(&traffic, "key", b"");
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
    let iv: [u8; 12] = expand(&traffic, "iv", b"");
    let finished: [u8; 32] = expand(&traffic, "finished", b"");

    // No extensions; then a request for a certificate with a signature of ECDSA with P-256.
    let mut rest = b"\x08\x00\x00\x02\x00\x00".to_vec();
    rest.extend(b"\x0d\x00\x00\x0b\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03");
    if let Some(certificate) = certificate {
        // Of no context; a list of one, without extensions.
        let entry = [&length(certificate)[..], certificate, b"\0\0"].concat();
        let list = [&b"\0"[..], &length(&entry), &entry].concat();
        rest.extend([&b"\x0b"[..], &length(&list), &list].concat());
    }
    transcript.update(&rest);
    let finished = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &finished), transcript.finish().as_ref());
    rest.extend(b"\x14\x00\x00\x20");
    rest.extend(finished.as_ref());
    rest.push(22);
    // The first record under this key, so that its number changes nothing of the nonce.
    let mut protected = record(23, &vec![0; rest.len() + AES_128_GCM.tag_len()]);
    protected.truncate(5);
    let aad = Aad::from(protected.clone());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), aad, &mut rest).unwrap();
    protected.extend(rest);
    stream.write_all(&protected).await.unwrap();

    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    said
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]], content].concat()
}

/// In three bytes.
fn length(content: &[u8]) -> [u8; 3] {
    let [0, length @ ..] = u32::try_from(content.len()).unwrap().to_be_bytes() else { panic!("too long") };
    length
}

/// HKDF-Expand-Label.
fn expand<const N: usize>(secret: &Prk, label: &str, context: &[u8]) -> [u8; N] {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let length = u16::try_from(N).unwrap().to_be_bytes();
    let label = format!("tls13 {label}");
    let lengths = [u8::try_from(label.len()).unwrap(), u8::try_from(context.len()).unwrap()];
    let info = [&length, &lengths[..1], label.as_bytes(), &lengths[1..], context];
    let mut out = [0; N];
    secret.expand(&info, Length(N)).unwrap().fill(&mut out).unwrap();
    out
}
