//! Functions of preview 1, each with its cost in fuel. All but three are the engine's, called after the charge.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasmtime::{Caller, Extern, Result};
use wasmtime_wasi::{
    I32Exit, WasiCtxBuilder,
    p1::{
        WasiP1Ctx,
        wasi_snapshot_preview1::{self as engines, WasiSnapshotPreview1 as _},
    },
    runtime::in_tokio,
};
use wiggle::GuestMemory;

use super::{MODULE, RANDOM_BYTES_MAX, poll};
use crate::{
    host::Host,
    metered::{CALL, copied, drawn, logged, metered, vectors},
};

/// Calls a synchronous function of the engine.
macro_rules! now {
    ($name:ident($($argument:ident),*)) => {
        |caller: &mut Caller<'_, Host>, $($argument),*| {
            let (context, mut memory) = parts(caller)?;
            engines::$name(context, &mut memory, $($argument),*)
        }
    };
}

/// Calls an asynchronous function of the engine. It never waits here, since streams are buffers.
macro_rules! soon {
    ($name:ident($($argument:ident),*)) => {
        |caller: &mut Caller<'_, Host>, $($argument),*| {
            let (context, mut memory) = parts(caller)?;
            at_once(engines::$name(context, &mut memory, $($argument),*))
        }
    };
}

