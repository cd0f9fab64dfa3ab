//! `http(req_ptr, req_len) -> i64`: sends a request to another host; returns the length of the result, or a refusal.
//! Request: `METHOD URL\n`, header lines `name: value\n`, `\n`, body. Result: `STATUS\n`, header lines, `\n`, body.

use fusebox_core::capability::{HostCall, HttpRequest};
use wasmtime::{Caller, Result};

use super::{ask, bounded};
use crate::host::Host;

pub(super) fn http(caller: &mut Caller<'_, Host>, ptr: u32, len: u32) -> Result<i64> {
    let request = bounded::<HttpRequest>(caller, "http", ptr, len, HttpRequest::check)?;
    ask(caller, request.map(HostCall::Http))
}
