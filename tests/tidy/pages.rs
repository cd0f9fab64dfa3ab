//! Names that pages must mention: every folder, every example, and only existing tests, paths and links.

use std::path::Path;

use super::{entries, files, read, root};

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

/// Returns the paths that a page mentions as code, without placeholders such as `<resource>`.
fn paths(page: &str) -> Vec<&str> {
    let code = page.split('`').skip(1).step_by(2);
    code.filter(|code| code.contains('/') && !code.contains([' ', '<', '=', ':'])).collect()
}

/// Returns the targets of a page's links to files, without anchors.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
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
fn the_paths_that_the_contributors_page_names_are_there() {
    let page = read("CONTRIBUTING.md");
    let named = paths(&page);
    assert!(named.len() > 20, "it says where changes go: {named:?}");
    let gone: Vec<_> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "CONTRIBUTING.md names what is not there: {gone:?}");
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let mut pages = Vec::new();
    files("", &mut pages);
    for page in pages.iter().filter(|path| path.ends_with(".md")) {
        let text = read(page);
        let folder = root().join(page).parent().map(Path::to_path_buf).unwrap_or_default();
        let gone: Vec<_> = links(&text).into_iter().filter(|target| !folder.join(target).exists()).collect();
        assert!(gone.is_empty(), "{page} links to what is not there: {gone:?}");
    }
}

#[test]
fn what_a_page_leaves_out_is_found() {
    let names = ["core", "rest", "ui"].map(String::from);
    assert_eq!(unnamed("| `host/crates/core` | `ui`, a rest |", &names), ["rest"]);
    assert_eq!(rust_files("`core/a.rs`, b.rs, `up` and `tests/c.rs`"), ["host/crates/core/a.rs", "tests/c.rs"]);
    assert_eq!(paths("`a/b.rs`, `a/<b>.rs`, c/d and `make e`"), ["a/b.rs"]);
    assert_eq!(links("[a](b.md#c), [d](#e), [f](https://g), [h](i/ \"j\")"), ["b.md", "i/"]);
}
