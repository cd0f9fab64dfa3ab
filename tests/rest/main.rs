//! REST in process: the real router, store and sandbox without a socket. These tests cover what requires test doubles
//! (a store that does not respond, slots that are all busy); the main functionality is covered by the black-box tests.
//!
//! | module | tests |
//! |---|---|
//! | `support`, `no_store`, `slots` | support: the router with its parts, and the doubles |
//! | `hand` | support: runs tasks manually, since there is no dispatcher |
//! | `document` | the OpenAPI document is complete and equals its snapshot |
//! | `problems` | each error is a problem with its code, status and `Retry-After` |
//! | `purge` | ended tasks are deleted on request, and only then |
//! | `bounds` | bodies, pages and waits are limited |
//! | `shares` | one tenant's use of a node leaves room for others, the operator and health checks; closing of a node |
//! | `browsers` | headers for browsers, cross-origin access, and request ids |
//! | `connections` | over sockets: slow clients, limits of connections, TLS with a changing certificate |
//! | `http2` | over sockets: HTTP/2 with and without TLS, and its limits |
//! | `raw` | over sockets, in raw bytes: every request is answered, malformed ones with the reason |
//! | `crowd` | over sockets: connections of one tenant leave room for others, health checks and the operator |
//! | `quotas` | quotas of tenants; each refusal states when to retry |
//! | `stored`, `full` | the quota of stored bytes; a store without room |
//! | `idempotency` | a repeated request with its key leads to the same task |
//! | `batch` | each item of a batch has its own result |
//! | `waits` | the end of a task wakes requests that wait for any or all of several tasks |
//! | `retries` | retries of failed tasks, individually and as dead letters |
//! | `endpoints` | functions that answer HTTP: access, what passes in either direction, hosts of their own |
//! | `events` | changes of a task as a stream |
//! | `find` | tags; filters of the listing and counts; the history of a task |
//! | `jobs` | acts on many tasks |
//! | `waiting` | why tasks are queued |
//! | `settings` | grants, configuration and secrets |
//! | `files` | files of versions, in forms |
//! | `pickles` | pickled functions of the Python platform: registered with the Python that made them, and answered in pickles |
//! | `setup` | arguments, environment and export of versions and runs |
//! | `scripts` | scripts are checked before their registration, and run with their content type and within their grants |
//! | `uploads` | large modules arrive through files; an upload does not reveal that another tenant has the same module |
//! | `compiling` | modules with much code are compiled after their registration, within the tenant's compile time |
//! | `surfaces` | isolation of tenants' tasks; the Python platform's routes; the list of workers |
//! | `keys` | lifecycle of keys |
//! | `tenants` | deletion of tenants |
//! | `pages` | every list is paged |
//! | `clocks` | the store's clock determines times, however wrong a node's is |
//! | `authority` | authorization is checked when an action is performed, after the body has arrived |
//! | `words` | parameters, headers, encodings and names are understood as intended, or refused |
//! | `world`, `matrix` | every route with every kind of caller |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority;
mod batch;
mod bounds;
mod browsers;
mod clocks;
mod compiling;
mod connections;
mod crowd;
mod document;
mod endpoints;
mod events;
mod files;
mod find;
mod full;
mod hand;
mod http2;
mod idempotency;
mod jobs;
mod keys;
mod matrix;
mod no_store;
mod pages;
mod pickles;
mod problems;
mod purge;
mod quotas;
mod raw;
mod retries;
mod scripts;
mod settings;
mod setup;
mod shares;
mod slots;
mod stored;
mod support;
mod surfaces;
mod tenants;
mod uploads;
mod waiting;
mod waits;
mod words;
mod world;
