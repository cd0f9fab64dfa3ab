//! Ended tasks by the time at which they may be deleted. The ids of tasks that end at about the same time share a key,
//! since one for each would cost as much as a record.

use fusebox_core::{id::TaskId, time::Millis};

/// Largest number of ids under one key: as many as fit into a page beside another key.
const IDS_MAX: usize = 120;
/// Longest time between the first and the last end of a key, in milliseconds. A key is read again once for those that
/// are due later than its first.
const SPAN_MS: u64 = 1_000;

/// Largest number of chunks that take further tasks.
const OPEN_MAX: usize = 8;

/// Ended tasks under one key.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Earliest time at which one may be deleted.
    pub(super) due: Millis,
    /// Tasks, in the order of their ends.
    pub(super) ids: Vec<TaskId>,
}

impl Chunk {
    /// Encodes the ids.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.ids.iter().flat_map(|id| *id.as_bytes()).collect()
    }

    /// Decodes ids.
    pub(super) fn decode(bytes: &[u8]) -> Vec<TaskId> {
        bytes.as_chunks().0.iter().map(|id| TaskId::from_bytes(*id)).collect()
    }

    fn takes(&self, due: Millis) -> bool {
        self.ids.len() < IDS_MAX && due >= self.due && due <= self.due.plus(SPAN_MS)
    }
}

/// Chunks that take further tasks, and those to be written. Tasks with other times to live are in other chunks.
#[derive(Default)]
pub(super) struct Retention {
    open: Vec<Open>,
    full: Vec<Chunk>,
}

struct Open {
    chunk: Chunk,
    is_changed: bool,
}

impl Retention {
    /// Adds a task that may be deleted at `due`.
    pub(super) fn add(&mut self, due: Millis, task: TaskId) {
        if let Some(open) = self.open.iter_mut().find(|open| open.chunk.takes(due)) {
            open.chunk.ids.push(task);
            open.is_changed = true;
            return;
        }
        if self.open.len() >= OPEN_MAX {
            let first = self.open.remove(0);
            self.full.extend(first.is_changed.then_some(first.chunk));
        }
        self.open.push(Open { chunk: Chunk { due, ids: vec![task] }, is_changed: true });
    }

    /// Returns the chunks to be written.
    pub(super) fn take_changed(&mut self) -> Vec<Chunk> {
        let mut changed = std::mem::take(&mut self.full);
        let open =
            self.open.iter_mut().filter_map(|open| std::mem::take(&mut open.is_changed).then(|| open.chunk.clone()));
        changed.extend(open);
        changed
    }

    /// Adds no more to the chunks, since keys of some are about to be removed.
    pub(super) fn close(&mut self) {
        let changed = self.open.drain(..).filter(|open| open.is_changed);
        self.full.extend(changed.map(|open| open.chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_bounded_in_number_and_time_and_written_until_it_is_full() {
        let task = |n: u8| TaskId::from_bytes([n; 16]);
        let mut retention = Retention::default();
        let lengths = |retention: &mut Retention| {
            retention.take_changed().iter().map(|chunk| (chunk.due.0, chunk.ids.len())).collect::<Vec<_>>()
        };
        retention.add(Millis(10), task(0));
        assert_eq!(lengths(&mut retention), [(10, 1)]);
        assert_eq!(lengths(&mut retention), []);
        retention.add(Millis(10 + SPAN_MS), task(1));
        retention.add(Millis(11 + SPAN_MS), task(2));
        retention.add(Millis(10), task(3));
        assert_eq!(lengths(&mut retention), [(10, 3), (11 + SPAN_MS, 1)]);
        (0..u8::try_from(IDS_MAX).unwrap()).for_each(|n| retention.add(Millis(11), task(n)));
        assert_eq!(lengths(&mut retention), [(10, IDS_MAX), (11, 3)]);
        retention.add(Millis(11), task(1));
        retention.close();
        retention.add(Millis(11), task(9));
        assert_eq!(lengths(&mut retention), [(11, 4), (11, 1)]);
        let chunk = Chunk { due: Millis(1), ids: vec![task(1), task(2)] };
        assert_eq!(Chunk::decode(&chunk.encode()), chunk.ids);
    }

    #[test]
    fn every_task_is_written_however_many_times_to_live_there_are() {
        let mut retention = Retention::default();
        let count = 3 * OPEN_MAX;
        for n in (0..count).chain(0..count) {
            retention.add(Millis(n as u64 * 2 * SPAN_MS), TaskId::from_bytes([1; 16]));
        }
        assert_eq!(retention.open.len(), OPEN_MAX);
        assert_eq!(retention.take_changed().iter().map(|chunk| chunk.ids.len()).sum::<usize>(), 2 * count);
    }
}
