//! Ways to start a module: the setup, which is part of a version, and the start, which a request adds for one run.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    function::Abi,
    http::Request,
    id::FilesDigest,
    limits::{ARGS_BYTES_MAX, ARGS_MAX, CONTENT_TYPE_BYTES_MAX, ENV_BYTES_MAX, ENV_MAX, EXPORT_NAME_BYTES_MAX},
    runtime::RuntimeName,
};

/// Part of an immutable version that says how its module is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// Arguments of each run, before those of its request. The program's name comes before all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables of each run: names and values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Archive of the files that each run sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesDigest>,
    /// Size of that archive in bytes; 0 without files.
    #[serde(skip_serializing_if = "is_zero")]
    pub files_bytes: u64,
    /// Name of the exported function that a run enters, if its ABI leaves the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// True if its HTTP requests need no API key.
    #[serde(skip_serializing_if = "is_false")]
    pub is_public: bool,
    /// Content type of its outputs, if it states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Runtime that its module is, if it is a script: a module of the host, which its tenant is not charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeName>,
}

/// Part of a request that says how one run starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// Arguments behind those of the version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Name of the exported function to enter instead of the version's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// True if the input is an HTTP request and the output its response, in the form of [`crate::http`].
    #[serde(skip_serializing_if = "is_false")]
    pub is_http: bool,
    /// Content type of the input, for commands: they read it from their environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Error of a setup or start that no run can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// There are too many arguments.
    #[error("at most {ARGS_MAX} arguments can be given, and there are {0}: pass the rest in the input or in a file")]
    ArgsMany(usize),
    /// The arguments are too large.
    #[error(
        "arguments have at most {ARGS_BYTES_MAX} bytes together, and these have {0}: pass the rest in the input or in \
         a file"
    )]
    ArgsLarge(usize),
    /// There are too many variables.
    #[error("an environment has at most {ENV_MAX} variables, and this one has {0}: remove some")]
    EnvMany(usize),
    /// The environment is too large.
    #[error("an environment has at most {ENV_BYTES_MAX} bytes, and this one has {0}: shorten values or use a file")]
    EnvLarge(usize),
    /// A variable has no name, or no `=`.
    #[error("{0:?} is no environment variable: write NAME=VALUE")]
    EnvShape(String),
    /// A variable occurs twice.
    #[error("the environment variable {0} is given twice: give it once")]
    EnvTwice(String),
    /// An argument or variable contains a zero byte, at which C programs end it.
    #[error("an argument or environment variable contains a zero byte: remove it")]
    Zero,
    /// The name of an export is empty or too long.
    #[error("the name of an export has 1 to {EXPORT_NAME_BYTES_MAX} bytes, and this one has {0}")]
    Export(usize),
    /// A content type is not one.
    #[error("{0:?} is no content type of at most {CONTENT_TYPE_BYTES_MAX} bytes: write one such as image/png")]
    ContentType(String),
}

impl Setup {
    /// Checks the setup against its bounds. The size of the files is the registration's to check.
    ///
    /// # Errors
    /// Returns the first bound that is exceeded.
    pub fn check(&self) -> Result<(), SetupError> {
        check_args(&self.args)?;
        check_env(&self.env)?;
        check_export(self.export.as_deref())?;
        check_content_type(self.content_type.as_deref())
    }

    /// Returns the bytes that count against the tenant's quota of stored bytes: those of the texts and of the files.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let env = self.env.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let names = [&self.export, &self.content_type].into_iter().flatten().map(String::len).sum::<usize>();
        let texts = args_bytes(&self.args) + env + names;
        self.files_bytes.saturating_add(texts as u64)
    }

    /// Parses an environment variable.
    ///
    /// # Errors
    /// [`SetupError::EnvShape`] if it is not `NAME=VALUE`.
    pub fn variable(text: &str) -> Result<(String, String), SetupError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
            _ => Err(SetupError::EnvShape(text.chars().take(SHOWN_CHARS_MAX).collect())),
        }
    }
}

