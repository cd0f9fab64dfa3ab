//! The stack machine of pickles, which builds nothing: it follows integers, texts, bytes and tuples, and finds code
//! objects and the names of modules.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use super::{
    Inspected, PickleError, Versions, bytecode,
    code::Code,
    ops::{Op, Placed, Span},
};
use crate::limits::{PICKLE_MODULES_MAX, PICKLE_PARTS_MAX};

/// Length of a module's name from which on it is none that a file could have.
const MODULE_NAME_BYTES_MAX: usize = 255;

/// Value on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Anything else.
    Other,
    Int(i32),
    Text(Span),
    Bytes(Span),
    /// Bytes that protocol 2 writes as a text, one character each.
    Latin1(Span),
    /// Items of a tuple, in [`Machine::items`].
    Tuple(Span),
    Known(Known),
}

/// Function whose calls matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// `_codecs.encode`, which makes bytes of a text in protocol 2.
    Encode,
    /// `bytes`, which makes empty bytes there.
    Bytes,
    /// A function of dill, cloudpickle or Python that imports the module that its argument names.
    Import,
}

/// Machine in the middle of a pickle.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    stack: Vec<Value>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    /// Items of tuples.
    items: Vec<Value>,
    modules: BTreeSet<&'a str>,
    versions: Option<Versions>,
    /// Bytes of bytecode that may still be read. A code object's bytes stand in the pickle once, so more is read only
    /// where a hostile pickle repeats them by memo.
    budget: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            items: Vec::new(),
            modules: BTreeSet::new(),
            versions: None,
            budget: bytes.len(),
        }
    }

    pub(super) fn finish(self) -> Inspected {
        Inspected { versions: self.versions, modules: self.modules.into_iter().map(String::from).collect() }
    }

    /// Follows one opcode.
    ///
    /// # Errors
    /// Returns the fault or the bound that is exceeded.
    #[expect(clippy::cast_possible_truncation, reason = "a pickle's parts are bounded")]
    pub(super) fn step(&mut self, Placed { op, at }: Placed) -> Result<(), PickleError> {
        match op {
            Op::Nothing => {}
            Op::Stop => drop(self.pop(at)?),
            Op::Mark => self.marks.push(self.stack.len()),
            // As in CPython: where nothing stands above the mark, the mark goes.
            Op::Pop if self.marks.last().is_some_and(|mark| *mark == self.stack.len()) => drop(self.marks.pop()),
            Op::Pop => drop(self.pop(at)?),
            Op::PopMark | Op::IntoSinceMark => drop(self.since_mark(at)?),
            Op::Dup => {
                let value = self.pop(at)?;
                self.stack.push(value);
                self.stack.push(value);
            }
            Op::Value => self.stack.push(Value::Other),
            Op::Int(number) => self.stack.push(Value::Int(number)),
            Op::Text(span) => self.stack.push(Value::Text(span)),
            Op::Bytes(span) => self.stack.push(Value::Bytes(span)),
            Op::Tuple(count) => self.tuple(self.stack.len().checked_sub(count), at)?,
            Op::TupleSinceMark => {
                let mark = self.marks.pop();
                self.tuple(mark, at)?;
            }
            Op::ValueSinceMark => {
                self.since_mark(at)?;
                self.stack.push(Value::Other);
            }
            Op::Instance(module) => {
                self.name(module)?;
                self.since_mark(at)?;
                self.stack.push(Value::Other);
            }
            Op::Into(count) => self.take(count, at)?,
            Op::Build(count) => {
                self.take(count, at)?;
                self.stack.push(Value::Other);
            }
            Op::Global(module, name) => self.global(module, name)?,
            Op::StackGlobal => {
                let (name, module) = (self.pop(at)?, self.pop(at)?);
                match (module, name) {
                    (Value::Text(module), Value::Text(name)) => self.global(module, name)?,
                    _ => self.stack.push(Value::Other),
                }
            }
            Op::Call => {
                let (arguments, function) = (self.pop(at)?, self.pop(at)?);
                let value = self.call(function, arguments)?;
                self.stack.push(value);
            }
            Op::Get(number) => {
                let value = *self.memo.get(&number).ok_or(PickleError::Memo(at))?;
                self.stack.push(value);
            }
            Op::Put(number) => self.put(number, at)?,
            Op::Memoize => self.put(self.memo.len() as u32, at)?,
        }
        let parts = self.stack.len().max(self.marks.len()).max(self.memo.len()).max(self.items.len());
        if parts > PICKLE_PARTS_MAX { Err(PickleError::TooManyParts) } else { Ok(()) }
    }

    /// Takes the uppermost value, which must stand above the last mark.
    fn pop(&mut self, at: usize) -> Result<Value, PickleError> {
        let fence = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= fence {
            return Err(PickleError::Underflow(at));
        }
        self.stack.pop().ok_or(PickleError::Underflow(at))
    }

    fn take(&mut self, count: usize, at: usize) -> Result<(), PickleError> {
        (0..count).try_for_each(|_| self.pop(at).map(drop))
    }

    /// Takes the values above the last mark, and the mark.
    fn since_mark(&mut self, at: usize) -> Result<(), PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Underflow(at))?;
        self.stack.truncate(mark);
        Ok(())
    }

    /// Makes a tuple of the values from this height of the stack on.
    #[expect(clippy::cast_possible_truncation, reason = "a pickle's parts are bounded")]
    fn tuple(&mut self, from: Option<usize>, at: usize) -> Result<(), PickleError> {
        let fence = self.marks.last().copied().unwrap_or(0);
        let from = from.filter(|from| *from >= fence).ok_or(PickleError::Underflow(at))?;
        let span = Span { at: self.items.len() as u32, len: (self.stack.len() - from) as u32 };
        self.items.extend(self.stack.drain(from..));
        self.stack.push(Value::Tuple(span));
        Ok(())
    }

    fn put(&mut self, number: u32, at: usize) -> Result<(), PickleError> {
        let value = self.pop(at)?;
        self.stack.push(value);
        self.memo.insert(number, value);
        Ok(())
    }

    /// Pushes what a module calls by a name, and notes the module.
    fn global(&mut self, module: Span, name: Span) -> Result<(), PickleError> {
        let known = match (module.of(self.bytes), name.of(self.bytes)) {
            (b"_codecs", b"encode") => Some(Known::Encode),
            (b"builtins" | b"__builtin__", b"bytes") => Some(Known::Bytes),
            (_, b"_import_module" | b"subimport" | b"__import__" | b"import_module") => Some(Known::Import),
            _ => None,
        };
        self.stack.push(known.map_or(Value::Other, Value::Known));
        self.name(module)
    }

    /// Notes a module, if its name can be one.
    fn name(&mut self, module: Span) -> Result<(), PickleError> {
        let Ok(name) = core::str::from_utf8(module.of(self.bytes)) else { return Ok(()) };
        let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c == '_' || c.is_alphanumeric());
        if name.len() <= MODULE_NAME_BYTES_MAX && name.split('.').all(is_part) {
            self.modules.insert(name);
        }
        if self.modules.len() > PICKLE_MODULES_MAX { Err(PickleError::TooManyModules) } else { Ok(()) }
    }

    /// Returns what a call gives, as far as it matters, and examines the code object that it makes.
    fn call(&mut self, function: Value, arguments: Value) -> Result<Value, PickleError> {
        let Value::Tuple(span) = arguments else { return Ok(Value::Other) };
        let arguments = self.items.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default();
        match (function, arguments) {
            (Value::Known(Known::Encode), [Value::Text(text), ..]) => return Ok(Value::Latin1(*text)),
            (Value::Known(Known::Bytes), []) => return Ok(Value::Bytes(Span { at: 0, len: 0 })),
            (Value::Known(Known::Import), [Value::Text(module), ..]) => self.name(*module)?,
            _ => {
                if let Some(code) = Code::of(self.bytes, &self.items, arguments, &mut self.budget) {
                    let (versions, imports) = bytecode::examine(&code);
                    self.versions = Some(self.versions.map_or(versions, |others| others.and(versions)));
                    imports.into_iter().try_for_each(|module| self.name(module))?;
                }
            }
        }
        Ok(Value::Other)
    }
}
