//! Where things are, and the cargo that started us.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The checkout this task runs in.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
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
        // Relative to where cargo was called, as cargo itself takes it.
        let target = match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => env::current_dir().context("no current directory")?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
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

    /// The virtual environment with the Python original.
    pub(crate) fn python(&self) -> PathBuf {
        self.target.join("python")
    }

    /// The host's cargo, the very one that runs this task, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// The workspace's own packages.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let output = self
            .cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        metadata["packages"]
            .as_array()
            .context("cargo metadata lists no packages")?
            .iter()
            .map(|package| {
                Ok(Package {
                    name: package["name"].as_str().context("a package without a name")?.to_owned(),
                    manifest: package["manifest_path"]
                        .as_str()
                        .context("a package without a manifest")?
                        .into(),
                    features: package["features"]
                        .as_object()
                        .context("a package without features")?
                        .keys()
                        .cloned()
                        .collect(),
                })
            })
            .collect()
    }

    /// The folders of the crates under `examples/` that are built for a board and are no members of the workspace.
    pub(crate) fn board_crates(&self) -> Result<Vec<PathBuf>> {
        let members = self.packages()?;
        let mut crates = Vec::new();
        let examples = self.root.join("examples");
        for entry in examples.read_dir().with_context(|| format!("cannot list {}", examples.display()))? {
            let folder = entry?.path();
            let manifest = folder.join("Cargo.toml");
            if manifest.is_file() && members.iter().all(|member| member.manifest != manifest) {
                crates.push(folder);
            }
        }
        crates.sort();
        Ok(crates)
    }
}
