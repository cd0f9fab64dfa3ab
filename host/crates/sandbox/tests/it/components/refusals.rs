//! Components that are rejected before they are compiled, each with a sentence that says what to change.

use fusebox_core::{capability::Capability, error::ErrorCode};

use fusebox_sandbox::{ModuleLimits, Options, Sandbox};

use crate::support::{ample, call, code, open, options, refused, sandbox, wasm};
use fusebox_hostile::component::{echo, handler_with};

#[track_caller]
fn refused_as(text: &str, code: ErrorCode, says: &str) {
    let error = refused(&wasm(text));
    assert!(error.code == code && error.message.contains(says), "{error:?}");
}

fn exporting(names: &[&str]) -> String {
    let exports = names.iter().map(|name| format!(r#"(export "{name}" (instance $empty))"#));
    format!("(component (instance $empty) {})", exports.collect::<String>())
}

#[test]
fn a_component_follows_one_world() {
    refused_as("(component)", ErrorCode::InvalidModule, "exports nothing, and the host runs components that export");
    refused_as(&exporting(&["a:b/c@1.0.0"]), ErrorCode::InvalidModule, "exports a:b/c@1.0.0, and the host runs");
    let both = exporting(&["fusebox:function/handler@0.1.0", "wasi:http/incoming-handler@0.2.6"]);
    refused_as(
        &both,
        ErrorCode::InvalidModule,
        "both wasi:http/incoming-handler@0.2.6 and fusebox:function/handler@0.1.0",
    );
    let both = exporting(&["wasi:http/handler@0.3.0", "wasi:http/incoming-handler@0.2.6"]);
    refused_as(&both, ErrorCode::InvalidModule, "leave one of them out");
    for old in ["fermyon:spin/inbound-http@2.0.0", "wasi:http/incoming-handler@0.2.0-rc-2023-11-10"] {
        refused_as(&exporting(&[old]), ErrorCode::UnsupportedModule, "rebuild it with a newer SDK");
    }
    refused_as(&exporting(&["fusebox:function/handler@0.2.0"]), ErrorCode::InvalidModule, "export one of them");
}

#[test]
fn exports_have_the_type_of_their_world() {
    refused_as(
        &exporting(&["fusebox:function/handler@0.1.0"]),
        ErrorCode::InvalidModule,
        "handle: func(input: list<u8>)",
    );
    let other = echo().replace("(type $bytes (list u8))", "(type $bytes (list s8))");
    refused_as(&other, ErrorCode::InvalidModule, "handle: func(input: list<u8>)");
    refused_as(&exporting(&["wasi:cli/run@0.2.0"]), ErrorCode::InvalidModule, "wasi:cli/run");
    refused_as(&exporting(&["wasi:http/handler@0.3.0"]), ErrorCode::InvalidModule, "wasi:http/handler");
}

#[test]
fn imports_are_those_that_the_host_offers() {
    let importing = |import: &str| handler_with("", import, "", "");
    refused_as(&importing(r#"(import "a:b/c@1.0.0" (instance))"#), ErrorCode::UnknownImport, "imports a:b/c@1.0.0");
    let newer = r#"(import "wasi:keyvalue/store@0.3.0" (instance))"#;
    refused_as(&importing(newer), ErrorCode::UnknownImport, "wasi:keyvalue/store@0.2.0-draft");
    let lacking = r#"(import "wasi:cli/exit@0.2.0" (instance (export "leave" (func))))"#;
    refused_as(&importing(lacking), ErrorCode::UnknownImport, "leave");
    let wrong = r#"(import "fusebox:function/kv@0.1.0" (instance (export "get" (func (param "key" string)))))"#;
    refused_as(&importing(wrong), ErrorCode::UnknownImport, "get");
}

#[test]
fn imports_name_the_capabilities_that_they_need() {
    let importing = |name: &str| wasm(&handler_with("", &format!(r#"(import "{name}" (instance))"#), "", ""));
    for (name, needs) in [
        ("wasi:cli/environment@0.2.3", vec![]),
        ("wasi:http/outgoing-handler@0.2.0", vec![]),
        ("wasi:logging/logging@0.1.0-draft", vec![]),
        ("fusebox:function/kv@0.1.0", vec![Capability::Kv]),
        ("fusebox:function/secrets@0.1.0", vec![Capability::Secrets]),
        ("wasi:keyvalue/batch@0.2.0-draft2", vec![Capability::Kv]),
        ("wasi:config/store@0.2.0-rc.1", vec![Capability::Config]),
        ("fermyon:spin/variables@2.0.0", vec![Capability::Config]),
    ] {
        assert_eq!(sandbox().prepare(&importing(name)).unwrap().inspected.needs, needs, "{name}");
    }
}

/// Wraps a component definition named `$c0` into `depth` others, each of which instantiates the one before it `times`
/// times.
fn towers(innermost: &str, depth: usize, times: usize) -> String {
    let mut text = innermost.to_owned();
    for level in 0..depth {
        let instances = format!("(instance (instantiate $c{level}))").repeat(times);
        text = format!("(component $c{} {text} {instances})", level + 1);
    }
    handler_with("", &format!("{text} (instance (instantiate $c{depth}))"), "", "")
}

#[test]
fn what_a_component_makes_is_counted_before_it_is_compiled() {
    let one = "(component $c0 (core module $m) (core instance (instantiate $m)))";
    sandbox().prepare(&wasm(&towers(one, 2, 3))).unwrap();
    let complex = |text: &str, says: &str| refused_as(text, ErrorCode::ModuleTooComplex, says);
    complex(&towers(one, 3, 5), "core instances, and the maximum is 64");
    complex(&towers("(component $c0)", 3, 5), "component instances, and the maximum is 32");
    complex(&towers(one, 8, 1), "levels of nesting, and the maximum is 8");
    complex(&towers(&format!("(component $c0 {})", "(component)".repeat(130)), 1, 1), "128");
    let with_module = |module: &str, times: usize| {
        let instances = "(core instance (instantiate $m))".repeat(times);
        handler_with("", &format!("(core module $m {module}) {instances}"), "", "")
    };
    complex(&with_module("(memory 1)", 4), "5 memories, and the maximum is 4");
    complex(&with_module("(table 1 funcref)", 9), "9 tables, and the maximum is 8");
    complex(&with_module("(table 20001 funcref)", 1), "a table that begins with 20001 elements");
    let functions = format!("(core module $m {})", "(func)".repeat(25_000));
    complex(
        &handler_with("", &format!("{functions} {}", functions.replace("$m", "$n")), "", ""),
        "has 50001 functions, and the maximum is 40000",
    );
    complex(&handler_with("", &"(type (list u8))".repeat(2_001), "", ""), "types, and the maximum is 2000");
}

#[test]
fn an_operator_may_refuse_components_even_those_that_were_registered_before() {
    let (home, module) = (tempfile::tempdir().unwrap(), wasm(&echo()));
    let digest = open(home.path()).prepare(&module).unwrap().inspected.digest;
    let modules = ModuleLimits { abis: "core,command".parse().unwrap(), ..ModuleLimits::default() };
    let without = Sandbox::new(Options { modules, ..options(home.path()) }).unwrap();
    let error = without.prepare(&module).unwrap_err();
    assert!(error.code == ErrorCode::UnsupportedModule && error.message.contains("only core,command"), "{error:?}");
    let loaded = without.load(&digest).unwrap().unwrap();
    assert_eq!(code(&without.run(&loaded, call(b"", ample()))), ErrorCode::BadModule);
    assert!(without.code(&digest).is_err(), "a process that runs apart does not get it either");
}

#[test]
fn what_is_not_valid_is_said_to_be_so() {
    let whole = wasm(&echo());
    for at in (8..whole.len() - 1).step_by(31) {
        assert_eq!(refused(&whole[..at]).code, ErrorCode::InvalidModule, "cut at {at}");
    }
    let several = handler_with("", r#"(core module (memory 1) (memory 1))"#, "", "");
    assert!(matches!(refused(&wasm(&several)).code, ErrorCode::InvalidModule | ErrorCode::ModuleTooComplex));
}
