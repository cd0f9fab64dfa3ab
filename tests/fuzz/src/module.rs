//! What is uploaded as a module, before it is compiled.

use crate::sandbox;

/// Larger seeds slow every mutation of them down and show nothing that smaller ones do not.
const SEED_BYTES_MAX: usize = 64 << 10;

/// See the crate's documentation.
pub fn run(data: &[u8]) {
    let answer = sandbox().inspect(data);
    if let Err(error) = &answer {
        assert!(error.message.len() > 10 && error.message.len() < 100_000, "what says nothing, or all: {error}");
    }
    assert_eq!(sandbox().inspect(data), answer, "the same bytes, another answer");
}

/// See the crate's documentation.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let corpus = fusebox_hostile::corpus();
    corpus.into_iter().map(|hostile| hostile.wasm).filter(|wasm| wasm.len() <= SEED_BYTES_MAX).collect()
}
