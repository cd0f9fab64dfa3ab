//! JSON as input, output and error.

use serde::{Deserialize, Serialize};

use crate::{FromInput, IntoError, IntoOutput, error::Bytes, glue::Reply};

/// A value passed as JSON.
///
/// ```
/// use fusebox_guest::Json;
///
/// #[fusebox_guest::function]
/// fn sum(Json(numbers): Json<Vec<i64>>) -> Json<i64> {
///     Json(numbers.iter().sum())
/// }
/// # fn main() { assert_eq!(sum(Json(vec![1, 2])), Json(3)) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<'a, T: Deserialize<'a>> FromInput<'a> for Json<T> {
    fn from_input(input: &'a mut Vec<u8>) -> Result<Self, Vec<u8>> {
        let value = serde_json::from_slice(input);
        value.map(Self).map_err(|error| format!("the input is not the expected JSON: {error}").into())
    }
}

impl<T: Serialize> IntoOutput<()> for Json<T> {
    fn into_output(self) -> Reply {
        serde_json::to_vec(&self.0).map_err(|error| format!("the output cannot be written as JSON: {error}").into())
    }
}

impl<T: Serialize> IntoError<Bytes> for Json<T> {
    fn into_error(self) -> Vec<u8> {
        self.into_output().unwrap_or_else(|error| error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_both_ways() {
        let Json(numbers) = Json::<Vec<u8>>::from_input(&mut b" [1, 2]".to_vec()).unwrap();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(Json(numbers).into_output(), Ok(b"[1,2]".to_vec()));
        assert_eq!(Err::<(), _>(Json(["no"])).into_output(), Err(br#"["no"]"#.to_vec()));
    }

    #[test]
    fn what_is_not_the_expected_json_is_an_error_that_says_where() {
        let error = Json::<Vec<u8>>::from_input(&mut b"[1, true]".to_vec()).unwrap_err();
        let error = String::from_utf8(error).unwrap();
        assert!(error.starts_with("the input is not the expected JSON: invalid type: boolean `true`"), "{error}");
        assert!(error.ends_with("at line 1 column 8"), "{error}");
    }

    #[test]
    fn text_can_be_borrowed() {
        assert_eq!(Json::<&str>::from_input(&mut br#""so""#.to_vec()), Ok(Json("so")));
    }
}
