//! Tests of the runtimes that `make runtimes` builds, each through the sandbox as functions use it.
//!
//! | module | tests |
//! |---|---|
//! | `both` | what both languages must do alike |
//! | `javascript` | modules, packages and globals of JavaScript |
//! | `python` | packages and pickled functions of Python |
//! | `support` | runs of a script, and a double of the host's services |
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod both;
mod javascript;
mod python;
mod support;
