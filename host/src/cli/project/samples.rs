//! Samples of a project: inputs in its folder `tests`, each with a golden file that has the end it must come to.
//!
//! | file | holds |
//! |---|---|
//! | `NAME.in` | input, any bytes |
//! | `NAME.json` | input of type application/json |
//! | `NAME.http` | HTTP request: `METHOD target`, header lines, an empty line, the body |
//! | `NAME.out` | output, byte for byte; of a request the response, in the same form with its status first |
//! | `NAME.out.json` | output that is equal as JSON |
//! | `NAME.error` | code and first line of the failure |

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use fusebox_core::outcome::{Ended, Failure};
use serde_json::Value;
use similar::TextDiff;

use crate::{cli::input, text};

/// Folder of samples within a project.
pub(super) const FOLDER: &str = "tests";
/// File in it with what the host answers: configuration, secrets, entries and HTTP responses.
pub(super) const HOST: &str = "host.toml";

/// Form of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Bytes of any kind.
    Bytes,
    /// JSON.
    Json,
    /// HTTP request.
    Http,
}

/// An input with the end that it must come to.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Name of its files.
    pub(super) name: String,
    /// Form of the input.
    pub(super) form: Form,
    /// The input.
    pub(super) input: Vec<u8>,
    folder: PathBuf,
    golden: Option<Golden>,
}

/// Expected end.
#[derive(Clone, Debug, PartialEq)]
enum Golden {
    Output(Vec<u8>),
    Json(Value),
    Error(String),
}

impl Golden {
    const fn suffix(&self) -> &'static str {
        match self {
            Self::Output(_) => "out",
            Self::Json(_) => "out.json",
            Self::Error(_) => "error",
        }
    }
}

/// Suffixes of golden files.
const SUFFIXES: [&str; 3] = ["out.json", "out", "error"];

/// Result of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The end is the expected one.
    Same,
    /// It is another one; the text shows the difference.
    Different(String),
    /// No golden file says what to expect.
    New,
    /// A golden file was written.
    Written(PathBuf),
}