metered! {
    MODULE;
    "args_get"(a: i32, b: i32) -> i32, costs WASI, does now!(args_get(a, b));
    "args_sizes_get"(a: i32, b: i32) -> i32, costs WASI, does now!(args_sizes_get(a, b));
    "environ_get"(a: i32, b: i32) -> i32, costs WASI, does now!(environ_get(a, b));
    "environ_sizes_get"(a: i32, b: i32) -> i32, costs WASI, does now!(environ_sizes_get(a, b));
    "clock_res_get"(a: i32, b: i32) -> i32, costs WASI, does now!(clock_res_get(a, b));
    "clock_time_get"(a: i32, b: i64, c: i32) -> i32, costs WASI, does now!(clock_time_get(a, b, c));
    "fd_advise"(a: i32, b: i64, c: i64, d: i32) -> i32, costs WASI, does soon!(fd_advise(a, b, c, d));
    "fd_allocate"(a: i32, b: i64, c: i64) -> i32, costs WASI, does now!(fd_allocate(a, b, c));
    "fd_close"(a: i32) -> i32, costs WASI, does soon!(fd_close(a));
    "fd_datasync"(a: i32) -> i32, costs WASI, does soon!(fd_datasync(a));
    "fd_fdstat_get"(a: i32, b: i32) -> i32, costs WASI, does soon!(fd_fdstat_get(a, b));
    "fd_fdstat_set_flags"(a: i32, b: i32) -> i32, costs WASI, does now!(fd_fdstat_set_flags(a, b));
    "fd_fdstat_set_rights"(a: i32, b: i64, c: i64) -> i32, costs WASI, does now!(fd_fdstat_set_rights(a, b, c));
    "fd_filestat_get"(a: i32, b: i32) -> i32, costs WASI, does soon!(fd_filestat_get(a, b));
    "fd_filestat_set_size"(a: i32, b: i64) -> i32, costs WASI, does soon!(fd_filestat_set_size(a, b));
    "fd_filestat_set_times"(a: i32, b: i64, c: i64, d: i32) -> i32,
        costs WASI,
        does soon!(fd_filestat_set_times(a, b, c, d));
    "fd_pread"[caller](a: i32, b: i32, c: i32, d: i64, e: i32) -> i32,
        costs WASI + CALL + vectors(copied, caller, b, c),
        does soon!(fd_pread(a, b, c, d, e));
    "fd_prestat_get"(a: i32, b: i32) -> i32, costs WASI, does now!(fd_prestat_get(a, b));
    "fd_prestat_dir_name"(a: i32, b: i32, c: i32) -> i32, costs WASI, does now!(fd_prestat_dir_name(a, b, c));
    "fd_pwrite"[caller](a: i32, b: i32, c: i32, d: i64, e: i32) -> i32,
        costs WASI + CALL + vectors(logged, caller, b, c),
        does soon!(fd_pwrite(a, b, c, d, e));
    "fd_read"[caller](a: i32, b: i32, c: i32, d: i32) -> i32,
        costs WASI + CALL + vectors(copied, caller, b, c),
        does soon!(fd_read(a, b, c, d));
    "fd_readdir"(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32, costs WASI, does soon!(fd_readdir(a, b, c, d, e));
    "fd_renumber"(a: i32, b: i32) -> i32, costs WASI, does soon!(fd_renumber(a, b));
    "fd_seek"(a: i32, b: i64, c: i32, d: i32) -> i32, costs WASI, does soon!(fd_seek(a, b, c, d));
    "fd_sync"(a: i32) -> i32, costs WASI, does soon!(fd_sync(a));
    "fd_tell"(a: i32, b: i32) -> i32, costs WASI, does now!(fd_tell(a, b));
    "fd_write"[caller](a: i32, b: i32, c: i32, d: i32) -> i32,
        costs WASI + CALL + vectors(logged, caller, b, c),
        does soon!(fd_write(a, b, c, d));
    "path_create_directory"(a: i32, b: i32, len: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_create_directory(a, b, len));
    "path_filestat_get"(a: i32, b: i32, c: i32, len: i32, e: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_filestat_get(a, b, c, len, e));
    "path_filestat_set_times"(a: i32, b: i32, c: i32, len: i32, e: i64, f: i64, g: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_filestat_set_times(a, b, c, len, e, f, g));
    "path_link"(a: i32, b: i32, c: i32, len: i32, e: i32, f: i32, other_len: i32) -> i32,
        costs WASI + path(len) + path(other_len),
        does soon!(path_link(a, b, c, len, e, f, other_len));
    "path_open"(a: i32, b: i32, c: i32, len: i32, e: i32, f: i64, g: i64, h: i32, i: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_open(a, b, c, len, e, f, g, h, i));
    "path_readlink"(a: i32, b: i32, len: i32, d: i32, e: i32, f: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_readlink(a, b, len, d, e, f));
    "path_remove_directory"(a: i32, b: i32, len: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_remove_directory(a, b, len));
    "path_rename"(a: i32, b: i32, len: i32, d: i32, e: i32, other_len: i32) -> i32,
        costs WASI + path(len) + path(other_len),
        does soon!(path_rename(a, b, len, d, e, other_len));
    "path_symlink"(a: i32, len: i32, c: i32, d: i32, other_len: i32) -> i32,
        costs WASI + path(len) + path(other_len),
        does soon!(path_symlink(a, len, c, d, other_len));
    "path_unlink_file"(a: i32, b: i32, len: i32) -> i32,
        costs WASI + path(len),
        does soon!(path_unlink_file(a, b, len));
    "poll_oneoff"(ins: u32, outs: u32, count: u32, count_out: u32) -> u32,
        costs poll::cost(count),
        does poll::poll_oneoff;
    // The engine's version rejects codes of 126 and above as errors of the embedder.
    "proc_exit"(code: i32) -> (), costs CALL, does |_: &mut Caller<'_, Host>, code| Err(I32Exit(code).into());
    "proc_raise"(a: i32) -> i32, costs WASI, does now!(proc_raise(a));
    "random_get"(a: i32, len: i32) -> i32, costs WASI + random(len), does now!(random_get(a, len));
    "sched_yield"() -> i32, costs WASI, does now!(sched_yield());
    "sock_accept"(a: i32, b: i32, c: i32) -> i32, costs WASI, does now!(sock_accept(a, b, c));
    "sock_recv"(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32, costs WASI, does now!(sock_recv(a, b, c, d, e, f));
    "sock_send"(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32, costs WASI, does now!(sock_send(a, b, c, d, e));
    "sock_shutdown"(a: i32, b: i32) -> i32, costs WASI, does now!(sock_shutdown(a, b));
}

/// Fuel of any WASI call of the engine, which looks up the descriptor and converts errors to numbers.
const WASI: u64 = 250;

/// Fuel of a path, which is validated as UTF-8 and copied. A length that no memory can hold costs nothing.
fn path(len: i32) -> u64 {
    copied(u32::try_from(len).unwrap_or(0))
}

/// Fuel of random bytes; requests above the maximum are refused and cost nothing.
fn random(len: i32) -> u64 {
    let len = len.cast_unsigned();
    if len > RANDOM_BYTES_MAX { 0 } else { drawn(len) }
}

/// Returns the run's WASI context and the guest's memory.
fn parts<'a>(caller: &'a mut Caller<'_, Host>) -> Result<(&'a mut WasiP1Ctx, GuestMemory<'a>)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module exports no memory named \"memory\""));
    };
    let (data, host) = memory.data_and_store_mut(caller);
    // Only modules of the command ABI are linked here, and each of their runs has a context.
    let context = host.wasi.get_or_insert_with(|| WasiCtxBuilder::new().build_p1());
    // The engine's own limit on the data handled by one call, in addition to fuel: an array and the data it points at.
    context.set_hostcall_fuel(data.len().saturating_mul(2));
    Ok((context, GuestMemory::Unshared(data)))
}

/// Returns the output of a future that is ready. Starts an async runtime if it is not, which never happens with streams
/// in memory.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => in_tokio(future),
    }
}