impl Start {
    /// Checks the start against its bounds.
    ///
    /// # Errors
    /// Returns the first bound that is exceeded.
    pub fn check(&self) -> Result<(), SetupError> {
        check_args(&self.args)?;
        check_export(self.export.as_deref())?;
        check_content_type(self.content_type.as_deref())
    }

    /// Returns the bytes that count as a task's input.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let texts = [&self.export, &self.content_type].into_iter().flatten().map(String::len).sum::<usize>();
        (args_bytes(&self.args) + texts) as u64
    }

    /// Returns true if it adds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.is_empty() && self.export.is_none() && !self.is_http && self.content_type.is_none()
    }

    /// Returns this start with the content type that a request states of its input, if a module with this ABI learns of
    /// it.
    ///
    /// # Errors
    /// [`SetupError::ContentType`] if a command cannot be given it.
    pub fn stating(self, abi: Abi, content_type: Option<&[u8]>) -> Result<Self, SetupError> {
        let stated = content_type.map(|stated| String::from_utf8_lossy(stated).into_owned());
        match abi {
            Abi::Command => check_content_type(stated.as_deref())?,
            Abi::Http => {}
            _ => return Ok(self),
        }
        Ok(Self { content_type: stated, ..self })
    }

    /// Returns the start and the input of a run of a module with this ABI. One that knows HTTP requests alone gets
    /// other inputs as `POST /`, with their content type; only a command gets the content type beside its input.
    #[must_use]
    pub fn entering(self, abi: Abi, input: Bytes) -> (Self, Bytes) {
        match abi {
            Abi::Command => (self, input),
            Abi::Http if !self.is_http => {
                let content_type = self.content_type.as_ref().map_or(OCTETS, |stated| stated.as_bytes());
                let request = Request::of_input(content_type, &input);
                (Self { is_http: true, content_type: None, ..self }, request)
            }
            _ => (Self { content_type: None, ..self }, input),
        }
    }
}

/// Content type of an input about which nothing is known.
const OCTETS: &[u8] = b"application/octet-stream";

/// Number of characters of a malformed variable that its error repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// Returns the size of arguments as programs get them, each with a zero byte at its end.
fn args_bytes(args: &[String]) -> usize {
    args.iter().map(|arg| arg.len() + 1).sum()
}

fn check_args(args: &[String]) -> Result<(), SetupError> {
    let bytes = args_bytes(args);
    match () {
        () if args.len() > ARGS_MAX => Err(SetupError::ArgsMany(args.len())),
        () if bytes > ARGS_BYTES_MAX => Err(SetupError::ArgsLarge(bytes)),
        () if args.iter().any(|arg| arg.contains('\0')) => Err(SetupError::Zero),
        () => Ok(()),
    }
}

fn check_env(env: &[(String, String)]) -> Result<(), SetupError> {
    let bytes = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    match () {
        () if env.len() > ENV_MAX => return Err(SetupError::EnvMany(env.len())),
        () if bytes > ENV_BYTES_MAX => return Err(SetupError::EnvLarge(bytes)),
        () => {}
    }
    for (at, (name, value)) in env.iter().enumerate() {
        if name.is_empty() || name.contains('=') {
            return Err(SetupError::EnvShape(name.chars().take(SHOWN_CHARS_MAX).collect()));
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(SetupError::Zero);
        }
        if env.iter().take(at).any(|(before, _)| before == name) {
            return Err(SetupError::EnvTwice(name.chars().take(SHOWN_CHARS_MAX).collect()));
        }
    }
    Ok(())
}

fn check_export(export: Option<&str>) -> Result<(), SetupError> {
    match export {
        Some(name) if name.is_empty() || name.len() > EXPORT_NAME_BYTES_MAX => Err(SetupError::Export(name.len())),
        _ => Ok(()),
    }
}

