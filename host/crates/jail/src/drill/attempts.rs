//! Attempts that take several calls: files, connections, and operations that must keep working.

use std::{
    fs::{self, OpenOptions},
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    thread,
};

use rustix::{
    fs::{AtFlags, CWD, MemfdFlags, memfd_create, unlinkat},
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap},
};

/// Name of an attempt, whether a jail must refuse it, and its code.
type Attempt = (&'static str, bool, fn() -> io::Result<()>);

/// Attempts independent of the inmate.
pub(super) const ATTEMPTS: &[Attempt] = &[
    ("read /etc/passwd", true, || fs::read("/etc/passwd").map(drop)),
    ("read another process's environment", true, || fs::read("/proc/1/environ").map(drop)),
    ("write its own memory through /proc", true, || OpenOptions::new().write(true).open("/proc/self/mem").map(drop)),
    ("open a device", true, || fs::File::open("/dev/null").map(drop)),
    ("list /", true, || fs::read_dir("/").map(drop)),
    ("write a file in /tmp", true, write_elsewhere),
    ("connect to this machine", true, || TcpStream::connect("127.0.0.1:9").map(drop)),
    ("listen on a port", true, || TcpListener::bind("127.0.0.1:0").map(drop)),
    ("open a UDP port", true, || UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("run a program", true, || Command::new("/bin/true").status().map(drop)),
    ("start a thread", false, || thread::Builder::new().spawn(|| ())?.join().map_err(|_| io::ErrorKind::Other.into())),
    ("make memory executable", false, executable_memory),
];

fn write_elsewhere() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("fusebox-drill-{}", std::process::id()));
    fs::write(&path, b"out")?;
    fs::remove_file(&path)
}

/// Required for loading compiled code.
#[expect(unsafe_code, reason = "memory is mapped as the engine maps it")]
fn executable_memory() -> io::Result<()> {
    const BYTES: usize = 4_096;
    // SAFETY: the mapping is new, nothing points into it, and it is unmapped at the end.
    unsafe {
        let page = mmap_anonymous(std::ptr::null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        mprotect(page, BYTES, MprotectFlags::READ | MprotectFlags::EXEC)?;
        munmap(page, BYTES)?;
    }
    Ok(())
}

/// Returns the attempts in the allowed directory, if any, both permitted and forbidden ones.
pub(super) fn in_directory(dir: Option<&Path>) -> Vec<(&'static str, bool, io::Result<()>)> {
    let Some(dir) = dir else {
        return vec![("open the current directory", true, fs::File::open(".").map(drop))];
    };
    let inside = dir.join(format!("drill-{}", std::process::id()));
    let kept = fs::write(&inside, b"kept").and_then(|()| fs::read(&inside)).map(drop);
    let linked = std::os::unix::fs::symlink("/etc/passwd", dir.join("drill-link"));
    let run = Command::new(&inside).status().map(drop);
    let above = fs::write(dir.join("../drill-above"), b"out");
    // Reverts attempts that succeeded.
    let _ = fs::remove_file(dir.join("../drill-above"));
    let _ = fs::remove_file(dir.join("drill-link"));
    let removed = unlinkat(CWD, &inside, AtFlags::empty()).map_err(Into::into);
    vec![
        ("keep a file in its directory", false, kept),
        ("make a link there", true, linked),
        ("run a file from there", true, run),
        ("write beside its directory", true, above),
        ("remove the file", false, removed),
        (
            "an image of a module in memory",
            false,
            memfd_create("drill", MemfdFlags::CLOEXEC).map(drop).map_err(Into::into),
        ),
    ]
}
