//! REST in process: the real router, store and sandbox, without a socket. What needs a double (a store that does not
//! answer, slots that are all busy) is shown here; the main job is shown by the black-box tests.
//!
//! | module | shows |
//! |---|---|
//! | `support`, `no_store` | the router with its parts, and the doubles |
//! | `hand` | runs tasks by hand, since no dispatcher does here |
//! | `document` | the OpenAPI document is complete, and a snapshot |
//! | `problems` | each fault is a problem with its code, status and `Retry-After` |
//! | `bounds` | bodies, pages and waits are bounded |
//! | `shares` | what one tenant takes of a node leaves others, the operator and health their part; a node that closes |
//! | `browsers` | what every answer tells a browser, which pages may read it, and its request's id |
//! | `connections` | over sockets: slow clients are cut off, connections are bounded, TLS with a certificate that changes |
//! | `http2` | over sockets: HTTP/2 with and without TLS, and its bounds |
//! | `raw` | over sockets, in raw bytes: every request is answered, a malformed one with what is wrong |
//! | `crowd` | over sockets: connections of one tenant leave others theirs, health and the operator are answered |
//! | `quotas` | what a tenant may take, set and reached: each refusal says when to try again |
//! | `idempotency` | a request sent again with its key leads to the same task |
//! | `batch` | each item of a batch has its own fate |
//! | `waits` | the end of a task wakes who waits for any or all of many |
//! | `retries` | failed tasks are tried again, one by one and as dead letters |
//! | `events` | a task's changes as a stream |
//! | `settings` | grants, configuration and secrets |
//! | `uploads` | that another tenant has uploaded the same bytes is not told |
//! | `surfaces` | other tenants' tasks look absent; the Python platform's routes; who works |
//! | `keys` | keys as they come and go |
//! | `pages` | every list comes page by page |
//! | `clocks` | the store's clock decides, however wrong a node's is |
//! | `authority` | what a key may do is checked when it is done, after the body has come |
//! | `words` | parameters, headers, codings and names are understood as they were meant, or refused |
//! | `world`, `matrix` | every route meets every kind of caller |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority;
mod batch;
mod bounds;
mod browsers;
mod clocks;
mod connections;
mod crowd;
mod document;
mod events;
mod hand;
mod http2;
mod idempotency;
mod keys;
mod matrix;
mod no_store;
mod pages;
mod problems;
mod quotas;
mod raw;
mod retries;
mod settings;
mod shares;
mod support;
mod surfaces;
mod uploads;
mod waits;
mod words;
mod world;
