//! Names that pages must mention: every folder, every example, and only existing tests.

use super::{entries, read, root};

/// Returns the names that a page does not mention as code.
fn unnamed<'a>(page: &str, names: &'a [String]) -> Vec<&'a str> {
    let mentions =
        |name: &str| [format!("`{name}`"), format!("/{name}`"), format!("({name}/")].map(|as_| page.contains(&as_));
    names.iter().map(String::as_str).filter(|name| !mentions(name).contains(&true)).collect()
}

/// Returns the Rust files that a page mentions as code, as paths from the root.
fn rust_files(page: &str) -> Vec<String> {
    let code = page.split('`').skip(1).step_by(2).filter(|code| code.ends_with(".rs"));
    let is_crate = |path: &str| ["core/", "jail/", "sandbox/"].iter().any(|name| path.starts_with(name));
    code.map(|path| if is_crate(path) { format!("host/crates/{path}") } else { path.to_owned() }).collect()
}

#[test]
fn the_architecture_names_every_folder_of_the_host() {
    let mut folders = Vec::new();
    for parent in ["host/src", "host/crates"] {
        folders.extend(
            entries(&root().join(parent)).into_iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| name),
        );
    }
    let text = read("ARCHITECTURE.md");
    assert_eq!(unnamed(&text, &folders), Vec::<&str>::new(), "add a row to the code map of ARCHITECTURE.md");
}

#[test]
fn every_example_is_explained() {
    let folder = root().join("examples");
    let examples: Vec<String> = entries(&folder)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| folder.join(name).join("Cargo.toml").exists())
        .collect();
    assert!(!examples.is_empty());
    for name in &examples {
        assert!(
            folder.join(name).join("README.md").exists(),
            "examples/{name} needs a README.md: what it does, how to run it"
        );
    }
    assert_eq!(unnamed(&read("examples/README.md"), &examples), Vec::<&str>::new(), "name them in examples/README.md");
}

#[test]
fn the_tests_that_the_security_page_names_are_there() {
    let named = rust_files(&read("SECURITY.md"));
    assert!(named.len() > 10, "it says which test shows what: {named:?}");
    let gone: Vec<_> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "SECURITY.md names what is not there: {gone:?}");
}

#[test]
fn what_a_page_leaves_out_is_found() {
    let names = ["core", "rest", "ui"].map(String::from);
    assert_eq!(unnamed("| `host/crates/core` | `ui`, a rest |", &names), ["rest"]);
    assert_eq!(rust_files("`core/a.rs`, b.rs, `up` and `tests/c.rs`"), ["host/crates/core/a.rs", "tests/c.rs"]);
}
