//! Opcodes of a pickle: bytes in, opcodes with their arguments out. Source: CPython's `Lib/pickletools.py` (protocols 0
//! to 5, unchanged since Python 3.8).

use super::{PROTO, PickleError, STOP, is_pickle};

/// Highest protocol of Python 3.8 and later.
const PROTOCOL_MAX: u8 = 5;

/// Part of the pickle, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub at: u32,
    pub len: u32,
}

impl Span {
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.at as usize..(self.at + self.len) as usize).unwrap_or_default()
    }
}

/// Effect of an opcode, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Changes nothing: PROTO, FRAME, READONLY_BUFFER.
    Nothing,
    /// Ends the pickle.
    Stop,
    Mark,
    Pop,
    PopMark,
    Dup,
    /// Pushes a value without meaning here.
    Value,
    Int(i32),
    Text(Span),
    Bytes(Span),
    /// Makes a tuple of so many values.
    Tuple(usize),
    /// Makes a tuple of the values since the mark.
    TupleSinceMark,
    /// Makes another value of those since the mark.
    ValueSinceMark,
    /// Takes so many values, which become part of the one below.
    Into(usize),
    /// Takes the values since the mark, which become part of the one below.
    IntoSinceMark,
    /// Makes another value of so many.
    Build(usize),
    /// Makes an instance of a named class from the values since the mark: its module.
    Instance(Span),
    /// Pushes what a module calls by a name.
    Global(Span, Span),
    /// The same with both names from the stack.
    StackGlobal,
    /// Calls a function: REDUCE, NEWOBJ.
    Call,
    Get(u32),
    Put(u32),
    Memoize,
}

/// Opcode at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub op: Op,
    pub at: usize,
}

/// Reader of opcodes. It ends after STOP, or after the first fault.
pub(super) struct Ops<'a> {
    bytes: &'a [u8],
    at: usize,
    has_ended: bool,
}

