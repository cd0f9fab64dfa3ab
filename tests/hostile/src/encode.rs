//! Encodes modules section by section, if their text form would be impossible or too slow.

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, Encode as _, ExportKind, ExportSection, Function, FunctionSection,
    MemorySection, MemoryType, Module, RawSection, TypeSection, ValType,
};

/// Parts of a command that does nothing. Replace one of them, then call [`Parts::finish`].
pub(crate) struct Parts {
    pub(crate) types: TypeSection,
    /// Sections between functions and memory: tables.
    pub(crate) tables: Vec<u8>,
    pub(crate) functions: u32,
    pub(crate) pages: u64,
    /// Sections between memory and exports: globals.
    pub(crate) globals: Vec<u8>,
    pub(crate) exports: ExportSection,
    /// Sections between exports and code: elements, the number of data segments.
    pub(crate) elements: Vec<u8>,
    /// Body of function 0, without locals and the final `end`.
    pub(crate) body: Vec<u8>,
    pub(crate) locals: Vec<(u32, ValType)>,
    pub(crate) data: DataSection,
    /// Sections at the end: custom ones.
    pub(crate) last: Vec<u8>,
}

impl Default for Parts {
    fn default() -> Self {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut exports = ExportSection::new();
        exports.export("_start", ExportKind::Func, 0);
        exports.export("memory", ExportKind::Memory, 0);
        Self {
            types,
            tables: Vec::new(),
            functions: 1,
            pages: 1_024,
            globals: Vec::new(),
            exports,
            elements: Vec::new(),
            body: Vec::new(),
            locals: Vec::new(),
            data: DataSection::new(),
            last: Vec::new(),
        }
    }
}

impl Parts {
    pub(crate) fn finish(&self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types);
        let mut functions = FunctionSection::new();
        for _ in 0..self.functions {
            functions.function(0);
        }
        module.section(&functions);
        raw(&mut module, 4, &self.tables);
        let mut memories = MemorySection::new();
        let memory =
            MemoryType { minimum: self.pages, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memories.memory(memory);
        module.section(&memories);
        raw(&mut module, 6, &self.globals);
        module.section(&self.exports);
        raw(&mut module, 9, &self.elements);
        let mut code = CodeSection::new();
        for number in 0..self.functions {
            let mut body = Function::new(if number == 0 { self.locals.clone() } else { Vec::new() });
            if number == 0 {
                body.raw(self.body.iter().copied());
            }
            body.instructions().end();
            code.function(&body);
        }
        module.section(&code);
        if !self.data.is_empty() {
            module.section(&self.data);
        }
        let mut wasm = module.finish();
        wasm.extend(&self.last);
        wasm
    }

    /// Adds one-byte data segments spread over the whole memory.
    pub(crate) fn spread_data(mut self, count: u32) -> Self {
        for n in 0..count {
            let at = (n * 2_677) % (64 << 20);
            self.data.active(0, &ConstExpr::i32_const(i32::try_from(at).unwrap_or_default()), [1]);
        }
        self
    }
}

fn raw(module: &mut Module, id: u8, data: &[u8]) {
    if !data.is_empty() {
        module.section(&RawSection { id, data });
    }
}

/// Encodes a number as LEB128.
pub(crate) fn leb(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    number.encode(&mut bytes);
    bytes
}

/// Encodes a vector of identical items, as the content of a section.
pub(crate) fn items(count: u32, item: &[u8]) -> Vec<u8> {
    let mut bytes = leb(count);
    for _ in 0..count {
        bytes.extend(item);
    }
    bytes
}

/// Encodes a section.
pub(crate) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap_or_default();
    [&[id][..], &leb(size), content].concat()
}

/// Encodes a module with these sections.
pub(crate) fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}
