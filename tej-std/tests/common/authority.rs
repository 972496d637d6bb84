//! A certificate authority, and files of what it signed.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { dir: tempfile::tempdir().unwrap(), issuer };
        fs::write(authority.certificate(), pem("CERTIFICATE", authority.issuer.der())).unwrap();
        authority
    }

    /// Its own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for `name`, and its key.
    pub(crate) fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> [PathBuf; 2] {
        let mut parameters = CertificateParams::new(vec![name.into()]).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let paths = ["crt", "key"].map(|kind| self.dir.path().join(format!("{name}.{kind}")));
        fs::write(&paths[0], pem("CERTIFICATE", certificate.der())).unwrap();
        fs::write(&paths[1], pem("PRIVATE KEY", key.serialized_der())).unwrap();
        paths
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}
