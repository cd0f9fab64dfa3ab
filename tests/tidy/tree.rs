//! Dependencies of a server, as cargo resolves them.

use std::process::Command;

use super::root;

/// Crates that only the lab brings in.
const OF_THE_LAB: &[&str] =
    &["dejavu", "fusebox-faults", "fusebox-lab", "hdrhistogram", "plotters", "png", "rand_chacha", "ttf-parser"];

/// Returns the crates that the program `fusebox` is built from.
fn crates(features: &[&str]) -> Vec<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "-p", "fusebox", "-e", "normal", "--offline", "--prefix", "none"]).args(features);
    let tree = tree.current_dir(root()).output().unwrap_or_else(|error| panic!("{error}"));
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8_lossy(&tree.stdout).lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn a_server_without_the_lab_draws_and_breaks_nothing() {
    let of_the_lab = |crates: &[String]| OF_THE_LAB.iter().filter(|name| crates.iter().any(|one| one == *name)).count();
    assert_eq!(of_the_lab(&crates(&[])), OF_THE_LAB.len(), "a crate of this list is gone: take it out");
    let server = crates(&["--no-default-features"]);
    assert!(server.iter().any(|name| name == "wasmtime"), "{server:?}");
    assert_eq!(of_the_lab(&server), 0, "only the lab may bring these in: {OF_THE_LAB:?}");
}
