//! Removes from a module what its compilation does not need: custom sections except names, which backtraces show, and
//! the boundaries between neighbouring data segments. Modules within a component are trimmed alike. A module's digest
//! remains that of its upload.

use std::borrow::Cow;

use wasm_encoder::{ConstExpr, DataSection, Encode as _};
use wasmparser::{
    CodeSectionReader, DataSectionReader, FunctionBody, ImportSectionReader, Operator, Parser, Result, TypeRef,
};

use crate::{
    sections::{CODE, CUSTOM, DATA, DATA_COUNT, DEPTH_MAX, HEAD_BYTES, IMPORTS, NESTED, Section},
    segments::Merged,
};

/// Name of the custom section that is kept.
const NAMES: &str = "name";

/// Returns a module or component without what its compilation does not need; bytes that are neither are returned
/// unchanged, for the compiler to refuse.
pub(crate) fn trimmed(wasm: &[u8]) -> Cow<'_, [u8]> {
    rewritten(wasm, true, 0).map_or(Cow::Borrowed(wasm), Cow::Owned)
}

/// Returns a module or component without custom sections except names, which is what runs of it need; bytes that are
/// neither are returned unchanged.
#[must_use]
pub fn stripped(wasm: &[u8]) -> Cow<'_, [u8]> {
    rewritten(wasm, false, 0).map_or(Cow::Borrowed(wasm), Cow::Owned)
}

fn rewritten(wasm: &[u8], merges: bool, depth: u32) -> Option<Vec<u8>> {
    let sections = Section::all(wasm).ok()?;
    let mut out = Vec::with_capacity(wasm.len());
    out.extend_from_slice(wasm.get(..HEAD_BYTES)?);
    if Parser::is_component(wasm) {
        for section in sections.iter().filter(|section| section.id != CUSTOM) {
            let nested = NESTED.contains(&section.id) && depth < DEPTH_MAX;
            match nested.then(|| rewritten(section.content, merges, depth + 1)).flatten() {
                Some(content) => put(&mut out, section.id, &content),
                None => put(&mut out, section.id, section.content),
            }
        }
        return Some(out);
    }
    let data = if merges { merged_data(&sections) } else { None };
    for section in &sections {
        match (section.id, &data) {
            (CUSTOM, _) if !is_names(section) => {}
            (DATA, Some(data)) => wasm_encoder::Section::append_to(data, &mut out),
            (DATA_COUNT, Some(data)) => {
                let mut count = Vec::new();
                data.len().encode(&mut count);
                put(&mut out, DATA_COUNT, &count);
            }
            _ => put(&mut out, section.id, section.content),
        }
    }
    Some(out)
}

fn put(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    content.encode(out);
}

fn is_names(section: &Section<'_>) -> bool {
    section.reader().read_string().is_ok_and(|name| name == NAMES)
}

