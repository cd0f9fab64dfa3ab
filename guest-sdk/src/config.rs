//! Configuration of the function: values that its operator sets without rebuilding it. Requires the grant `config`.
//!
//! ```
//! use fusebox_guest::{Refusal, config, fake};
//!
//! fn greeting() -> Result<String, Refusal> {
//!     Ok(config::get("greeting")?.unwrap_or_else(|| "Hello".to_owned()))
//! }
//!
//! // A test sets values with the fake instead of `fusebox config`.
//! fake::config("greeting", "Servus");
//! assert_eq!(greeting(), Ok("Servus".to_owned()));
//! ```

use crate::{Refusal, host};

/// Returns a value as text; `None` if it is not set.
///
/// # Errors
/// Returns [`Refusal::Invalid`] if the value is not text, or the host's refusal.
pub fn get(name: &str) -> Result<Option<String>, Refusal> {
    get_bytes(name)?.map(|bytes| String::from_utf8(bytes).map_err(|_| Refusal::Invalid)).transpose()
}

/// Returns a value as bytes; `None` if it is not set.
///
/// # Errors
/// Returns the host's refusal.
pub fn get_bytes(name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    host::bytes(host::config(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn a_value_is_there_once_it_is_set() {
        fake::reset();
        assert_eq!(get("url"), Ok(None));
        fake::config("url", "https://example.com");
        assert_eq!(get("url"), Ok(Some("https://example.com".to_owned())));
        fake::config("raw", b"\xff");
        assert_eq!((get("raw"), get_bytes("raw")), (Err(Refusal::Invalid), Ok(Some(vec![0xff]))));
        assert_eq!(get("no name"), Err(Refusal::Invalid));
        fake::refuse(Some(Refusal::NotAllowed));
        assert_eq!(get("url"), Err(Refusal::NotAllowed));
    }
}
