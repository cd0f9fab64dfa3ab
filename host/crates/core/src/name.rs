//! Names chosen by people: tenants and functions. A value of these types has been checked.

use alloc::{
    string::{String, ToString},
    sync::Arc,
};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    id::is_uuid_shaped,
    limits::{FUNCTION_NAME_CHARS_MAX, TENANT_NAME_BYTES_MAX},
};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character at all.
    #[error("a {what} name must not be empty")]
    Empty {
        /// What was to be named.
        what: &'static str,
    },
    /// Too long.
    #[error("a {what} name has at most {max} characters")]
    TooLong {
        /// What was to be named.
        what: &'static str,
        /// The most characters it may have.
        max: usize,
    },
    /// A character that a name cannot have.
    #[error("a {what} name cannot contain {found:?}: {allowed}")]
    BadCharacter {
        /// What was to be named.
        what: &'static str,
        /// The offending character.
        found: char,
        /// What is allowed, as a sentence part.
        allowed: &'static str,
    },
    /// A path segment of this text means another place (RFC 3986, 5.2.4), and clients leave it out before they send.
    #[error("a function cannot be named {0:?}: no URL can carry it; choose another name")]
    DotSegment(&'static str),
    /// Looks like an id.
    #[error("a function name must not look like a UUID, because ids do: choose another name")]
    LooksLikeAnId,
}

/// A tenant's name: 1 to 64 of `a-z`, `0-9`, `-`, `_`. Cheap to clone, since every record carries one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant of everyone where no keys are configured.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let what = "tenant";
        if text.is_empty() {
            return Err(NameError::Empty { what });
        }
        if text.len() > TENANT_NAME_BYTES_MAX {
            return Err(NameError::TooLong { what, max: TENANT_NAME_BYTES_MAX });
        }
        let allowed = "use a-z, 0-9, - and _";
        match text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')) {
            Some(found) => Err(NameError::BadCharacter { what, found, allowed }),
            None => Ok(Self(Arc::from(text))),
        }
    }
}

/// A function's name, unique within its tenant: 1 to 128 characters, none of them a control character, neither `.` nor
/// `..`, and not shaped like a UUID. Wide on purpose: clients of the Python platform register names such as `<lambda>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName(Arc<str>);

impl FunctionName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FunctionName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let what = "function";
        if text.trim().is_empty() {
            return Err(NameError::Empty { what });
        }
        if text.chars().count() > FUNCTION_NAME_CHARS_MAX {
            return Err(NameError::TooLong { what, max: FUNCTION_NAME_CHARS_MAX });
        }
        if let Some(found) = text.chars().find(|c| c.is_control()) {
            return Err(NameError::BadCharacter { what, found, allowed: "control characters are refused" });
        }
        if let Some(dots) = [".", ".."].into_iter().find(|dots| *dots == text) {
            return Err(NameError::DotSegment(dots));
        }
        if is_uuid_shaped(text) {
            return Err(NameError::LooksLikeAnId);
        }
        Ok(Self(Arc::from(text)))
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error: NameError| D::Error::custom(error.to_string()))
            }
        }
    };
}
text_form!(TenantId);
text_form!(FunctionName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_names_are_narrow() {
        assert!("team-7_eu".parse::<TenantId>().is_ok());
        for bad in ["", "Team", "a b", "a/b", "a:b", &"x".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn function_names_are_wide_but_never_ids() {
        for good in ["hello", "<lambda>", "mon café", "a/b", "...", ".f", "a/..", "%2e", &"é".repeat(128)] {
            assert!(good.parse::<FunctionName>().is_ok(), "{good:?}");
        }
        for bad in ["", "  ", "a\nb", "a\0", &"x".repeat(129)] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad:?}");
        }
        assert_eq!(".".parse::<FunctionName>(), Err(NameError::DotSegment(".")));
        assert_eq!("..".parse::<FunctionName>(), Err(NameError::DotSegment("..")));
        let id = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
        assert_eq!(id.parse::<FunctionName>(), Err(NameError::LooksLikeAnId));
        assert_eq!(id.replace('-', "").parse::<FunctionName>(), Err(NameError::LooksLikeAnId));
    }
}
