//! Splits a caller's items by partition and size into calls that occupy Redis for a short time, and reassembles the
//! answers in order. Independent of the steps.

use std::sync::OnceLock;

use fusebox_core::id::TaskId;
use futures_util::{StreamExt as _, future, stream};
use redis::Value;

use super::{
    answers,
    caller::{Call, Caller},
    keys::Place,
};
use crate::{Error, Result};

/// Largest number of items in one call. A call delays other callers for as long as it occupies Redis, here about 5 ms.
const ITEMS_MAX: usize = 500;
/// Largest size of one call, in bytes, unless a single item is larger.
const BYTES_MAX: usize = 8 << 20;
/// Number of calls in flight per partition: while Redis performs one, the next is in transit.
const CALLS_MAX: usize = 2;

/// Items of one call.
pub(super) struct Batch {
    /// Place of the items' keys.
    pub(super) place: Place,
    /// Indexes of the items, in the order in which they were submitted.
    pub(super) items: Vec<usize>,
}

/// Makes the calls for the items in `sizes`, each given as its task and its size in bytes; returns an answer or an
/// error for each. Items of one partition are performed in their order. After a failed call, the items behind it are
/// not sent, since they would fail in the same way.
pub(super) async fn perform<T>(
    caller: &Caller,
    sizes: impl Iterator<Item = (TaskId, usize)>,
    call: impl Fn(&Batch) -> Call,
    read: impl Fn(Value) -> Result<T>,
) -> Vec<Result<T>> {
    let mut partitions: Vec<Vec<(usize, usize)>> = caller.layout().places().map(|_| Vec::new()).collect();
    let mut count = 0;
    for (task, bytes) in sizes {
        partitions[caller.layout().partition(task)].push((count, bytes));
        count += 1;
    }
    let call = &call;
    let calls = caller.layout().places().zip(partitions).map(|(place, items)| async move {
        let failed = &OnceLock::new();
        let steps = stream::iter(split(place, &items)).map(|batch| async move {
            let answers = match failed.get() {
                Some(error) => Err(Error::clone(error)),
                None => caller.ask(call(&batch)).await.and_then(answers::list),
            };
            if let Err(error) = &answers {
                let _ = failed.set(error.clone());
            }
            (batch, answers)
        });
        steps.buffered(CALLS_MAX).collect::<Vec<_>>().await
    });
    let mut answered: Vec<Result<T>> = Vec::with_capacity(count);
    answered.extend(std::iter::repeat_with(|| Err(answers::unexpected("a batch"))).take(count));
    for (batch, answers) in future::join_all(calls).await.into_iter().flatten() {
        match answers {
            Ok(answers) => {
                for (item, answer) in batch.items.into_iter().zip(answers) {
                    answered[item] = read(answer);
                }
            }
            Err(error) => batch.items.into_iter().for_each(|item| answered[item] = Err(error.clone())),
        }
    }
    answered
}

/// As [`perform`], for steps that are repeated as a whole if any part fails.
pub(super) async fn perform_all<T>(
    caller: &Caller,
    sizes: impl Iterator<Item = (TaskId, usize)>,
    call: impl Fn(&Batch) -> Call,
    read: impl Fn(Value) -> Result<T>,
) -> Result<Vec<T>> {
    perform(caller, sizes, call, read).await.into_iter().collect()
}

fn split(place: Place, items: &[(usize, usize)]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut left = 0;
    for (item, bytes) in items {
        match batches.last_mut() {
            Some(batch) if batch.items.len() < ITEMS_MAX && *bytes <= left => batch.items.push(*item),
            _ => {
                batches.push(Batch { place, items: vec![*item] });
                left = BYTES_MAX;
            }
        }
        left = left.saturating_sub(*bytes);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::{
        super::{access::Prefix, keys::Layout},
        *,
    };

    #[test]
    fn a_batch_has_its_bounds() {
        let place = Layout::whole(Prefix::default()).shared();
        let sizes = |items: &[(usize, usize)]| -> Vec<_> {
            split(place, items).iter().map(|batch| batch.items.len()).collect()
        };
        let many: Vec<_> = (0..ITEMS_MAX * 2 + 1).map(|item| (item, 1)).collect();
        assert_eq!(sizes(&many), [ITEMS_MAX, ITEMS_MAX, 1]);
        let large = [(0, BYTES_MAX / 2), (1, BYTES_MAX / 2), (2, 1), (3, BYTES_MAX * 2), (4, 1)];
        assert_eq!(sizes(&large), [2, 1, 1, 1]);
        assert_eq!(sizes(&[]), [] as [usize; 0]);
    }
}
