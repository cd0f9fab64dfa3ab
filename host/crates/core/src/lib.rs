//! Pure decision logic of Fusebox: ids, limits, the task lifecycle, the dispatcher state machine, and the wire
//! messages.
//!
//! The crate is `no_std`, so a clock, a socket, a thread or an environment variable does not compile here. Time and
//! random bytes are arguments.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | machine-generated ids |
//! | [`name`] | names chosen by people: tenants and functions |
//! | [`time`] | [`time::Millis`], the crate's timestamp |
//! | [`limits`] | every bound of the system, with the reason for its value |
//! | [`capability`] | calls that a guest makes to its host, and the grants they require |
//! | [`function`] | function versions and the limits of their runs |
//! | [`http`] | HTTP messages as bytes, the form in which functions exchange them with their host |
//! | [`keep`] | the time for which an ended task is kept |
//! | [`invocation`] | one run of a function, from the lease to the sandbox |
//! | [`task`] | tasks and their states; each state carries only the data valid in it |
//! | [`lifecycle`] | the legal transitions of a task, fenced by attempt number and lease token |
//! | [`outcome`] | the ways a run ends, and its receipt |
//! | [`pickle`] | pickled Python functions, read without executing anything |
//! | [`quota`] | tenant quotas, token buckets and fuel tanks |
//! | [`room`] | the room of a store, and what a tenant may store when it is nearly full |
//! | [`runtime`] | modules of the host that run scripts |
//! | [`error`] | stable error codes |
//! | [`dispatch`] | the dispatcher state machine: events and time go in, effects come out |
//! | [`wire`] | messages between dispatchers and workers |
//!
//! # Example
//! A worker grants credit and a task becomes ready, so the dispatcher requests a lease. It assigns the attempt only after
//! the driver reports that the lease is saved.
//!
//! ```
//! use fusebox_core::dispatch::{Dispatcher, Effect, Event, RequestId, Reserved, UNTIL_SPENT};
//! use fusebox_core::id::{TaskId, WorkerId};
//! use fusebox_core::{name::TenantId, time::Millis};
//!
//! let tenant: TenantId = "team-7".parse()?;
//! let (worker, task) = (WorkerId::from_bytes([1; 16]), TaskId::from_bytes([2; 16]));
//! let mut dispatcher = Dispatcher::new(7);
//! let mut handle = |event, now| {
//!     let mut effects = Vec::new();
//!     dispatcher.handle(event, Millis(now), &mut effects);
//!     effects
//! };
//!
//! handle(Event::CreditGranted { worker, slots: 1, expires_at: UNTIL_SPENT }, 0);
//! let effects = handle(Event::MoreReady { tenant: tenant.clone(), more: 1 }, 1);
//! let request = RequestId(0);
//! assert!(effects.contains(&Effect::Lease { request, tenant, worker, count: 1, extra: false }));
//!
//! let effects = handle(Event::Leased { request, attempts: vec![(task, 1)], reserved: Reserved::default() }, 2);
//! assert!(effects.contains(&Effect::Assign { worker, task, attempt: 1, extra: false }));
//! # Ok::<(), fusebox_core::name::NameError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod capability;
pub mod dispatch;
pub mod error;
pub mod function;
pub mod http;
pub mod id;
pub mod invocation;
pub mod keep;
pub mod lifecycle;
pub mod limits;
pub mod name;
pub mod outcome;
pub mod pickle;
pub mod quota;
pub mod room;
pub mod runtime;
pub mod scope;
pub mod selection;
pub mod setup;
pub mod tags;
pub mod task;
pub mod time;
pub mod waiting;
pub mod wire;
