//! Conversion of a call's bytes to a function's argument.

use std::str::Utf8Error;

/// Argument type of a function.
#[diagnostic::on_unimplemented(
    message = "a function cannot take `{Self}`",
    label = "not an input type",
    note = "a function takes no argument, or one of `&[u8]`, `Vec<u8>`, `&str`, `String`, `()`",
    note = "with the feature `json` it also takes `Json<T>`, where `T` implements `serde::Deserialize`"
)]
pub trait FromInput<'a>: Sized {
    /// Converts the bytes, or returns an error that describes them to the caller. The bytes can be borrowed or taken,
    /// since they are not used afterwards.
    fn from_input(input: &'a mut Vec<u8>) -> Result<Self, Vec<u8>>;
}

/// Ignores the bytes.
impl FromInput<'_> for () {
    fn from_input(_: &mut Vec<u8>) -> Result<Self, Vec<u8>> {
        Ok(())
    }
}

impl<'a> FromInput<'a> for &'a [u8] {
    fn from_input(input: &'a mut Vec<u8>) -> Result<Self, Vec<u8>> {
        Ok(input)
    }
}

impl FromInput<'_> for Vec<u8> {
    fn from_input(input: &mut Vec<u8>) -> Result<Self, Vec<u8>> {
        Ok(std::mem::take(input))
    }
}

impl<'a> FromInput<'a> for &'a str {
    fn from_input(input: &'a mut Vec<u8>) -> Result<Self, Vec<u8>> {
        std::str::from_utf8(input).map_err(no_utf8)
    }
}

impl FromInput<'_> for String {
    fn from_input(input: &mut Vec<u8>) -> Result<Self, Vec<u8>> {
        Self::from_utf8(std::mem::take(input)).map_err(|error| no_utf8(error.utf8_error()))
    }
}

fn no_utf8(error: Utf8Error) -> Vec<u8> {
    format!("the input is not UTF-8: {error}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(result: Result<T, Vec<u8>>) -> String {
        String::from_utf8(result.err().unwrap()).unwrap()
    }

    #[test]
    fn text_that_is_no_utf8_is_an_error_that_says_so() {
        let expected = "the input is not UTF-8: invalid utf-8 sequence of 1 bytes from index 1";
        assert_eq!(error(<&str>::from_input(&mut b"a\xff".to_vec())), expected);
        assert_eq!(error(String::from_input(&mut b"a\xff".to_vec())), expected);
    }

    #[test]
    fn text_and_bytes_arrive_as_they_are() {
        assert_eq!(<&str>::from_input(&mut b"Ada".to_vec()), Ok("Ada"));
        assert_eq!(String::from_input(&mut b"Ada".to_vec()), Ok("Ada".to_owned()));
        assert_eq!(<&[u8]>::from_input(&mut b"\xff".to_vec()), Ok(b"\xff".as_slice()));
        assert_eq!(Vec::from_input(&mut b"\xff".to_vec()), Ok(b"\xff".to_vec()));
        assert_eq!(<()>::from_input(&mut b"\xff".to_vec()), Ok(()));
    }

    #[test]
    fn owned_input_is_not_copied() {
        let mut input = b"Ada".to_vec();
        let at = input.as_ptr();
        let owned = Vec::from_input(&mut input).unwrap();
        assert_eq!(owned.as_ptr(), at);
    }
}
