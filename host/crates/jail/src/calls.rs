//! Which system calls are left, by seccomp. A list of what running and compiling take; everything else is refused with
//! EPERM, which libraries take for an answer, and not with a kill: a call that a new version of the C library makes should
//! cost that library its answer and not a worker its runs.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::Inmate;

/// What every inmate does: memory, threads, time, and the descriptors that it has.
const COMPUTE: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getpid,
    libc::SYS_uname,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Runs: memory images of modules, the sockets that it has, and the events of an async runtime, which the engine's WASI
/// starts as well.
const RUN: &[c_long] = &[
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_recvfrom,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// A link to a dispatcher.
const LINK: &[c_long] = &[
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_pipe2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Files of the one directory that Landlock leaves.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_getdents64,
];

/// What no process of ours has a use for: others' memory, the kernel's insides, the machine itself. About what container
/// runtimes withhold.
const NEVER: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
/// Another program in this one's place.
const PROGRAMS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// `ioctl`s: non-blocking mode, close on exec, and which pages were written since a run began.
const IOCTLS: &[u64] = &[libc::FIONBIO, libc::FIOCLEX, PAGEMAP_SCAN];
/// `_IOWR('f', 16, struct pm_scan_arg)` of 96 bytes.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

/// `fcntl`s, none of which sends signals.
const FCNTLS: &[libc::c_int] = &[
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_DUPFD_CLOEXEC,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];

/// What `clone` must not ask for beside a thread: other namespaces.
const NAMESPACES: u64 = 0x7e02_0080;
/// The kinds of a socket, without its flags.
const SOCKET_KIND: u64 = 0xf;
/// `prctl`s that name a thread or a piece of memory.
const NAMES: &[libc::c_int] = &[libc::PR_SET_NAME, libc::PR_GET_NAME, 0x5356_4d41];

/// Leaves this process the calls of an inmate, for good.
pub(crate) fn restrict(inmate: &Inmate) -> Result<String, String> {
    let allowed = match inmate {
        Inmate::Compiler => allowed(&[COMPUTE]),
        Inmate::Slot => allowed(&[COMPUTE, RUN]),
        Inmate::Worker { .. } => allowed(&[COMPUTE, RUN, LINK, FILES]),
        // These two need what the system's libraries need to look names up, or a program to start: too much to list.
        Inmate::Proxy => return refuse(&[NEVER, PROGRAMS]),
        Inmate::Helper { .. } => return refuse(&[NEVER]),
    };
    let allowed = allowed.map_err(|error| error.to_string())?;
    let count = allowed.len();
    // As if the kernel were too old for it: the C library then uses `clone`, whose flags can be looked at.
    withhold(&[libc::SYS_clone3])?;
    install(allowed, errno(libc::EPERM), SeccompAction::Allow)?;
    Ok(format!("{count} calls allowed"))
}

/// Refuses these calls, and leaves all others.
fn refuse(calls: &[&[c_long]]) -> Result<String, String> {
    let calls: Rules = calls.concat().into_iter().map(|call| (call, Vec::new())).collect();
    let count = calls.len();
    install(calls, SeccompAction::Allow, errno(libc::EPERM))?;
    Ok(format!("{count} calls refused"))
}

/// Refuses some calls as a kernel does that has not got them.
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

/// The rules; those with arguments hold for everyone who has the call at all.
fn allowed(lists: &[&[c_long]]) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = lists.iter().flat_map(|list| list.iter()).map(|call| (*call, Vec::new())).collect();
    let own = u64::from(std::process::id());
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![rule([masked(0, NAMESPACES | thread, thread)])?]);
    // Refused by a filter of its own, whose answer holds only where this one allows it.
    rules.insert(libc::SYS_clone3, Vec::new());
    // How a process aborts: a signal to itself.
    rules.insert(libc::SYS_tgkill, vec![rule([equal(0, own)])?]);
    rules.insert(libc::SYS_prctl, each(NAMES.iter().map(|name| equal(0, name.unsigned_abs().into())))?);
    // To ask for its own limits, not to set them.
    rules.insert(libc::SYS_prlimit64, vec![rule([equal(0, 0), equal(2, 0)])?]);
    let fcntls = FCNTLS.iter().map(|command| equal(1, command.unsigned_abs().into()));
    rules.insert(libc::SYS_fcntl, each(fcntls)?);
    rules.insert(libc::SYS_ioctl, each(IOCTLS.iter().map(|request| equal(1, *request)))?);
    // To the peer of a connected socket only: no address.
    rules.insert(libc::SYS_sendto, vec![rule([equal(4, 0)])?]);
    if rules.contains_key(&libc::SYS_epoll_create1) {
        // A pair of connected streams, by which runtimes wake themselves; datagrams could be sent to others.
        let stream = libc::SOCK_STREAM.unsigned_abs().into();
        let unix = libc::AF_UNIX.unsigned_abs().into();
        rules.insert(libc::SYS_socketpair, vec![rule([equal(0, unix), masked(1, SOCKET_KIND, stream)])?]);
    }
    Ok(rules)
}

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

/// Compares an argument as the kernel reads it: the numbers here are of 32 bits, null pointers of 64.
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

/// One rule for each condition: any of them will do.
fn each(conditions: impl Iterator<Item = Condition>) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    conditions.map(|condition| SeccompRule::new(vec![condition?])).collect()
}
