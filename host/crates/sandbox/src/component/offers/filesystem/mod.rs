//! `wasi:filesystem` 0.2 over the files of the run, which are in memory. Its functions take the place of the engine's,
//! which would open files of the host.
//!
//! | module | holds |
//! |---|---|
//! | `descriptor` | open files and directories: reads, writes, facts |
//! | `paths` | functions with paths, which start at an open directory |
//! | `listing` | listings of directories |
//! | `streams` | streams of a file's bytes |

use wasmtime::{
    Result,
    component::{Linker, Resource},
};
use wasmtime_wasi::p2::{
    IoError,
    bindings::{
        clocks::wall_clock::Datetime,
        filesystem::types::{DescriptorStat, DescriptorType, ErrorCode, NewTimestamp},
    },
};

use super::Interface;
use crate::{
    component::State,
    files::{
        FsError, Kind,
        fs::{Files, Stat},
    },
    time,
    wasi::{PREOPENS, WASI},
};

mod descriptor;
mod listing;
mod paths;
mod streams;

use descriptor::Descriptor;
use listing::Listing;

/// Version of the interfaces that the engine links, in whose place these are.
const VERSION: &str = "0.2.12";
const NS_PER_S: u64 = 1_000_000_000;

/// Handle of an open file or directory.
type Fd = Resource<Descriptor>;
/// Answer to the guest.
type Answer<T = ()> = Result<T, ErrorCode>;

/// Replaces the interfaces that the engine has linked.
pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    linker.allow_shadowing(true);
    let linked = add_types_to(linker).and_then(|()| add_preopens_to(linker));
    linker.allow_shadowing(false);
    linked
}

fn add_types_to(linker: &mut Linker<State>) -> Result<()> {
    let mut types = Interface(linker.instance(&format!("wasi:filesystem/types@{VERSION}"))?);
    types.resource::<Descriptor>("descriptor")?;
    types.resource::<Listing>("directory-entry-stream")?;
    descriptor::add_to(&mut types)?;
    paths::add_to(&mut types)?;
    listing::add_to(&mut types)?;
    streams::add_to(&mut types)?;
    types.function(
        "filesystem-error-code",
        |_: &(Resource<IoError>,)| WASI,
        |state, (error,)| Ok((state.table.get(&error)?.downcast_ref::<ErrorCode>().copied(),)),
    )
}

fn add_preopens_to(linker: &mut Linker<State>) -> Result<()> {
    let mut preopens = Interface(linker.instance(&format!("wasi:filesystem/preopens@{VERSION}"))?);
    preopens.function(
        "get-directories",
        |(): &()| WASI,
        |state, ()| {
            let mut root = |path: &str| -> Result<(Fd, String)> {
                Ok((state.table.push(Descriptor::new(&state.files, Files::ROOT))?, path.to_owned()))
            };
            Ok((PREOPENS.map(&mut root).into_iter().collect::<Result<Vec<_>>>()?,))
        },
    )
}

/// Returns the error that says the same.
const fn code(error: FsError) -> ErrorCode {
    match error {
        FsError::NotFound => ErrorCode::NoEntry,
        FsError::Exists => ErrorCode::Exist,
        FsError::NotDirectory => ErrorCode::NotDirectory,
        FsError::IsDirectory => ErrorCode::IsDirectory,
        FsError::NotEmpty => ErrorCode::NotEmpty,
        FsError::ReadOnly => ErrorCode::ReadOnly,
        FsError::NotPermitted => ErrorCode::NotPermitted,
        FsError::NameTooLong => ErrorCode::NameTooLong,
        FsError::Loop => ErrorCode::Loop,
        FsError::NoSpace => ErrorCode::InsufficientSpace,
        FsError::Invalid => ErrorCode::Invalid,
        FsError::CrossDevice => ErrorCode::CrossDevice,
    }
}

const fn kind(kind: Kind) -> DescriptorType {
    match kind {
        Kind::Directory => DescriptorType::Directory,
        Kind::File => DescriptorType::RegularFile,
        Kind::Link => DescriptorType::SymbolicLink,
    }
}

fn record(stat: &Stat) -> DescriptorStat {
    let datetime = |ns: u64| {
        let nanoseconds = u32::try_from(ns % NS_PER_S).unwrap_or_default();
        Some(Datetime { seconds: ns / NS_PER_S, nanoseconds })
    };
    DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.names,
        size: stat.size,
        data_access_timestamp: datetime(stat.times.accessed),
        data_modification_timestamp: datetime(stat.times.modified),
        status_change_timestamp: datetime(stat.times.changed),
    }
}

/// Returns the time to set, in nanoseconds since 1970; `None` if it stays.
///
/// # Errors
/// `Overflow` for a time that 64 bits do not hold, in the year 2554.
fn new_time(new: NewTimestamp) -> Answer<Option<u64>> {
    match new {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(time::unix_ns())),
        NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => {
            let ns = seconds.checked_mul(NS_PER_S).and_then(|ns| ns.checked_add(nanoseconds.into()));
            ns.map(Some).ok_or(ErrorCode::Overflow)
        }
    }
}
