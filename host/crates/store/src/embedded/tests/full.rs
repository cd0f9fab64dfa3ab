//! A store on a disk without room, and in too little address space.

use std::{fs, path::Path, process::Command};

use fusebox_core::time::Millis;
use fusebox_harness::small_disk::SmallDisk;

use super::{Embedded, EmbeddedStore, open};
use crate::conformance::full;
use fusebox_system::clock::Clock;

#[tokio::test]
async fn a_full_disk_refuses_what_stores_more_and_everything_else_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(home.path(), 24 << 20).unwrap();
    let clock = Clock::manual(Millis(1_750_000_000_000));
    let subject = Embedded { store: open(home.path(), &clock), clock, dir: tempfile::tempdir().unwrap() };
    let (mut stored, reason) = full::fill(&subject).await;
    assert!(reason.contains("kept for leases, ends and deletions"), "{reason}");
    full::goes_on(&subject, &mut stored).await;
    // Others take what the store has left to them.
    disk.fill().unwrap();
    full::goes_on(&subject, &mut stored).await;
    disk.free().unwrap();
    assert!(full::is_freed(&subject, &mut stored).await);
}

/// Names the directory for a store, and what is told about it, of a process with little address space.
const HOME_VARIABLE: &str = "FUSEBOX_SMALL_SPACE";
/// Address space of that process, in KiB: the file is mapped into half of it at most, which is too little.
const SPACE_KIB: u64 = 500_000;

#[test]
fn an_address_space_that_is_too_small_is_told_in_one_line() {
    if let Some(home) = std::env::var_os(HOME_VARIABLE) {
        let home = Path::new(&home);
        let told = EmbeddedStore::open(&home.join("store"), Clock::System).err().unwrap().to_string();
        return fs::write(home.join("told"), told).unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let script = format!("ulimit -v {SPACE_KIB}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(program).args(["--exact", &name]).env(HOME_VARIABLE, home.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let told = fs::read_to_string(home.path().join("told")).unwrap();
    assert!(told.contains("raise the limit of the address space (`ulimit -v`), now 488 MiB"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
