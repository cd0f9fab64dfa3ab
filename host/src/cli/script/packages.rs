//! Packages of scripts: installed by the language's own tool into a directory, checked, packed, and kept for the next
//! deploy.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use fusebox_core::limits::FILES_BYTES_MAX;
use sha2::{Digest as _, Sha256};

/// Archives of packages that are kept on this machine.
const KEPT_MAX: usize = 32;
/// Letters of a tool's complaint that are shown.
const COMPLAINT_CHARS_MAX: usize = 2_000;

/// Rules for the packages of a language.
pub(super) struct Rules {
    /// Directory of the packages in the files of a version.
    pub(super) at: &'static str,
    /// Endings of files with machine code.
    pub(super) natives: &'static [&'static str],
    /// Names that are left out: caches, and programs for the command line.
    pub(super) left_out: &'static [&'static str],
    /// Sentence that says what to do about machine code.
    pub(super) remedy: &'static str,
}

impl Rules {
    /// Packs a directory of packages.
    ///
    /// # Errors
    /// Fails, with the package's name, if one has machine code; also if they are too large.
    pub(super) fn pack(&self, dir: &Path) -> anyhow::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        tar.follow_symlinks(false);
        self.add(&mut tar, dir, Path::new(""))?;
        Ok(tar.into_inner()?)
    }

    fn add(&self, tar: &mut tar::Builder<Vec<u8>>, dir: &Path, within: &Path) -> anyhow::Result<()> {
        let listed = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut entries = listed.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (name, path) = (entry.file_name(), within.join(entry.file_name()));
            let shown = name.to_string_lossy();
            if self.left_out.iter().any(|left_out| shown == *left_out) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.add(tar, &entry.path(), &path)?;
                continue;
            }
            if self.natives.iter().any(|ending| shown.ends_with(ending)) {
                anyhow::bail!(
                    "the package {} has machine code ({}), which no sandbox runs: {}",
                    package(&path),
                    path.display(),
                    self.remedy
                );
            }
            let place = Path::new(self.at).join(&path);
            tar.append_path_with_name(entry.path(), place)
                .with_context(|| format!("cannot pack {}", path.display()))?;
            anyhow::ensure!(
                tar.get_ref().len() as u64 <= FILES_BYTES_MAX,
                "the packages have more than {} MiB, the maximum of a version: use fewer, or smaller ones",
                FILES_BYTES_MAX >> 20
            );
        }
        Ok(())
    }
}

/// Returns the name of the package to which a file belongs: its first directory, and the second one below a scope.
fn package(path: &Path) -> String {
    let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
    match &names[..] {
        [scope, name, ..] if scope.starts_with('@') => format!("{scope}/{name}"),
        [name, ..] => name.split('.').next().unwrap_or_default().to_owned(),
        [] => String::new(),
    }
}

/// Runs a tool.
///
/// # Errors
/// Fails with `missing` if it is not there, and with what `told` makes of its complaint if it fails.
pub(super) fn run(
    mut command: Command,
    missing: &str,
    told: impl FnOnce(&str) -> Option<String>,
) -> anyhow::Result<()> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => anyhow::bail!("{missing}"),
        Err(error) => return Err(error).with_context(|| format!("cannot run {}", command.get_program().display())),
    };
    if output.status.success() {
        return Ok(());
    }
    let complaint = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if let Some(sentence) = told(&complaint) {
        anyhow::bail!("{sentence}");
    }
    let from = complaint.char_indices().rev().nth(COMPLAINT_CHARS_MAX).map_or(0, |(at, _)| at);
    let shown: String =
        complaint.get(from..).unwrap_or_default().chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    anyhow::bail!("{} failed, {}:\n{}", command.get_program().display(), output.status, shown.trim())
}

/// Archives that are kept on this machine.
pub(super) struct Kept(Option<PathBuf>);

