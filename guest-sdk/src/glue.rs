//! Functions called by the expansion of `#[function]` and `#[http]`. Not for direct use: they change together with the attributes.

use crate::{
    FromInput, IntoOutput,
    http::{self, FromRequest, IntoResponse, Request},
};

#[cfg(target_arch = "wasm32")]
mod abi;

#[cfg(target_arch = "wasm32")]
pub use abi::{Record, handle};

/// Output or error of a function, as bytes.
pub type Reply = Result<Vec<u8>, Vec<u8>>;

/// Converts the input to the argument type of the function.
pub fn input<'a, T: FromInput<'a>>(bytes: &'a mut Vec<u8>) -> Result<T, Vec<u8>> {
    T::from_input(bytes)
}

/// Converts the return value of a function.
pub fn output<T: IntoOutput<Kind>, Kind>(value: T) -> Reply {
    value.into_output()
}

/// Converts a request to the argument type of the function.
pub fn request<T: FromRequest>(bytes: &mut Vec<u8>) -> Result<T, Vec<u8>> {
    let request = Request::parse(std::mem::take(bytes)).ok_or("the input is not an HTTP request")?;
    Ok(T::from_request(request))
}

/// Converts the return value of a function that answers HTTP.
pub fn response<T: IntoResponse<Kind>, Kind>(value: T) -> Reply {
    http::reply(value)
}