impl<'a> Ops<'a> {
    /// Returns the opcodes of a pickle.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, PickleError> {
        if !is_pickle(bytes) || u32::try_from(bytes.len()).is_err() {
            return Err(PickleError::NotOne);
        }
        Ok(Self { bytes, at: 0, has_ended: false })
    }

    /// Takes so many bytes.
    #[expect(clippy::cast_possible_truncation, reason = "`new` takes pickles of less than 4 GiB")]
    fn span(&mut self, len: u64, start: usize) -> Result<Span, PickleError> {
        let rest = self.bytes.len() - self.at;
        match usize::try_from(len) {
            Ok(len) if len <= rest => {
                let span = Span { at: self.at as u32, len: len as u32 };
                self.at += len;
                Ok(span)
            }
            _ => Err(PickleError::CutOff(start)),
        }
    }

    /// Takes a little-endian number of so many bytes, at most 8.
    fn number(&mut self, size: u64, start: usize) -> Result<u64, PickleError> {
        let span = self.span(size, start)?;
        Ok(span.of(self.bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Takes bytes behind their length, a number of so many bytes.
    fn counted(&mut self, size: u64, start: usize) -> Result<Span, PickleError> {
        let len = self.number(size, start)?;
        self.span(len, start)
    }

    /// Takes a line, without its end.
    fn line(&mut self, start: usize) -> Result<Span, PickleError> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::CutOff(start))?;
        let span = self.span(len as u64, start)?;
        self.at += 1;
        Ok(span)
    }

    /// Takes a line that is the number of a memo.
    fn memo(&mut self, start: usize) -> Result<u32, PickleError> {
        let line = self.line(start)?.of(self.bytes);
        let number = core::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
        number.ok_or(PickleError::Memo(start))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a number has no more bytes than its type")]
    fn step(&mut self) -> Result<Op, PickleError> {
        let at = self.at;
        let opcode = *self.bytes.get(at).ok_or(PickleError::CutOff(at))?;
        self.at += 1;
        Ok(match opcode {
            PROTO => match self.number(1, at)? as u8 {
                protocol if protocol > PROTOCOL_MAX => return Err(PickleError::Protocol(protocol)),
                _ => Op::Nothing,
            },
            0x95 => {
                let len = self.number(8, at)?;
                if len > (self.bytes.len() - self.at) as u64 {
                    return Err(PickleError::CutOff(at));
                }
                Op::Nothing
            }
            0x98 => Op::Nothing,
            STOP if self.at < self.bytes.len() => return Err(PickleError::Trailing(at)),
            STOP => Op::Stop,
            b'(' => Op::Mark,
            b'0' => Op::Pop,
            b'1' => Op::PopMark,
            b'2' => Op::Dup,
            // None, booleans, empty containers, an out-of-band buffer.
            b'N' | 0x88 | 0x89 | b']' | b'}' | 0x8f | 0x97 => Op::Value,
            // A persistent id, numbers and strings as lines.
            b'P' | b'F' | b'I' | b'L' | b'S' => self.line(at).map(|_| Op::Value)?,
            // Floats and registered extensions.
            b'G' => self.span(8, at).map(|_| Op::Value)?,
            0x82 => self.span(1, at).map(|_| Op::Value)?,
            0x83 => self.span(2, at).map(|_| Op::Value)?,
            0x84 => self.span(4, at).map(|_| Op::Value)?,
            // Long numbers and byte arrays.
            0x8a => self.counted(1, at).map(|_| Op::Value)?,
            0x8b => self.counted(4, at).map(|_| Op::Value)?,
            0x96 => self.counted(8, at).map(|_| Op::Value)?,
            b'J' => Op::Int(self.number(4, at)? as u32 as i32),
            b'K' => Op::Int(self.number(1, at)? as i32),
            b'M' => Op::Int(self.number(2, at)? as i32),
            b'V' => Op::Text(self.line(at)?),
            0x8c | b'U' => Op::Text(self.counted(1, at)?),
            b'X' | b'T' => Op::Text(self.counted(4, at)?),
            0x8d => Op::Text(self.counted(8, at)?),
            b'C' => Op::Bytes(self.counted(1, at)?),
            b'B' => Op::Bytes(self.counted(4, at)?),
            0x8e => Op::Bytes(self.counted(8, at)?),
            b')' => Op::Tuple(0),
            0x85 => Op::Tuple(1),
            0x86 => Op::Tuple(2),
            0x87 => Op::Tuple(3),
            b't' => Op::TupleSinceMark,
            b'l' | b'd' | b'o' | 0x91 => Op::ValueSinceMark,
            b'a' | b'b' => Op::Into(1),
            b's' => Op::Into(2),
            b'e' | b'u' | 0x90 => Op::IntoSinceMark,
            b'Q' => Op::Build(1),
            0x92 => Op::Build(3),
            b'i' => {
                let module = self.line(at)?;
                self.line(at)?;
                Op::Instance(module)
            }
            b'c' => Op::Global(self.line(at)?, self.line(at)?),
            0x93 => Op::StackGlobal,
            b'R' | 0x81 => Op::Call,
            b'g' => Op::Get(self.memo(at)?),
            b'h' => Op::Get(self.number(1, at)? as u32),
            b'j' => Op::Get(self.number(4, at)? as u32),
            b'p' => Op::Put(self.memo(at)?),
            b'q' => Op::Put(self.number(1, at)? as u32),
            b'r' => Op::Put(self.number(4, at)? as u32),
            0x94 => Op::Memoize,
            _ => return Err(PickleError::Opcode { opcode, at }),
        })
    }
}

impl Iterator for Ops<'_> {
    type Item = Result<Placed, PickleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let at = self.at;
        let op = self.step().map(|op| Placed { op, at });
        self.has_ended = matches!(op, Err(_) | Ok(Placed { op: Op::Stop, .. }));
        Some(op)
    }
}
