//! All functions of WASI preview 1 with invalid descriptors and pointers. Most calls return an error number, so the
//! guest continues and returns.

use crate::{
    Hostile, Must,
    write::{command, wasi, wasm},
};

/// Functions that return, with their parameters; those that close descriptors come last.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
    ("fd_close", "i"),
    ("fd_renumber", "ii"),
];

/// Functions that wait or end a run.
pub(crate) const ENDING: &[(&str, &str)] = &[("poll_oneoff", "iiii"), ("proc_raise", "i")];

/// Values of all arguments except descriptors.
const WILD: [(&str, &str, i64); 2] =
    [("ones", "each argument has all its bits set", -1), ("end", "each pointer is the memory's last byte", 131_071)];

pub(crate) fn modules() -> Vec<Hostile> {
    let games = FUNCTIONS.iter().flat_map(|function| WILD.map(|wild| game(function, wild)));
    games.chain(alone()).collect()
}

/// Calls a function with each descriptor that may exist, and with one that does not. A pointer
/// outside the memory ends the run, unless the function reports another error before it reads the pointer.
fn game(&(function, params): &(&str, &str), (name, trick, wild): (&str, &'static str, i64)) -> Hostile {
    let call = |first: i64| {
        let argument = |(place, letter)| {
            let value = if place == 0 { first } else { wild };
            let kind = if letter == 'I' { "i64" } else { "i32" };
            format!("({kind}.const {value})")
        };
        let arguments: String = params.chars().enumerate().map(argument).collect();
        format!("(drop (call ${function} {arguments}))")
    };
    let calls = [-1, 0, 1, 2, 3].map(call).concat();
    let name = format!("wasi-{}-{name}", function.replace('_', "-"));
    Hostile::new(&name, trick, command(&wasi(function, params), &calls), Must::CompleteOrBadPointer)
}

/// Modules with functions that end a run.
fn alone() -> Vec<Hostile> {
    let start = |function: &str, params: &str, body: &str| command(&wasi(function, params), body);
    let no_memory =
        format!(r#"(module {} (func (export "_start") (drop (call $sched_yield))))"#, wasi("sched_yield", ""));
    vec![
        Hostile::new("wasi-without-memory", "a call that needs no memory, and there is none", wasm(&no_memory), Must::Complete),
        Hostile::new("wasi-unknown", "a function that WASI does not have", start("fd_teleport", "i", ""), Must::BeRefused("unknown-import")),
        Hostile::new(
            "wasi-wrong-type",
            "a function of WASI with another type",
            start("fd_write", "I", ""),
            Must::BeRefused("unknown-import"),
        ),
        Hostile::new(
            "wasi-raise",
            "raises a signal, which is refused",
            start("proc_raise", "i", "(drop (call $proc_raise (i32.const 9)))"),
            Must::Complete,
        ),
        Hostile::new(
            "wasi-many-vectors",
            "a write of 2^32 - 1 vectors",
            start("fd_write", "iiii", "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0)))"),
            Must::Fail("bad-pointer"),
        ),
        Hostile::new(
            "wasi-open",
            "opens files above, below and beside every descriptor",
            command(
                &format!("{} (data (i32.const 0) \"/etc/passwd\") (data (i32.const 32) \"../../../../etc/passwd\")", wasi("path_open", "iiiiiIIii")),
                "(loop (drop (call $path_open (local.get 0) (i32.const 1) (i32.const 0) (i32.const 11) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 64)))
                    (if (i32.eqz (call $path_open (local.get 0) (i32.const 1) (i32.const 32) (i32.const 22) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 64))) (then (unreachable)))
                    (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 0) (i32.const 64))))",
            ),
            Must::Complete,
        ),
    ]
}
