//! The function's secrets: tokens and keys that the host keeps encrypted and shows to nobody but the function. Needs the
//! grant `secrets`.

use std::fmt;

use crate::{Refusal, host};

/// A secret. Printing it for debugging does not show it; what a function logs or returns of it is seen by others.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret itself, as text.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] where it is none.
    pub fn expose_str(&self) -> Result<&str, Refusal> {
        std::str::from_utf8(&self.0).map_err(|_| Refusal::Invalid)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret; `None` where none of this name is set.
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
/// Why the host gives none.
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
