//! Merges neighbouring data segments, of which toolchains write tens of thousands: Go and CPython 24,000, Haskell
//! 79,000. Each costs the compiler and every instantiation as much as a page of data.
//!
//! Segments are written in their order when a module is instantiated. Two that follow each other become one if the
//! second begins at most [`GAP_BYTES_MAX`] after the end of the first: the bytes between them are zero in a fresh
//! memory, unless an earlier segment wrote there, in which case they stay apart.

use std::collections::BTreeMap;

use wasmparser::{ConstExpr, Data, DataKind, DataSectionReader, Operator, Result};

/// Zeros that a merge may add: what the head of a segment takes, several times. All but a few segments of real programs
/// are as near to each other, since linkers align objects to at most 64 bytes.
const GAP_BYTES_MAX: u64 = 64;

/// Segments of a module, merged.
#[derive(Default)]
pub(crate) struct Merged<'a> {
    pub(crate) runs: Vec<Run<'a>>,
}

/// Neighbouring segments, in their order.
pub(crate) struct Run<'a> {
    /// At least one.
    pub(crate) segments: Vec<Data<'a>>,
    /// Place of an active run whose address is a constant.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    memory: u32,
    start: u64,
    end: u64,
}

impl<'a> Merged<'a> {
    /// Merges the segments of a section. Memories with an index below `imported` may hold data of other modules, so
    /// nothing is written there that the module does not write itself.
    pub(crate) fn new(section: &DataSectionReader<'a>, imported: u32) -> Result<Self> {
        let (mut merged, mut written) = (Self::default(), Written::default());
        for segment in section.clone() {
            merged.add(segment?, &mut written, imported);
        }
        Ok(merged)
    }

    fn add(&mut self, segment: Data<'a>, written: &mut Written, imported: u32) {
        let place = place(&segment);
        if let (Some(last), Some(place)) = (self.runs.last_mut(), place)
            && last.reaches(place, written, imported)
        {
            last.segments.push(segment);
            return;
        }
        if let Some(last) = self.runs.last() {
            written.add(last);
        }
        self.runs.push(Run { segments: vec![segment], place });
    }
}

impl Run<'_> {
    /// Extends this run to a place if it may.
    fn reaches(&mut self, next: Place, written: &Written, imported: u32) -> bool {
        let Some(place) = self.place.as_mut().filter(|place| place.memory == next.memory) else { return false };
        let Some(gap) = next.start.checked_sub(place.end) else { return false };
        let is_free = || place.memory >= imported && written.leaves_free(place.memory, place.end, next.start);
        let is_near = gap == 0 || gap <= GAP_BYTES_MAX && is_free();
        if is_near {
            place.end = next.end;
        }
        is_near
    }

    /// Returns the bytes of the run, with zeros between its segments, and its memory and address; `None` if it is one
    /// segment as it was.
    pub(crate) fn joined(&self) -> Option<(u32, i32, Vec<u8>)> {
        let place = self.place.filter(|_| self.segments.len() > 1)?;
        let mut bytes = Vec::with_capacity(usize::try_from(place.end - place.start).ok()?);
        for segment in &self.segments {
            let start = self::place(segment)?.start - place.start;
            bytes.resize(usize::try_from(start).ok()?, 0);
            bytes.extend_from_slice(segment.data);
        }
        Some((place.memory, u32::try_from(place.start).ok()?.cast_signed(), bytes))
    }
}

/// Returns the place of an active segment whose address is a constant of 32 bits.
fn place(segment: &Data<'_>) -> Option<Place> {
    let DataKind::Active { memory_index, offset_expr } = &segment.kind else { return None };
    let start = u64::from(constant(offset_expr)?);
    Some(Place { memory: *memory_index, start, end: start + segment.data.len() as u64 })
}

fn constant(expression: &ConstExpr<'_>) -> Option<u32> {
    let mut operators = expression.get_operators_reader();
    match (operators.read().ok()?, operators.read().ok()?) {
        (Operator::I32Const { value }, Operator::End) => Some(value.cast_unsigned()),
        _ => None,
    }
}

/// Ranges of memories that segments have written.
#[derive(Default)]
struct Written {
    /// Disjoint ranges by memory and start, with their ends.
    ranges: BTreeMap<(u32, u64), u64>,
    /// True if a segment has an address that is known only when the module is instantiated.
    has_unknown: bool,
}

impl Written {
    fn add(&mut self, run: &Run<'_>) {
        let Some(Place { memory, mut start, mut end }) = run.place else {
            self.has_unknown |= run.segments.iter().any(|segment| matches!(segment.kind, DataKind::Active { .. }));
            return;
        };
        // The ranges that it touches become part of it.
        while let Some((from, to)) = self.last_before(memory, end).filter(|(_, to)| *to >= start) {
            self.ranges.remove(&(memory, from));
            (start, end) = (start.min(from), end.max(to));
        }
        self.ranges.insert((memory, start), end);
    }

    /// Returns true if no segment wrote between these addresses.
    fn leaves_free(&self, memory: u32, start: u64, end: u64) -> bool {
        !self.has_unknown && self.last_before(memory, end).is_none_or(|(_, to)| to <= start)
    }

    /// Returns the last range that begins before an address.
    fn last_before(&self, memory: u32, address: u64) -> Option<(u64, u64)> {
        let mut before = self.ranges.range((memory, 0)..(memory, address));
        before.next_back().map(|((_, from), to)| (*from, *to))
    }
}
