//! Messages of a peer on the workers' link.

use std::fmt::Debug;

use fusebox_core::wire::{FromDispatcher, FromWorker, decode, encode};
use serde::{Serialize, de::DeserializeOwned};

/// Every message in encoded form: the golden file of the layout.
const GOLDEN: &str = include_str!("../../../host/crates/core/tests/golden/wire-3.txt");

/// Runs the target. See the crate's documentation.
pub fn run(data: &[u8]) {
    meet::<FromWorker>(data);
    meet::<FromDispatcher>(data);
}

fn meet<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let Ok(message) = decode::<T>(data) else { return };
    let again = encode(&message).unwrap_or_else(|error| panic!("{message:?} was read and cannot be written: {error}"));
    assert_eq!(decode::<T>(&again).as_ref(), Ok(&message), "it is read as another message than was written");
    // Numbers may have overlong encodings, so the input may be longer than the result, but never shorter.
    assert!(again.len() <= data.len(), "{message:?} was read from fewer bytes than it takes");
}

/// Returns the seeds. See the crate's documentation.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    GOLDEN.lines().filter_map(|line| hex::decode(line).ok()).collect()
}
