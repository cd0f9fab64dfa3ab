//! The function that a run's tasks call: each input is unique and determines the output, and the function can wait
//! half-way, so that a kill can interrupt it there.

/// Name of the registered function.
pub(super) const NAME: &str = "chaos";
/// `work.wat`, compiled, since a host accepts no text.
pub(super) const MODULE: &[u8] = include_bytes!("work.wasm");

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x100_0000_01b3;

/// Returns the input of the task with this key.
pub(super) fn input(wait_ms: u16, key: &str) -> Vec<u8> {
    [&wait_ms.to_le_bytes(), key.as_bytes()].concat()
}

/// Returns the expected output: the low byte of the FNV-1a digest up to each byte, then the whole digest.
pub(super) fn output(input: &[u8]) -> Vec<u8> {
    let mut hash = FNV_BASIS;
    let mut bytes: Vec<u8> = input
        .iter()
        .map(|byte| {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
            hash.to_le_bytes()[0]
        })
        .collect();
    bytes.extend(hash.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_its_text_compiled() {
        let compiled = fusebox_harness::guests::wasm(include_str!("work.wat"));
        assert!(compiled == MODULE, "compile work.wat into work.wasm anew");
    }

    #[test]
    fn the_output_is_the_inputs_own() {
        let outputs = [input(0, "a"), input(0, "b"), input(1, "a"), input(0, "ab")].map(|input| output(&input));
        for (at, output) in outputs.iter().enumerate() {
            assert!(!outputs[..at].contains(output));
        }
        // FNV-1a of "a", as published.
        assert_eq!(output(b"a")[1..], 0xaf63_dc4c_8601_ec8c_u64.to_le_bytes());
    }
}
