//! Black-box tests with the real binary, real processes and REST.
//!
//! | module | tests |
//! |---|---|
//! | `main_job` | register, invoke, submit, wait, results and receipts; the Python platform's routes |
//! | `fuse` | hostile guests end as FAILED with their own code, and the host keeps running |
//! | `hostile` | the hostile corpus in every mode: contained, in time, others unaffected |
//! | `bad_input` | invalid modules are refused with a reason, others unaffected |
//! | `capabilities` | granted capabilities: configuration, secrets, a namespace |
//! | `cli` | the command line, its exit codes, the demo |
//! | `cli_tasks` | batches, retries, streams of changes, the list of workers |
//! | `cli_around` | environment variables, proxies, a host that restarts, files from other systems, `doctor` |
//! | `bench` | a small run of every measurement, and its report |
//! | `chaos` | 40 kills under load by `fusebox chaos`, and a store that fails its check |
//! | `faults` | SIGKILL under load, drain, two processes on one store |
//! | `files` | files and scratch of runs in every mode; kinds of modules that a worker does not run |
//! | `egress` | HTTP requests of functions, and forbidden targets |
//! | `endpoints` | functions that answer HTTP, in every mode |
//! | `examples` | results of the modules of `examples/` |
//! | `artifacts` | compilation of modules for workers |
//! | `jail`, `isolate` | jailed processes, and runs in separate processes |
//! | `life` | unread logs, hang-ups, a replaced binary, the first process of a container |
//! | `links` | network faults between a dispatcher and a worker |
//! | `modes` | push and pull: workers in separate processes |
//! | `redis` | a Redis that starts late, refuses, or comes back empty |
//! | `full` | a Redis at its `maxmemory`, and a full disk |
//! | `project` | the author's loop: projects made, built, tested and deployed |
//! | `quotas` | quotas of tenants, and fairness between them |
//! | `scripts` | scripts in every mode, with a stand-in for the runtime of a language |
//! | `pickles` | unmodified clients of the Python platform, around the real runtime of Python |
//! | `sleepers` | long runs of one tenant beside short ones of another, in every mode |
//! | `tls` | https with a custom certificate that is renewed at run time |
//! | `upgrade` | mixed releases, changing tokens, the first key, goodbyes |
//! | `compiling` | a host that is killed while it compiles a version |
//! | `cluster` | REST nodes, dispatchers and workers around a real Redis |
//! | `shards` | the same around three Redis servers without a Cluster |
//! | `keys` | API keys and tenants: the first key, revoked keys, no secret in a log |
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and the kills are counted out loud"
)]

mod artifacts;
mod bad_input;
mod bench;
mod capabilities;
mod chaos;
mod cli;
mod cli_around;
mod cli_tasks;
mod cluster;
mod compiling;
mod egress;
mod endpoints;
mod examples;
mod faults;
mod files;
mod full;
mod fuse;
mod hostile;
mod isolate;
mod jail;
mod keys;
mod life;
mod links;
mod main_job;
mod modes;
mod pickles;
mod project;
mod quotas;
mod redis;
mod scripts;
mod shards;
mod sleepers;
mod tls;
mod upgrade;

use fusebox_harness::{Server, ServerOptions};
use tempfile::TempDir;

/// Returns a server on a new store, and the directory that contains it.
fn server(args: &[&str]) -> (Server, TempDir) {
    let home = tempfile::tempdir().expect("a scratch directory");
    let server = Server::start(options(&home, args)).expect("the server starts");
    (server, home)
}

fn options(home: &TempDir, args: &[&str]) -> ServerOptions {
    ServerOptions {
        binary: env!("CARGO_BIN_EXE_fusebox").into(),
        store: home.path().join("store"),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    }
}
