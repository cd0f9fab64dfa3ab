//! Resource limits, closing of inherited descriptors, and handling of hangups.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A resource and the maximum to set. Lower existing limits are kept.
pub type Limit = (Resource, u64);

/// Sets limits, both soft and hard.
pub(crate) fn set(limits: &[Limit]) -> Result<String, String> {
    for (resource, most) in limits {
        let most = getrlimit(*resource).maximum.map_or(*most, |now| now.min(*most));
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(*resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    let named = limits.iter().map(|(resource, most)| format!("{resource:?} {most}"));
    Ok(named.collect::<Vec<_>>().join(", "))
}

/// Closes all descriptors except stdin, stdout and stderr, since C libraries open some that children inherit. Must be
/// called first, before this process opens any.
#[expect(unsafe_code, reason = "no safe function closes descriptors without an owner")]
pub fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet. On kernels without the call they stay open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Ignores SIGHUP, so that closing the terminal or a signal meant for another process of the group does not end this
/// process.
#[expect(unsafe_code, reason = "no safe function sets the disposition of a signal")]
pub fn ignore_hangup() {
    // SAFETY: no handler is installed, so no code runs on the signal.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}
