//! What stands in for the host in tests that run natively: each test sets what the function finds, and looks at what it
//! left. All of it belongs to the test's thread.
//!
//! | a function's call | a test's |
//! |---|---|
//! | [`config::get`](crate::config::get), [`secrets::get`](crate::secrets::get) | [`config`], [`secret`] |
//! | [`kv`](crate::kv) | the same calls before and after; [`advance`] lets times to live end |
//! | [`http`](crate::http) | [`http`] registers answers, [`requests`] are what was sent |
//! | any of them | [`refuse`] has the host refuse it |
//!
//! Test threads may be used again: a test that counts on an empty host begins with [`reset`].

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use crate::Refusal;

pub(crate) mod host;
mod kv;
mod web;

pub use web::{Answer, Reply, Request};

#[derive(Default)]
struct Host {
    config: BTreeMap<String, Vec<u8>>,
    secrets: BTreeMap<String, Vec<u8>>,
    kv: kv::Namespace,
    web: web::Web,
    /// What every call is refused with.
    refusal: Option<Refusal>,
    /// Of the last call.
    answer: Vec<u8>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

fn with<T>(act: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(act)
}

/// Forgets everything that was set, stored and sent.
pub fn reset() {
    with(|host| *host = Host::default());
}

/// Sets a configuration value.
pub fn config(name: &str, value: impl Into<Vec<u8>>) {
    with(|host| host.config.insert(name.to_owned(), value.into()));
}

/// Sets a secret.
pub fn secret(name: &str, value: impl Into<Vec<u8>>) {
    with(|host| host.secrets.insert(name.to_owned(), value.into()));
}

/// Moves the clock of times to live on.
pub fn advance(time: Duration) {
    with(|host| host.kv.advance(time));
}

/// Has the host refuse every call from now on; with `None` it no longer does.
pub fn refuse(refusal: Option<Refusal>) {
    with(|host| host.refusal = refusal);
}

/// Registers the answer to requests of this method and URL. Where several are registered they are given in turn, and the
/// last one again and again. A request without one is refused as not granted.
pub fn http(method: &str, url: &str, reply: impl Into<Reply>) {
    with(|host| host.web.register(method, url, reply.into()));
}

/// The requests that the function has sent, answered or not, oldest first.
pub fn requests() -> Vec<Request> {
    with(|host| host.web.requests().to_vec())
}