impl Sample {
    /// Reads the samples of a project, sorted by name; those whose names are in `only`, or all if it is empty.
    ///
    /// # Errors
    /// Fails with the file and what to change if a file cannot be read, belongs to no sample, or is one too many.
    pub(super) fn all(project: &Path, only: &[String]) -> anyhow::Result<Vec<Self>> {
        let folder = project.join(FOLDER);
        let mut inputs = BTreeMap::new();
        let mut goldens: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
        };
        for entry in entries {
            let path = entry?.path();
            let Some(file) = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()) else {
                continue;
            };
            let golden =
                SUFFIXES.into_iter().find_map(|suffix| Some((file.strip_suffix(suffix)?.strip_suffix('.')?, suffix)));
            if let Some((name, suffix)) = golden {
                goldens.entry(name.to_owned()).or_default().push(suffix);
            } else if let Some((name, form)) = input_of(file)
                && let Some(other) = inputs.insert(name.to_owned(), (form, path.clone()))
            {
                anyhow::bail!("{} and {} are inputs of one name: rename one", other.1.display(), path.display());
            }
        }
        if let Some((name, suffixes)) = goldens.iter().find(|(name, _)| !inputs.contains_key(*name)) {
            let file = folder.join(format!("{name}.{}", suffixes.first().copied().unwrap_or_default()));
            anyhow::bail!(
                "{} belongs to no input: add {name}.in, {name}.json or {name}.http, or delete it",
                file.display()
            );
        }
        if let Some(name) = only.iter().find(|name| !inputs.contains_key(*name)) {
            let known: Vec<&str> = inputs.keys().map(String::as_str).collect();
            anyhow::bail!("there is no sample {name} in {}{}", folder.display(), super::place::nearest(name, &known));
        }
        let wanted = inputs.into_iter().filter(|(name, _)| only.is_empty() || only.contains(name));
        let read = |(name, (form, path)): (String, (Form, PathBuf))| {
            let file = fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let bytes = input::bounded(file).with_context(|| path.display().to_string())?;
            let golden = goldens.get(&name).map(|suffixes| golden(&folder, &name, suffixes)).transpose()?;
            anyhow::Ok(Self { name, form, input: bytes, folder: folder.clone(), golden })
        };
        wanted.map(read).collect()
    }

    /// Compares an end with the expected one.
    pub(super) fn judge(&self, ended: &Ended) -> Verdict {
        let Some(golden) = &self.golden else { return Verdict::New };
        let is_same = match (golden, &ended.failure) {
            (Golden::Error(expected), Some(failure)) => expected.trim_end() == first_line(failure),
            (Golden::Output(expected), None) => {
                // Editors add a line end to the last line of a file.
                ended.output == expected[..] || ended.output == text::without_line_end(expected)
            }
            (Golden::Json(expected), None) => {
                serde_json::from_slice::<Value>(&ended.output).is_ok_and(|output| output == *expected)
            }
            _ => false,
        };
        if is_same { Verdict::Same } else { Verdict::Different(self.difference(golden, ended)) }
    }

    /// Writes the golden file of an end, in place of those that there are.
    ///
    /// # Errors
    /// Fails if a file cannot be written or removed.
    pub(super) fn update(&self, ended: &Ended) -> anyhow::Result<Verdict> {
        if self.judge(ended) == Verdict::Same {
            return Ok(Verdict::Same);
        }
        let json = serde_json::from_slice::<Value>(&ended.output).ok();
        let as_json = self.form == Form::Json && !matches!(self.golden, Some(Golden::Output(_)));
        let golden = match (&ended.failure, json) {
            (Some(failure), _) => Golden::Error(first_line(failure)),
            (None, Some(json)) if as_json => Golden::Json(json),
            _ => Golden::Output(ended.output.to_vec()),
        };
        if let Some(old) = &self.golden {
            fs::remove_file(self.file(old)).with_context(|| format!("cannot remove {}", self.file(old).display()))?;
        }
        let file = self.file(&golden);
        let content = match golden {
            Golden::Output(bytes) => bytes,
            Golden::Json(json) => [serde_json::to_vec_pretty(&json)?, b"\n".to_vec()].concat(),
            Golden::Error(text) => format!("{text}\n").into_bytes(),
        };
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Verdict::Written(file))
    }

    fn file(&self, golden: &Golden) -> PathBuf {
        self.folder.join(format!("{}.{}", self.name, golden.suffix()))
    }

    fn difference(&self, golden: &Golden, ended: &Ended) -> String {
        let pretty = |json: &Value| serde_json::to_string_pretty(json).unwrap_or_default();
        let expected = match golden {
            Golden::Output(bytes) => bytes.clone(),
            Golden::Json(json) => pretty(json).into_bytes(),
            Golden::Error(text) => text.clone().into_bytes(),
        };
        let (what, got) = match (&ended.failure, golden) {
            (Some(failure), _) => ("failure", format!("{}: {}", failure.code, failure.message).into_bytes()),
            (None, Golden::Json(_)) => {
                let json = serde_json::from_slice::<Value>(&ended.output);
                ("output", json.map_or_else(|_| ended.output.to_vec(), |json| pretty(&json).into_bytes()))
            }
            (None, _) => ("output", ended.output.to_vec()),
        };
        let file = self.file(golden).display().to_string();
        match (std::str::from_utf8(&expected), std::str::from_utf8(&got)) {
            (Ok(expected), Ok(got)) => {
                let diff = TextDiff::from_lines(expected, got);
                diff.unified_diff().context_radius(CONTEXT_LINES).header(&file, what).to_string()
            }
            _ => {
                let at = expected.iter().zip(&got).take_while(|(one, other)| one == other).count();
                format!(
                    "{file} has {} bytes, and the {what} {}; they differ from byte {at} on\n",
                    expected.len(),
                    got.len()
                )
            }
        }
    }
}

/// Lines around a difference.
const CONTEXT_LINES: usize = 3;

fn input_of(file: &str) -> Option<(&str, Form)> {
    let forms = [("in", Form::Bytes), ("json", Form::Json), ("http", Form::Http)];
    forms.into_iter().find_map(|(suffix, form)| {
        let name = file.strip_suffix(suffix)?.strip_suffix('.')?;
        (!name.is_empty()).then_some((name, form))
    })
}

