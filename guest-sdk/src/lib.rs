//! Write functions for Fusebox in Rust.
//!
//! ```
//! #[fusebox_guest::function]
//! fn hello(name: &str) -> String {
//!     format!("Hello, {name}!")
//! }
//! # fn main() { assert_eq!(hello("Ada"), "Hello, Ada!") }
//! ```
//!
//! A crate with one such function, of `crate-type = ["cdylib"]`, is built for `wasm32-unknown-unknown`. The attribute
//! leaves the function as it is and adds what the host calls, so that it can be called and tested natively too.
//!
//! | what | is |
//! |---|---|
//! | the input | none, or one of `&[u8]`, `Vec<u8>`, `&str`, `String`, `()`, `Json<T>` with the feature `json` |
//! | the output | one of these, or a `Result` of one and an error |
//! | an error | anything that implements [`Display`](std::fmt::Display), or `Vec<u8>`, or `Json<E>` |
//! | a panic | an error as well: its message, with file and line |
//! | [`log`] | writes to the run's log; [`log::set_max_level`] changes what is kept, which is `Debug` and above |
//! | [`context()`] | which task and attempt this is, for whom, and until when |
//! | [`clock`], [`random`] | the time, and unpredictable bytes |
//! | [`config`], [`secrets`], [`kv`], [`http`] | what a function does only by a grant: `fusebox deploy --grant kv` |
//! | [`Refusal`] | why the host did not do what such a call asked for |
//!
//! Every run has an instance of its own and one call. So nothing is freed for the sake of a next call, and what is kept
//! in a static is gone with the run.
//!
//! | module | holds |
//! |---|---|
//! | `input`, `output`, `error`, `json` | how bytes become a function's argument, and its value or error bytes again |
//! | `glue` | what `#[function]` calls; `glue/abi.rs` is the one place that follows the host's core ABI |
//! | `clock`, `context`, `fail`, `logger`, `random` | one host capability each, and what stands in for it natively |
//! | `config`, `secrets`, `kv`, `http` | one capability each that is granted; `host` has their imports |
//! | `fake` | what answers to these natively, for tests |
//! | `panic` | the hook that reports a panic |
//! | `arena` | the allocator, with the feature `arena`, which is on unless it is turned off |

#[cfg(all(feature = "arena", any(target_arch = "wasm32", test)))]
mod arena;
pub mod clock;
pub mod config;
mod context;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
#[doc(hidden)]
pub mod glue;
mod host;
pub mod http;
mod input;
#[cfg(feature = "json")]
mod json;
pub mod kv;
mod output;
pub mod random;
mod refusal;
pub mod secrets;

#[cfg(target_arch = "wasm32")]
mod fail;
#[cfg(target_arch = "wasm32")]
mod logger;
#[cfg(target_arch = "wasm32")]
mod panic;

pub use fusebox_guest_macros::function;
pub use log;

pub use context::{Context, context};
pub use error::IntoError;
pub use input::FromInput;
#[cfg(feature = "json")]
pub use json::Json;
pub use output::IntoOutput;
pub use refusal::Refusal;
