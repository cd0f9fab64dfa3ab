//! Languages in which projects are written, and what sets one apart from another.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Language of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Rust, with the SDK
    Rust,
    /// Go
    Go,
    /// C
    C,
    /// Zig
    Zig,
    /// AssemblyScript
    #[value(name = "assemblyscript")]
    AssemblyScript,
}

impl Language {
    /// All languages.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::C, Self::Zig, Self::AssemblyScript];

    /// Returns the word used in files and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::C => "c",
            Self::Zig => "zig",
            Self::AssemblyScript => "assemblyscript",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_one_word_everywhere() {
        for language in Language::ALL {
            let word = language.as_str();
            assert_eq!(Language::from_str(word, false), Ok(language));
            assert_eq!(serde_json::to_string(&language).unwrap(), format!("{word:?}"));
        }
    }
}
