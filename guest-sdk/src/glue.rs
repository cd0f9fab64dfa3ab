//! What the expansion of `#[function]` calls. Not for use by hand: it changes together with the attribute.

use crate::{FromInput, IntoOutput};

#[cfg(target_arch = "wasm32")]
mod abi;

#[cfg(target_arch = "wasm32")]
pub use abi::{Record, handle};

/// A function's output, or its error, as bytes.
pub type Reply = Result<Vec<u8>, Vec<u8>>;

/// The argument, of the type that the function it is handed to takes.
pub fn input<'a, T: FromInput<'a>>(bytes: &'a mut Vec<u8>) -> Result<T, Vec<u8>> {
    T::from_input(bytes)
}

/// What the function returned.
pub fn output<T: IntoOutput<Kind>, Kind>(value: T) -> Reply {
    value.into_output()
}
