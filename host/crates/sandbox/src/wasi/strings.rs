//! Arguments and environment.

use std::collections::BTreeSet;

use fusebox_core::capability::Capability;
use wasmtime::{Caller, Result};

use super::{
    errno::{Answer, answer},
    guest::guest,
};
use crate::{
    host::Host,
    metered::{CALL, OUTSIDE, charge, copied},
};

/// Lists of texts that a run starts with.
#[derive(Clone, Copy)]
pub(super) enum List {
    /// The program's name, the version's arguments, and the request's.
    Args,
    /// `NAME=VALUE`: the version's variables, the request's, and the function's configuration.
    Env,
}

/// Fuel of a call on texts, which are copied, and of reading the function's configuration.
pub(super) fn cost(caller: &mut Caller<'_, Host>, list: List) -> u64 {
    let host = caller.data();
    let Some(wasi) = &host.wasi else { return 2 * CALL };
    let texts = wasi.texts(list).iter().map(|text| 20 + text.len() as u64 / 4).sum::<u64>();
    let reads = matches!(list, List::Env) && !wasi.has_configuration;
    let reads = reads && host.call.invocation.grants.has(Capability::Config);
    2 * CALL + texts + if reads { OUTSIDE } else { 0 }
}

/// Adds the function's configuration to the environment, when the guest first asks for that. Most guests never do.
fn complete(caller: &mut Caller<'_, Host>, list: List) -> Answer {
    let host = caller.data_mut();
    let env = match (list, host.wasi()?) {
        (List::Env, wasi) if !wasi.has_configuration => &wasi.env,
        _ => return Ok(()),
    };
    let names: BTreeSet<String> =
        env.iter().filter_map(|variable| variable.split_once('=')).map(|(name, _)| name.to_owned()).collect();
    let read = host.configuration(|name| names.contains(name))?;
    let read = read.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    let bytes = read.iter().map(String::len).sum::<usize>();
    let wasi = host.wasi()?;
    wasi.env.extend(read);
    wasi.has_configuration = true;
    Ok(charge(caller, copied(u32::try_from(bytes).unwrap_or(u32::MAX)))?)
}

/// Writes the number of texts, and their size with a zero byte each.
pub(super) fn sizes(caller: &mut Caller<'_, Host>, list: List, count_at: u32, size_at: u32) -> Result<i32> {
    answer(|| {
        complete(caller, list)?;
        let mut guest = guest(caller)?;
        let texts = guest.wasi.texts(list);
        let size: usize = texts.iter().map(|text| text.len() + 1).sum();
        let (count, size) = (u32::try_from(texts.len()), u32::try_from(size));
        guest.put_u32(count_at, count.unwrap_or(u32::MAX))?;
        guest.put_u32(size_at, size.unwrap_or(u32::MAX))
    })
}

/// Writes the texts, each with a zero byte, and their addresses.
pub(super) fn get(caller: &mut Caller<'_, Host>, list: List, pointers: u32, buffer: u32) -> Result<i32> {
    answer(|| {
        complete(caller, list)?;
        let mut guest = guest(caller)?;
        let texts = guest.wasi.texts(list).to_vec();
        let (mut pointer, mut at) = (pointers, buffer);
        for text in texts {
            guest.put_u32(pointer, at)?;
            guest.put(at, text.as_bytes())?;
            let end = at.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
            guest.put(end, &[0])?;
            (pointer, at) = (pointer.saturating_add(4), end.saturating_add(1));
        }
        Ok(())
    })
}
