//! Raw system calls, as native code makes them without a library.
#![expect(unsafe_code, reason = "attempts to break out require raw system calls")]

use std::{io, ptr};

use libc::c_long;

/// A meaningless argument, or one determined at the time of the call.
#[derive(Clone, Copy)]
pub(super) enum Argument {
    Number(i64),
    /// A path or name that does not exist.
    Absent,
    /// The parent process.
    Parent,
    /// 128 zero bytes.
    Zeros,
}

use Argument::{Absent, Number as N, Parent, Zeros};

const ABSENT: &[u8] = b"/nonexistent/fusebox\0";
const ZEROS: [u64; 16] = [0; 16];

impl Argument {
    pub(super) fn value(self) -> i64 {
        match self {
            Self::Number(number) => number,
            Self::Absent => ABSENT.as_ptr() as i64,
            Self::Parent => rustix::process::getppid().map_or(1, |parent| parent.as_raw_nonzero().get().into()),
            Self::Zeros => ptr::from_ref(&ZEROS) as i64,
        }
    }
}

const fn n(number: libc::c_int) -> Argument {
    N(number as i64)
}

/// Name of a call, its number and its arguments.
pub(super) type Call = (&'static str, c_long, [Argument; 5]);

const O: Argument = N(0);
const BAD: Argument = N(-1);

/// Calls that must be blocked. All are harmless if they are not.
pub(super) const CALLS: &[Call] = &[
    ("socket TCP", libc::SYS_socket, [n(libc::AF_INET), n(libc::SOCK_STREAM), O, O, O]),
    ("socket TCP over IPv6", libc::SYS_socket, [n(libc::AF_INET6), n(libc::SOCK_STREAM), O, O, O]),
    ("socket UDP", libc::SYS_socket, [n(libc::AF_INET), n(libc::SOCK_DGRAM), O, O, O]),
    ("socket of this machine", libc::SYS_socket, [n(libc::AF_UNIX), n(libc::SOCK_STREAM), O, O, O]),
    ("socket netlink", libc::SYS_socket, [n(libc::AF_NETLINK), n(libc::SOCK_RAW), O, O, O]),
    ("socket to the hypervisor", libc::SYS_socket, [n(libc::AF_VSOCK), n(libc::SOCK_STREAM), O, O, O]),
    ("socket of the kernel's ciphers", libc::SYS_socket, [n(libc::AF_ALG), n(libc::SOCK_SEQPACKET), O, O, O]),
    ("pair of datagram sockets", libc::SYS_socketpair, [n(libc::AF_UNIX), n(libc::SOCK_DGRAM), O, Zeros, O]),
    ("connect", libc::SYS_connect, [BAD, Zeros, N(16), O, O]),
    ("bind", libc::SYS_bind, [BAD, Zeros, N(16), O, O]),
    ("listen", libc::SYS_listen, [BAD, O, O, O, O]),
    ("accept", libc::SYS_accept4, [BAD, O, O, O, O]),
    ("fork", libc::SYS_clone, [n(libc::SIGCHLD), O, O, O, O]),
    ("clone into a user namespace", libc::SYS_clone, [n(libc::CLONE_NEWUSER | libc::SIGCHLD), O, O, O, O]),
    ("clone3", libc::SYS_clone3, [Zeros, N(8), O, O, O]),
    ("execve", libc::SYS_execve, [Absent, O, O, O, O]),
    ("execveat", libc::SYS_execveat, [BAD, Absent, O, O, O]),
    ("ptrace of the parent", libc::SYS_ptrace, [N(2), Parent, O, O, O]),
    ("read of the parent's memory", libc::SYS_process_vm_readv, [Parent, O, O, O, O]),
    ("write of the parent's memory", libc::SYS_process_vm_writev, [Parent, O, O, O, O]),
    ("advice about the parent's memory", libc::SYS_process_madvise, [BAD, Zeros, N(1), N(21), O]),
    ("release of the parent's memory", libc::SYS_process_mrelease, [BAD, O, O, O, O]),
    ("signal by a descriptor", libc::SYS_pidfd_send_signal, [BAD, O, O, O, O]),
    ("kill of the parent", libc::SYS_kill, [Parent, O, O, O, O]),
    ("tgkill of the parent", libc::SYS_tgkill, [Parent, Parent, O, O, O]),
    ("pidfd_open of the parent", libc::SYS_pidfd_open, [Parent, O, O, O, O]),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, [BAD, O, O, O, O]),
    ("limits of the parent", libc::SYS_prlimit64, [Parent, N(4), O, O, O]),
    ("kcmp", libc::SYS_kcmp, [Parent, Parent, O, O, O]),
    ("mount", libc::SYS_mount, [Absent, Absent, Absent, O, O]),
    ("umount", libc::SYS_umount2, [Absent, O, O, O, O]),
    ("fsopen", libc::SYS_fsopen, [Absent, O, O, O, O]),
    ("fsconfig", libc::SYS_fsconfig, [BAD, O, O, O, O]),
    ("fsmount", libc::SYS_fsmount, [BAD, O, O, O, O]),
    ("fspick", libc::SYS_fspick, [BAD, Absent, O, O, O]),
    ("open_tree", libc::SYS_open_tree, [BAD, Absent, O, O, O]),
    ("move_mount", libc::SYS_move_mount, [BAD, Absent, BAD, Absent, O]),
    ("mount_setattr", libc::SYS_mount_setattr, [BAD, Absent, O, Zeros, N(32)]),
    ("pivot_root", libc::SYS_pivot_root, [Absent, Absent, O, O, O]),
    ("chroot", libc::SYS_chroot, [Absent, O, O, O, O]),
    ("unshare a user namespace", libc::SYS_unshare, [n(libc::CLONE_NEWUSER), O, O, O, O]),
    ("setns", libc::SYS_setns, [BAD, O, O, O, O]),
    ("bpf", libc::SYS_bpf, [O, O, O, O, O]),
    ("keyctl", libc::SYS_keyctl, [O, N(-3), O, O, O]),
    ("add_key", libc::SYS_add_key, [O, O, O, O, O]),
    ("request_key", libc::SYS_request_key, [O, O, O, O, O]),
    ("perf_event_open", libc::SYS_perf_event_open, [O, O, BAD, BAD, O]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [O, O, O, O, O]),
    ("userfaultfd", libc::SYS_userfaultfd, [O, O, O, O, O]),
    ("init_module", libc::SYS_init_module, [O, O, O, O, O]),
    ("finit_module", libc::SYS_finit_module, [BAD, Absent, O, O, O]),
    ("kexec_load", libc::SYS_kexec_load, [O, O, O, N(0xffff), O]),
    ("kexec_file_load", libc::SYS_kexec_file_load, [BAD, BAD, O, O, O]),
    ("reboot", libc::SYS_reboot, [O, O, O, O, O]),
    ("swapon", libc::SYS_swapon, [Absent, O, O, O, O]),
    ("setuid 0", libc::SYS_setuid, [O, O, O, O, O]),
    ("setresuid", libc::SYS_setresuid, [BAD, BAD, BAD, O, O]),
    ("setgroups", libc::SYS_setgroups, [BAD, O, O, O, O]),
    ("capset", libc::SYS_capset, [O, O, O, O, O]),
    ("personality", libc::SYS_personality, [N(0xffff_ffff), O, O, O, O]),
    ("seccomp", libc::SYS_seccomp, [N(2), O, Zeros, O, O]),
    ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset, [O, O, N(1), O, O]),
    ("prctl: traceable again", libc::SYS_prctl, [n(libc::PR_SET_DUMPABLE), N(1), O, O, O]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [BAD, O, O, O, O]),
    ("name_to_handle_at", libc::SYS_name_to_handle_at, [BAD, Absent, O, O, O]),
    ("mq_open", libc::SYS_mq_open, [Absent, O, O, O, O]),
    ("shmget", libc::SYS_shmget, [N(0x00f0_5eb0), O, O, O, O]),
    ("msgget", libc::SYS_msgget, [N(0x00f0_5eb0), O, O, O, O]),
    ("semget", libc::SYS_semget, [N(0x00f0_5eb0), O, O, O, O]),
    ("inotify_init1", libc::SYS_inotify_init1, [O, O, O, O, O]),
    ("fanotify_init", libc::SYS_fanotify_init, [O, O, O, O, O]),
    ("the kernel's log", libc::SYS_syslog, [N(10), O, O, O, O]),
    ("acct", libc::SYS_acct, [Absent, O, O, O, O]),
    ("clock_settime", libc::SYS_clock_settime, [O, O, O, O, O]),
    ("settimeofday", libc::SYS_settimeofday, [O, O, O, O, O]),
    ("sethostname", libc::SYS_sethostname, [O, BAD, O, O, O]),
    ("statx of a path", libc::SYS_statx, [n(libc::AT_FDCWD), Absent, O, O, Zeros]),
    ("link", libc::SYS_linkat, [n(libc::AT_FDCWD), Absent, n(libc::AT_FDCWD), Absent, O]),
    ("symbolic link", libc::SYS_symlinkat, [Absent, n(libc::AT_FDCWD), Absent, O, O]),
    ("mknod", libc::SYS_mknodat, [n(libc::AT_FDCWD), Absent, N(0o20_644), N(0x103), O]),
    ("chmod", libc::SYS_fchmodat, [n(libc::AT_FDCWD), Absent, N(0o4_755), O, O]),
    ("chown", libc::SYS_fchownat, [n(libc::AT_FDCWD), Absent, O, O, O]),
    ("chdir", libc::SYS_chdir, [Absent, O, O, O, O]),
    ("typing into the terminal", libc::SYS_ioctl, [O, n(0x5412), Zeros, O, O]),
    #[cfg(target_arch = "x86_64")]
    ("open, the old call", libc::SYS_open, [Absent, O, O, O, O]),
    #[cfg(target_arch = "x86_64")]
    ("fork, the old call", libc::SYS_fork, [O, O, O, O, O]),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl, [N(9), O, O, O, O]),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", libc::SYS_modify_ldt, [N(0x77), O, O, O, O]),
    #[cfg(target_arch = "x86_64")]
    ("a call of the x32 ABI", 0x4000_0000 | libc::SYS_getpid, [O, O, O, O, O]),
    #[cfg(target_arch = "x86_64")]
    ("a mount of the x32 ABI", 0x4000_0000 | libc::SYS_mount, [Absent, Absent, Absent, O, O]),
];

