//! Plug-ins for Extism: the functions of `extism:host/env`, which their kits of nine languages import. The names and
//! types are those of its kernel 1.x; the memory behind them is ours, so that every address is checked.
//!
//! A plug-in reads its input from a block of the shared memory, writes its output to another, and names it by
//! `output_set`. Addresses are opaque 64-bit numbers; a function that takes the block of a name, message or request
//! frees it, as Extism does.

use std::collections::BTreeMap;

use bytes::Bytes;
use fusebox_core::outcome::Outcome;
use wasmtime::{Caller, Result};

use crate::{
    ending::Ending,
    host::Host,
    metered::{CALL, OUTSIDE, WORD, copied, logged, metered},
};

mod calls;
mod http;
mod memory;

use memory::Memory;

/// Module name that plug-ins import from.
pub(crate) const MODULE: &str = "extism:host/env";
/// Module name of functions that an embedder of Extism adds of its own; none exist here.
pub(crate) const USER_MODULE: &str = "extism:host/user";

metered! {
    MODULE;
    "alloc"(len: u64) -> u64, costs CALL + copied(word(len)), does calls::alloc;
    "free"(at: u64) -> (), costs CALL, does calls::free;
    "length"(at: u64) -> u64, costs CALL, does calls::length;
    "length_unsafe"(at: u64) -> u64, costs CALL, does calls::length;
    "load_u8"(at: u64) -> u32, costs WORD, does calls::load_u8;
    "load_u64"(at: u64) -> u64, costs WORD, does calls::load_u64;
    "store_u8"(at: u64, value: u32) -> (), costs WORD, does calls::store_u8;
    "store_u64"(at: u64, value: u64) -> (), costs WORD, does calls::store_u64;
    "input_length"() -> u64, costs WORD, does calls::input_length;
    "input_offset"() -> u64, costs WORD, does calls::input_offset;
    "input_load_u8"(at: u64) -> u32, costs WORD, does calls::input_load_u8;
    "input_load_u64"(at: u64) -> u64, costs WORD, does calls::input_load_u64;
    "output_set"(at: u64, len: u64) -> (), costs WORD, does calls::output_set;
    "error_set"(at: u64) -> (), costs WORD, does calls::error_set;
    "error_get"() -> u64, costs WORD, does calls::error_get;
    "config_get"(name: u64) -> u64, costs OUTSIDE, does calls::config_get;
    "var_get"(name: u64) -> u64, costs OUTSIDE, does calls::var_get;
    "var_set"[caller](name: u64, value: u64) -> (), costs OUTSIDE + copied(len(caller, value)), does calls::var_set;
    "http_request"[caller](request: u64, body: u64) -> u64,
        costs OUTSIDE + logged(len(caller, request)) + copied(len(caller, body)),
        does http::request;
    "http_status_code"() -> u32, costs WORD, does http::status_code;
    "http_headers"() -> u64, costs OUTSIDE, does http::headers;
    "log_error"[caller](text: u64) -> (), costs 2 * CALL + logged(len(caller, text)), does calls::log_error;
    "log_warn"[caller](text: u64) -> (), costs 2 * CALL + logged(len(caller, text)), does calls::log_warn;
    "log_info"[caller](text: u64) -> (), costs 2 * CALL + logged(len(caller, text)), does calls::log_info;
    "log_debug"[caller](text: u64) -> (), costs 2 * CALL + logged(len(caller, text)), does calls::log_debug;
    "log_trace"[caller](text: u64) -> (), costs 2 * CALL + logged(len(caller, text)), does calls::log_trace;
    "get_log_level"() -> u32, costs WORD, does calls::get_log_level;
}

/// Bytes of a length that no memory can hold.
fn word(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Returns the length of the block at an address; 0 if there is none.
fn len(caller: &mut Caller<'_, Host>, at: u64) -> u32 {
    word(caller.data().plugin.memory.len(at))
}

/// State of a plug-in's run. Costs nothing for guests of other ABIs.
#[derive(Debug, Default)]
pub(crate) struct Plugin {
    memory: Memory,
    /// Address and length of the input.
    input: (u64, u64),
    /// Address and length of the output.
    output: (u64, u64),
    /// Address of the error's text, 0 for none.
    error: u64,
    /// Variables of a function without the grant `kv`, and their bytes.
    variables: BTreeMap<Vec<u8>, Bytes>,
    variable_bytes: usize,
    /// Status and headers of the last HTTP response.
    status: u32,
    headers: Option<String>,
}

/// Places the input in the shared memory.
///
/// # Errors
/// Fails if the input exceeds the run's memory.
pub(crate) fn give(host: &mut Host, input: &[u8]) -> Result<()> {
    let at = new_block(host, input)?;
    host.plugin.input = (at, input.len() as u64);
    Ok(())
}

/// Returns the outcome of a function that returned this number, from the output and error that it set.
///
/// # Errors
/// Fails if the output is above its limit.
pub(crate) fn outcome(host: &Host, code: i32) -> Result<Outcome, Ending> {
    let plugin = &host.plugin;
    let text = |at, len| Bytes::copy_from_slice(plugin.memory.range(at, len).unwrap_or_default());
    if plugin.error != 0 {
        let most = host.limits.output_bytes.min(plugin.memory.len(plugin.error));
        return Ok(Outcome::GuestError { error: text(plugin.error, most), exit_code: None });
    }
    let (at, len) = plugin.output;
    if len > host.limits.output_bytes {
        return Err(Ending::OutputTooLarge { bytes: len });
    }
    Ok(match code {
        0 => Outcome::Returned(text(at, len)),
        code => Outcome::GuestError { error: text(at, len), exit_code: Some(code) },
    })
}

/// Returns the address of a new block with these bytes, 0 for none.
///
/// # Errors
/// Fails if the bytes exceed the run's memory.
fn new_block(host: &mut Host, bytes: &[u8]) -> Result<u64> {
    let (budget, len) = (host.limiter.budget(), bytes.len() as u64);
    let at = host.plugin.memory.alloc(len, |more| budget.take(more));
    match host.plugin.memory.range_mut(at, len) {
        Some(block) => block.copy_from_slice(bytes),
        None if bytes.is_empty() => {}
        None => return Err(wasmtime::Error::msg("the memory that a plug-in shares with its host is used up")),
    }
    Ok(at)
}
