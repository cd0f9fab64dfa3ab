//! Functions of `wasi_unstable`, the draft before preview 1, whose layouts or numbers differ.

use wasmtime::Caller;

use super::{
    UNSTABLE,
    fds::{self, From},
    paths::{self, Path},
    poll::{self, Form},
    stat::{self, Layout},
};
use crate::{
    host::Host,
    metered::{CALL, copied, metered},
};

/// Fuel of any of these calls, as in preview 1.
const WASI: u64 = 5_000;

metered! {
    UNSTABLE;
    "fd_filestat_get"(fd: u32, at: u32) -> i32,
        costs WASI,
        does |caller: &mut Caller<'_, Host>, fd, at| stat::of_fd(caller, fd, at, Layout::Unstable);
    "fd_seek"(fd: u32, offset: i64, from: u32, at: u32) -> i32,
        costs WASI,
        does |caller: &mut Caller<'_, Host>, fd, offset, from, at| fds::seek(caller, fd, offset, whence(from), at);
    "path_filestat_get"(fd: u32, flags: u32, at: u32, len: u32, to: u32) -> i32,
        costs CALL + 2 * WASI + copied(len),
        does |caller: &mut Caller<'_, Host>, fd, flags, at, len, to| {
            paths::stat(caller, Path { fd, at, len }, flags, to, Layout::Unstable)
        };
    "poll_oneoff"(ins: u32, outs: u32, count: u32, count_out: u32) -> i32,
        costs poll::cost(count),
        does |caller: &mut Caller<'_, Host>, ins, outs, count, count_out| {
            poll::poll_oneoff(caller, Form::Unstable, (ins, outs), count, count_out)
        };
}

/// Returns the place that a number of the draft stands for.
const fn whence(number: u32) -> Option<From> {
    match number {
        0 => Some(From::Here),
        1 => Some(From::End),
        2 => Some(From::Start),
        _ => None,
    }
}
