//! Splits what a caller hands in at once into calls that Redis performs in a short time, by partition and size, and puts
//! the answers together again in their order. Knows no step.

use fusebox_core::id::TaskId;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use redis::Value;

use super::{
    answers,
    caller::{Call, Caller},
    keys::Place,
};
use crate::store::{Error, Result};

/// Items of one call: each holds up other callers for as long as Redis is busy with it, here about 5 ms.
const ITEMS_MAX: usize = 500;
/// Bytes of one call, unless one item alone has more.
const BYTES_MAX: usize = 8 << 20;
/// Calls to one partition under way at a time: while Redis performs the one, the other is on its way.
const CALLS_MAX: usize = 2;

/// The items of one call.
pub(super) struct Batch {
    /// Where they belong.
    pub(super) place: Place,
    /// Which they are, in the order in which they were handed in.
    pub(super) items: Vec<usize>,
}

/// Makes the calls that `sizes` ask for, each with the task and the bytes of an item; gives an answer for each item.
/// Items of one partition are performed in their order.
pub(super) async fn perform<T>(
    caller: &Caller,
    sizes: impl Iterator<Item = (TaskId, usize)>,
    call: impl Fn(&Batch) -> Call,
    read: impl Fn(Value) -> Result<T>,
) -> Result<Vec<T>> {
    let mut partitions: Vec<Vec<(usize, usize)>> = caller.layout().places().map(|_| Vec::new()).collect();
    let mut count = 0;
    for (task, bytes) in sizes {
        partitions[caller.layout().partition(task)].push((count, bytes));
        count += 1;
    }
    let call = &call;
    let calls = caller.layout().places().zip(partitions).map(|(place, items)| {
        stream::iter(split(place, &items))
            .map(|batch| async move {
                let answers = answers::list(caller.ask(call(&batch)).await?)?;
                Ok::<_, Error>((batch, answers))
            })
            .buffered(CALLS_MAX)
            .try_collect::<Vec<_>>()
    });
    let mut answered: Vec<Option<T>> = std::iter::repeat_with(|| None).take(count).collect();
    for (batch, answers) in future::try_join_all(calls).await?.into_iter().flatten() {
        for (item, answer) in batch.items.into_iter().zip(answers) {
            answered[item] = Some(read(answer)?);
        }
    }
    let complete: Option<Vec<T>> = answered.into_iter().collect();
    complete.ok_or_else(|| answers::unexpected("a batch"))
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
    use super::{super::keys::Layout, *};

    #[test]
    fn a_batch_has_its_bounds() {
        let place = Layout::Whole.shared();
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
