//! Scripts as `fusebox deploy` takes them: a file's language, its text as the host gets it, and what it needs beside it.
//!
//! | file | holds |
//! |---|---|
//! | `about` | the versions of Python that a script states, and its packages |
//! | `packages`, `python`, `node` | packages of a script, packed for its version |
//! | `fault` | faults with the line of the source |

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fusebox_api::scripts::ScriptParams;
use fusebox_core::{
    limits::SCRIPT_BYTES_MAX,
    runtime::{Language, RuntimeName},
};

mod about;
mod fault;
mod node;
mod packages;
mod python;

pub use fault::explained;

/// Endings of scripts, and their languages.
const ENDINGS: [(&str, Language); 3] =
    [("py", Language::Python), ("js", Language::JavaScript), ("mjs", Language::JavaScript)];
/// Name of a script that is named after its directory.
const HANDLER: &str = "handler";

/// Script as it is sent to a host.
#[derive(Clone, Debug)]
pub struct Source {
    /// File on this machine.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Language, runtime and name of the file.
    pub params: ScriptParams,
    /// Tar of what lies beside it, below `app`; `None` if it needs nothing.
    pub files: Option<Vec<u8>>,
}

/// Returns whether a file is a script, by its ending or because its language is named.
#[must_use]
pub fn is_script(path: &Path, language: Option<&str>) -> bool {
    language.is_some() || ending(path).is_some()
}

/// Returns the name of a script's function: that of its file, or of its directory if the file is called `handler`.
///
/// # Errors
/// Fails if neither has a name.
pub fn name(path: &Path) -> anyhow::Result<String> {
    let stem = path.file_stem().context("the file has no name: use --name")?;
    if stem != HANDLER {
        return Ok(stem.to_string_lossy().into_owned());
    }
    let whole = std::path::absolute(path).context("the directory of the script is gone")?;
    let dir = whole.parent().and_then(Path::file_name).context("the script's directory has no name: use --name")?;
    Ok(dir.to_string_lossy().into_owned())
}

impl Source {
    /// Reads a script and packs its packages. `language` is a language, or the name of a runtime.
    ///
    /// # Errors
    /// Fails if the file is no script, has a fault, or needs a package that cannot be had or cannot run.
    pub fn read(path: &Path, language: Option<&str>) -> anyhow::Result<Self> {
        let shown = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
        anyhow::ensure!(
            size <= SCRIPT_BYTES_MAX,
            "{shown} has {size} bytes, and a script has at most {SCRIPT_BYTES_MAX}: move data into files (--files)"
        );
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let text =
            String::from_utf8(bytes).ok().with_context(|| format!("{shown} is not text in UTF-8: save it so"))?;
        let kind = ending(path);
        let spoken = match (language, kind) {
            (Some(named), _) => spoken(named)?,
            (None, Some(language)) => language,
            (None, None) => anyhow::bail!("{shown} is no script: name its language with --language"),
        };
        let about = match spoken {
            Language::Python => about::of_python(path, &text)?,
            Language::JavaScript => about::About::default(),
        };
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        let files = match spoken {
            Language::Python => python::packed(dir, language, &about)?,
            Language::JavaScript => node::packed(dir)?,
        };
        let params = ScriptParams {
            language: Some(language.unwrap_or(spoken.as_str()).to_owned()),
            requires_python: about.requires_python,
            entry: Some(entry(path, spoken)),
        };
        Ok(Self { path: path.to_owned(), text, params, files })
    }
}

/// Returns the language that a file's ending names.
fn ending(path: &Path) -> Option<Language> {
    let ending = path.extension()?.to_str()?;
    ENDINGS.into_iter().find_map(|(known, language)| (known == ending).then_some(language))
}

/// Returns the language of an option's value, which may also name a runtime.
fn spoken(named: &str) -> anyhow::Result<Language> {
    let runtime: RuntimeName = named.parse().map_err(|error| anyhow::anyhow!("--language {named}: {error}"))?;
    Ok(runtime.language())
}

/// Returns the name under which the host keeps a script: its own, if that is one that every host takes.
fn entry(path: &Path, language: Language) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_name = !stem.is_empty() && !stem.starts_with('-') && stem.len() <= 100 && stem.bytes().all(is_plain);
    let (stem, ending) = (if is_name { stem } else { HANDLER }, path.extension().and_then(|ending| ending.to_str()));
    match (language, ending) {
        (Language::Python, _) => format!("{stem}.py"),
        (Language::JavaScript, Some("mjs")) => format!("{stem}.mjs"),
        (Language::JavaScript, _) => format!("{stem}.js"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_its_language_and_name_from_its_file() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("greeter");
        std::fs::create_dir(&dir).unwrap();
        let read = |file: &str, text: &[u8], language: Option<&str>| {
            let path = dir.join(file);
            std::fs::write(&path, text).unwrap();
            let source = Source::read(&path, language)?;
            let ScriptParams { language, entry, .. } = source.params;
            Ok::<_, anyhow::Error>((name(&path)?, language.unwrap(), entry.unwrap(), source.text))
        };
        let expected = |name: &str, language: &str, entry: &str, text: &str| {
            (name.to_owned(), language.to_owned(), entry.to_owned(), text.to_owned())
        };
        assert_eq!(read("handler.py", b"x", None).unwrap(), expected("greeter", "python", "handler.py", "x"));
        assert_eq!(read("a b.mjs", b"y", None).unwrap(), expected("a b", "javascript", "handler.mjs", "y"));
        assert_eq!(read("f", b"z", Some("python3.11")).unwrap(), expected("f", "python3.11", "f.py", "z"));
        let large = vec![b'#'; usize::try_from(SCRIPT_BYTES_MAX).unwrap() + 1];
        for (file, text, language, words) in [
            ("f.rb", &b""[..], None, "--language"),
            ("f.rb", b"", Some("ruby"), "named after its language"),
            ("f.py", b"\xff", None, "UTF-8"),
            ("f.py", &large, None, "--files"),
        ] {
            let told = read(file, text, language).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        assert!(Source::read(&dir.join("missing.py"), None).unwrap_err().to_string().contains("missing.py"));
    }
}
