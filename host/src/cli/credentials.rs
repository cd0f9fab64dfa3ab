//! An API key on the command line.

use std::fmt;

/// An API key as it was given; shown nowhere.
#[derive(Clone)]
pub struct Credentials(String);

impl Credentials {
    /// The key.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Credentials {
    /// Blanks around it do not count: files end with a line end.
    fn from(text: String) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}
