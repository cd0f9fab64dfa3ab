//! The Fusebox host: everything with I/O. Decisions are in `fusebox-core`, guests run in `fusebox-sandbox`.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`], [`config`], [`environment`], [`commands`] | the command line, its settings file and variables; one file a command |
//! | [`rest`], [`tenancy`] | the REST service; who asks |
//! | [`store`] | functions, tasks and the queue |
//! | [`dispatch`], [`worker`] | from the queue to slots and back; the slots |
//! | [`egress`] | HTTP requests that guests send |
//! | [`helper`] | what a jailed worker has another process do for it |
//! | [`invoke`], [`modules`] | the seams between REST and what runs and compiles |
//! | [`outside`] | what runs ask for, put together |
//! | [`secrets`] | secrets at rest: sealed and opened |
//! | [`client`], [`ui`] | the REST client of the command line; what people see |
//! | [`telemetry`] | logs, metrics, readiness |
//! | [`frames`] | bytes between this program's own processes |
//! | [`text`] | text as other systems write it |
//! | [`clock`], [`random`] | the only readers of time and randomness |
//! | [`skew`], [`loss`] | how far the store's time is from this machine's; whether it has lost what it had |

pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod egress;
pub mod environment;
pub mod frames;
pub mod helper;
pub mod invoke;
pub mod loss;
pub mod modules;
pub mod outside;
pub mod random;
pub mod rest;
pub mod secrets;
pub mod skew;
pub mod store;
pub mod telemetry;
pub mod tenancy;
pub mod text;
pub mod ui;
pub mod worker;
