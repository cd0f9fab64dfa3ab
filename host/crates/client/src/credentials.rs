//! An API key given on the command line.

use std::fmt;

/// API key as given; never printed, not even by `Debug`.
#[derive(Clone)]
pub struct Credentials(String);

impl Credentials {
    /// Returns the key.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Credentials {
    /// Trims white space, since a file's content ends with a newline.
    fn from(text: String) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}
