//! Names chosen by people: tenants and functions. Values of these types are validated.

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

/// Error of parsing a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a {what} name must not be empty")]
    Empty {
        /// Kind of name, `tenant` or `function`.
        what: &'static str,
    },
    /// The name is too long.
    #[error("a {what} name has at most {max} characters")]
    TooLong {
        /// Kind of name, `tenant` or `function`.
        what: &'static str,
        /// Maximum number of characters.
        max: usize,
    },
    /// The name contains a character that is not allowed.
    #[error("a {what} name cannot contain {found:?}: {allowed}")]
    BadCharacter {
        /// Kind of name, `tenant` or `function`.
        what: &'static str,
        /// First offending character.
        found: char,
        /// Rule for characters, as a clause of the message.
        allowed: &'static str,
    },
    /// The name is `.` or `..`, which clients remove from a URL's path before they send it (RFC 3986, section 5.2.4).
    #[error("a function cannot be named {0:?}, which URLs cannot contain: choose another name")]
    DotSegment(&'static str),
    /// The name is shaped like a UUID.
    #[error("a function name must not look like a UUID, the form of ids: choose another name")]
    LooksLikeAnId,
}

/// Tenant name: 1 to 64 characters of `a-z`, `0-9`, `-` and `_`. Cheap to clone, since every record carries one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Returns the tenant that every caller belongs to while the host has no API keys.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// Returns the name as text.
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

/// Function name, unique within its tenant: 1 to 128 characters, no control characters, not `.` or `..`, and not shaped
/// like a UUID. Permissive because clients of the Python platform register names such as `<lambda>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName(Arc<str>);

impl FunctionName {
    /// Returns the name as text.
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
            return Err(NameError::BadCharacter { what, found, allowed: "control characters are not allowed" });
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
