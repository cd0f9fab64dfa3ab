//! Cuts of the power at every flush in the recorded life of a store: whatever the disk kept of the writes since the last
//! one, the store opens, has all that was acknowledged, and nothing half.
//!
//! `FUSEBOX_CUTS` is the number of random directories for each flush. `FUSEBOX_CUTS_PLANT` plants a bug, which the check
//! must notice: flushes of one kind are not made.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use fusebox_core::time::Millis;
use fusebox_system::clock::Clock;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::{
    disk::{Disk, Left},
    recorder::Op,
};
use super::{EmbeddedStore, OPTIONS};
use crate::{
    Queue as _, Result,
    embedded::{engine::Space, open as directory},
    layout::LAYOUT,
};

mod disk;
mod life;
mod recorder;

const CUTS_VARIABLE: &str = "FUSEBOX_CUTS";
const PLANT_VARIABLE: &str = "FUSEBOX_CUTS_PLANT";
/// Number of random directories for each flush, besides those with nothing and with everything of what was not flushed.
const CUTS: u64 = 4;
/// Kinds of flushes that a plant leaves out: of pages, of the page with the root, of the directory in which a copy takes
/// the place of the file, and of the file that names the layout.
const PLANTS: [&str; 4] = ["pages", "root", "swap", "layout"];
/// Start of the line about a bug.
const FOUND: &str = "a cut of the power";

/// Everything in a store at one moment.
#[derive(Debug, PartialEq, Eq)]
struct State {
    /// Number of entries.
    entries: usize,
    /// Hash of all entries.
    digest: u64,
    backlog: String,
}

impl State {
    /// Opens the store in a directory and reads everything.
    fn read(dir: &Path, runtime: &Runtime) -> Result<Self> {
        let (mut entries, mut hasher) = (0, DefaultHasher::new());
        let engine = directory::engine(dir, LAYOUT)?;
        let snapshot = engine.snapshot()?;
        for space in [Space::Records, Space::Blobs, Space::Index] {
            for entry in snapshot.entries(space, &[0], &[u8::MAX; 500])? {
                entry?.hash(&mut hasher);
                entries += 1;
            }
        }
        drop((snapshot, engine));
        let store = EmbeddedStore::open_with(dir, Clock::manual(Millis(1)), OPTIONS)?;
        let backlog = format!("{:?}", runtime.block_on(store.backlog())?);
        Ok(Self { entries, digest: hasher.finish(), backlog })
    }
}

/// Recording with the states at its marks.
struct Check {
    ops: Vec<Op>,
    states: Vec<State>,
    runtime: Runtime,
    home: TempDir,
    cuts: u64,
}

