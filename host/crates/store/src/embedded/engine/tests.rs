//! Batches, reads, compaction and failures of an engine.

use bytes::Bytes;

use super::*;
use fusebox_harness::small_disk::SmallDisk;

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    Engine::make(dir.path()).unwrap();
    let engine = Engine::open(dir.path(), tempfile::tempfile().unwrap()).unwrap();
    (dir, engine)
}

fn value(engine: &Engine) -> Bytes {
    engine.snapshot().unwrap().get(Space::Blobs, b"key").unwrap().unwrap()
}

/// Makes an engine with a large file that holds nothing but a small value.
fn sparse() -> (tempfile::TempDir, Engine) {
    let (dir, engine) = engine();
    thin_out(&engine);
    (dir, engine)
}

fn thin_out(engine: &Engine) {
    put(engine, vec![1; 32 << 20]).unwrap();
    assert!(!engine.is_sparse().unwrap());
    put(engine, "small").unwrap();
    assert!(engine.is_sparse().unwrap());
}

fn again(dir: &tempfile::TempDir, engine: Engine) -> Engine {
    drop(engine);
    let engine = Engine::open(dir.path(), tempfile::tempfile().unwrap()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    engine
}

#[test]
fn space_is_given_back_and_reads_go_on() {
    let (dir, engine) = sparse();
    let read = engine.snapshot().unwrap();
    engine.copy().unwrap();
    engine.replace(engine.commits()).unwrap();
    assert!(engine.disk_bytes().unwrap() < 1 << 20);
    assert_eq!(read.get(Space::Blobs, b"key").unwrap().unwrap(), "small");
    drop(read);
    put(&engine, "after").unwrap();
    assert_eq!(value(&engine), "after");
    let engine = again(&dir, engine);
    assert_eq!(value(&engine), "after");
}

#[test]
fn a_copy_that_misses_a_write_is_dropped() {
    let (dir, engine) = sparse();
    let commits = engine.commits();
    engine.copy().unwrap();
    put(&engine, "later").unwrap();
    engine.replace(commits).unwrap();
    assert!(engine.is_sparse().unwrap());
    assert_eq!(value(&engine), "later");
    assert_eq!(value(&again(&dir, engine)), "later");
}

#[test]
fn a_kill_at_any_point_of_a_compaction_leaves_one_file() {
    let (dir, engine) = sparse();
    engine.copy().unwrap();
    put(&engine, "before the swap").unwrap();
    let engine = again(&dir, engine);
    assert_eq!(value(&engine), "before the swap");
    engine.copy().unwrap();
    folders::number_copy(dir.path(), folders::FIRST + 1).unwrap();
    let engine = again(&dir, engine);
    assert_eq!(value(&engine), "before the swap");
    assert!(engine.disk_bytes().unwrap() < 1 << 20);
}

fn put(engine: &Engine, value: impl AsRef<[u8]>) -> Result<()> {
    let environment = engine.writable()?;
    let mut batch = environment.batch()?;
    batch.put(Space::Blobs, b"key", value.as_ref())?;
    engine.commit(batch)
}

#[test]
fn after_a_failed_flush_the_file_is_opened_again_once_no_read_sees_the_old_one() {
    let (_dir, engine) = engine();
    put(&engine, "first").unwrap();
    let read = engine.snapshot().unwrap();
    engine.close();
    assert!(put(&engine, "second").is_err());
    assert!(engine.snapshot().is_err());
    let now = Instant::now();
    assert!(engine.reopen(now).is_err());
    assert_eq!(read.get(Space::Blobs, b"key").unwrap().unwrap(), "first");
    drop(read);
    assert!(engine.reopen(now).is_err(), "not tried without a pause");
    engine.reopen(now + REOPEN).unwrap();
    put(&engine, "second").unwrap();
    assert_eq!(engine.snapshot().unwrap().get(Space::Blobs, b"key").unwrap().unwrap(), "second");
}

#[test]
fn a_disk_without_room_for_a_copy_gets_none() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path(), 64 << 20).unwrap();
    Engine::make(dir.path()).unwrap();
    let engine = Engine::open(dir.path(), tempfile::tempfile().unwrap()).unwrap();
    thin_out(&engine);
    disk.fill().unwrap();
    assert!(!engine.is_sparse().unwrap());
    assert!(engine.copy().is_err());
    disk.free().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "half a copy is dropped");
}

#[test]
fn a_full_disk_fails_writes_and_no_reads_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path(), 4 << 20).unwrap();
    Engine::make(dir.path()).unwrap();
    let engine = Engine::open(dir.path(), tempfile::tempfile().unwrap()).unwrap();
    put(&engine, vec![1; 1 << 20]).unwrap();
    let read = engine.snapshot().unwrap();
    disk.fill().unwrap();
    // Of many pages some fit, of few none: the system answers both in its own way.
    for bytes in [2 << 20, 64 << 10, 2 << 20, 4 << 10] {
        let error = put(&engine, vec![2; bytes]).unwrap_err();
        assert!(matches!(&error, Error::Full(reason) if reason.contains("its disk")), "{error}");
        assert_eq!(value(&engine), vec![1; 1 << 20]);
    }
    drop(read);
    disk.free().unwrap();
    put(&engine, "after").unwrap();
    assert_eq!(value(&engine), "after");
}

#[test]
fn what_is_written_again_and_again_takes_no_more_room() {
    let (_dir, engine) = engine();
    for n in (0..=u8::MAX).chain(0..=u8::MAX) {
        put(&engine, vec![n; 32 << 10]).unwrap();
        engine.snapshot().unwrap().get(Space::Blobs, b"key").unwrap();
    }
    // 16 MB were written; reads must not retain the earlier ones.
    assert!(engine.disk_bytes().unwrap() < 1 << 20, "{} bytes", engine.disk_bytes().unwrap());
}

#[test]
fn a_read_sees_one_moment_and_its_pages_are_reused_after_it() {
    let (_dir, engine) = engine();
    put(&engine, vec![1; 64 << 10]).unwrap();
    let read = engine.snapshot().unwrap();
    for _ in 0..64 {
        put(&engine, vec![2; 64 << 10]).unwrap();
    }
    assert_eq!(read.get(Space::Blobs, b"key").unwrap().unwrap(), vec![1; 64 << 10]);
    let held = engine.disk_bytes().unwrap();
    assert!(held > 4 << 20, "{held} bytes");
    drop(read);
    for _ in 0..64 {
        put(&engine, vec![3; 64 << 10]).unwrap();
    }
    assert_eq!(engine.disk_bytes().unwrap(), held);
}
