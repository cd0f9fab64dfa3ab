//! Functions of preview 1, each with its cost in fuel. The draft before it has the same ones, except for those in
//! [`unstable`].

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::I32Exit;

use super::{
    MODULE, UNSTABLE,
    clocks::{self, RANDOM_BYTES_MAX},
    errno::{NOTSUP, SUCCESS},
    fds::{self, whence},
    io,
    paths::{self, Opening, Path},
    poll::{self, Form},
    stat::{self, Layout},
    strings::{self, List},
    unstable,
};
use crate::{
    host::Host,
    metered::{CALL, copied, drawn, metered, vectors},
};

/// Run that makes a call.
type At<'a, 'b> = &'a mut Caller<'b, Host>;

mod table {
    use super::*;

    metered! {
        MODULE;
        "args_get"[c](a: u32, b: u32) -> i32,
            costs strings::cost(c, List::Args),
            does |c: At, a, b| strings::get(c, List::Args, a, b);
        "args_sizes_get"[c](a: u32, b: u32) -> i32,
            costs strings::cost(c, List::Args),
            does |c: At, a, b| strings::sizes(c, List::Args, a, b);
        "environ_get"[c](a: u32, b: u32) -> i32,
            costs strings::cost(c, List::Env),
            does |c: At, a, b| strings::get(c, List::Env, a, b);
        "environ_sizes_get"[c](a: u32, b: u32) -> i32,
            costs strings::cost(c, List::Env),
            does |c: At, a, b| strings::sizes(c, List::Env, a, b);
        "clock_res_get"(clock: u32, at: u32) -> i32, costs WASI, does clocks::resolution;
        "clock_time_get"(clock: u32, precision: i64, at: u32) -> i32, costs WASI, does clocks::read;
        "fd_advise"(fd: u32, offset: i64, len: i64, advice: u32) -> i32,
            costs WASI,
            does |c: At, fd, _, _, advice| fds::advise(c, fd, advice);
        "fd_allocate"(fd: u32, offset: i64, len: i64) -> i32,
            costs WASI,
            does |c: At, fd, offset: i64, len| io::set_size(c, fd, offset.saturating_add(len), true);
        "fd_close"(fd: u32) -> i32, costs CLOSE, does fds::close;
        "fd_datasync"(fd: u32) -> i32, costs WASI, does fds::nothing;
        "fd_fdstat_get"(fd: u32, at: u32) -> i32, costs WASI, does fds::status;
        "fd_fdstat_set_flags"(fd: u32, flags: u32) -> i32, costs WASI, does fds::set_flags;
        "fd_fdstat_set_rights"(fd: u32, base: i64, inherited: i64) -> i32,
            costs WASI,
            does |c: At, fd, _, _| fds::set_rights(c, fd);
        "fd_filestat_get"(fd: u32, at: u32) -> i32,
            costs WASI,
            does |c: At, fd, at| stat::of_fd(c, fd, at, Layout::Preview1);
        "fd_filestat_set_size"(fd: u32, size: i64) -> i32,
            costs WASI,
            does |c: At, fd, size| io::set_size(c, fd, size, false);
        "fd_filestat_set_times"(fd: u32, accessed: i64, modified: i64, flags: u32) -> i32, costs WASI, does stat::set_times;
        "fd_pread"[c](fd: u32, at: u32, count: u32, offset: i64, read_at: u32) -> i32,
            costs WASI + vectors(copied, c, at, count),
            does |c: At, fd, at, count, offset, read_at| io::read(c, fd, (at, count), Some(offset), read_at);
        "fd_prestat_get"(fd: u32, at: u32) -> i32, costs WASI, does fds::preopen;
        "fd_prestat_dir_name"(fd: u32, at: u32, len: u32) -> i32, costs WASI, does fds::preopen_path;
        "fd_pwrite"[c](fd: u32, at: u32, count: u32, offset: i64, written_at: u32) -> i32,
            costs WASI + io::write_cost(c, fd, at, count),
            does |c: At, fd, at, count, offset, written_at| io::write(c, fd, (at, count), Some(offset), written_at);
        "fd_read"[c](fd: u32, at: u32, count: u32, read_at: u32) -> i32,
            costs WASI + vectors(copied, c, at, count),
            does |c: At, fd, at, count, read_at| io::read(c, fd, (at, count), None, read_at);
        "fd_readdir"(fd: u32, at: u32, len: u32, from: i64, used_at: u32) -> i32,
            costs WASI,
            does |c: At, fd, at, len, from, used_at| paths::list(c, fd, (at, len), from, used_at);
        "fd_renumber"(from: u32, to: u32) -> i32, costs CLOSE, does fds::renumber;
        "fd_seek"(fd: u32, offset: i64, from: u32, at: u32) -> i32,
            costs WASI,
            does |c: At, fd, offset, from, at| fds::seek(c, fd, offset, whence(from), at);
        "fd_sync"(fd: u32) -> i32, costs WASI, does fds::nothing;
        "fd_tell"(fd: u32, at: u32) -> i32, costs WASI, does fds::tell;
        "fd_write"[c](fd: u32, at: u32, count: u32, written_at: u32) -> i32,
            costs WASI + io::write_cost(c, fd, at, count),
            does |c: At, fd, at, count, written_at| io::write(c, fd, (at, count), None, written_at);
        "path_create_directory"(fd: u32, at: u32, len: u32) -> i32,
            costs path(len),
            does |c: At, fd, at, len| paths::create_directory(c, Path { fd, at, len });
        "path_filestat_get"(fd: u32, flags: u32, at: u32, len: u32, to: u32) -> i32,
            costs path(len),
            does |c: At, fd, flags, at, len, to| paths::stat(c, Path { fd, at, len }, flags, to, Layout::Preview1);
        "path_filestat_set_times"(fd: u32, lookup: u32, at: u32, len: u32, accessed: i64, modified: i64, flags: u32) -> i32,
            costs path(len),
            does |c: At, fd, lookup, at, len, accessed, modified, flags| paths::set_times(c, Path { fd, at, len }, lookup, (accessed, modified, flags));
        "path_link"(fd: u32, flags: u32, at: u32, len: u32, new_fd: u32, new_at: u32, new_len: u32) -> i32,
            costs path(len) + path(new_len),
            does |c: At, fd, flags, at, len, new_fd, new_at, new_len| paths::link(c, Path { fd, at, len }, flags, Path { fd: new_fd, at: new_at, len: new_len });
        "path_open"(fd: u32, lookup: u32, at: u32, len: u32, how: u32, rights: i64, inherited: i64, flags: u32, fd_at: u32) -> i32,
            costs path(len),
            does |c: At, fd, lookup, at, len, how, rights: i64, _, flags, fd_at| paths::open(c, Path { fd, at, len }, &Opening { lookup, how, rights: rights.cast_unsigned(), flags }, fd_at);
        "path_readlink"(fd: u32, at: u32, len: u32, to: u32, to_len: u32, used_at: u32) -> i32,
            costs path(len) + copied(to_len),
            does |c: At, fd, at, len, to, to_len, used_at| paths::read_link(c, Path { fd, at, len }, (to, to_len), used_at);
        "path_remove_directory"(fd: u32, at: u32, len: u32) -> i32,
            costs path(len),
            does |c: At, fd, at, len| paths::remove_directory(c, Path { fd, at, len });
        "path_rename"(fd: u32, at: u32, len: u32, new_fd: u32, new_at: u32, new_len: u32) -> i32,
            costs RENAME + path(len) + path(new_len),
            does |c: At, fd, at, len, new_fd, new_at, new_len| paths::rename(c, Path { fd, at, len }, Path { fd: new_fd, at: new_at, len: new_len });
        "path_symlink"(target: u32, target_len: u32, fd: u32, at: u32, len: u32) -> i32,
            costs path(target_len) + path(len),
            does |c: At, target, target_len, fd, at, len| paths::symlink(c, (target, target_len), Path { fd, at, len });
        "path_unlink_file"(fd: u32, at: u32, len: u32) -> i32,
            costs path(len),
            does |c: At, fd, at, len| paths::unlink(c, Path { fd, at, len });
        "poll_oneoff"(ins: u32, outs: u32, count: u32, count_out: u32) -> i32,
            costs poll::cost(count),
            does |c: At, ins, outs, count, count_out| poll::poll_oneoff(c, Form::Preview1, (ins, outs), count, count_out);
        "proc_exit"(code: i32) -> (), costs CALL, does |_: At, code| Err(I32Exit(code).into());
        "proc_raise"(signal: u32) -> i32, costs WASI, does |_: At, _| Ok(NOTSUP.into());
        "random_get"(at: u32, len: u32) -> i32, costs WASI + random(len), does clocks::random;
        "sched_yield"() -> i32, costs WASI, does |_: At| Ok(SUCCESS.into());
        "sock_accept"(fd: u32, flags: u32, at: u32) -> i32, costs WASI, does |c: At, fd, _, _| fds::no_socket(c, fd);
        "sock_recv"(fd: u32, at: u32, count: u32, flags: u32, read_at: u32, out_flags: u32) -> i32,
            costs WASI,
            does |c: At, fd, _, _, _, _, _| fds::no_socket(c, fd);
        "sock_send"(fd: u32, at: u32, count: u32, flags: u32, written_at: u32) -> i32,
            costs WASI,
            does |c: At, fd, _, _, _, _| fds::no_socket(c, fd);
        "sock_shutdown"(fd: u32, how: u32) -> i32, costs WASI, does |c: At, fd, _| fds::no_socket(c, fd);
    }
}

pub(crate) use table::OFFERED;

/// Adds the functions of both versions to a linker.
pub(crate) fn add_to(linker: &mut Linker<Host>) -> Result<()> {
    table::add_to(linker)?;
    linker.alias_module(MODULE, UNSTABLE)?;
    linker.allow_shadowing(true);
    unstable::add_to(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Fuel of any WASI call, which looks up a descriptor.
pub(crate) const WASI: u64 = 5_000;
/// Fuel of a call that closes a descriptor, with which a file without a name is freed.
const CLOSE: u64 = 10_000;
/// Fuel of a rename, which looks for the new place above the old one.
pub(crate) const RENAME: u64 = 100_000;

/// Fuel of a path, which is validated as UTF-8 and copied. A length that no memory can hold costs nothing.
pub(crate) fn path(len: u32) -> u64 {
    2 * WASI + copied(len)
}

/// Fuel of random bytes; requests above the maximum are refused and cost nothing.
fn random(len: u32) -> u64 {
    if len > RANDOM_BYTES_MAX { 0 } else { drawn(len) }
}
