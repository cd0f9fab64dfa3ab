//! A store on a disk without room.

use fusebox_core::time::Millis;
use fusebox_harness::small_disk::SmallDisk;

use super::{Embedded, open};
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
