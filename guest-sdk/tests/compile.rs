//! What `#[function]` accepts, and what it says about the rest.
//!
//! `TRYBUILD=overwrite cargo test -p fusebox-guest --test compile` writes the messages anew. In the cases, types that an
//! error points at have names of one word: how much of a longer type is underlined differs between compilers.

#[test]
fn supported_functions_compile() {
    trybuild::TestCases::new().pass("tests/compile/pass_*.rs");
}

#[test]
fn errors_name_what_is_wrong_and_where() {
    trybuild::TestCases::new().compile_fail("tests/compile/fail_*.rs");
}