fn golden(folder: &Path, name: &str, suffixes: &[&str]) -> anyhow::Result<Golden> {
    if let [one, other, ..] = suffixes {
        anyhow::bail!("{name}.{one} and {name}.{other} in {} contradict each other: delete one", folder.display());
    }
    let suffix = suffixes.first().copied().unwrap_or_default();
    let file = folder.join(format!("{name}.{suffix}"));
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(match suffix {
        "out.json" => {
            Golden::Json(serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", file.display()))?)
        }
        "error" => Golden::Error(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Golden::Output(bytes),
    })
}

/// Returns the code and the first line of a failure, without the lines of stderr, which may have times and addresses.
fn first_line(failure: &Failure) -> String {
    let message = failure.message.split(Failure::STDERR_FOLLOWS).next().unwrap_or_default();
    format!("{}: {}", failure.code, message.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use fusebox_core::{error::ErrorCode, outcome::Receipt};

    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(FOLDER)).unwrap();
        for (name, text) in files {
            fs::write(home.path().join(FOLDER).join(name), text).unwrap();
        }
        home
    }

    fn ended(output: &str, failure: Option<&str>) -> Ended {
        let failure = failure.map(|message| Failure::new(ErrorCode::GuestError, message));
        Ended { failure, output: output.to_owned().into(), log: "".into(), receipt: Receipt::default() }
    }

    fn only(home: &tempfile::TempDir) -> Sample {
        Sample::all(home.path(), &[]).unwrap().remove(0)
    }

    #[test]
    fn a_golden_file_is_compared_by_its_kind() {
        let out = only(&project(&[("a.in", "x"), ("a.out", "Hi\n")]));
        assert_eq!([out.judge(&ended("Hi", None)), out.judge(&ended("Hi\n", None))], [Verdict::Same, Verdict::Same]);
        let Verdict::Different(diff) = out.judge(&ended("Ho", None)) else { panic!("a difference") };
        assert!(diff.contains("-Hi\n") && diff.contains("+Ho\n") && diff.contains("a.out"), "{diff}");
        let Verdict::Different(diff) = out.judge(&ended("", Some("boom"))) else { panic!("a difference") };
        assert!(diff.contains("+guest-error: boom"), "{diff}");

        let json = only(&project(&[("a.json", "1"), ("a.out.json", "{\"b\": 1, \"a\": [2]}")]));
        assert_eq!((json.form, json.judge(&ended("{\"a\":[2],\"b\":1}", None))), (Form::Json, Verdict::Same));
        assert!(
            matches!(json.judge(&ended("{\"a\":[3],\"b\":1}", None)), Verdict::Different(diff) if diff.contains("+    3"))
        );

        let error = only(&project(&[("a.http", "GET /\n\n"), ("a.error", "guest-error: boom\n")]));
        let stderr = ["boom", Failure::STDERR_FOLLOWS, "at 0x7f"].concat();
        assert_eq!((error.form, error.judge(&ended("", Some(&stderr)))), (Form::Http, Verdict::Same));
        assert!(matches!(error.judge(&ended("fine", None)), Verdict::Different(_)));

        let binary = only(&project(&[("a.in", "x"), ("a.out", "ab")]));
        let other = Ended { output: b"a\xff".as_slice().into(), ..ended("", None) };
        assert!(matches!(binary.judge(&other), Verdict::Different(diff) if diff.contains("from byte 1 on")));
    }

    #[test]
    fn an_update_writes_the_end_and_removes_what_contradicts_it() {
        let home = project(&[("a.json", "1"), ("b.in", "")]);
        let [json, bytes] = Sample::all(home.path(), &[]).unwrap().try_into().unwrap();
        assert_eq!(json.judge(&ended("[1]", None)), Verdict::New);
        assert!(
            matches!(json.update(&ended("[1]", None)).unwrap(), Verdict::Written(file) if file.ends_with("a.out.json"))
        );
        assert!(
            matches!(bytes.update(&ended("[1]", None)).unwrap(), Verdict::Written(file) if file.ends_with("b.out"))
        );
        let [json, bytes] = Sample::all(home.path(), &[]).unwrap().try_into().unwrap();
        assert_eq!([json.judge(&ended("[1]", None)), bytes.judge(&ended("[1]", None))], [Verdict::Same, Verdict::Same]);
        assert_eq!(bytes.update(&ended("[1]", None)).unwrap(), Verdict::Same);
        bytes.update(&ended("", Some("boom"))).unwrap();
        assert!(!home.path().join("tests/b.out").exists());
        assert_eq!(fs::read_to_string(home.path().join("tests/b.error")).unwrap(), "guest-error: boom\n");
    }

    #[test]
    fn files_that_do_not_fit_together_are_named() {
        for (files, words) in [
            (&[("a.in", ""), ("a.json", "1")][..], "inputs of one name"),
            (&[("a.out", "")], "belongs to no input"),
            (&[("a.in", ""), ("a.out", ""), ("a.error", "")], "contradict each other"),
            (&[("a.in", ""), ("a.out.json", "{")], "a.out.json is not JSON"),
        ] {
            let error = format!("{:#}", Sample::all(project(files).path(), &[]).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
        let home = project(&[("ada.in", ""), ("grace.in", ""), ("host.toml", "")]);
        assert_eq!(Sample::all(home.path(), &["ada".to_owned()]).unwrap().len(), 1);
        let error = Sample::all(home.path(), &["adda".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("did you mean `ada`?"), "{error}");
        assert!(Sample::all(Path::new("nowhere"), &[]).unwrap().is_empty());
    }
}
