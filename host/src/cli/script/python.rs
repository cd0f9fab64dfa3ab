//! Packages of a Python script: wheels of pure Python, which pip selects and unpacks on the author's machine.

use std::{path::Path, process::Command};

use super::{
    about::About,
    packages::{Kept, Rules, run},
};

/// Version of Python for which packages are selected if the script names no runtime: the oldest one that hosts have, since
/// later ones run the same packages.
const OLDEST: &str = "3.11";
const RULES: Rules = Rules {
    at: "app/packages",
    natives: &[".so", ".pyd", ".dylib", ".dll"],
    left_out: &["__pycache__", "bin"],
    remedy: "use a package of pure Python, or leave it out",
};
const MISSING: &str = "the script needs packages, and there is no python3 with pip here, which installs them: install pip, or \
                       put packages of pure Python into a directory and give --files DIR:/app/packages";
/// Start of pip's complaint about a package that has no wheel.
const NO_WHEEL: &str = "No matching distribution found for ";

/// Packs the packages of a script; `None` if it needs none. `language` may name a runtime.
///
/// # Errors
/// Fails if a package cannot be had or has machine code.
pub(super) fn packed(dir: &Path, language: Option<&str>, about: &About) -> anyhow::Result<Option<Vec<u8>>> {
    packed_by("python3", &Kept::of_user(), dir, language, about)
}

fn packed_by(
    python: &str,
    kept: &Kept,
    dir: &Path,
    language: Option<&str>,
    about: &About,
) -> anyhow::Result<Option<Vec<u8>>> {
    let requirements = about.requirements.as_str();
    let needs = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if !requirements.lines().any(needs) {
        return Ok(None);
    }
    let version = language.and_then(|language| language.strip_prefix("python")).filter(|version| !version.is_empty());
    let version = version.unwrap_or(OLDEST);
    let make = || {
        let home = tempfile::tempdir()?;
        let (list, target) = (home.path().join("requirements.txt"), home.path().join("packages"));
        std::fs::write(&list, requirements)?;
        let mut command = Command::new(python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]);
        // Wheels for any machine, which have no machine code; nothing of a package is run to build it.
        command.args(["--only-binary", ":all:", "--implementation", "py", "--abi", "none", "--platform", "any"]);
        command.args(["--python-version", version, "--target"]).arg(&target).arg("-r").arg(&list).current_dir(dir);
        run(command, MISSING, |complaint| explained(complaint, version))?;
        RULES.pack(&target)
    };
    kept.or_make(&["python", version, requirements], make).map(Some)
}

/// Returns the sentence for a complaint of pip.
fn explained(complaint: &str, version: &str) -> Option<String> {
    if complaint.contains("No module named pip") {
        return Some(MISSING.to_owned());
    }
    let (_, rest) = complaint.split_once(NO_WHEEL)?;
    let package = rest.split_whitespace().next()?;
    Some(format!(
        "the package {package} has no wheel of pure Python for {version}: its machine code cannot run in a sandbox. Use \
         another package, or another version of it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for pip: unpacks what the list names from a directory beside it, or complains as pip does.
    const PIP: &str = r#"#!/bin/sh
case "$*" in *"--python-version 3.11 "*) ;; *) echo "$*" >&2; exit 9 ;; esac
while [ "$1" != --target ]; do shift; done
mkdir -p "$2" && for package in $(cat "$4"); do
  cp -r "$PWD/wheels/$package" "$2/" 2>/dev/null || { echo "ERROR: No matching distribution found for $package" >&2; exit 1; }
done
"#;

    #[test]
    fn packages_of_pure_python_are_packed() {
        let home = tempfile::tempdir().unwrap();
        let (dir, pip) = (home.path(), home.path().join("python3"));
        std::fs::write(&pip, PIP).unwrap();
        std::fs::set_permissions(&pip, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for (package, file) in [("pure", "__init__.py"), ("native", "_speed.so")] {
            std::fs::create_dir_all(dir.join("wheels").join(package)).unwrap();
            std::fs::write(dir.join("wheels").join(package).join(file), b"").unwrap();
        }
        let packed = |requirements: &str, language: Option<&str>| {
            let about = About { requirements: requirements.to_owned(), ..About::default() };
            let kept = Kept::within(&dir.join("cache"));
            packed_by(pip.to_str().unwrap(), &kept, dir, language, &about).map_err(|error| error.to_string())
        };
        assert_eq!(packed("# nothing\n\n", None), Ok(None));
        let tar = packed("pure\n", None).unwrap().unwrap();
        assert!(String::from_utf8_lossy(&tar).contains("app/packages/pure/__init__.py"));
        assert_eq!(packed("pure\n", Some("python3.11")), Ok(Some(tar)));
        let told = packed("native\n", None).unwrap_err();
        assert!(told.contains("the package native has machine code (native/_speed.so)"), "{told}");
        let told = packed("numpy\n", None).unwrap_err();
        assert!(told.contains("the package numpy has no wheel of pure Python for 3.11"), "{told}");
        assert!(packed("pure\n", Some("python3.13")).unwrap_err().contains("exit status: 9"));
        let about = About { requirements: "pure".to_owned(), ..About::default() };
        let missing = packed_by("no-such-python", &Kept::within(&dir.join("other")), dir, None, &about);
        assert!(missing.unwrap_err().to_string().contains("pip"));
        assert!(explained("python3: No module named pip", "3.11").unwrap().contains("install pip"));
    }
}
