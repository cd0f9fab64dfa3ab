//! From a function's error to bytes.

use std::fmt::Display;

/// What a function can fail with. `Kind` lets bytes stand beside everything that can be displayed, two blanket rules
/// that Rust would else hold to overlap; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "a function cannot fail with `{Self}`",
    label = "this is no error of a function",
    note = "it fails with what implements `Display`, such as every `std::error::Error`, or with `Vec<u8>`"
)]
pub trait IntoError<Kind> {
    /// The error as bytes, for whoever called the function.
    fn into_error(self) -> Vec<u8>;
}

/// The kind of errors that are displayed.
pub enum Text {}
/// The kind of errors that are bytes already.
pub enum Bytes {}

/// In the alternate form, which in `anyhow` and its like shows the causes as well.
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
