//! Replacement of the host in native tests: a test supplies what the function reads and examines what it wrote. All
//! state belongs to the test's thread.
//!
//! | call of a function | call of a test |
//! |---|---|
//! | [`config::get`](crate::config::get), [`secrets::get`](crate::secrets::get) | [`config`], [`secret`] |
//! | [`kv`](crate::kv) | the same calls before and after; [`advance`] expires entries |
//! | [`http`](mod@crate::http) | [`http`] registers responses, [`requests`] returns the requests sent |
//! | any of them | [`refuse`] makes them fail |
//!
//! Test threads may be reused, so a test that requires an empty host begins with [`reset`].

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
    /// Refusal of every call, if set.
    refusal: Option<Refusal>,
    /// Result of the last call.
    answer: Vec<u8>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

fn with<T>(act: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(act)
}

/// Removes all settings, entries and requests.
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

/// Advances the clock for times to live.
pub fn advance(time: Duration) {
    with(|host| host.kv.advance(time));
}

/// Makes every later call fail with this refusal; `None` ends that.
pub fn refuse(refusal: Option<Refusal>) {
    with(|host| host.refusal = refusal);
}

/// Registers a response to requests with this method and URL. Several responses are used in turn, and the last one
/// repeatedly. A request without one is refused as not granted.
pub fn http(method: &str, url: &str, reply: impl Into<Reply>) {
    with(|host| host.web.register(method, url, reply.into()));
}

/// Returns the requests sent by the function, whether answered or not, oldest first.
pub fn requests() -> Vec<Request> {
    with(|host| host.web.requests().to_vec())
}
