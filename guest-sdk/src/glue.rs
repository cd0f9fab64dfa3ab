//! Functions called by the expansion of `#[function]`. Not for direct use: they change together with the attribute.

use crate::{FromInput, IntoOutput};

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