impl Check {
    /// Records a life. Without cuts, the recording must lead to what the store really left, and to the backlogs that it
    /// had.
    fn new(cuts: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ops, backlogs, dir) = runtime.block_on(life::record());
        let home = tempfile::tempdir().unwrap();
        let mut check = Self { ops, states: Vec::new(), runtime, home, cuts };
        let mut disk = Disk::new();
        for op in &check.ops {
            disk.perform(op);
            disk.flush(op);
            if matches!(op, Op::Mark) {
                check.states.push(State::read(&check.made(&disk, Left::Everything), &check.runtime).unwrap());
            }
        }
        assert!(check.states.iter().map(|state| &state.backlog).eq(&backlogs));
        assert_eq!(contents(&check.made(&disk, Left::Everything)), contents(dir.path()));
        let mut commits = check
            .ops
            .split(|op| matches!(op, Op::Mark))
            .map(|ops| ops.iter().filter(|op| matches!(op, Op::Write { synced: true, .. })).count());
        // The first ones make the store, and another process opens it.
        assert!(commits.by_ref().skip(1).all(|commits| commits <= 1), "a step is one commit");
        check
    }

    /// Returns a directory as a cut leaves it.
    fn made(&self, disk: &Disk, left: Left) -> PathBuf {
        let dir = self.home.path().join("cut");
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => disk.cut(left, &dir),
        }
        dir
    }

    /// Cuts the power before each flush is done.
    ///
    /// # Errors
    /// Returns the first cut after which the store is not as it was acknowledged.
    fn run(&self) -> std::result::Result<usize, String> {
        let (mut disk, mut acknowledged, mut count) = (Disk::new(), 0, 0);
        for (at, op) in self.ops.iter().enumerate() {
            disk.perform(op);
            match op {
                Op::Mark => acknowledged += 1,
                Op::Sync(_) | Op::Write { synced: true, .. } if disk.has_pending() => {
                    count += self.cut(&disk, at, acknowledged)?;
                }
                _ => {}
            }
            disk.flush(op);
        }
        Ok(count + self.cut(&disk, self.ops.len(), acknowledged)?)
    }

    /// Opens what is left after a cut before a flush; returns the number of directories.
    fn cut(&self, disk: &Disk, at: usize, acknowledged: usize) -> std::result::Result<usize, String> {
        let seeds = (0..self.cuts).map(|seed| Left::Some(at as u64 * self.cuts + seed));
        let all: Vec<_> = [Left::Nothing, Left::Everything].into_iter().chain(seeds).collect();
        // Before the first acknowledgement there may be nothing yet; the step under way may be done or not.
        let first = acknowledged.saturating_sub(1);
        let allowed = &self.states[first..self.states.len().min(acknowledged + 1)];
        for left in &all {
            let told = |what: &str| format!("{FOUND} before operation {at}, which left {left:?}: {what}");
            let found = State::read(&self.made(disk, *left), &self.runtime);
            let found = found.map_err(|error| told(&error.to_string()))?;
            if !allowed.contains(&found) {
                return Err(told(&format!("{found:?} is none of {allowed:?}")));
            }
        }
        Ok(all.len())
    }
}

/// Returns the files below a directory with their contents, apart from locks.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.ends_with("lock") || path.ends_with("lock.mdb") => {}
                false => found.push((path.strip_prefix(dir).unwrap().to_owned(), fs::read(path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// Leaves flushes of a kind out, once there is a store.
fn plant(ops: &mut Vec<Op>, kind: &str) {
    let (mut is_made, mut after_swap) = (false, false);
    ops.retain_mut(|op| match (kind, op) {
        (_, op) if !is_made => {
            is_made = matches!(op, Op::Mark);
            true
        }
        ("pages", Op::Sync(path)) => !path.ends_with("data.mdb"),
        ("root", Op::Write { synced, .. }) => {
            *synced = false;
            true
        }
        ("swap", Op::Rename(from, _)) => {
            after_swap = from.starts_with("db");
            true
        }
        ("swap", Op::Sync(_)) => !std::mem::take(&mut after_swap),
        ("layout", Op::Sync(path)) => !path.ends_with("format.new"),
        _ => true,
    });
}

fn variable(name: &str) -> Option<String> {
    Some(std::env::var_os(name)?.into_string().unwrap())
}

#[test]
fn what_was_acknowledged_survives_a_cut_at_every_flush() {
    let cuts = variable(CUTS_VARIABLE).map_or(CUTS, |cuts| cuts.parse().unwrap());
    let mut check = Check::new(cuts);
    if let Some(kind) = variable(PLANT_VARIABLE) {
        plant(&mut check.ops, &kind);
    }
    let count = check.run().unwrap_or_else(|found| panic!("{found}"));
    assert!(count as u64 > check.states.len() as u64 * (2 + cuts), "{count} directories");
}

/// A store whose file refers to pages that are not there may end the process that reads it.
#[test]
fn the_check_notices_each_flush_that_is_left_out() {
    let name = std::thread::current().name().unwrap().replace(
        "the_check_notices_each_flush_that_is_left_out",
        "what_was_acknowledged_survives_a_cut_at_every_flush",
    );
    for kind in PLANTS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name]).env(PLANT_VARIABLE, kind).env(CUTS_VARIABLE, "0").env("RUST_BACKTRACE", "0");
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        // The test's name may be lost with a process that is ended.
        assert!(told.contains("running 1 test"), "{told}");
        assert!(output.status.code().is_none() || told.contains(FOUND), "{kind}: {told}");
    }
}
