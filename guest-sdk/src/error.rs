//! Conversion of a function's error to bytes.

use std::fmt::Display;

/// Error type of a function. `Kind` distinguishes bytes from displayable types, whose blanket implementations would
/// otherwise overlap; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "a function cannot fail with `{Self}`",
    label = "not an error type of a function",
    note = "an error implements `Display`, as every `std::error::Error` does, or is `Vec<u8>`"
)]
pub trait IntoError<Kind> {
    /// Returns the error as bytes, for the caller of the function.
    fn into_error(self) -> Vec<u8>;
}

/// Kind of errors that are displayed.
pub enum Text {}
/// Kind of errors that are bytes.
pub enum Bytes {}

/// Uses the alternate form, in which `anyhow` and similar crates include the causes.
#[diagnostic::do_not_recommend]
impl<E: Display> IntoError<Text> for E {
    fn into_error(self) -> Vec<u8> {
        format!("{self:#}").into_bytes()
    }
}

impl IntoError<Bytes> for Vec<u8> {
    fn into_error(self) -> Vec<u8> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn whatever_displays_is_an_error() {
        let error = || "x".parse::<u8>().unwrap_err();
        let boxed: Box<dyn Error> = error().into();
        assert_eq!(error().into_error(), b"invalid digit found in string");
        assert_eq!(boxed.into_error(), b"invalid digit found in string");
        assert_eq!("no".into_error(), b"no");
        assert_eq!(String::from("no").into_error(), b"no");
    }

    #[test]
    fn bytes_are_an_error_as_they_are() {
        assert_eq!(b"\xff".to_vec().into_error(), b"\xff");
    }
}
