//! Pickles of Python clients, read without executing anything: their structure, the version of Python that made them,
//! and the modules that they name.
//!
//! A pickle is a program for a small stack machine. CPython's loads objects and calls functions; this one only keeps
//! track of integers, texts, bytes and tuples, so that it recognises the constructor call of a code object by the
//! shape of its arguments. The bytecode among them says which Python compiled it: dill and cloudpickle send bytecode,
//! which no other minor version can run. Work and memory are linear in the length of the pickle and bounded.

mod bytecode;
mod code;
mod machine;
mod ops;
mod tables;
#[cfg(test)]
mod tests;
mod version;
mod write;

use alloc::{string::String, vec::Vec};

pub use version::{NoPython, PythonVersion, Versions};
pub use write::{runtime_error, text};

use crate::limits::{PICKLE_BYTES_MAX, PICKLE_MODULES_MAX, PICKLE_PARTS_MAX};

/// First byte of pickles since protocol 2: the opcode PROTO. Wasm modules begin with 0.
const PROTO: u8 = 0x80;
/// Last byte of pickles: the opcode STOP.
const STOP: u8 = b'.';

/// Facts about a pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Versions of Python whose bytecode all its code objects are; `None` if it has none, as a function that is
    /// pickled by reference. Empty if no version fits.
    pub versions: Option<Versions>,
    /// Names of the modules that it refers to, or that its functions import, in order and each once.
    pub modules: Vec<String>,
}

/// Fault of a pickle. Its text is a sentence that says what is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The first or last byte is another.
    #[error("it is not a pickle of protocol 2 or later: the first byte is not 0x80, or the last is not `.`")]
    NotOne,
    /// The pickle is too large.
    #[error("the pickle has {0} bytes, and at most {PICKLE_BYTES_MAX} are allowed: pass large data as arguments")]
    TooLarge(usize),
    /// The protocol is none that Python has.
    #[error("its protocol {0} is unknown: protocols 2 to 5 are supported")]
    Protocol(u8),
    /// An opcode's argument reaches beyond the end.
    #[error("it is cut off or damaged: the argument of the opcode at byte {0} reaches beyond the end")]
    CutOff(usize),
    /// There is no such opcode.
    #[error("it is damaged: 0x{opcode:02x} at byte {at} is no opcode")]
    Opcode {
        /// The byte.
        opcode: u8,
        /// Its position.
        at: usize,
    },
    /// It ends before its last byte.
    #[error("it is damaged: bytes follow its end at byte {0}")]
    Trailing(usize),
    /// An opcode takes more from the stack than there is.
    #[error("it is damaged: the opcode at byte {0} takes a value that is not there")]
    Underflow(usize),
    /// An opcode reads a memo that was not stored.
    #[error("it is damaged: the opcode at byte {0} reads a memo that was not stored")]
    Memo(usize),
    /// It has too many values.
    #[error("it has more than {PICKLE_PARTS_MAX} parts: pass large data as arguments")]
    TooManyParts,
    /// It names too many modules.
    #[error("it names more than {PICKLE_MODULES_MAX} modules: register smaller functions")]
    TooManyModules,
}

/// Returns true if the bytes may be a pickle: by the first and the last byte alone.
#[must_use]
pub fn is_pickle(bytes: &[u8]) -> bool {
    bytes.len() > 2 && bytes.first() == Some(&PROTO) && bytes.last() == Some(&STOP)
}

/// Checks the structure of a pickle: that it consists of opcodes with their arguments, to its end. This needs no
/// memory, and time linear in its length.
///
/// # Errors
/// Returns the first fault.
pub fn check(bytes: &[u8]) -> Result<(), PickleError> {
    ops::Ops::of(bytes)?.try_for_each(|op| op.map(|_| ()))
}

/// Finds out what a pickled function needs. It may hold anything: the answer is a guess where it does not come from
/// dill or cloudpickle, and only loading it shows what it is.
///
/// # Errors
/// Returns the first fault, or the bound that it exceeds.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, PickleError> {
    if bytes.len() > PICKLE_BYTES_MAX {
        return Err(PickleError::TooLarge(bytes.len()));
    }
    let mut machine = machine::Machine::new(bytes);
    for op in ops::Ops::of(bytes)? {
        machine.step(op?)?;
    }
    Ok(machine.finish())
}
