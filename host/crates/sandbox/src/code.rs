//! Compiled code on its way into the engine. Large code is mapped from memory of its own that is sealed before its
//! authentication code is verified: nobody can change it afterwards, and nothing is copied again.

use std::{
    fs::File,
    io::{self, Read, Seek as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wasmtime::{Engine, Module, component::Component};

/// Size from which code is mapped. Below it, a copy costs less than a mapping, and needs no descriptor for as long as
/// the module is loaded.
const MAPPED_BYTES_MIN: u64 = 1 << 20;
/// Size of the pieces in which code is copied and read.
const PIECE_BYTES: usize = 256 << 10;
/// Place of the flags in the header of compiled code, an ELF file of 64 bits.
const FLAGS_AT: usize = 48;
/// Flag of a component. Wasmtime's own `detect_precompiled` reads the sections too, which are at the end of the code.
const COMPONENT_FLAG: u8 = 1 << 1;

/// Compiled code that does not change.
pub(crate) enum Code {
    /// Small code.
    Bytes(Vec<u8>),
    /// Sealed memory of its own, and its size.
    Sealed(File, u64),
}

impl Code {
    /// Copies code of a certain size.
    ///
    /// # Errors
    /// Fails if there is less of it, or no memory for it.
    pub(crate) fn copy(from: &mut impl Read, bytes: u64) -> io::Result<Self> {
        let memory = (bytes >= MAPPED_BYTES_MIN).then(memory).flatten();
        let (code, copied) = match memory {
            Some(mut memory) => {
                let copied = each_piece(from, |piece| memory.write_all(piece))?;
                fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
                (Self::Sealed(memory, copied), copied)
            }
            None => {
                let mut code = Vec::new();
                let copied = from.read_to_end(&mut code)? as u64;
                (Self::Bytes(code), copied)
            }
        };
        if copied == bytes { Ok(code) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Passes all of the code to `piece`, in pieces.
    ///
    /// # Errors
    /// Fails if the memory cannot be read.
    pub(crate) fn read(&self, mut piece: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => piece(bytes),
            Self::Sealed(memory, _) => {
                let mut memory = memory;
                memory.rewind()?;
                each_piece(&mut memory, |read| {
                    piece(read);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Returns the size of the code in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Sealed(_, bytes) => *bytes,
        }
    }

    /// Loads a module. Where the system does not let this process map the memory, its content is copied.
    ///
    /// # Errors
    /// Fails if the code is not of a module, or belongs to another engine.
    #[expect(unsafe_code, reason = "the only place that loads compiled code")]
    pub(crate) fn module(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: the code was written by a compile child of a trusted host: it comes from the pipe of this host's own
        // child, or its authentication code was verified over exactly these bytes, by this process or by the parent
        // that passes them. They do not change: they are in memory of this value, or sealed against every write.
        let load = |bytes: &[u8]| unsafe { Module::deserialize(engine, bytes) };
        // SAFETY: the same.
        let map = |memory| unsafe { Module::deserialize_open_file(engine, memory) };
        match self {
            Self::Bytes(bytes) => load(bytes),
            Self::Sealed(memory, _) => {
                memory.try_clone().map_err(Into::into).and_then(map).or_else(|_| load(&self.copied()?))
            }
        }
    }

    /// Loads a component, as [`Code::module`] a module.
    ///
    /// # Errors
    /// Fails if the code is not of a component, or belongs to another engine.
    #[expect(unsafe_code, reason = "the only place that loads compiled code of components")]
    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the same as for modules.
        let load = |bytes: &[u8]| unsafe { Component::deserialize(engine, bytes) };
        // SAFETY: the same.
        let map = |path: String| unsafe { Component::deserialize_file(engine, path) };
        match self {
            Self::Bytes(bytes) => load(bytes),
            // A jailed process may not open the path of its own descriptor.
            Self::Sealed(memory, _) => {
                map(format!("/proc/self/fd/{}", memory.as_raw_fd())).or_else(|_| load(&self.copied()?))
            }
        }
    }

    /// Returns whether it is the code of a component, according to its header.
    pub(crate) fn is_component(&self) -> bool {
        match self {
            Self::Bytes(bytes) => is_component(bytes),
            Self::Sealed(memory, _) => {
                let mut header = [0; FLAGS_AT + 1];
                memory.read_exact_at(&mut header, 0).is_ok() && is_component(&header)
            }
        }
    }

    fn copied(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(|piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }
}

/// Returns whether compiled code is a component's, according to its header.
pub(crate) fn is_component(code: &[u8]) -> bool {
    code.get(FLAGS_AT).is_some_and(|flags| flags & COMPONENT_FLAG != 0)
}

/// Returns memory that has a descriptor, unless the system refuses it.
fn memory() -> Option<File> {
    memfd_create("fusebox-code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map(File::from).ok()
}

/// Reads to the end, in pieces; returns the number of bytes.
fn each_piece(from: &mut impl Read, mut then: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(bytes),
            read => {
                then(piece.get(..read).unwrap_or_default())?;
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;

    /// Returns a module or component whose code has at least 1 MiB.
    fn compiled(is_component: bool) -> Vec<u8> {
        let body = "(call $called (local.get 0))".repeat(1_000);
        let functions = format!("(func $called (param i32)) {}", format!("(func (param i32) {body})").repeat(150));
        let engine = engine::compiling().unwrap();
        let text = if is_component {
            format!("(component (core module {functions}))")
        } else {
            format!("(module {functions})")
        };
        let wasm = wat::parse_str(text).unwrap();
        if is_component { engine.precompile_component(&wasm) } else { engine.precompile_module(&wasm) }.unwrap()
    }

    #[test]
    fn large_code_is_mapped_as_what_it_is() {
        let engine = engine::compiling().unwrap();
        for is_component in [false, true] {
            let bytes = compiled(is_component);
            let sealed = Code::copy(&mut &bytes[..], bytes.len() as u64).unwrap();
            assert!(matches!(sealed, Code::Sealed(..)), "{} bytes", bytes.len());
            for code in [sealed, Code::Bytes(bytes)] {
                assert_eq!(code.is_component(), is_component);
                assert_eq!(code.component(&engine).is_ok(), is_component);
                assert_eq!(code.module(&engine).is_err(), is_component);
            }
        }
        assert!(!Code::Bytes(Vec::new()).is_component());
    }
}