fn check_content_type(content_type: Option<&str>) -> Result<(), SetupError> {
    let Some(text) = content_type else { return Ok(()) };
    let is_token = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_type = essence.trim_end().split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    let is_text = parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    match is_type && is_text && text.len() <= CONTENT_TYPE_BYTES_MAX {
        true => Ok(()),
        false => Err(SetupError::ContentType(text.chars().take(SHOWN_CHARS_MAX).collect())),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{borrow::ToOwned as _, format, string::ToString as _, vec};

    fn args(args: Vec<String>) -> Result<(), SetupError> {
        Start { args, ..Start::default() }.check()
    }

    fn env(env: &[(&str, &str)]) -> Result<(), SetupError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Setup { env, ..Setup::default() }.check()
    }

    #[test]
    fn each_bound_has_its_own_sentence() {
        assert_eq!(args(vec!["x".to_owned(); ARGS_MAX]), Ok(()));
        assert_eq!(args(vec![String::new(); ARGS_MAX + 1]), Err(SetupError::ArgsMany(ARGS_MAX + 1)));
        assert_eq!(args(vec!["x".repeat(ARGS_BYTES_MAX - 1)]), Ok(()));
        assert_eq!(args(vec!["x".repeat(ARGS_BYTES_MAX)]), Err(SetupError::ArgsLarge(ARGS_BYTES_MAX + 1)));
        assert_eq!(args(vec!["a\0b".to_owned()]), Err(SetupError::Zero));
        assert_eq!(env(&[("A", ""), ("B", "=x")]), Ok(()));
        assert_eq!(env(&[("A", "1"), ("A", "2")]), Err(SetupError::EnvTwice("A".to_owned())));
        assert_eq!(env(&[("A=B", "1")]), Err(SetupError::EnvShape("A=B".to_owned())));
        assert_eq!(env(&[("A", "\0")]), Err(SetupError::Zero));
        assert_eq!(env(&[("A", &"x".repeat(ENV_BYTES_MAX))]), Err(SetupError::EnvLarge(ENV_BYTES_MAX + 3)));
        assert_eq!(env(&vec![("A", ""); ENV_MAX + 1]), Err(SetupError::EnvMany(ENV_MAX + 1)));
        let export = |name: &str| Start { export: Some(name.to_owned()), ..Start::default() }.check();
        assert_eq!((export("run"), export("")), (Ok(()), Err(SetupError::Export(0))));
        let long = export(&"x".repeat(EXPORT_NAME_BYTES_MAX + 1)).unwrap_err();
        assert!(long.to_string().contains("1 to 256 bytes"), "{long}");
    }

    #[test]
    fn a_content_type_can_be_sent_as_a_header() {
        let check = |text: &str| Setup { content_type: Some(text.to_owned()), ..Setup::default() }.check();
        for good in ["image/png", "text/plain; charset=utf-8", "application/vnd.api+json;v=\"1\""] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = format!("a/{}", "b".repeat(CONTENT_TYPE_BYTES_MAX));
        for bad in ["", "png", "/", "a/", "a b/c", "a/b\r\nx: y", "a/b; \u{e9}", "a/b;\0", &long] {
            assert!(matches!(check(bad), Err(SetupError::ContentType(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_variable_is_split_at_its_first_sign() {
        assert_eq!(Setup::variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        for bad in ["", "A", "=b"] {
            assert_eq!(Setup::variable(bad), Err(SetupError::EnvShape(bad.to_owned())));
        }
    }

    #[test]
    fn fields_that_are_absent_have_their_defaults() {
        assert_eq!(serde_json::from_str::<Setup>("{}").unwrap(), Setup::default());
        assert_eq!(serde_json::to_string(&Setup::default()).unwrap(), "{}");
        let setup = Setup { args: vec!["a".to_owned()], files_bytes: 5, ..Setup::default() };
        assert_eq!(serde_json::from_str::<Setup>(&serde_json::to_string(&setup).unwrap()).unwrap(), setup);
        assert_eq!(setup.stored_bytes(), 7);
        let later = r#"{"args":["a"],"files_bytes":5,"new":{"x":1}}"#;
        assert_eq!(serde_json::from_str::<Setup>(later).unwrap(), setup, "a later version's field is ignored");
    }
}
