//! Allocates memory until none is left. Demonstrates the memory limit of a run; the log shows the amount allocated.

use std::hint::black_box;

use fusebox_guest::log;

const MIB: usize = 1 << 20;

/// The first allocation that fails ends the run.
#[fusebox_guest::function]
fn eat_memory() {
    eat(usize::MAX);
}

fn eat(mib: usize) -> Vec<Vec<u8>> {
    let mut eaten = Vec::new();
    while eaten.len() < mib {
        // Prevents the optimiser from removing unused bytes together with their allocation.
        eaten.push(black_box(vec![1; MIB]));
        log::info!("{} MiB eaten", eaten.len());
    }
    eaten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bite_is_what_was_asked_for() {
        assert_eq!(eat(3).iter().map(Vec::len).sum::<usize>(), 3 * MIB);
    }
}
