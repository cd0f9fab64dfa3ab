//! The C header and the table in the documentation agree with the functions that are provided.

use fusebox_core::capability::Refusal;
use wasmtime::{Linker, Store, ValType};

use super::{OFFERED, add_to};
use crate::{engine, host::Host};

const HEADER: &str = include_str!("../../../../../guest-sdk/c/fusebox.h");
const PAGE: &str = include_str!("../../../../../docs/functions.md");

/// Returns the type that a C type has in a module.
fn in_module(c: &str) -> Option<&'static str> {
    let words = c.trim().trim_start_matches("const ");
    match words {
        "void" => None,
        _ if words.contains('*') || words.starts_with("uint32_t") => Some("i32"),
        _ if words.starts_with("int64_t") => Some("i64"),
        other => panic!("an unknown type: {other}"),
    }
}

fn word(kind: &ValType) -> &'static str {
    match kind {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        other => panic!("{other}"),
    }
}

/// Returns the name, parameters and result of each function in the header.
fn declared() -> Vec<(String, Vec<&'static str>, Vec<&'static str>)> {
    let lines = HEADER.lines().filter_map(|line| line.strip_prefix("FUSEBOX_IMPORT(\""));
    let read = |line: &str| {
        let (name, rest) = line.split_once("\") ").unwrap();
        let (result, params) = rest.split_once(&format!(" fusebox_{name}(")).unwrap();
        let params = params.strip_suffix(");").unwrap().split(',').filter_map(in_module).collect();
        (name.to_owned(), params, in_module(result).into_iter().collect())
    };
    lines.map(read).collect()
}

#[test]
fn the_header_declares_each_function_with_its_type() {
    let engine = engine::compiling().unwrap();
    let mut linker = Linker::<Host>::new(&engine);
    add_to(&mut linker).unwrap();
    let declared = declared();
    assert_eq!(declared.len(), OFFERED.len());
    let mut store = Store::new(&engine, crate::metered::tests::host());
    for (name, params, results) in declared {
        let function = linker.get(&mut store, super::MODULE, &name).unwrap().into_func().unwrap();
        let kind = function.ty(&store);
        assert_eq!(kind.params().map(|kind| word(&kind)).collect::<Vec<_>>(), params, "{name}");
        assert_eq!(kind.results().map(|kind| word(&kind)).collect::<Vec<_>>(), results, "{name}");
    }
}

#[test]
fn the_header_and_the_table_have_each_refusal_and_function() {
    let refusals = [
        ("ABSENT", Refusal::Absent),
        ("CONFLICT", Refusal::Conflict),
        ("TOO_LARGE", Refusal::TooLarge),
        ("QUOTA", Refusal::Quota),
        ("REFUSED", Refusal::Refused),
        ("UNAVAILABLE", Refusal::Unavailable),
        ("TIMED_OUT", Refusal::TimedOut),
        ("INVALID", Refusal::Invalid),
    ];
    for (name, refusal) in refusals {
        let (line, code) = (format!("#define FUSEBOX_{name} ({})", refusal.code()), refusal.code());
        assert!(HEADER.lines().any(|known| known.starts_with(&line)), "{line}");
        assert!(PAGE.contains(&format!("| {code} | {refusal} |")), "{code} {refusal}");
    }
    for (name, needs) in OFFERED {
        let grant = needs.first().map_or_else(|| "none".to_owned(), |needs| format!("`{needs}`"));
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {grant} |"))), "{name}: {row:?}");
    }
}
