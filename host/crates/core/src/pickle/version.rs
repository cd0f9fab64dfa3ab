//! Minor versions of Python, and sets of them.

use core::{fmt, str::FromStr};

/// Oldest minor version whose bytecode is known here.
const OLDEST: u8 = 8;

/// Minor version of Python 3, such as `3.11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PythonVersion(u8);

impl PythonVersion {
    /// Returns Python 3 of this minor version.
    #[must_use]
    pub const fn new(minor: u8) -> Self {
        Self(minor)
    }

    /// Returns its minor version.
    #[must_use]
    pub const fn minor(self) -> u8 {
        self.0
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

/// Error of a text that names no Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version of Python is written as 3.11")]
pub struct NoPython;

impl FromStr for PythonVersion {
    type Err = NoPython;

    fn from_str(text: &str) -> Result<Self, NoPython> {
        let minor = text.strip_prefix("3.").filter(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()));
        let minor = minor.and_then(|minor| minor.parse().ok()).ok_or(NoPython)?;
        if text == alloc::format!("3.{minor}") { Ok(Self(minor)) } else { Err(NoPython) }
    }
}

/// Set of versions of Python, from 3.8 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions(u32);

/// Number of versions that a set can have.
const BITS: u8 = 32;

impl Versions {
    /// Returns the set with one more version. One that is older than 3.8 or newer than 3.39 is left out.
    #[must_use]
    pub const fn with(self, version: PythonVersion) -> Self {
        match version.0.checked_sub(OLDEST) {
            Some(bit) if bit < BITS => Self(self.0 | 1 << bit),
            _ => self,
        }
    }

    /// Returns the versions that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns true if the version is in the set.
    #[must_use]
    pub const fn contains(self, version: PythonVersion) -> bool {
        self.and(Self(0).with(version)).0 != 0
    }

    /// Returns true if no version is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the versions in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = PythonVersion> {
        (0..BITS).filter(move |bit| self.0 >> bit & 1 == 1).map(|bit| PythonVersion(OLDEST + bit))
    }
}

impl FromIterator<PythonVersion> for Versions {
    fn from_iter<T: IntoIterator<Item = PythonVersion>>(versions: T) -> Self {
        versions.into_iter().fold(Self::default(), Self::with)
    }
}

/// As in "3.11 or 3.12"; nothing for an empty set.
impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.iter().count();
        for (place, version) in (1..).zip(self.iter()) {
            let between = match count - place {
                0 => "",
                1 => " or ",
                _ => ", ",
            };
            write!(f, "{version}{between}")?;
        }
        Ok(())
    }
}
