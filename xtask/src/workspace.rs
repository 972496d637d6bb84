//! Where things are, and the cargo that started us.

use std::{
    env,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The checkout this task runs in.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    packages: Vec<Package>,
}

/// A package as `cargo metadata` describes it.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) features: Vec<String>,
}

impl Workspace {
    /// Finds the checkout from this package's own folder, not from the current directory: the alias works in any
    /// sub-folder.
    pub(crate) fn locate() -> Result<Self> {
        let here = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = here.parent().context("xtask lies in a workspace")?.to_path_buf();
        // From the current directory: its configuration files and relative paths are what cargo itself went by.
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(root.join("Cargo.toml"))
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let target =
            metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let packages = packages.iter().map(Package::read).collect::<Result<_>>()?;
        Ok(Self { root, target: target.into(), packages })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The host's target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// One target directory for everything that is built for bare metal: `core` is compiled once.
    pub(crate) fn bare_metal_target(&self) -> PathBuf {
        self.target.join("firmware")
    }

    /// The folder of generated files, received files and logs of the demo.
    pub(crate) fn demo(&self) -> PathBuf {
        self.target.join("demo")
    }

    /// Keeps others out of [`demo`](Self::demo) for as long as the result lives.
    ///
    /// # Errors
    ///
    /// Somebody is there already.
    pub(crate) fn lock_demo(&self) -> Result<File> {
        let lock = create(&self.demo().join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => bail!(
                "another `cargo xtask demo`, `test` or `size` is at work in {}: wait for it, or set CARGO_TARGET_DIR",
                self.demo().display()
            ),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the demo's folder"),
        }
    }

    /// The virtual environment with the Python original.
    pub(crate) fn python(&self) -> PathBuf {
        self.target.join("python")
    }

    /// The virtual environment with what executes machine code symbolically.
    pub(crate) fn solver(&self) -> PathBuf {
        self.target.join("solver")
    }

    /// The programs that execute machine code symbolically.
    pub(crate) fn proof(&self) -> PathBuf {
        self.root.join("proof")
    }

    /// The crate they execute, which is no member of the workspace.
    pub(crate) fn decoder_proof(&self) -> PathBuf {
        self.proof().join("decoder")
    }

    /// The crate of fuzz targets, which is no member of the workspace.
    pub(crate) fn fuzz(&self) -> PathBuf {
        self.root.join("fuzz")
    }

    /// Where programs that come as crates are installed.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// What commands store of the proofs they made.
    pub(crate) fn verification(&self) -> PathBuf {
        self.root.join("docs").join("verification.md")
    }

    /// The host's cargo, the very one that runs this task, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        // What the cargo that runs us says of this package is not for others: build scripts that look at it would run again,
        // and what depends on them be compiled again, whenever we are started in another way.
        for (variable, _) in env::vars_os() {
            let is_ours = variable
                .to_str()
                .is_some_and(|name| OF_A_PACKAGE.iter().any(|begin| name.starts_with(begin)));
            if is_ours {
                command.env_remove(variable);
            }
        }
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// The workspace's own packages.
    pub(crate) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// One of them.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.packages
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("no package {name}"))
    }

    /// The folders of the crates that are built for a board and are no members of the workspace.
    pub(crate) fn board_crates(&self) -> Result<Vec<PathBuf>> {
        self.outsiders("examples")
    }

    /// The lock files of the workspace, and of what is built for a board.
    pub(crate) fn device_locks(&self) -> Result<Vec<PathBuf>> {
        let examples = self.root.join("examples");
        let mut folders = vec![self.root.clone(), examples.clone()];
        for entry in examples.read_dir().with_context(|| format!("cannot list {}", examples.display()))? {
            folders.push(entry?.path());
        }
        folders.sort();
        Ok(folders.iter().map(|folder| folder.join("Cargo.lock")).filter(|lock| lock.is_file()).collect())
    }

    /// The folders of the crates whose programs are measured, which are no members of the workspace either.
    pub(crate) fn measured_crates(&self) -> Result<Vec<PathBuf>> {
        self.outsiders("measure")
    }

    /// The crates in `folder` that are no members of the workspace.
    fn outsiders(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let mut crates = Vec::new();
        let folder = self.root.join(folder);
        for entry in folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))? {
            let folder = entry?.path();
            let manifest = folder.join("Cargo.toml");
            if manifest.is_file() && self.packages.iter().all(|member| member.manifest != manifest) {
                crates.push(folder);
            }
        }
        crates.sort();
        Ok(crates)
    }
}

impl Package {
    /// Its features, without the one that does not link on the host: nothing there defines the logger of defmt.
    pub(crate) fn linkable_features(&self) -> Vec<&str> {
        self.features.iter().map(String::as_str).filter(|feature| *feature != "defmt").collect()
    }

    fn read(package: &Value) -> Result<Self> {
        let text = |field: &str| {
            package[field].as_str().with_context(|| format!("cargo metadata: a package without {field}"))
        };
        let features =
            package["features"].as_object().context("cargo metadata: a package without features")?;
        Ok(Self {
            name: text("name")?.to_owned(),
            manifest: text("manifest_path")?.into(),
            features: features.keys().cloned().collect(),
        })
    }
}

/// Creates a file and the folders it lies in, or empties the one that is there.
pub(crate) fn create(path: &Path) -> Result<File> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| File::create(path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// How the variables begin that cargo sets for the program that it runs.
const OF_A_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_PRIMARY_PACKAGE"];

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
