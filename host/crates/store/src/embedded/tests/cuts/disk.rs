//! A disk whose power is cut: it knows what of a recording is durable, and makes the directories that a cut may leave.
//! Of the writes since the last flush of their file, any sectors may be there. Of the changes of names since the last
//! flush of their directory, the later ones may be missing: file systems keep a log of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path},
};

use super::recorder::Op;

/// Size that a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// Number of the directory that was recorded.
const ROOT: usize = 0;

/// Contents of sectors, by their number.
type Sectors = BTreeMap<usize, Vec<u8>>;
/// Names in each directory; directories and files are numbered together.
type Names = BTreeMap<usize, BTreeMap<String, usize>>;
/// Names of directories that change together: to another number, or to none.
type Change = Vec<(usize, String, Option<usize>)>;

/// Selection of the unflushed writes that a cut leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Parts that depend on a seed.
    Some(u64),
}

/// Disk during a recording.
pub(super) struct Disk {
    /// Files, and `None` for directories.
    files: Vec<Option<File>>,
    names: Names,
    durable: Names,
    /// Changes of names that may be lost.
    changes: Vec<Change>,
    /// Number of writes so far.
    writes: usize,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    durable: Sectors,
    /// Later contents of sectors, oldest first, with the number of their write.
    pending: BTreeMap<usize, Vec<(usize, Vec<u8>)>>,
}

impl Disk {
    /// Creates a disk with an empty directory.
    pub(super) fn new() -> Self {
        let names = Names::from([(ROOT, BTreeMap::new())]);
        Self { files: vec![None], durable: names.clone(), names, changes: Vec::new(), writes: 0 }
    }

    /// Performs an operation, whose effect may still be lost: flushes come with [`Disk::flush`].
    pub(super) fn perform(&mut self, op: &Op) {
        match op {
            Op::Mkdir(path) => {
                let number = self.add(None);
                self.names.insert(number, BTreeMap::new());
                self.durable.insert(number, BTreeMap::new());
                self.rename(&[(path, Some(number))]);
            }
            Op::Write { path, at, bytes, .. } => {
                let number = self.find(path).unwrap_or_else(|| {
                    let number = self.add(Some(File::default()));
                    self.rename(&[(path, Some(number))]);
                    number
                });
                self.writes += 1;
                self.files[number].as_mut().unwrap().write(self.writes, *at, bytes);
            }
            Op::Rename(from, to) => {
                let number = self.find(from).unwrap();
                self.rename(&[(from, None), (to, Some(number))]);
            }
            Op::Remove(path) => self.rename(&[(path, None)]),
            Op::Sync(_) | Op::Mark => {}
        }
    }

    /// Makes durable what an operation flushes.
    pub(super) fn flush(&mut self, op: &Op) {
        match op {
            Op::Write { path, at, bytes, synced: true } => {
                let number = self.find(path).unwrap();
                self.files[number].as_mut().unwrap().flush(at / SECTOR..(at + bytes.len()).div_ceil(SECTOR));
            }
            Op::Sync(path) => {
                let Some(number) = self.find(path) else { return };
                if let Some(file) = &mut self.files[number] {
                    file.flush(0..usize::MAX);
                }
                let (flushed, kept) = std::mem::take(&mut self.changes)
                    .into_iter()
                    .partition::<Vec<_>, _>(|change| change.iter().any(|(dir, ..)| *dir == number));
                flushed.iter().for_each(|change| apply(&mut self.durable, change));
                self.changes = kept;
            }
            _ => {}
        }
    }

    /// Returns true if a cut could lose something.
    pub(super) fn has_pending(&self) -> bool {
        !self.changes.is_empty() || self.files.iter().flatten().any(|file| !file.pending.is_empty())
    }

