//! SDK for writing Fusebox functions in Rust.
//!
//! ```
//! #[fusebox_guest::function]
//! fn hello(name: &str) -> String {
//!     format!("Hello, {name}!")
//! }
//! # fn main() { assert_eq!(hello("Ada"), "Hello, Ada!") }
//! ```
//!
//! A crate contains one such function, or one that answers HTTP requests with [`#[http]`](macro@http), has `crate-type = ["cdylib"]`, and is built for `wasm32-unknown-unknown`. The
//! attribute leaves the function unchanged and adds the code that the host calls, so the function can also be called
//! and tested natively.
//!
//! | item | description |
//! |---|---|
//! | input | none, or one of `&[u8]`, `Vec<u8>`, `&str`, `String`, `()`, `Json<T>` with the feature `json` |
//! | output | one of these types, or a `Result` of one and an error |
//! | error | any type that implements [`Display`](std::fmt::Display), `Vec<u8>`, or `Json<E>` |
//! | panic | reported as an error: its message, with file and line |
//! | [`log`] | writes to the run's log; [`log::set_max_level`] changes the level kept, by default `Debug` and above |
//! | [`context()`] | task, attempt, tenant and deadline of the current call |
//! | [`clock`], [`random`] | current time, and unpredictable bytes |
//! | [`config`], [`secrets`], [`kv`], [`mod@http`] | capabilities that require a grant: `fusebox deploy --grant kv` |
//! | [`Refusal`] | reason for which the host refused such a call |
//!
//! Every run has its own instance and handles a single call. Memory need not be freed for later calls, and statics are
//! lost at the end of the run.
//!
//! | module | holds |
//! |---|---|
//! | `input`, `output`, `error`, `json` | conversion of bytes to arguments, and of results to bytes |
//! | `glue` | functions called by `#[function]` and `#[http]`; only `glue/abi.rs` depends on the host's core ABI |
//! | `clock`, `context`, `fail`, `logger`, `random` | one host capability each, with its native counterpart |
//! | `config`, `secrets`, `kv`, `http` | one granted capability each; `host` holds their imports |
//! | `fake` | native counterparts of these, for tests |
//! | `panic` | hook that reports panics |
//! | `arena` | allocator, with the feature `arena` (enabled by default) |

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

pub use fusebox_guest_macros::{function, http};
pub use log;

pub use context::{Context, context};
pub use error::IntoError;
pub use input::FromInput;
#[cfg(feature = "json")]
pub use json::Json;
pub use output::IntoOutput;
pub use refusal::Refusal;
