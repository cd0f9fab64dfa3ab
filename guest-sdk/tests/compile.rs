//! Tests of the code accepted by `#[function]`, and of the errors for code that is not.
//!
//! `TRYBUILD=overwrite cargo test -p fusebox-guest --test compile` rewrites the messages. Types that an error points at
//! have names of one word here, since compilers differ in how much of a longer type they underline.

#[test]
fn supported_functions_compile() {
    trybuild::TestCases::new().pass("tests/compile/pass_*.rs");
}

#[test]
fn errors_name_what_is_wrong_and_where() {
    trybuild::TestCases::new().compile_fail("tests/compile/fail_*.rs");
}
