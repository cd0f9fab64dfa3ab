//! The Fusebox host: everything with I/O. Decisions are made in `fusebox-core`; guests run in `fusebox-sandbox`.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | what people type: the commands, their arguments and settings |
//! | [`node`] | the processes, and the wiring of each |
//! | [`rest`], [`tenancy`] | the REST service; callers, tenants and keys |
//! | [`dispatch`], [`worker`] | leasing, assignment and results of tasks; the slots that run them |
//! | [`egress`] | HTTP requests that guests send |
//! | [`helper`] | services that another process provides to a jailed worker |
//! | [`invoke`], [`modules`] | the interfaces between REST and the parts that run and compile functions |
//! | [`wait`] | waits for tasks, woken by the store's hints |
//! | [`host_calls`] | the host calls of runs, combined from their parts |
//! | [`secrets`] | encryption of secrets at rest |
//! | [`telemetry`] | logs, metrics, readiness |
//! | [`frames`] | framing between this program's own processes |
//! | `mapped` | files mapped into memory |
//! | [`text`] | decoding of text from other systems |
//! | [`skew`], [`loss`] | offset between the store's clock and this machine's; detection of a store that lost its data |
//! | [`store_room`] | what happens while the store is nearly full |

// Futures of commands contain those of the REST client, which are nested more than 128 types deep.
#![recursion_limit = "256"]

pub mod cli;
pub mod compilations;
pub mod dispatch;
pub mod egress;
pub mod frames;
pub mod helper;
pub mod host_calls;
pub mod invoke;
pub mod loss;
mod mapped;
pub mod modules;
pub mod node;
pub mod pickles;
pub mod rest;
pub mod scripts;
pub mod secrets;
pub mod skew;
pub mod store_room;
pub mod telemetry;
pub mod tenancy;
pub mod text;
pub mod wait;
pub mod worker;