/// Returns the data section of a module with its segments merged; `None` if there is nothing to merge.
fn merged_data(sections: &[Section<'_>]) -> Option<DataSection> {
    let find = |id| sections.iter().find(|section| section.id == id);
    let section = find(DATA)?;
    let reader = DataSectionReader::new(section.reader()).ok()?;
    let count = reader.count();
    let merged = Merged::new(&reader, imported_memories(find(IMPORTS)).ok()?).ok()?;
    if merged.runs.len() == usize::try_from(count).ok()? {
        return None;
    }
    // Code may refer to segments by their number only if the module tells how many there are.
    let is_referred = find(DATA_COUNT).is_some() && find(CODE).is_some_and(|code| refers_to_data(code).unwrap_or(true));
    let mut data = DataSection::new();
    for run in merged.runs {
        match run.joined() {
            Some((memory, address, bytes)) => data.active(memory, &ConstExpr::i32_const(address), bytes),
            None => data.raw(section.content.get(run.segments.first()?.range.clone())?),
        };
        // An active segment is empty once it is written, and so are these, which keep the numbers of the following.
        for _ in 1..if is_referred { run.segments.len() } else { 1 } {
            data.passive(std::iter::empty());
        }
    }
    Some(data)
}

fn imported_memories(imports: Option<&Section<'_>>) -> Result<u32> {
    let Some(imports) = imports else { return Ok(0) };
    let mut memories = 0;
    for import in ImportSectionReader::new(imports.reader())?.into_imports() {
        memories += u32::from(matches!(import?.ty, TypeRef::Memory(_)));
    }
    Ok(memories)
}

/// Returns true if an operator names a data segment.
fn refers_to_data(code: &Section<'_>) -> Result<bool> {
    for body in CodeSectionReader::new(code.reader())? {
        if names_data(&body?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn names_data(body: &FunctionBody<'_>) -> Result<bool> {
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        if matches!(operators.read()?, Operator::MemoryInit { .. } | Operator::DataDrop { .. }) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{Component, CustomSection, Module, ModuleSection};
    use wasmparser::{Payload, Validator, WasmFeatures};

    use super::*;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    /// Returns the segments of a module: address, or none if passive, and bytes.
    fn segments(wasm: &[u8]) -> Vec<(Option<u32>, Vec<u8>)> {
        Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).unwrap();
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(Payload::DataSection(section)) = payload else { continue };
            for segment in section {
                let segment = segment.unwrap();
                let address = match segment.kind {
                    wasmparser::DataKind::Active { offset_expr, .. } => match offset_expr.get_operators_reader().read()
                    {
                        Ok(Operator::I32Const { value }) => Some(value.cast_unsigned()),
                        other => panic!("{other:?}"),
                    },
                    wasmparser::DataKind::Passive => None,
                };
                found.push((address, segment.data.to_vec()));
            }
        }
        found
    }

    fn merged(data: &str) -> Vec<(Option<u32>, Vec<u8>)> {
        segments(&trimmed(&wasm(&format!("(module (memory 1) {data})"))))
    }

    #[test]
    fn neighbours_become_one_segment_with_zeros_between_them() {
        let data = r#"(data (i32.const 8) "ab") (data (i32.const 10) "c") (data (i32.const 13) "d")"#;
        assert_eq!(merged(data), [(Some(8), b"abc\0\0d".to_vec())]);
        let data = r#"(data (i32.const 0) "a") (data (i32.const 65) "b") (data (i32.const 131) "c")"#;
        let joined = [b"a".as_slice(), &[0; 64], b"b"].concat();
        assert_eq!(merged(data), [(Some(0), joined), (Some(131), b"c".to_vec())], "65 bytes are too far");
    }

    #[test]
    fn zeros_never_overwrite_an_earlier_segment() {
        let data = r#"(data (i32.const 4) "x") (data (i32.const 100) "far") (data (i32.const 2) "a") (data (i32.const 6) "b")"#;
        assert_eq!(merged(data).len(), 4, "there is an x in the gap");
        let data = r#"(data (i32.const 4) "x") (data (i32.const 100) "far") (data (i32.const 2) "a") (data (i32.const 4) "b")"#;
        assert_eq!(merged(data)[2], (Some(2), b"a\0b".to_vec()), "x is written again, as it was before");
        let data = r#"(data (i32.const 4) "x") (data (i32.const 100) "far") (data (i32.const 3) "a") (data (i32.const 4) "b")"#;
        assert_eq!(merged(data)[2], (Some(3), b"ab".to_vec()), "without a gap nothing is added");
        let data = r#"(data (i32.const 4) "x") (data (i32.const 100) "far") (data (i32.const 5) "a") (data (i32.const 8) "b")"#;
        assert_eq!(merged(data)[2], (Some(5), b"a\0\0b".to_vec()), "the gap is free");
        let data = r#"(data (i32.const 4) "xyz") (data (i32.const 5) "a")"#;
        assert_eq!(merged(data).len(), 2, "the second one wins where they overlap");
    }

    #[test]
    fn an_address_that_is_not_a_constant_could_be_in_any_gap() {
        let text = r#"(module (memory 1) (global $g i32 (i32.const 3))
            (data (global.get $g) "x") (data (i32.const 2) "a") (data (i32.const 6) "b") (data (i32.const 7) "c"))"#;
        let whole = wasm(text);
        let trimmed = trimmed(&whole);
        let sections = Section::all(&trimmed).unwrap();
        let data = sections.iter().find(|section| section.id == DATA).unwrap();
        assert_eq!(DataSectionReader::new(data.reader()).unwrap().count(), 3, "only b and c have no gap");
    }

    #[test]
    fn an_imported_memory_is_written_only_where_the_module_writes() {
        let text = |data: &str| format!(r#"(module (import "m" "m" (memory 1)) {data})"#);
        let apart = r#"(data (i32.const 2) "a") (data (i32.const 6) "b")"#;
        assert_eq!(segments(&trimmed(&wasm(&text(apart)))).len(), 2);
        let adjoining = r#"(data (i32.const 2) "a") (data (i32.const 3) "b")"#;
        assert_eq!(segments(&trimmed(&wasm(&text(adjoining)))), [(Some(2), b"ab".to_vec())]);
    }

    #[test]
    fn numbers_of_segments_in_code_stay_right() {
        let data = r#"(data (i32.const 2) "a") (data (i32.const 3) "b") (data (i32.const 4) "c") (data $p "passive")"#;
        let code = "(func (memory.init $p (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $p))";
        let (abc, p) = ((Some(2), b"abc".to_vec()), (None, b"passive".to_vec()));
        assert_eq!(merged(&format!("{data} {code}")), [abc.clone(), (None, vec![]), (None, vec![]), p.clone()]);
        assert_eq!(merged(data), [abc, p], "nothing refers to them");
    }

    #[test]
    fn custom_sections_go_and_names_stay() {
        let text = r#"(module (@custom ".debug_info" "a lot") (func $named) (@custom "producers" "\00"))"#;
        let whole = wasm(text);
        let trimmed = trimmed(&whole);
        let names = Section::all(&trimmed).unwrap().iter().filter(|section| section.id == CUSTOM).count();
        assert_eq!(names, 1);
        assert!(trimmed.len() < whole.len() && trimmed.windows(5).any(|bytes| bytes == b"named"));
    }

    #[test]
    fn segments_of_a_stripped_module_stay_apart() {
        let module = r#"(module (memory 1) (data (i32.const 0) "a") (data (i32.const 9) "b") (@custom "x" "y"))"#;
        let (whole, plain) = (wasm(module), wasm(&module.replace(r#"(@custom "x" "y")"#, "")));
        assert_eq!((stripped(&whole).as_ref(), stripped(&plain).as_ref()), (plain.as_slice(), plain.as_slice()));
        assert_eq!(stripped(b"neither"), b"neither".as_slice());
    }

    #[test]
    fn modules_within_components_are_trimmed_alike() {
        let module = r#"(module (memory 1) (data (i32.const 0) "a") (data (i32.const 3) "b") (@custom "x" "y"))"#;
        let whole = wasm(&format!("(component (core {0} (component (core {0}))", &module[1..]));
        let trimmed = trimmed(&whole);
        Validator::new_with_features(WasmFeatures::all()).validate_all(&trimmed).unwrap();
        assert_eq!(trimmed.windows(4).filter(|bytes| bytes == b"a\0\0b").count(), 2);
        assert!(!trimmed.windows(2).any(|bytes| bytes == b"xy"));
    }

    #[test]
    fn bytes_that_are_no_module_are_left_to_the_compiler() {
        for bytes in [b"".as_slice(), b"\0asm\x01\0", b"\0asm\x01\0\0\0\x0b\xff"] {
            assert_eq!(*trimmed(bytes), *bytes);
        }
        let mut module = Module::new();
        module.section(&CustomSection { name: "name".into(), data: (&[0xff][..]).into() });
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        let bytes = component.finish();
        assert_eq!(*trimmed(&bytes), *bytes, "names are not looked at");
    }
}
