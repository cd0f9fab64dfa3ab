//! Conversion of a function's return value to the bytes of its output or error.

use crate::{IntoError, glue::Reply};

/// Return type of a function. `Kind` is that of the error (see [`IntoError`]), or `()` without one; it is always
/// inferred.
#[diagnostic::on_unimplemented(
    message = "a function cannot return `{Self}`",
    label = "not an output type",
    note = "a function returns `Vec<u8>`, `&[u8]`, `String`, `&str` or `()`, or a `Result` of one of them and an error",
    note = "with the feature `json` it also returns `Json<T>`, where `T` implements `serde::Serialize`"
)]
pub trait IntoOutput<Kind> {
    /// Returns the output or the error as bytes.
    fn into_output(self) -> Reply;
}

impl IntoOutput<()> for () {
    fn into_output(self) -> Reply {
        Ok(Vec::new())
    }
}

impl IntoOutput<()> for Vec<u8> {
    fn into_output(self) -> Reply {
        Ok(self)
    }
}

impl IntoOutput<()> for &[u8] {
    fn into_output(self) -> Reply {
        Ok(self.to_vec())
    }
}

impl IntoOutput<()> for String {
    fn into_output(self) -> Reply {
        Ok(self.into_bytes())
    }
}

impl IntoOutput<()> for &str {
    fn into_output(self) -> Reply {
        Ok(self.as_bytes().to_vec())
    }
}

impl<T: IntoOutput<()>, E: IntoError<Kind>, Kind> IntoOutput<Kind> for Result<T, E> {
    fn into_output(self) -> Reply {
        match self {
            Ok(value) => value.into_output(),
            Err(error) => Err(error.into_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_output() {
        assert_eq!(().into_output(), Ok(vec![]));
        assert_eq!("so".into_output(), Ok(b"so".to_vec()));
        assert_eq!(String::from("so").into_output(), Ok(b"so".to_vec()));
        assert_eq!(b"\xff".as_slice().into_output(), Ok(b"\xff".to_vec()));
        assert_eq!(vec![0xff].into_output(), Ok(b"\xff".to_vec()));
        assert_eq!(Ok::<_, String>("so").into_output(), Ok(b"so".to_vec()));
    }

    #[test]
    fn errors_are_errors() {
        assert_eq!(Err::<(), _>("no").into_output(), Err(b"no".to_vec()));
        assert_eq!(Err::<(), _>(b"\xff".to_vec()).into_output(), Err(b"\xff".to_vec()));
    }
}
