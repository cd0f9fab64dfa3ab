//! REST in process: the real router, store and sandbox, without a socket. What needs a double (a store that does not
//! answer, slots that are all busy) is shown here; the main job is shown by the black-box tests.
//!
//! | module | shows |
//! |---|---|
//! | `support` | the router with its parts, and the doubles |
//! | `document` | the OpenAPI document is complete, and a snapshot |
//! | `problems` | each fault is a problem with its code, status and `Retry-After` |
//! | `bounds` | bodies, pages and waits are bounded |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod document;
mod problems;
mod support;
