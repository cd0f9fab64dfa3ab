//! `http(req_ptr, req_len) -> i64`: a request to another host; the length of the answer, or a refusal. Request:
//! `METHOD URL\n`, header lines `name: value\n`, `\n`, the body. Answer: `STATUS\n`, header lines, `\n`, the body.

use fusebox_core::capability::{Call, HttpRequest};
use wasmtime::{Caller, Linker, Result};

use super::{ask, bounded};
use crate::host::{Host, charge_outside};

pub(super) const NAME: &str = "http";

pub(super) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(super::MODULE, NAME, |mut caller: Caller<'_, Host>, ptr: u32, len: u32| -> Result<i64> {
        charge_outside(&mut caller, len.into())?;
        let request = bounded::<HttpRequest>(&mut caller, NAME, ptr, len, HttpRequest::check)?;
        ask(&mut caller, request.map(Call::Http))
    })?;
    Ok(())
}