    /// Makes a directory as a cut leaves it.
    pub(super) fn cut(&self, left: Left, dir: &Path) {
        let mut dice = Dice(if let Left::Some(seed) = left { seed } else { 0 });
        let survives = self.surviving(left, &mut dice);
        let mut names = self.durable.clone();
        let changes = match left {
            Left::Nothing => 0,
            Left::Everything => self.changes.len(),
            Left::Some(_) => dice.below(self.changes.len() + 1),
        };
        self.changes[..changes].iter().for_each(|change| apply(&mut names, change));
        self.make(ROOT, &names, dir, &mut |versions| {
            let survivors: Vec<_> = versions.iter().filter(|(write, _)| survives(*write)).collect();
            match left {
                // Torn, and in any order.
                Left::Some(seed) if seed % 4 == 0 => survivors.get(dice.below(survivors.len() + 1)).map(|(_, new)| new),
                _ => survivors.last().map(|(_, new)| new),
            }
        });
    }

    /// Returns the test of a write's number for its survival.
    fn surviving(&self, left: Left, dice: &mut Dice) -> impl Fn(usize) -> bool + use<> {
        let pending = self.files.iter().flatten().flat_map(|file| file.pending.values().flatten());
        let pending: Vec<_> = pending.map(|(write, _)| *write).collect::<BTreeSet<_>>().into_iter().collect();
        let one = pending.get(dice.below(pending.len())).copied();
        let half: BTreeSet<_> = pending.into_iter().filter(|_| dice.below(2) == 0).collect();
        move |write| match left {
            Left::Nothing => false,
            Left::Everything => true,
            Left::Some(seed) => match seed % 4 {
                0 => true,
                1 => one == Some(write),
                2 => one != Some(write),
                _ => half.contains(&write),
            },
        }
    }

    fn make<'a>(
        &'a self,
        number: usize,
        names: &Names,
        to: &Path,
        choose: &mut impl FnMut(&'a [(usize, Vec<u8>)]) -> Option<&'a Vec<u8>>,
    ) {
        let Some(file) = &self.files[number] else {
            fs::create_dir(to).unwrap();
            names[&number].iter().for_each(|(name, number)| self.make(*number, names, &to.join(name), choose));
            return;
        };
        let mut sectors: BTreeMap<usize, &Vec<u8>> = file.durable.iter().map(|(at, bytes)| (*at, bytes)).collect();
        sectors.extend(file.pending.iter().filter_map(|(at, versions)| Some((*at, choose(versions)?))));
        let mut bytes = Vec::new();
        for (at, sector) in sectors {
            bytes.resize(at * SECTOR, 0);
            bytes.extend_from_slice(sector);
        }
        fs::write(to, bytes).unwrap();
    }

    fn add(&mut self, file: Option<File>) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.components().try_fold(ROOT, |dir, part| self.names.get(&dir)?.get(&name(part)).copied())
    }

    /// Gives paths other numbers, together.
    fn rename(&mut self, paths: &[(&Path, Option<usize>)]) {
        let change: Change = paths
            .iter()
            .map(|(path, number)| {
                let dir = self.find(path.parent().unwrap()).unwrap();
                (dir, name(path.components().next_back().unwrap()), *number)
            })
            .collect();
        apply(&mut self.names, &change);
        self.changes.push(change);
    }
}

fn name(part: Component<'_>) -> String {
    part.as_os_str().to_str().unwrap().to_owned()
}

fn apply(names: &mut Names, change: &Change) {
    for (dir, name, number) in change {
        let names = names.entry(*dir).or_default();
        match number {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}

impl File {
    fn write(&mut self, write: usize, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[at..end].copy_from_slice(bytes);
        for sector in at / SECTOR..end.div_ceil(SECTOR) {
            let content = &self.bytes[sector * SECTOR..self.bytes.len().min((sector + 1) * SECTOR)];
            self.pending.entry(sector).or_default().push((write, content.to_vec()));
        }
    }

    fn flush(&mut self, sectors: std::ops::Range<usize>) {
        let flushed: Vec<_> = self.pending.range(sectors).map(|(at, _)| *at).collect();
        for at in flushed {
            let (_, latest) = self.pending.remove(&at).and_then(|mut versions| versions.pop()).unwrap();
            self.durable.insert(at, latest);
        }
    }
}

/// Numbers that depend on a seed.
struct Dice(u64);

impl Dice {
    /// Returns a number below `end`; 0 if there is none. By SplitMix64.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap() % end.max(1)
    }
}
