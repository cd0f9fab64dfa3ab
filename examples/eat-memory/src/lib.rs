//! Takes all the memory it can get. It shows that a function cannot have more than its fuse allows; the log says how
//! far it got.

use std::hint::black_box;

use fusebox_guest::log;

const MIB: usize = 1 << 20;

/// When there is no more memory, the allocation that fails ends the run.
#[fusebox_guest::function]
fn eat_memory() {
    eat(usize::MAX);
}

fn eat(mib: usize) -> Vec<Vec<u8>> {
    let mut eaten = Vec::new();
    while eaten.len() < mib {
        // Unseen bytes could be optimised away, and the allocation with them.
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
