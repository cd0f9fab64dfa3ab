//! Sections of a module or component as they are written, without a look at their content.

use wasmparser::{BinaryReader, Parser, Result};

/// Length of the magic number and the version.
pub(crate) const HEAD_BYTES: usize = 8;
/// Depth to which components within each other are looked into, twice that of the deepest one that is accepted.
pub(crate) const DEPTH_MAX: u32 = 16;
pub(crate) const CUSTOM: u8 = 0;
pub(crate) const IMPORTS: u8 = 2;
pub(crate) const CODE: u8 = 10;
pub(crate) const DATA: u8 = 11;
pub(crate) const DATA_COUNT: u8 = 12;
/// Sections of a component that contain a module or a component.
pub(crate) const NESTED: [u8; 2] = [1, 4];

/// One section.
pub(crate) struct Section<'a> {
    pub(crate) id: u8,
    pub(crate) content: &'a [u8],
}

impl<'a> Section<'a> {
    /// Returns the sections of a module or component.
    pub(crate) fn all(wasm: &'a [u8]) -> Result<Vec<Self>> {
        let mut reader = BinaryReader::new(wasm, 0);
        reader.read_bytes(HEAD_BYTES)?;
        let mut sections = Vec::new();
        while !reader.eof() {
            let id = reader.read_u8()?;
            let size = reader.read_var_u32()?;
            let content = reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
            sections.push(Self { id, content });
        }
        Ok(sections)
    }

    /// Returns a reader of the content, for which it begins at offset 0.
    pub(crate) fn reader(&self) -> BinaryReader<'a> {
        BinaryReader::new(self.content, 0)
    }
}

/// Returns the size of the code in a module, or in all modules of a component; 0 for anything else.
pub(crate) fn code_bytes(wasm: &[u8]) -> u64 {
    within(wasm, 0)
}

fn within(wasm: &[u8], depth: u32) -> u64 {
    let (is_component, sections) = (Parser::is_component(wasm), Section::all(wasm).unwrap_or_default());
    let sizes = sections.iter().map(|section| match section.id {
        CODE if !is_component => section.content.len() as u64,
        id if is_component && NESTED.contains(&id) && depth < DEPTH_MAX => within(section.content, depth + 1),
        _ => 0,
    });
    sizes.sum()
}
