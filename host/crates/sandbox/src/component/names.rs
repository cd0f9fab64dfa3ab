//! Names of interfaces: their versions are compared without the part that semantic versioning holds compatible, and
//! those of release candidates are replaced by the final ones before a component is compiled.

use std::borrow::Cow;

use wasm_encoder::{Component, ComponentExportSection, ComponentImportSection, RawSection};
use wasmparser::{BinaryReaderError, Chunk, Parser, Payload};

/// Release candidates of WASI 0.3 whose interfaces have the structure of the final version.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
const FINAL: &str = "@0.3.0";

/// Returns the name with the part of its version that determines compatibility: `wasi:io/poll@0.2` of
/// `wasi:io/poll@0.2.9`. Versions before 1 are compatible within their minor number; versions before a release only
/// with themselves, except those that are replaced.
pub(super) fn track(name: &str) -> String {
    let name = renamed(name).unwrap_or_else(|| name.to_owned());
    let Some((interface, version)) = name.split_once('@') else { return name };
    let numbers = version.split('+').next().unwrap_or(version);
    if numbers.contains('-') {
        return name;
    }
    let mut parts = numbers.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("{interface}@0.{minor}"),
        (Some(major), _) => format!("{interface}@{major}"),
        (None, _) => name,
    }
}

/// Returns the final name of a release candidate's interface of WASI; `None` if the name stays.
pub(super) fn renamed(name: &str) -> Option<String> {
    let interface = name.strip_suffix(CANDIDATE)?;
    interface.starts_with("wasi:").then(|| format!("{interface}{FINAL}"))
}

/// Replaces the release candidates' names among a component's outermost imports and exports. Bytes without any, or that
/// are no component, stay as they are.
pub(crate) fn with_final_names(wasm: &[u8]) -> Cow<'_, [u8]> {
    match rewritten(wasm) {
        Ok(Some(component)) => Cow::Owned(component.finish()),
        Ok(None) | Err(_) => Cow::Borrowed(wasm),
    }
}

/// Returns the component with the names replaced; `None` if there are none.
fn rewritten(wasm: &[u8]) -> Result<Option<Component>, BinaryReaderError> {
    let (mut component, mut is_changed) = (Component::new(), false);
    let (mut parser, mut rest) = (Parser::new(0), wasm);
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else { return Ok(None) };
        rest = rest.get(consumed..).unwrap_or_default();
        match &payload {
            Payload::ComponentImportSection(section) => {
                let mut imports = ComponentImportSection::new();
                for import in section.clone() {
                    let mut import = import?;
                    let name = renamed(import.name.name);
                    is_changed |= name.is_some();
                    import.name.name = name.as_deref().unwrap_or(import.name.name);
                    imports.import(import.name, import.ty.into());
                }
                component.section(&imports);
            }
            Payload::ComponentExportSection(section) => {
                let mut exports = ComponentExportSection::new();
                for export in section.clone() {
                    let mut export = export?;
                    let name = renamed(export.name.name);
                    is_changed |= name.is_some();
                    export.name.name = name.as_deref().unwrap_or(export.name.name);
                    exports.export(export.name, export.kind.into(), export.index, export.ty.map(Into::into));
                }
                component.section(&exports);
            }
            Payload::End(_) => return Ok(is_changed.then_some(component)),
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = wasm.get(range).unwrap_or_default();
                    component.section(&RawSection { id, data });
                }
                if let Payload::ModuleSection { unchecked_range, .. }
                | Payload::ComponentSection { unchecked_range, .. } = other
                {
                    rest = rest.get(unchecked_range.len()..).unwrap_or_default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outermost_names_of_candidates_become_final_and_everything_else_stays() {
        let text = |version: &str| {
            format!(
                r#"(component
                    (core module $m (func (export "run")))
                    (component $inner (import "wasi:cli/run@0.3.0-rc-2026-03-15" (func)))
                    (import "wasi:cli/environment@{version}" (instance $environment))
                    (import "other:cli/environment@0.3.0-rc-2026-03-15" (instance))
                    (export "wasi:cli/run@{version}" (instance $environment)))"#
            )
        };
        let candidate = wat::parse_str(text("0.3.0-rc-2026-03-15")).unwrap();
        let expected = wat::parse_str(text("0.3.0")).unwrap();
        let print = |wasm: &[u8]| {
            Parser::new(0)
                .parse_all(wasm)
                .map(|payload| {
                    format!("{:?}", payload.unwrap().as_section().map(|(id, range)| (id, wasm[range].to_vec())))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(print(&with_final_names(&candidate))[..], print(&expected)[..]);
        assert!(matches!(with_final_names(&expected), Cow::Borrowed(_)));
        assert!(matches!(with_final_names(&candidate[..candidate.len() / 2]), Cow::Borrowed(_)));
    }

    #[test]
    fn versions_are_compared_as_far_as_they_are_compatible() {
        for (name, expected) in [
            ("wasi:io/poll@0.2.9", "wasi:io/poll@0.2"),
            ("wasi:http/handler@0.3.1", "wasi:http/handler@0.3"),
            ("wasi:http/handler@0.3.0-rc-2026-03-15", "wasi:http/handler@0.3"),
            ("wasi:http/handler@0.3.0-rc-2025-08-15", "wasi:http/handler@0.3.0-rc-2025-08-15"),
            ("wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-rc.1"),
            ("spin:variables/variables@3.0.0", "spin:variables/variables@3"),
            ("plain", "plain"),
            ("a:b/c@", "a:b/c@"),
        ] {
            assert_eq!(track(name), expected, "{name}");
        }
    }
}
