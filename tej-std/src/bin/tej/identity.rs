//! `tej identity`, and what the options of the other commands say about identities.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use tej_std::tls::{Acceptor, Authorities, Connector, Identity, SetupError, Trust};

use crate::Stop;
use crate::args::{IdentityArgs, TlsArgs};
use crate::report::{Failure, Reporter};

pub(crate) async fn run(args: IdentityArgs, reporter: &Reporter) -> Result<(), Stop> {
    let outcome = async {
        let (path, is_usual) = match args.file {
            Some(path) => (path, false),
            None => (usual_path()?, true),
        };
        let (identity, created) = load_or_create(&path).map_err(|error| match error {
            SetupError::Write { path, error } => Failure::making(&path, &error),
            error => Failure::new("io", format!("no identity in {}: {error}", path.display())),
        })?;
        if created {
            let path = path.display();
            reporter
                .warn(&format!("made {path}: keep it to yourself, and tell others its fingerprint"))
                .await;
        }
        if is_usual {
            reporter.warn(&format!("use it with --identity {}", path.display())).await;
        }
        warn_of_others(&path, reporter).await;
        reporter.identity(&path, identity.fingerprint(), created).await;
        Ok(())
    }
    .await;
    reporter.settle_alone(outcome).await
}

/// The file in the user's configuration directory; its directory is made if need be.
fn usual_path() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        Failure::new("io", format!("no home directory: {error}; say where: tej identity FILE"))
    })?;
    let dir = strategy.config_dir().join("tej");
    std::fs::create_dir_all(&dir)
        .map_err(|error| Failure::io(&format!("cannot make {}", dir.display()), &error))?;
    Ok(dir.join("identity.pem"))
}

/// What is at `path`, or what was now put there, and whether it was.
fn load_or_create(path: &Path) -> Result<(Identity, bool), SetupError> {
    match Identity::load(path) {
        Err(SetupError::Read { error, .. }) if error.kind() == ErrorKind::NotFound => {}
        loaded => return Ok((loaded?, false)),
    }
    let identity = Identity::generate()?;
    match identity.save(path) {
        // Somebody else was faster.
        Err(SetupError::Exists { .. }) => Ok((Identity::load(path)?, false)),
        saved => saved.map(|()| (identity, true)),
    }
}

/// Tells of a key that is no secret.
async fn warn_of_others(path: &Path, reporter: &Reporter) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & READABLE_BY_OTHERS != 0) {
            let path = path.display();
            reporter.warn(&format!("others can read {path}, and pass for you: chmod 600 {path}")).await;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, reporter);
}

/// For the group, and for all.
#[cfg(unix)]
const READABLE_BY_OTHERS: u32 = 0o044;

/// How a listener speaks TLS.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) acceptor: Acceptor,
    /// It does not ask who the client is.
    pub(crate) anyone: bool,
}

impl TlsArgs {
    /// Tells what is unsafe about the files that are given.
    pub(crate) async fn warn(&self, reporter: &Reporter) {
        // Keys of --tls-key are often for a group of servers, and whoever has one knows about it.
        if let Some(path) = &self.identity {
            warn_of_others(path, reporter).await;
        }
    }

    /// What a client shakes hands with; `None` for no TLS.
    pub(crate) fn connector(&self) -> Result<Option<Connector>, Stop> {
        let identity = self.own_identity()?;
        let Some(trust) = self.trust()? else {
            if identity.is_some() {
                return Err(Stop::Usage(
                    "whom do you expect? Give --peer FINGERPRINT, which `tej identity FILE` prints over there (or \
                     --tls-ca FILE, with the authority that signed the peer's certificate)"
                        .into(),
                ));
            }
            return Ok(None);
        };
        Connector::new(identity.as_ref(), &trust).map(Some).map_err(|error| self.unusable(&error))
    }

    /// What a listener shakes hands with; `None` for no TLS.
    pub(crate) fn listening(&self) -> Result<Option<Listening>, Stop> {
        let (identity, trust) = (self.own_identity()?, self.trust()?);
        let Some(identity) = identity else {
            if trust.is_some() {
                return Err(Stop::Usage(
                    "who listens must say who it is: give --identity FILE (`tej identity FILE` makes one), or \
                     --tls-cert and --tls-key"
                        .into(),
                ));
            }
            return Ok(None);
        };
        let acceptor = match &trust {
            Some(trust) => Acceptor::new(&identity, trust),
            None => Acceptor::for_anyone(&identity),
        };
        let acceptor = acceptor.map_err(|error| self.unusable(&error))?;
        Ok(Some(Listening { acceptor, anyone: trust.is_none() }))
    }

    fn own_identity(&self) -> Result<Option<Identity>, Stop> {
        let loaded = match (&self.identity, &self.tls_cert, &self.tls_key) {
            (None, None, None) => return Ok(None),
            (Some(path), None, None) => Identity::load(path),
            (None, Some(certificate), Some(key)) => Identity::from_pem_files(certificate, key),
            (Some(_), ..) => {
                return Err(Stop::Usage(
                    "an identity has a certificate and a key in it: give --identity, or --tls-cert and --tls-key"
                        .into(),
                ));
            }
            (None, ..) => {
                return Err(Stop::Usage("--tls-cert and --tls-key go together: give both".into()));
            }
        };
        loaded.map(Some).map_err(|error| self.unusable(&error))
    }

    fn trust(&self) -> Result<Option<Trust>, Stop> {
        match (self.peers.as_slice(), &self.tls_ca) {
            ([], None) => Ok(None),
            (peers, None) => Ok(Some(Trust::Pinned(peers.to_vec()))),
            ([], Some(path)) => match Authorities::from_pem_file(path) {
                Ok(authorities) => Ok(Some(Trust::Authorities(authorities))),
                Err(error) => Err(Stop::Usage(format!("--tls-ca: {error}"))),
            },
            (_, Some(_)) => Err(Stop::Usage(
                "--peer accepts a fingerprint, --tls-ca whomever an authority signed: give one of them"
                    .into(),
            )),
        }
    }

    fn unusable(&self, error: &SetupError) -> Stop {
        match (&self.identity, error) {
            (Some(path), SetupError::Read { error: cause, .. }) if cause.kind() == ErrorKind::NotFound => {
                Stop::Usage(format!("--identity: {error}; `tej identity {}` makes it", path.display()))
            }
            (Some(_), error) => Stop::Usage(format!("--identity: {error}")),
            (None, error) => Stop::Usage(format!("--tls-cert and --tls-key: {error}")),
        }
    }
}
