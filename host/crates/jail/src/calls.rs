//! System calls that seccomp allows for each kind of inmate. Others fail with EPERM rather than killing the process:
//! libraries handle the error, so a call that a new version of the C library makes disables one feature and not a
//! worker's runs.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::Inmate;

mod lists;

use lists::{COMPUTE, FCNTLS, FILES, IOCTLS, LINK, NETWORK, READ, RUN, START};

/// Flags of `clone` that create namespaces, which no inmate may do.
const NAMESPACES: u64 = 0x7e02_0080;
/// Mask of a socket's kind, excluding its flags.
const SOCKET_KIND: u64 = 0xf;
/// `prctl` commands that name a thread or a range of memory.
const NAMES: &[libc::c_int] = &[libc::PR_SET_NAME, libc::PR_GET_NAME, 0x5356_4d41];

/// `prctl` commands by which a process drops privileges and ends with its parent.
const ALONE: &[libc::c_int] =
    &[libc::PR_SET_NO_NEW_PRIVS, libc::PR_GET_NO_NEW_PRIVS, libc::PR_SET_PDEATHSIG, libc::PR_GET_PDEATHSIG];
/// Flags of a file opened for anything but reading.
const WRITING: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND).unsigned_abs() as u64;

/// Restricts this process to the calls of an inmate, permanently.
pub(crate) fn restrict(inmate: &Inmate) -> Result<String, String> {
    let allowed = match inmate {
        Inmate::Compiler => allowed(&[COMPUTE]),
        Inmate::Slot => allowed(&[COMPUTE, RUN]),
        Inmate::Worker { .. } => allowed(&[COMPUTE, RUN, LINK, FILES]),
        Inmate::Proxy => allowed(&[COMPUTE, RUN, LINK, NETWORK, READ]).and_then(connecting),
        Inmate::Helper { .. } => {
            allowed(&[COMPUTE, RUN, LINK, NETWORK, READ, START]).and_then(connecting).and_then(starting)
        }
    };
    let allowed = allowed.map_err(|error| error.to_string())?;
    let count = allowed.len();
    // Fails as on an older kernel, which makes the C library use `clone`, whose flags a filter can examine.
    withhold(&[libc::SYS_clone3])?;
    install(allowed, errno(libc::EPERM), SeccompAction::Allow)?;
    Ok(format!("{count} calls allowed"))
}

/// Makes calls fail as on a kernel that lacks them.
pub(crate) fn withhold(calls: &[c_long]) -> Result<(), String> {
    let calls = calls.iter().map(|call| (*call, Vec::new())).collect();
    install(calls, SeccompAction::Allow, errno(libc::ENOSYS))
}

fn errno(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn install(rules: Rules, otherwise: SeccompAction, on_match: SeccompAction) -> Result<(), String> {
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, otherwise, on_match, machine).map_err(|error| error.to_string())?;
    let program = BpfProgram::try_from(filter).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| match error {
        seccompiler::Error::Seccomp(error) => format!("the kernel refuses filters: {error}"),
        other => other.to_string(),
    })
}

/// Returns rules that allow the calls of the lists and, to every inmate, the calls with conditions below.
fn allowed(lists: &[&[c_long]]) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = lists.iter().flat_map(|list| list.iter()).map(|call| (*call, Vec::new())).collect();
    let own = u64::from(std::process::id());
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![rule([masked(0, NAMESPACES | thread, thread)])?]);
    // Denied by a separate filter, whose verdict applies only if this one allows the call.
    rules.insert(libc::SYS_clone3, Vec::new());
    // Used by aborting processes: a signal to itself.
    rules.insert(libc::SYS_tgkill, vec![rule([equal(0, own)])?]);
    rules.insert(libc::SYS_prctl, each(NAMES.iter().map(|name| equal(0, name.unsigned_abs().into())))?);
    // Queries its own limits but does not set them.
    rules.insert(libc::SYS_prlimit64, vec![rule([equal(0, 0), equal(2, 0)])?]);
    let fcntls = FCNTLS.iter().map(|command| equal(1, command.unsigned_abs().into()));
    rules.insert(libc::SYS_fcntl, each(fcntls)?);
    rules.insert(libc::SYS_ioctl, each(IOCTLS.iter().map(|request| equal(1, *request)))?);
    // Only to the peer of a connected socket, without an address.
    rules.insert(libc::SYS_sendto, vec![rule([equal(4, 0)])?]);
    if rules.contains_key(&libc::SYS_epoll_create1) {
        // A pair of connected streams, which async runtimes use to wake themselves; datagrams could be sent to other
        // processes.
        let stream = libc::SOCK_STREAM.unsigned_abs().into();
        let unix = libc::AF_UNIX.unsigned_abs().into();
        rules.insert(libc::SYS_socketpair, vec![rule([equal(0, unix), masked(1, SOCKET_KIND, stream)])?]);
    }
    Ok(rules)
}

/// Adds calls for name resolution, connections and reading files.
fn connecting(mut rules: Rules) -> Result<Rules, seccompiler::BackendError> {
    // Internet sockets only, no sockets of this machine, of the kernel or of its devices.
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            let (family, kind) = (family.unsigned_abs().into(), kind.unsigned_abs().into());
            sockets.push(rule([equal(0, family), masked(1, SOCKET_KIND, kind)])?);
        }
    }
    rules.insert(libc::SYS_socket, sockets);
    // For an inmate that may connect anywhere, a destination address adds nothing.
    rules.insert(libc::SYS_sendto, Vec::new());
    rules.insert(libc::SYS_openat, vec![rule([masked(2, WRITING, 0)])?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![rule([masked(1, WRITING, 0)])?]);
    Ok(rules)
}

/// Adds calls that start and kill compile children, and those by which the children lock themselves up.
fn starting(mut rules: Rules) -> Result<Rules, seccompiler::BackendError> {
    rules.insert(libc::SYS_clone, vec![rule([masked(0, NAMESPACES, 0)])?]);
    // A single process, not a group or all.
    let kill = [masked(0, 1 << 31, 0), equal(1, libc::SIGKILL.unsigned_abs().into())];
    rules.insert(libc::SYS_kill, vec![rule(kill)?]);
    // An aborting child has a process id other than this process's.
    rules.insert(libc::SYS_tgkill, vec![rule([equal(2, libc::SIGABRT.unsigned_abs().into())])?]);
    // Its own limits, which it can only lower.
    rules.insert(libc::SYS_prlimit64, vec![rule([equal(0, 0)])?]);
    let mut names = each(NAMES.iter().chain(ALONE).map(|name| equal(0, name.unsigned_abs().into())))?;
    names.push(rule([equal(0, libc::PR_SET_DUMPABLE.unsigned_abs().into()), equal(1, 0)])?);
    rules.insert(libc::SYS_prctl, names);
    Ok(rules)
}

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

/// Compares an argument at the width that the kernel reads: 32 bits for numbers, 64 for null pointers.
fn equal(argument: u8, value: u64) -> Condition {
    let length = if value == 0 { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
    SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Condition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
}

fn rule<const N: usize>(conditions: [Condition; N]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

/// Returns one rule for each condition; matching any of them suffices.
fn each(conditions: impl Iterator<Item = Condition>) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    conditions.map(|condition| SeccompRule::new(vec![condition?])).collect()
}
