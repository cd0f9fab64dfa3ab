//! Never returns. Demonstrates that a function occupies a slot only as long as its limits allow.

use std::hint::black_box;

#[fusebox_guest::function]
fn spin_forever() {
    loop {
        // Prevents the optimiser from removing unused work together with the loop.
        black_box(spin(black_box(1_000)));
    }
}

fn spin(turns: u64) -> u64 {
    (0..turns).fold(0, |sum, turn| sum ^ turn.wrapping_mul(sum + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_forever_ends() {
        assert_ne!(spin(10), spin(11));
    }
}
