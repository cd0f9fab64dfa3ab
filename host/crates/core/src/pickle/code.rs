//! Code objects, recognised by the shape of their constructor's arguments, which dill and cloudpickle write in the
//! order of `types.CodeType`.

use alloc::{borrow::Cow, vec::Vec};

use super::{machine::Value, ops::Span};

/// Flags of generators, coroutines and asynchronous generators: `CO_GENERATOR`, `CO_COROUTINE`, `CO_ASYNC_GENERATOR`.
const SUSPENDING: i32 = 0x20 | 0x80 | 0x200;

/// Layout of the fields of a code object, which Python versions differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Fields of Python 3.8 and 3.9, or of 3.10: a line table covers the whole bytecode there.
    Old {
        /// True if it is of Python 3.10.
        is_310: bool,
    },
    /// Fields of Python 3.11 and later, with an exception table.
    New,
}

/// Code object.
pub(super) struct Code<'a> {
    pub bytecode: Cow<'a, [u8]>,
    pub layout: Layout,
    pub constants: usize,
    /// Names, in the items of tuples.
    pub names: &'a [Value],
    pub locals: usize,
    pub cells: usize,
    pub free: usize,
    /// True for generators and coroutines.
    pub suspends: bool,
    pub is_lambda: bool,
}

impl<'a> Code<'a> {
    /// Returns the code object that a call with these arguments makes, if it makes one and its bytes are within the
    /// budget.
    pub(super) fn of(bytes: &'a [u8], items: &'a [Value], arguments: &[Value], budget: &mut usize) -> Option<Self> {
        // dill for Python 3.10 and later writes a line table for older ones first.
        let (has_lnotab, fields) = match arguments {
            [first, rest @ ..] if is_bytes(*first) => (true, rest),
            _ => (false, arguments),
        };
        let ([head, code, consts, names, varnames, filename, name], tail) = fields_of(fields)?;
        let [Value::Tuple(consts), Value::Tuple(names), Value::Tuple(varnames)] = [consts, names, varnames] else {
            return None;
        };
        let (Value::Text(_), Value::Text(name)) = (filename, name) else { return None };
        let (is_new, linetable, free, cells) = match *tail {
            [Value::Text(_), Value::Int(_), lines, exceptions, Value::Tuple(free), Value::Tuple(cells)]
                if is_bytes(exceptions) =>
            {
                (true, lines, free, cells)
            }
            [Value::Int(_), lines, Value::Tuple(free), Value::Tuple(cells)] => (false, lines, free, cells),
            _ => return None,
        };
        let Value::Int(flags) = head else { return None };
        let bytecode = content(bytes, code, budget)?;
        let linetable = content(bytes, linetable, budget)?;
        let layout = match is_new {
            true => Layout::New,
            false => Layout::Old { is_310: has_lnotab || covers(&linetable, bytecode.len()) },
        };
        let is_lambda = name.of(bytes) == b"<lambda>";
        let names = items.get(names.at as usize..(names.at + names.len) as usize)?;
        let [constants, locals, cells, free] = [consts, varnames, cells, free].map(|span| span.len as usize);
        let suspends = flags & SUSPENDING != 0;
        Some(Self { bytecode, layout, constants, names, locals, cells, free, suspends, is_lambda })
    }
}

/// Splits the fields behind the five integers before the flags: flags, bytecode, constants, names, local names, file
/// and name; and the rest.
fn fields_of(fields: &[Value]) -> Option<([Value; 7], &[Value])> {
    let (counts, rest) = fields.split_at_checked(5)?;
    let (middle, tail) = rest.split_first_chunk()?;
    counts.iter().all(|count| matches!(count, Value::Int(_))).then_some((*middle, tail))
}

fn is_bytes(value: Value) -> bool {
    matches!(value, Value::Bytes(_) | Value::Latin1(_))
}

/// Returns the bytes of a value that is bytes, and takes them from the budget.
fn content<'a>(bytes: &'a [u8], value: Value, budget: &mut usize) -> Option<Cow<'a, [u8]>> {
    let (Value::Bytes(span) | Value::Latin1(span)) = value else { return None };
    *budget = budget.checked_sub(span.len as usize)?;
    let raw = span.of(bytes);
    if let Value::Bytes(_) = value {
        return Some(Cow::Borrowed(raw));
    }
    let text = core::str::from_utf8(raw).ok()?;
    let decoded: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
    decoded.map(Cow::Owned)
}

/// Returns whether a table of pairs of byte counts and lines, as of Python 3.10, covers all the bytecode. Those of
/// Python 3.8 and 3.9 leave its last line out.
fn covers(table: &[u8], len: usize) -> bool {
    table.chunks_exact(2).map(|pair| usize::from(pair[0])).sum::<usize>() == len
}

/// Returns the texts among values.
pub(super) fn text(values: &[Value], index: u32) -> Option<Span> {
    match values.get(usize::try_from(index).ok()?) {
        Some(Value::Text(span)) => Some(*span),
        _ => None,
    }
}