impl Kept {
    /// Keeps archives in the user's cache directory; nothing if there is none.
    pub(super) fn of_user() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        Self(cache.map(|cache| cache.join("fusebox").join("packages")))
    }

    /// Keeps archives in a directory.
    #[cfg(test)]
    pub(super) fn within(dir: &Path) -> Self {
        Self(Some(dir.to_owned()))
    }

    /// Returns the archive that was made of the same parts before, or makes it. A cache that cannot be used is none.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    pub(super) fn or_make(
        &self,
        parts: &[&str],
        make: impl FnOnce() -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Vec<u8>> {
        let hash = parts
            .iter()
            .fold(Sha256::new(), |hash, part| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
        let name = format!("{}.tar", hex::encode(hash.finalize()));
        let Some(dir) = &self.0 else { return make() };
        if let Ok(kept) = std::fs::read(dir.join(&name)) {
            return Ok(kept);
        }
        let made = make()?;
        if let Err(error) = keep(dir, &name, &made) {
            tracing::warn!(%error, dir = %dir.display(), "the packages of a script are not kept for the next deploy");
        }
        Ok(made)
    }
}

/// Keeps an archive, and removes the oldest ones beyond [`KEPT_MAX`].
fn keep(dir: &Path, name: &str, archive: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        all.push((entry.metadata()?.modified()?, entry.path()));
    }
    all.sort();
    let surplus = (all.len() + 1).saturating_sub(KEPT_MAX);
    all.iter().take(surplus).try_for_each(|(_, path)| std::fs::remove_file(path))?;
    // Renamed, so that another deploy never reads a part of it.
    let written = tempfile::NamedTempFile::new_in(dir)?;
    std::fs::write(written.path(), archive)?;
    written.persist(dir.join(name)).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { at: "app/packages", natives: &[".so"], left_out: &["bin"], remedy: "use another" };

    #[test]
    fn packages_are_packed_unless_one_has_machine_code() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"content").unwrap();
        };
        ["six.py", "pure/sub/a.py", "bin/tool"].into_iter().for_each(write);
        let packed = RULES.pack(home.path()).unwrap();
        let mut tar = tar::Archive::new(&packed[..]);
        let paths: Vec<_> =
            tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(paths, ["app/packages/pure/sub/a.py", "app/packages/six.py"]);
        write("numpy/core/_x.cpython-311.so");
        let told = RULES.pack(home.path()).unwrap_err().to_string();
        assert!(
            told.contains("the package numpy has machine code (numpy/core/_x") && told.ends_with("use another"),
            "{told}"
        );
        assert_eq!(
            (package(Path::new("@a/b/c.node")), package(Path::new("_x.abi3.so"))),
            ("@a/b".to_owned(), "_x".to_owned())
        );
    }

    #[test]
    fn a_tool_that_is_missing_or_fails_is_explained() {
        let ran = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args);
            run(command, "install it", |complaint| complaint.contains("known").then(|| "a sentence".to_owned()))
        };
        ran("sh", &["-c", "true"]).unwrap();
        assert_eq!(ran("no-such-tool", &[]).unwrap_err().to_string(), "install it");
        assert_eq!(ran("sh", &["-c", "echo known; exit 1"]).unwrap_err().to_string(), "a sentence");
        let told = ran("sh", &["-c", "echo odd >&2; exit 3"]).unwrap_err().to_string();
        assert!(told.contains("exit status: 3") && told.ends_with("odd"), "{told}");
    }

    #[test]
    fn an_archive_is_made_once_and_few_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let kept = Kept::within(&home.path().join("cache"));
        let make = |content: &'static [u8]| move || Ok(content.to_vec());
        assert_eq!(kept.or_make(&["a", "b"], make(b"one")).unwrap(), b"one");
        assert_eq!(kept.or_make(&["a", "b"], make(b"two")).unwrap(), b"one");
        assert_eq!(kept.or_make(&["ab", ""], make(b"three")).unwrap(), b"three");
        assert!(kept.or_make(&["c"], || anyhow::bail!("it fails")).is_err());
        for number in 0..2 * KEPT_MAX {
            kept.or_make(&[&number.to_string()], make(b"")).unwrap();
        }
        assert_eq!(std::fs::read_dir(home.path().join("cache")).unwrap().count(), KEPT_MAX);
        assert_eq!(Kept(None).or_make(&[], make(b"made")).unwrap(), b"made");
    }
}
