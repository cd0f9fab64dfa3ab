//! Processes of Fusebox and the wiring of each: arguments in, parts connected, nothing decided.
//!
//! | file | process |
//! |---|---|
//! | `up`, `serve`, `dispatcher`, `worker` | the servers |
//! | `helper`, `egress_proxy`, `slot`, `compile_module` | processes that servers start: for a jailed worker, for runs of one tenant, for a module |
//! | `init` | the first process of a container |
//!
//! The others are parts of several of these: `host` (REST, queue and slots in one process), `dispatching`, `parts`,
//! `checks` (of scripts), `confine` and `jail`, `store`, `web` and `admin` (their ports), `egress`, `signals`.

pub mod admin;
pub mod args;
mod checks;
pub mod compile_module;
pub mod confine;
pub mod dispatcher;
pub mod dispatching;
pub mod egress;
pub mod egress_proxy;
pub mod helper;
pub mod host;
pub mod init;
pub mod jail;
pub mod parts;
pub mod serve;
pub mod signals;
pub mod slot;
pub mod store;
pub mod up;
pub mod web;
pub mod worker;
