//! Every type of input, output and error. A module can have one function, so each has its own module here.

#![forbid(unsafe_code)]
#![deny(missing_docs, unused)]

mod nothing {
    #[fusebox_guest::function]
    pub fn nothing() {}
}

mod unit {
    #[fusebox_guest::function]
    pub fn unit((): ()) -> Result<(), &'static str> {
        Ok(())
    }
}

mod bytes {
    #[fusebox_guest::function]
    pub fn bytes(input: &[u8]) -> &[u8] {
        input
    }
}

mod owned_bytes {
    #[fusebox_guest::function]
    pub fn owned_bytes(mut input: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        input.reverse();
        Ok(input)
    }
}

mod text {
    #[fusebox_guest::function]
    pub fn text<'a>(input: &'a str) -> Result<&'a str, String> {
        input.split(' ').next().ok_or_else(|| "no word".to_owned())
    }
}

mod owned_text {
    use std::num::ParseIntError;

    #[fusebox_guest::function]
    pub fn owned_text(input: String) -> Result<String, ParseIntError> {
        Ok((input.parse::<u8>()? / 2).to_string())
    }
}

mod json {
    use std::{collections::BTreeMap, error::Error};

    use fusebox_guest::Json;

    type Numbers = BTreeMap<String, u32>;

    #[fusebox_guest::function]
    pub fn json(Json(numbers): Json<Numbers>) -> Result<Json<Numbers>, Box<dyn Error>> {
        Ok(Json(numbers.into_iter().filter(|(_, number)| number % 2 == 0).collect()))
    }
}

mod json_error {
    use fusebox_guest::Json;

    #[fusebox_guest::function]
    pub fn json_error(_: &str) -> Result<(), Json<Vec<u32>>> {
        Err(Json(vec![1]))
    }
}

fn main() {
    // The functions can still be called directly.
    nothing::nothing();
    assert_eq!(unit::unit(()), Ok(()));
    assert_eq!(bytes::bytes(b"ab"), b"ab");
    assert_eq!(owned_bytes::owned_bytes(vec![1, 2]), Ok(vec![2, 1]));
    assert_eq!(text::text("a b"), Ok("a"));
    assert_eq!(owned_text::owned_text("8".to_owned()), Ok("4".to_owned()));
    let numbers = [("a", 1), ("b", 2)].map(|(name, number)| (name.to_owned(), number));
    assert_eq!(json::json(fusebox_guest::Json(numbers.into())).unwrap().0.len(), 1);
    assert!(json_error::json_error("").is_err());
}
