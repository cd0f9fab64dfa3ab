//! Features of this kernel and environment that a jail can use, determined without entering one.

use std::fs;

use rustix::process::geteuid;
use serde::Serialize;

/// Result of a survey.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// True if system calls can be filtered.
    pub seccomp: bool,
    /// Version of Landlock; 0 if absent.
    pub landlock: u32,
    /// User id of this process.
    pub uid: u32,
    /// Memory limit of the control group in bytes; `None` if there is none.
    pub memory_bytes_max: Option<u64>,
}

/// Determines the available features.
#[must_use]
pub fn survey() -> Survey {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    Survey {
        seccomp: actions.split_whitespace().any(|action| action == "errno"),
        landlock: landlock(),
        uid: geteuid().as_raw(),
        memory_bytes_max: memory_bytes_max(),
    }
}

#[expect(unsafe_code, reason = "the crate landlock reports the version only when it restricts the process")]
fn landlock() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel reads no memory and returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// Returns the smallest limit of this process's control group and its ancestors, in either version of control groups.
fn memory_bytes_max() -> Option<u64> {
    /// Value in version 1 that means no limit.
    const NO_LIMIT: u64 = 1 << 60;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        let up = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(up, _)| up));
        up.filter_map(|group| fs::read_to_string(format!("{root}{group}/{file}")).ok()?.trim().parse().ok()).min()
    });
    limits.filter(|limit| *limit < NO_LIMIT).min()
}
