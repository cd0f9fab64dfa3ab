//! Uploaded modules, before compilation.

use crate::sandbox;

/// Maximum size of seeds; larger ones slow down every mutation and find nothing more.
const SEED_BYTES_MAX: usize = 64 << 10;

/// Runs the target. See the crate's documentation.
pub fn run(data: &[u8]) {
    let answer = sandbox().inspect(data);
    if let Err(error) = &answer {
        assert!(error.message.len() > 10 && error.message.len() < 100_000, "what says nothing, or all: {error}");
    }
    assert_eq!(sandbox().inspect(data), answer, "the same bytes, another answer");
}

/// Returns the seeds. See the crate's documentation.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let corpus = fusebox_hostile::corpus();
    corpus.into_iter().map(|hostile| hostile.wasm).filter(|wasm| wasm.len() <= SEED_BYTES_MAX).collect()
}
