//! `fusebox new`: makes a project from a template of this program or of a git repository.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use clap::Args;
use fusebox_ui as ui;

use super::{
    language::Language,
    opened::{MANIFEST, Project},
    templates::{self, Blanks},
};
use crate::cli::report::WrongUsage;

/// Longest name of a project, so that names of packages and files fit everywhere.
const NAME_BYTES_MAX: usize = 64;
/// Number of files of a template in a repository.
const FILES_MAX: usize = 10_000;
/// Size of a template in a repository.
const BYTES_MAX: u64 = 64 << 20;

/// Words that Cargo does not accept as the name of a package.
const RUST_WORDS: &str = "as async await break const continue crate dyn else enum extern false fn for gen if impl in let loop \
                          match mod move mut pub ref return self static struct super test trait true type unsafe use where \
                          while core std alloc proc-macro";

/// The project to make.
#[derive(Debug, Args)]
#[command(after_help = "\
Makes a folder with fusebox.toml, a source file, samples with golden outputs, and settings for editors. It builds, tests
and deploys as it is. Names are made of a-z, 0-9, - and _.

Examples:
  fusebox new hello --lang rust
  fusebox new site --lang go --http
  fusebox new report --template https://git.example.com/templates.git#csv-report
In files of a template, {{name}} stands for the name, and {{ident}} for the name with _ in place of -.")]
pub struct NewArgs {
    /// Name of the project, of its folder and of its function
    pub name: String,
    /// Language
    #[arg(long, value_enum, value_name = "LANG")]
    pub lang: Option<Language>,
    /// Answer HTTP requests
    #[arg(long, conflicts_with = "template")]
    pub http: bool,
    /// Git repository to take the project from, or a folder in it
    #[arg(long, conflicts_with = "lang", value_name = "URL[#FOLDER]")]
    pub template: Option<String>,
}

/// Makes the project.
///
/// # Errors
/// Fails if the name cannot be one, the folder exists, or the template cannot be fetched or is not a project.
pub fn run(args: &NewArgs) -> anyhow::Result<()> {
    let name = checked(&args.name, args.lang)?;
    let folder = Path::new(name);
    anyhow::ensure!(
        fs::symlink_metadata(folder).is_err(),
        "{name} exists already: choose another name, or remove it first"
    );
    // Made beside its place and then renamed, so that an error leaves nothing behind.
    let scratch = tempfile::Builder::new().prefix(".fusebox-new-").tempdir_in(".");
    let scratch = scratch.context("cannot make a folder here")?;
    let made = scratch.path().join(name);
    fs::create_dir(&made)?;
    let description = "Greets whoever the input names";
    let blanks = Blanks { name, description, is_http: args.http };
    match (&args.template, args.lang) {
        (Some(template), _) => from_repository(template, scratch.path(), &made, &blanks)?,
        (None, Some(language)) => templates::write(language, &blanks, &made)?,
        (None, None) => return Err(WrongUsage("say in which language: --lang, or --template with a repository").into()),
    }
    let project = Project::open(&made).context("the template is no project")?;
    fs::rename(&made, folder).with_context(|| format!("cannot make {name}"))?;
    ui::say(format!("Made {name}/"))?;
    for line in next(&project, name) {
        ui::say(line)?;
    }
    Ok(())
}

/// Returns the lines that say what to do next.
fn next(project: &Project, name: &str) -> Vec<String> {
    let mut lines = vec![format!("Next:  cd {name}")];
    if project.manifest.language == Some(Language::AssemblyScript) {
        lines.push("       npm install".to_owned());
    }
    lines.push("       fusebox test      builds it and runs the samples in tests/".to_owned());
    lines.push("       fusebox deploy    registers it with the host that `fusebox up` starts".to_owned());
    lines
}

/// Checks a name: that of a folder, a function and a package in every language.
fn checked(name: &str, language: Option<Language>) -> anyhow::Result<&str> {
    let rule = "a name starts with a letter and is made of a-z, 0-9, - and _";
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if !is_plain {
        let plain: String = name
            .to_ascii_lowercase()
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        let plain = plain.trim_matches(|letter: char| !letter.is_ascii_alphabetic());
        let hint = if plain.is_empty() { String::new() } else { format!(", such as {plain}") };
        anyhow::bail!("{name:?} cannot be the name of a project: {rule}{hint}");
    }
    anyhow::ensure!(name.len() <= NAME_BYTES_MAX, "the name of a project has at most {NAME_BYTES_MAX} characters");
    let is_word = language == Some(Language::Rust) && RUST_WORDS.split_whitespace().any(|word| word == name);
    anyhow::ensure!(!is_word, "{name} is a word of Rust, and cannot be the name of a package: choose another");
    Ok(name)
}

/// Copies a repository's folder.
fn from_repository(template: &str, scratch: &Path, to: &Path, blanks: &Blanks<'_>) -> anyhow::Result<()> {
    let (url, folder) = template.split_once('#').unwrap_or((template, ""));
    anyhow::ensure!(!url.is_empty(), "--template has no URL: write URL or URL#FOLDER");
    let is_inside = Path::new(folder).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    anyhow::ensure!(is_inside, "the folder {folder:?} leads out of the repository: write one within it");
    let clone = scratch.join("clone");
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--depth=1", "--no-tags", "--"]).arg(url).arg(&clone);
    // Without a terminal to ask at, an address that requires a password fails.
    git.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let status = git.status().context("cannot start git, which fetches templates: install it")?;
    anyhow::ensure!(status.success(), "git cannot fetch {url} ({status})");
    let from = clone.join(folder);
    anyhow::ensure!(
        from.join(MANIFEST).is_file(),
        "{url} has no {} : a template is a folder with a project",
        Path::new(folder).join(MANIFEST).display()
    );
    let mut room = Room { files: FILES_MAX, bytes: BYTES_MAX };
    copy(&from, to, blanks, &mut room)
}

/// Rest of the bounds of a template.
struct Room {
    files: usize,
    bytes: u64,
}

fn copy(from: &Path, to: &Path, blanks: &Blanks<'_>, room: &mut Room) -> anyhow::Result<()> {
    let entries = fs::read_dir(from)?.collect::<Result<Vec<_>, _>>()?;
    for entry in entries.iter().filter(|entry| entry.file_name() != OsStr::new(".git")) {
        let (path, kind, to) = (entry.path(), entry.file_type()?, to.join(entry.file_name()));
        room.files = room.files.checked_sub(1).context("the template has more than 10,000 files")?;
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy(&path, &to, blanks, room)?;
        } else if kind.is_file() {
            room.bytes =
                room.bytes.checked_sub(entry.metadata()?.len()).context("the template has more than 64 MiB")?;
            fs::copy(&path, &to)?;
            let bytes = fs::read(&path)?;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                fs::write(&to, blanks.filled(text))?;
            }
        } else {
            let shown: PathBuf = path.components().rev().take(1).collect();
            anyhow::bail!("the template's {} is a link, and may lead out of it: it is not used", shown.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_every_language_or_is_refused_with_one_that_does() {
        for good in ["a", "hello-7", "a_b"] {
            assert_eq!(checked(good, Some(Language::Rust)).unwrap(), good);
        }
        for (bad, words) in [
            ("", "starts with a letter"),
            ("7up", "such as up"),
            ("My App", "such as my-app"),
            ("../x", "such as x"),
            ("-x", "such as x"),
            ("é", "starts with a letter"),
        ] {
            let error = checked(bad, None).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(checked(&"x".repeat(65), None).is_err());
        assert!(checked("fn", Some(Language::Rust)).is_err() && checked("fn", Some(Language::Go)).is_ok());
    }
}