/// Makes a system call. The child of a fork exits at once.
pub(super) fn call(number: c_long, [a, b, c, d, e]: [i64; 5]) -> io::Result<i64> {
    // SAFETY: pointer arguments are null or refer to constants that these calls only read; where the kernel would
    // write, it would do so to null or to constants, which it refuses. A forked child shares no memory and runs nothing
    // but `_exit`.
    let answer = unsafe {
        let answer = libc::syscall(number, a, b, c, d, e, 0);
        if answer == 0 && is_fork(number) {
            libc::_exit(0);
        }
        answer
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn is_fork(number: c_long) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_fork {
        return true;
    }
    [libc::SYS_clone, libc::SYS_clone3].contains(&number)
}

/// Reverts the effect of a call that was not blocked.
pub(super) fn undo(number: c_long, answer: i64) {
    let opens = [
        libc::SYS_socket,
        libc::SYS_pidfd_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_inotify_init1,
        libc::SYS_fanotify_init,
    ];
    let answer = libc::c_int::try_from(answer).unwrap_or(-1);
    // SAFETY: the descriptor was just opened and has no other owner; the child is a child of this process.
    unsafe {
        if opens.contains(&number) {
            libc::close(answer);
        } else if is_fork(number) {
            libc::waitpid(answer, ptr::null_mut(), 0);
        }
    }
}
