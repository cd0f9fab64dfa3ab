//! Limits of a process's share of the machine, the descriptors it was born with, and a signal that it does not end by.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A resource, and the most that may be used of it. One that is less already stays.
pub type Limit = (Resource, u64);

/// Sets limits, soft and hard.
pub(crate) fn set(limits: &[Limit]) -> Result<String, String> {
    for (resource, most) in limits {
        let most = getrlimit(*resource).maximum.map_or(*most, |now| now.min(*most));
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(*resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    let named = limits.iter().map(|(resource, most)| format!("{resource:?} {most}"));
    Ok(named.collect::<Vec<_>>().join(", "))
}

/// Closes every descriptor but stdin, stdout and stderr: C libraries open some that a child inherits. To be called first of
/// all, before this process has opened any itself.
#[expect(unsafe_code, reason = "no safe function closes descriptors that nobody owns")]
pub fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet. Where the kernel does not know the call, they stay.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// A terminal that is closed, or an operator who means another process of the group, does not end this one.
#[expect(unsafe_code, reason = "no safe function sets what becomes of a signal")]
pub fn ignore_hangup() {
    // SAFETY: no handler is installed, so that nothing runs at the signal.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}
