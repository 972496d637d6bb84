//! One version each of what crates have to agree on, so that traits and types meet.
//!
//! `deny.toml` says which versions are refused, and who may depend on one nevertheless. `cargo deny` reads the same; it
//! takes longer to install than all of these tests to run.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::workspace::Workspace;

/// Checks the lock files of the workspace and of all firmware.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let rules = Rule::list(&read(&workspace.root().join("deny.toml"))?)?;
    let mut found = Findings::default();
    for file in workspace.device_locks()? {
        let name = file.strip_prefix(workspace.root()).unwrap_or(&file).display().to_string();
        let packages = Package::list(&read(&file)?).with_context(|| format!("{name} is no lock file"))?;
        ensure!(!packages.is_empty(), "{name} lists no packages");
        found.search(&name, &rules, &packages);
    }
    let problems = found.problems(&rules);
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    println!("  {} exceptions, each of them needed", found.excused.len());
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// An entry of `deny` in `deny.toml`: no version of `name` below a bound, but for what `wrappers` depend on.
#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    #[serde(rename = "version", deserialize_with = "bound")]
    bound: Version,
    #[serde(default)]
    wrappers: Vec<String>,
}

impl Rule {
    /// Those of `[bans]`.
    fn list(text: &str) -> Result<Vec<Self>> {
        #[derive(Deserialize)]
        struct File {
            bans: Bans,
        }
        #[derive(Deserialize)]
        struct Bans {
            deny: Vec<Rule>,
        }
        let File { bans: Bans { deny } } = toml::from_str(text).context("deny.toml is not understood")?;
        ensure!(!deny.is_empty(), "deny.toml refuses no version");
        Ok(deny)
    }

    fn refuses(&self, package: &Package) -> bool {
        package.name == self.name
            && Version::read(&package.version).is_none_or(|version| version < self.bound)
    }
}

/// `<1.2`
fn bound<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Version, D::Error> {
    let text = String::deserialize(deserializer)?;
    let version = text.strip_prefix('<').and_then(Version::read);
    version.ok_or_else(|| D::Error::custom(format!("`{text}` is not `<` and a version")))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u64; 3]);

impl Version {
    /// Missing numbers are 0. What follows them, as in `1.1.5+spec` or `0.12.0-rc.1`, does not count.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(['-', '+']).next()?.split('.').map(str::parse);
        let mut version = [0; 3];
        version[0] = numbers.next()?.ok()?;
        for place in &mut version[1..] {
            *place = numbers.next().unwrap_or(Ok(0)).ok()?;
        }
        Some(Self(version))
    }
}

/// An entry of a lock file.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// By name, and by version where there are several.
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Package {
    pub(crate) fn list(text: &str) -> Result<Vec<Self>> {
        #[derive(Deserialize)]
        struct File {
            package: Vec<Package>,
        }
        Ok(toml::from_str::<File>(text)?.package)
    }

    fn depends_on(&self, other: &Self) -> bool {
        self.dependencies.iter().any(|dependency| {
            let mut words = dependency.split(' ');
            words.next() == Some(&other.name) && words.next().is_none_or(|version| version == other.version)
        })
    }
}

#[derive(Default)]
struct Findings {
    refused: Vec<String>,
    /// The exceptions that were needed: of whom, and for what.
    excused: BTreeSet<(String, String)>,
}

impl Findings {
    fn search(&mut self, file: &str, rules: &[Rule], packages: &[Package]) {
        for rule in rules {
            for refused in packages.iter().filter(|package| rule.refuses(package)) {
                for user in packages.iter().filter(|package| package.depends_on(refused)) {
                    if rule.wrappers.contains(&user.name) {
                        self.excused.insert((user.name.clone(), rule.name.clone()));
                    } else {
                        self.refused.push(format!(
                            "{file}: {} {} depends on {} {}",
                            user.name, user.version, refused.name, refused.version
                        ));
                    }
                }
            }
        }
    }

    /// What was refused, and exceptions that nobody needs.
    fn problems(&self, rules: &[Rule]) -> Vec<String> {
        let unneeded = rules.iter().flat_map(|rule| {
            rule.wrappers
                .iter()
                .filter(|wrapper| !self.excused.contains(&((*wrapper).clone(), rule.name.clone())))
                .map(|wrapper| format!("deny.toml: {wrapper} needs no exception for {}", rule.name))
        });
        self.refused.iter().cloned().chain(unneeded).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
[bans]
multiple-versions = "warn"
# Why.
deny = [
    # Why this.
    { name = "io", version = "<0.7", wrappers = ["hal", "usb"] },
    { name = "log", version = "<0.3.100" },
]
"#;

    fn problems(lock: &str) -> Vec<String> {
        let rules = Rule::list(DENY).unwrap();
        let mut found = Findings::default();
        found.search("Cargo.lock", &rules, &Package::list(lock).unwrap());
        found.problems(&rules)
    }

    fn lock(packages: &[(&str, &str, &[&str])]) -> String {
        let mut text = "version = 4\n".to_owned();
        for (name, version, dependencies) in packages {
            text += &format!(
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"somewhere\"\n"
            );
            if !dependencies.is_empty() {
                let list: String = dependencies.iter().map(|name| format!(" \"{name}\",\n")).collect();
                text += &format!("dependencies = [\n{list}]\n");
            }
        }
        text
    }

    #[test]
    fn an_old_version_is_found_with_who_wants_it() {
        let old = |user, wanted| {
            lock(&[
                ("hal", "1.0.0", &["io 0.6.1", "io 0.7.1", "log"]),
                ("usb", "1.0.0", &["io 0.6.1"]),
                (user, "2.0.0", &[wanted]),
                ("io", "0.6.1", &[]),
                ("io", "0.7.1", &[]),
                ("log", "0.3.101", &[]),
            ])
        };
        assert_eq!(problems(&old("ours", "io 0.7.1")), Vec::<String>::new());
        assert_eq!(problems(&old("ours", "io 0.6.1")), ["Cargo.lock: ours 2.0.0 depends on io 0.6.1"]);
        assert_eq!(problems(&old("ours", "io-extra")), Vec::<String>::new());
    }

    #[test]
    fn an_exception_that_nobody_needs_is_found() {
        let lock = lock(&[("hal", "1.0.0", &["io"]), ("usb", "1.0.0", &[]), ("io", "0.6.1", &[])]);
        assert_eq!(problems(&lock), ["deny.toml: usb needs no exception for io"]);
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text| Version::read(text).unwrap();
        assert!(version("0.3.99") < version("0.3.100"));
        assert!(version("0.7") == version("0.7.0+spec-1.1.0"));
        assert!(version("1") > version("0.99.9"));
        assert_eq!(Version::read("x"), None);
    }

    #[test]
    fn rules_that_are_not_understood_are_errors() {
        for line in ["{ name = \"io\" },", "{ name = \"io\", version = \"=0.6\" },", "\"io\","] {
            assert!(Rule::list(&format!("[bans]\ndeny = [\n    {line}\n]\n")).is_err(), "{line}");
        }
        assert!(Rule::list("[bans]\n").is_err());
    }
}
