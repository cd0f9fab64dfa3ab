//! Runtimes: modules of the host that run scripts, each the interpreter of one version of a language.

use alloc::string::{String, ToString as _};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Length of a runtime's name; `python3.13` has 10.
const NAME_BYTES_MAX: usize = 32;

/// Language of scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// JavaScript, also what TypeScript is once its types are removed.
    JavaScript,
    /// Python.
    Python,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::JavaScript, Self::Python];

    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }

    /// Returns the name of a script's file if it has none of its own.
    #[must_use]
    pub const fn entry(self) -> &'static str {
        match self {
            Self::JavaScript => "handler.js",
            Self::Python => "handler.py",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Name of a runtime: a language, and behind it the version where that matters: `javascript`, `python3.13`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuntimeName(String);

/// Error of parsing the name of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a runtime is named after its language and version, such as javascript or python3.13")]
pub struct RuntimeNameError;

impl RuntimeName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the language of its scripts.
    #[must_use]
    pub fn language(&self) -> Language {
        // Parsing has checked it.
        split(&self.0).map_or(Language::Python, |(language, _)| language)
    }

    /// Returns the version of the language: its numbers, or nothing.
    #[must_use]
    pub fn version(&self) -> &str {
        split(&self.0).map_or("", |(_, version)| version)
    }

    /// Returns the numbers of the version, by which runtimes of a language are ordered.
    #[must_use]
    pub fn rank(&self) -> [u32; 3] {
        let mut numbers = self.version().split('.').map(|number| number.parse().unwrap_or_default());
        [(); 3].map(|()| numbers.next().unwrap_or_default())
    }
}

/// Splits a name into language and version.
fn split(name: &str) -> Option<(Language, &str)> {
    Language::ALL.into_iter().find_map(|language| Some((language, name.strip_prefix(language.as_str())?)))
}

impl FromStr for RuntimeName {
    type Err = RuntimeNameError;

    fn from_str(text: &str) -> Result<Self, RuntimeNameError> {
        let (_, version) = split(text).ok_or(RuntimeNameError)?;
        let is_number =
            |number: &str| (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_version = version.is_empty() || version.split('.').all(is_number);
        if is_version && text.len() <= NAME_BYTES_MAX { Ok(Self(text.to_string())) } else { Err(RuntimeNameError) }
    }
}

impl TryFrom<String> for RuntimeName {
    type Error = RuntimeNameError;
    fn try_from(text: String) -> Result<Self, RuntimeNameError> {
        text.parse()
    }
}

impl From<RuntimeName> for String {
    fn from(name: RuntimeName) -> Self {
        name.0
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RuntimeName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_a_language_and_a_version() {
        assert_eq!((name("javascript").language(), name("javascript").version()), (Language::JavaScript, ""));
        assert_eq!((name("python3.13").language(), name("python3.13").version()), (Language::Python, "3.13"));
        let long = ["python3", &".1".repeat(NAME_BYTES_MAX)].concat();
        for bad in ["", "ruby", "python-3", "python3.", "python3..1", "python99999", "Python3.11", "python3.11 ", &long]
        {
            assert_eq!(bad.parse::<RuntimeName>(), Err(RuntimeNameError), "{bad:?}");
        }
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(name("python3.13").rank() > name("python3.9").rank());
        assert_eq!((name("python3.9.1").rank(), name("javascript").rank()), ([3, 9, 1], [0; 3]));
        let stored = serde_json::to_string(&name("python3.9")).unwrap();
        assert_eq!((stored.as_str(), serde_json::from_str::<RuntimeName>("\"x\"").ok()), ("\"python3.9\"", None));
    }
}
