//! Secrets of the function: tokens and keys that the host stores encrypted and reveals only to the function. Requires
//! the grant `secrets`.

use std::fmt;

use crate::{Refusal, host};

/// A secret. Its debug output hides the value; anything the function logs or returns is visible to others.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Returns the secret as bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret as text.
    ///
    /// # Errors
    /// Returns [`Refusal::Invalid`] if it is not UTF-8.
    pub fn expose_str(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(&self.0).map_err(|_| Refusal::Invalid)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Returns a secret; `None` if it is not set.
///
/// ```
/// use fusebox_guest::{fake, secrets};
///
/// fake::secret("token", "hunter2");
/// let token = secrets::get("token")?.ok_or("set it with `fusebox secrets`")?;
/// assert_eq!(token.expose_str()?, "hunter2");
/// assert_eq!(format!("{token:?}"), "Secret(..)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns the host's refusal.
pub fn get(name: &str) -> Result<Option<Secret>, Refusal> {
    Ok(host::bytes(host::secret(name))?.map(Secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn a_secret_is_no_configuration_value() {
        fake::reset();
        fake::secret("token", b"\xff");
        assert_eq!(crate::config::get_bytes("token"), Ok(None));
        let secret = get("token").unwrap().unwrap();
        assert_eq!((secret.expose(), secret.expose_str()), (b"\xff".as_slice(), Err(Refusal::Invalid)));
        assert_eq!(get("other"), Ok(None));
    }
}
