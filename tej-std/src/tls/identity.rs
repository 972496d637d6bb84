//! Who one is, and how somebody is known.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::SetupError;

/// A certificate and its private key: what a side of a connection proves to be.
pub struct Identity {
    /// From the certificate itself towards its authority; never empty.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes one of its own, with a new ECDSA P-256 key, for peers that know it by its [`Fingerprint`]. It bears no name
    /// and does not expire.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn generate() -> Result<Self, SetupError> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "tej");
        let certificate = parameters.self_signed(&key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Self { chain: vec![certificate.der().clone()], key: key.into() })
    }

    /// Reads the certificate, with what leads from it to its authority, from one PEM file and the key from another.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or what it should hold is not in it. Whether the two belong together shows when they are
    /// used.
    pub fn from_pem_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, SetupError> {
        let (chain_path, key_path) = (certificate.as_ref(), key.as_ref());
        let chain = certificates(chain_path)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
            .map_err(|_| SetupError::NotInFile { path: key_path.into(), what: "private key" })?;
        Ok(Self { chain, key })
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// As for [`from_pem_files`](Self::from_pem_files).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let path = path.as_ref();
        Self::from_pem_files(path, path)
    }

    /// Writes certificate and key to one new PEM file, which only its owner can read and which appears when it is
    /// complete. An existing file is left as it is.
    ///
    /// # Errors
    ///
    /// [`SetupError::Exists`] when there is something at `path`; or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SetupError> {
        let path = path.as_ref();
        let failed = |error| SetupError::Write { path: path.into(), error };
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        // Such files are made with the mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(self.to_pem().as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(SetupError::Exists { path: path.into() })
            }
            Err(error) => Err(failed(error.error)),
        }
    }

    /// What a peer pins to know us.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.chain[0])
    }

    pub(super) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }

    fn to_pem(&self) -> String {
        let key_label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let certificates = self.chain.iter().map(|der| pem::Pem::new("CERTIFICATE", der.as_ref()));
        let key = pem::Pem::new(key_label, self.key.secret_der());
        let layout = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_many_config(&certificates.chain([key]).collect::<Vec<_>>(), layout)
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// The SHA-256 of a certificate, by which a peer without an authority is known. In text, 64 hexadecimal digits.
///
/// ```
/// use tej_std::tls::Fingerprint;
///
/// let text = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
/// let fingerprint: Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// # Ok::<_, tej_std::tls::NotAFingerprint>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Takes digits of either case, and colons between bytes as other tools write them.
impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = match text.len() {
            64 => text.to_owned(),
            95 if text.split(':').all(|byte| byte.len() == 2) => text.replace(':', ""),
            _ => return Err(NotAFingerprint),
        };
        let digits: Vec<_> = digits.chars().map(|digit| digit.to_digit(16)).collect();
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let &[Some(high), Some(low)] = pair else { return Err(NotAFingerprint) };
            // Two digits of four bits each.
            *byte = u8::try_from(high << 4 | low).map_err(|_| NotAFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

/// A text is not the SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint is 64 hexadecimal digits, or 32 pairs of them with colons between")
    }
}

impl std::error::Error for NotAFingerprint {}

/// All certificates in a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let missing = || SetupError::NotInFile { path: path.into(), what: "certificate" };
    let text = read(path)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|_| missing())?;
    if certificates.is_empty() { Err(missing()) } else { Ok(certificates) }
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    fs::read(path).map_err(|error| SetupError::Read { path: path.into(), error })
}
