//! Differences of `wasi:filesystem` 0.2 and 0.3: errors, types of files and times, and whether functions are
//! asynchronous. Everything else has the same structure, so that one Rust type serves both.

use wasmtime::component::{ComponentType, Lift, Lower};
use wasmtime_wasi::{
    p2::bindings::{clocks::wall_clock::Datetime, filesystem::types as p2},
    p3::bindings::{clocks::system_clock::Instant, filesystem::types as p3},
};

use super::{Answer, Failure};
use crate::{
    files::{FsError, Kind, fs::Stat},
    time,
};

const NS_PER_S: u64 = 1_000_000_000;

/// Version of the interfaces.
pub(super) trait Version: 'static {
    /// The one that the engine links, in whose place ours are.
    const NUMBER: &str;
    /// Whether functions are asynchronous, but for those that return streams.
    const IS_ASYNC: bool;
    /// Error of a call.
    type Code: ComponentType + Lower + Send + Sync + 'static;
    /// Type of a file.
    type Kind: ComponentType + Lower + Send + Sync + 'static;
    /// Facts about a file.
    type Stat: ComponentType + Lower + Send + Sync + 'static;
    /// Time to set.
    type NewTime: ComponentType + Lift + Send + Sync + 'static;

    /// Returns the error that says the same.
    fn code(failure: Failure) -> Self::Code;

    fn kind(kind: Kind) -> Self::Kind;

    fn stat(stat: &Stat) -> Self::Stat;

    /// Returns the time to set, in nanoseconds since 1970; `None` if it stays.
    ///
    /// # Errors
    /// [`Failure::Overflow`] for a time that 64 bits do not hold: before 1970, or in the year 2554.
    fn new_time(new: &Self::NewTime) -> Answer<Option<u64>>;
}

/// Version 0.2.
pub(super) struct V2;
/// Version 0.3.
pub(super) struct V3;

/// Implements the conversions of a version, whose types have the same cases.
macro_rules! conversions {
    ($types:ident, $time:ident) => {
        fn code(failure: Failure) -> Self::Code {
            use $types::ErrorCode;
            match failure {
                Failure::BadDescriptor => ErrorCode::BadDescriptor,
                Failure::Overflow => ErrorCode::Overflow,
                Failure::Fs(error) => match error {
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
                },
            }
        }

        fn kind(kind: Kind) -> Self::Kind {
            match kind {
                Kind::Directory => $types::DescriptorType::Directory,
                Kind::File => $types::DescriptorType::RegularFile,
                Kind::Link => $types::DescriptorType::SymbolicLink,
            }
        }

        fn stat(stat: &Stat) -> Self::Stat {
            let time = |ns: u64| {
                let nanoseconds = u32::try_from(ns % NS_PER_S).unwrap_or_default();
                // Seconds of 64 bits in nanoseconds have 35 bits.
                Some($time { seconds: (ns / NS_PER_S).try_into().unwrap_or_default(), nanoseconds })
            };
            $types::DescriptorStat {
                type_: Self::kind(stat.kind),
                link_count: stat.names,
                size: stat.size,
                data_access_timestamp: time(stat.times.accessed),
                data_modification_timestamp: time(stat.times.modified),
                status_change_timestamp: time(stat.times.changed),
            }
        }

        fn new_time(new: &Self::NewTime) -> Answer<Option<u64>> {
            match new {
                $types::NewTimestamp::NoChange => Ok(None),
                $types::NewTimestamp::Now => Ok(Some(time::unix_ns())),
                $types::NewTimestamp::Timestamp($time { seconds, nanoseconds }) => {
                    let seconds: u64 = (*seconds).try_into().map_err(|_| Failure::Overflow)?;
                    let ns = seconds.checked_mul(NS_PER_S).and_then(|ns| ns.checked_add((*nanoseconds).into()));
                    ns.map(Some).ok_or(Failure::Overflow)
                }
            }
        }
    };
}

impl Version for V2 {
    const NUMBER: &str = "0.2.12";
    const IS_ASYNC: bool = false;
    type Code = p2::ErrorCode;
    type Kind = p2::DescriptorType;
    type Stat = p2::DescriptorStat;
    type NewTime = p2::NewTimestamp;
    conversions!(p2, Datetime);
}

impl Version for V3 {
    const NUMBER: &str = "0.3.0";
    const IS_ASYNC: bool = true;
    type Code = p3::ErrorCode;
    type Kind = p3::DescriptorType;
    type Stat = p3::DescriptorStat;
    type NewTime = p3::NewTimestamp;
    conversions!(p3, Instant);
}
