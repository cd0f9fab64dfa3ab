//! Versions of Python that a script is written for, as `requires-python` states them (PEP 440).

use std::{fmt, str::FromStr};

use fusebox_core::runtime::{Language, RuntimeName};
use pep440_rs::{Version, VersionSpecifiers};

/// Length of a requirement.
const BYTES_MAX: usize = 200;

/// Requirement such as `>=3.11,<3.13`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement(VersionSpecifiers);

/// Error of parsing a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("versions of Python are required by comparisons such as >=3.11 or >=3.11,<3.13")]
pub struct RequirementError;

impl Requirement {
    /// Returns whether a runtime is of one of these versions. Its name has no patch version, so it counts as the last one
    /// of its minor version.
    #[must_use]
    pub fn allows(&self, runtime: &RuntimeName) -> bool {
        let [major, minor, _] = runtime.rank().map(u64::from);
        runtime.language() == Language::Python && self.0.contains(&Version::new([major, minor, LAST_PATCH]))
    }
}

/// Patch version above all that there are.
const LAST_PATCH: u64 = 999;

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        match text.parse() {
            Ok(specifiers) if text.len() <= BYTES_MAX => Ok(Self(specifiers)),
            _ => Err(RequirementError),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_allows_minor_versions() {
        let runtime: RuntimeName = "python3.11".parse().unwrap();
        for (text, allows) in [
            (">=3.11", true),
            (">=3.11.4", true),
            ("==3.11.*", true),
            ("~=3.10", true),
            (">=3.8,!=3.11.*", false),
            ("<3.11", false),
            (">=3.12", false),
        ] {
            assert_eq!(text.parse::<Requirement>().unwrap().allows(&runtime), allows, "{text}");
        }
        assert!(!">=3".parse::<Requirement>().unwrap().allows(&"javascript".parse().unwrap()));
        let long = format!(">=3{}", ",>=3".repeat(BYTES_MAX));
        for bad in ["3.11", "python", ">=", "^3.11", &long] {
            assert_eq!(bad.parse::<Requirement>(), Err(RequirementError), "{bad}");
        }
    }
}
