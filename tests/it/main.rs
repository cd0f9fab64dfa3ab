//! Black-box tests: the real binary, real processes, REST.
//!
//! | module | shows |
//! |---|---|
//! | `main_job` | register, invoke, submit, wait, results and receipts; the seed's routes |
//! | `fuse` | hostile guests end FAILED with their own code, and the host stays up |
//! | `hostile` | the hostile corpus in every mode: contained, in time, neighbours unharmed |
//! | `bad_input` | what is no function is refused with a reason, others unaffected |
//! | `capabilities` | what functions are granted: configuration, secrets, a namespace |
//! | `cli` | the command line, its exit codes, the demo |
//! | `cli_tasks` | batches, failed tasks tried again, changes as they happen, who works |
//! | `cli_around` | environment variables, proxies, a host that restarts, files of other systems, `doctor` |
//! | `bench` | a little of every measurement, and its report |
//! | `chaos` | 40 kills under load by `fusebox chaos`, and a store that it finds out |
//! | `faults` | kill -9 under load, drain, two processes on one store |
//! | `egress` | requests that functions send, and where they may not go |
//! | `examples` | the modules of `examples/` answer |
//! | `artifacts` | who compiles a module for a worker |
//! | `jail`, `isolate` | processes that are locked up, and runs in processes of their own |
//! | `life` | nobody reads the log, hang-ups, a file that is replaced, the first process of a container
//! | `links` | what networks do to the link between a dispatcher and a worker |
//! | `modes` | push and pull: workers of their own processes |
//! | `quotas` | what tenants may have under way, and fairness between them |
//! | `sleepers` | long runs of one tenant beside short ones of another, in every mode |
//! | `tls` | https with a certificate of one's own, renewed while it runs |
//! | `upgrade` | releases side by side, tokens that change, the first key, goodbyes |
//! | `cluster` | REST nodes, dispatchers and workers around a real Redis |
//! | `keys` | API keys and tenants: the first key, revoked ones, no secret in any log |
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
mod egress;
mod examples;
mod faults;
mod fuse;
mod hostile;
mod isolate;
mod jail;
mod keys;
mod life;
mod links;
mod main_job;
mod modes;
mod quotas;
mod sleepers;
mod tls;
mod upgrade;

use fusebox_harness::{Server, ServerOptions};
use tempfile::TempDir;

/// A server on a fresh store, and the directory that holds it.
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
