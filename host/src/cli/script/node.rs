//! Packages of a JavaScript script: those of a `package.json` beside it, which npm installs on the author's machine without
//! running anything of theirs.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::packages::{Kept, Rules, run};

const PACKAGE: &str = "package.json";
/// Files with the exact versions of packages, as npm writes them.
const LOCKS: [&str; 2] = ["package-lock.json", "npm-shrinkwrap.json"];
/// Locks of other tools, which npm does not read.
const FOREIGN_LOCKS: [&str; 3] = ["yarn.lock", "pnpm-lock.yaml", "bun.lock"];
const RULES: Rules = Rules {
    at: "app/node_modules",
    natives: &[".node", "binding.gyp"],
    left_out: &[".bin", ".package-lock.json"],
    remedy: "use a package of JavaScript alone, or leave it out",
};
const MISSING: &str = "package.json lists dependencies, and there is no npm here, which installs them: install Node.js, or bundle \
                       the script into one file and deploy that";

/// Parts of a `package.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Package {
    dependencies: BTreeMap<String, serde_json::Value>,
}

/// Packs the packages of a script; `None` if it needs none.
///
/// # Errors
/// Fails if a package cannot be had or has machine code.
pub(super) fn packed(dir: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    packed_by("npm", &Kept::of_user(), dir)
}

fn packed_by(npm: &str, kept: &Kept, dir: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(text) = read(&dir.join(PACKAGE))? else { return Ok(None) };
    let package: Package =
        serde_json::from_str(&text).with_context(|| format!("{} is not valid", dir.join(PACKAGE).display()))?;
    if package.dependencies.is_empty() {
        return Ok(None);
    }
    let mut lock = None;
    for name in LOCKS {
        if lock.is_none() {
            lock = read(&dir.join(name))?.map(|text| (name, text));
        }
    }
    if lock.is_none()
        && let Some(foreign) = FOREIGN_LOCKS.into_iter().find(|name| dir.join(name).exists())
    {
        anyhow::bail!(
            "the versions of packages are in {foreign}, which npm does not read: make a package-lock.json with `npm install \
             --package-lock-only`, or bundle the script into one file"
        );
    }
    let locked = lock.as_ref().map_or("", |(_, text)| text);
    let make = || {
        let home = tempfile::tempdir()?;
        std::fs::write(home.path().join(PACKAGE), &text)?;
        if let Some((name, text)) = &lock {
            std::fs::write(home.path().join(name), text)?;
        }
        let mut command = Command::new(npm);
        command.arg(if lock.is_some() { "ci" } else { "install" }).current_dir(home.path());
        command.args(["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
        run(command, MISSING, |_| None)?;
        RULES.pack(&home.path().join("node_modules"))
    };
    kept.or_make(&["node", &text, locked], make).map(Some)
}

/// Returns a file's text; `None` if there is none.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for npm: installs one package, native if the lock says so.
    const NPM: &str = r#"#!/bin/sh
mkdir -p node_modules/left node_modules/.bin && echo "$1" > node_modules/left/how && echo x > node_modules/.bin/left
grep -qs native package-lock.json && mkdir -p node_modules/@fast/hash && echo x > node_modules/@fast/hash/hash.node
exit 0
"#;

    #[test]
    fn packages_of_javascript_are_packed() {
        let home = tempfile::tempdir().unwrap();
        let (dir, npm) = (home.path(), home.path().join("npm"));
        std::fs::write(&npm, NPM).unwrap();
        std::fs::set_permissions(&npm, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let kept = Kept::within(&dir.join("cache"));
        let packed = || packed_by(npm.to_str().unwrap(), &kept, dir).map_err(|error| error.to_string());
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        assert_eq!(packed(), Ok(None));
        write(PACKAGE, r#"{"name": "f", "devDependencies": {"typescript": "5"}}"#);
        assert_eq!(packed(), Ok(None));
        write(PACKAGE, r#"{"dependencies": {"left": "1"}}"#);
        write("yarn.lock", "");
        assert!(packed().unwrap_err().contains("yarn.lock"));
        std::fs::remove_file(dir.join("yarn.lock")).unwrap();
        let how = |tar: &[u8]| {
            let mut tar = tar::Archive::new(tar);
            let entry = tar.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap(), Path::new("app/node_modules/left/how"));
            std::io::read_to_string(entry).unwrap()
        };
        assert_eq!(how(&packed().unwrap().unwrap()), "install\n");
        write(LOCKS[0], "{}");
        assert_eq!(how(&packed().unwrap().unwrap()), "ci\n");
        write(LOCKS[0], "native");
        let told = packed().unwrap_err();
        assert!(told.contains("the package @fast/hash has machine code"), "{told}");
        write(PACKAGE, "{");
        assert!(packed().unwrap_err().contains("package.json"));
        write(PACKAGE, r#"{"dependencies": {"right": "1"}}"#);
        assert!(packed_by("no-such-npm", &kept, dir).unwrap_err().to_string().contains("Node.js"));
    }
}
