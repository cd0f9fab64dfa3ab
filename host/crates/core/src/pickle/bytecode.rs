//! Bytecode of CPython: which minor versions can have compiled it, and which modules it imports.
//!
//! A version is excluded by an instruction that it does not have, an index out of range, an inline cache that is not
//! zero, a jump that ends within an instruction, or a prologue or epilogue that its compiler writes otherwise. Over all
//! functions of the standard libraries, no version's own bytecode is excluded (`scripts/python_study.py`). What remains
//! undecided between 3.11 and 3.12 means the same in both.

use alloc::{vec, vec::Vec};

use super::{
    code::{self, Code, Layout},
    ops::Span,
    tables::{TABLES, Table},
    version::{PythonVersion, Versions},
};

/// Operand of CALL_INTRINSIC_1 in the handler that Python 3.12 and later add to every generator that is no lambda:
/// `INTRINSIC_STOPITERATION_ERROR`.
const STOP_ITERATION: u32 = 3;

/// Position behind all code, where no jump ends.
const NOWHERE: usize = usize::MAX - 1;

/// One instruction.
struct Instruction {
    /// Position of its first byte, prefixes not included.
    at: usize,
    kind: u8,
    argument: u32,
    /// Position behind its inline caches.
    next: usize,
    /// True if prefixes extend its argument, so that no jump ends at it.
    is_extended: bool,
}

/// Returns the versions that can have compiled the code, and the names of the modules that it imports.
pub(super) fn examine(code: &Code<'_>) -> (Versions, Vec<Span>) {
    let fitting: Vec<&Table> = TABLES.iter().filter(|table| is_of(table, code)).collect();
    // Other instructions of 3.12 have the numbers of those jumps of 3.11. Where the whole code fits both, it is never a
    // loop, which takes instructions that only 3.11 has or that have other caches in 3.12.
    let is_alone = fitting.len() == 1;
    let is_loop = |table: &Table| Reading { table, code }.instructions().flatten().any(|it| it.kind == b'k');
    let fitting: Vec<&Table> = fitting.into_iter().filter(|table| is_alone || !is_loop(table)).collect();
    let imports = fitting.first().map(|table| imports(table, code)).unwrap_or_default();
    (fitting.iter().map(|table| PythonVersion::new(table.minor)).collect(), imports)
}

/// Returns whether this version can have compiled the code.
fn is_of(table: &Table, code: &Code<'_>) -> bool {
    let is_layout = match code.layout {
        Layout::New => table.minor >= 11,
        Layout::Old { is_310 } => table.minor <= 10 && (table.minor == 10) == is_310,
    };
    is_layout && Reading { table, code }.is_sound().unwrap_or(false)
}

/// Returns the names of the modules that the code imports.
fn imports(table: &Table, code: &Code<'_>) -> Vec<Span> {
    let instructions = Reading { table, code }.instructions();
    let imported = instructions.filter_map(|instruction| instruction.filter(|it| it.kind == b'i'));
    imported.filter_map(|instruction| code::text(code.names, instruction.argument)).collect()
}

/// Code, read as one version would.
#[derive(Clone, Copy)]
struct Reading<'a> {
    table: &'a Table,
    code: &'a Code<'a>,
}

impl<'a> Reading<'a> {
    /// Returns the instructions; `None` for one that this version does not have or that is cut off, at which it ends.
    fn instructions(self) -> impl Iterator<Item = Option<Instruction>> {
        let mut at = Some(0);
        let mut prefix = 0;
        core::iter::from_fn(move || {
            let start = at.filter(|at| *at < self.code.bytecode.len())?;
            let instruction = self.instruction(start, prefix);
            at = instruction.as_ref().map(|instruction| instruction.next);
            prefix = instruction.as_ref().filter(|it| it.kind == b'x').map_or(0, |it| it.argument);
            Some(instruction)
        })
    }

    fn instruction(self, at: usize, prefix: u32) -> Option<Instruction> {
        let [opcode, low] = *self.code.bytecode.get(at..at + 2)? else { return None };
        let kind = *self.table.kinds.get(usize::from(opcode)).filter(|kind| **kind != b'.')?;
        let caches = self.table.caches.iter().find(|(number, _)| *number == opcode).map_or(0, |(_, count)| *count);
        let next = at + 2 + 2 * usize::from(caches);
        let is_zeroed = self.code.bytecode.get(at + 2..next)?.iter().all(|byte| *byte == 0);
        let argument = prefix.wrapping_shl(8) | u32::from(low);
        is_zeroed.then_some(Instruction { at, kind, argument, next, is_extended: prefix != 0 })
    }

    /// Returns true if every instruction is possible, and `None` if one is not.
    fn is_sound(self) -> Option<bool> {
        let len = self.code.bytecode.len();
        let mut starts = vec![false; len / 2 + 1];
        let mut targets = Vec::new();
        let mut has_begun = self.table.minor < 11;
        let mut ends_generator = false;
        for instruction in self.instructions() {
            let it = instruction?;
            *starts.get_mut(it.at / 2)? = !it.is_extended;
            match it.kind {
                b'r' => has_begun = true,
                // These come before RESUME: of cells, closures and generators.
                b'v' | b'm' | b'g' | b't' | b'x' => {}
                _ if !has_begun => return None,
                b's' => ends_generator |= it.argument == STOP_ITERATION,
                _ => {}
            }
            if !self.is_operand(&it) {
                return None;
            }
            targets.extend(self.target(&it));
        }
        let is_handler = match self.table.minor {
            ..12 => true,
            _ => ends_generator == self.code.suspends || self.code.is_lambda && self.code.suspends,
        };
        let is_target = |at: &usize| at.is_multiple_of(2) && *at < len && starts.get(at / 2) == Some(&true);
        Some(len > 0 && has_begun && is_handler && targets.iter().all(is_target))
    }

    /// Returns whether the argument is one that the instruction can have.
    fn is_operand(self, it: &Instruction) -> bool {
        let code = self.code;
        let is_new = self.table.minor >= 11;
        let cells = code.cells + code.free;
        // From 3.11 on, locals, cells and free variables share their numbers.
        let locals = code.locals + if is_new { cells } else { 0 };
        let within = |number: u32, bound: usize| (number as usize) < bound;
        match it.kind {
            b'0' | b'g' | b't' => it.argument == 0,
            b'r' => it.argument <= 7,
            b'c' => within(it.argument, code.constants),
            b'n' | b'i' | b'f' => within(it.argument, code.names.len()),
            b'h' => within(it.argument >> 1, code.names.len()),
            b'q' => within(it.argument >> 2, code.names.len()),
            b'l' | b'm' => within(it.argument, locals),
            b'd' => within(it.argument, if is_new { locals } else { cells }),
            b'p' => within(it.argument >> 4, locals) && within(it.argument & 15, locals),
            b'v' => it.argument as usize == code.free,
            _ => true,
        }
    }

    /// Returns the position to which the instruction jumps; [`NOWHERE`] for one that it cannot have.
    fn target(self, it: &Instruction) -> Option<usize> {
        // Before 3.10, jumps count bytes.
        let distance = (it.argument as usize).saturating_mul(if self.table.minor < 10 { 1 } else { 2 });
        match it.kind {
            b'a' => Some(distance),
            b'j' => Some(it.next.saturating_add(distance)),
            b'b' | b'k' => Some(it.next.checked_sub(distance).unwrap_or(NOWHERE)),
            _ => None,
        }
    }
}
