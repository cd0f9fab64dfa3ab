//! Bytes of a scratch file, in pages, so that a file grows without being copied. Each page counts against the run's
//! memory.

use super::FsError;
use crate::limiter::Budget;

/// Size of a page.
const PAGE: usize = 4_096;
/// Bytes that a page counts: its own, and its place in the list.
const PAGE_COST: u64 = PAGE as u64 + 16;

/// Bytes of a file.
#[derive(Default)]
pub(super) struct Pages {
    pages: Vec<Box<[u8; PAGE]>>,
    len: u64,
}

impl Pages {
    /// Returns the size in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Changes the size; added bytes are zeros.
    ///
    /// # Errors
    /// [`FsError::NoSpace`] if the budget has no room; nothing changes then.
    pub(super) fn resize(&mut self, len: u64, budget: &Budget) -> Result<(), FsError> {
        let wanted = usize::try_from(len.div_ceil(PAGE as u64)).map_err(|_| FsError::NoSpace)?;
        match wanted.checked_sub(self.pages.len()) {
            Some(more) => {
                if !budget.take((more as u64).saturating_mul(PAGE_COST)) {
                    return Err(FsError::NoSpace);
                }
                self.pages.resize_with(wanted, || Box::new([0; PAGE]));
            }
            None => {
                budget.give((self.pages.len() - wanted) as u64 * PAGE_COST);
                self.pages.truncate(wanted);
                self.pages.shrink_to(wanted.saturating_mul(2));
            }
        }
        // A later growth must find zeros behind the end.
        let within = usize::try_from(len % PAGE as u64).unwrap_or(0);
        if len < self.len
            && within > 0
            && let Some(rest) = self.pages.last_mut().and_then(|page| page.get_mut(within..))
        {
            rest.fill(0);
        }
        self.len = len;
        Ok(())
    }

    /// Copies bytes from a position into a buffer; returns their number, 0 at the end.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let mut done = 0;
        while done < wanted {
            let (page, within) = place(at + done as u64);
            let Some(from) = self.pages.get(page).and_then(|page| page.get(within..)) else { break };
            let many = from.len().min(wanted - done);
            let (Some(to), Some(from)) = (buffer.get_mut(done..done + many), from.get(..many)) else { break };
            to.copy_from_slice(from);
            done += many;
        }
        done
    }

    /// Writes bytes at a position; a gap before it becomes zeros.
    ///
    /// # Errors
    /// [`FsError::NoSpace`] if the budget has no room; nothing changes then.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8], budget: &Budget) -> Result<(), FsError> {
        let end = at.checked_add(bytes.len() as u64).ok_or(FsError::NoSpace)?;
        if end > self.len && !bytes.is_empty() {
            self.resize(end, budget)?;
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = place(at + done as u64);
            let Some(to) = self.pages.get_mut(page).and_then(|page| page.get_mut(within..)) else { break };
            let many = to.len().min(bytes.len() - done);
            let (Some(to), Some(from)) = (to.get_mut(..many), bytes.get(done..done + many)) else { break };
            to.copy_from_slice(from);
            done += many;
        }
        Ok(())
    }

    /// Frees all bytes.
    pub(super) fn free(&mut self, budget: &Budget) {
        budget.give(self.pages.len() as u64 * PAGE_COST);
        *self = Self::default();
    }
}

/// Returns the page of a position, and the position within it.
fn place(at: u64) -> (usize, usize) {
    let page = usize::try_from(at / PAGE as u64).unwrap_or(usize::MAX);
    (page, usize::try_from(at % PAGE as u64).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Size of the files of the model, a few pages.
    const MODEL_BYTES: usize = 5 * PAGE;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, Vec<u8>),
        Resize(usize),
        Read(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..2 * PAGE);
        prop_oneof![
            (0..3 * PAGE, bytes()).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            (0..MODEL_BYTES).prop_map(Step::Resize),
            (0..MODEL_BYTES, 0..MODEL_BYTES).prop_map(|(at, many)| Step::Read(at, many)),
        ]
    }

    proptest! {
        #[test]
        fn pages_hold_what_a_vector_holds(steps in prop::collection::vec(step(), 1..40)) {
            let budget = Budget::new(u64::MAX);
            let (mut pages, mut model) = (Pages::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        pages.write(at as u64, &bytes, &budget).unwrap();
                        if !bytes.is_empty() && model.len() < at + bytes.len() {
                            model.resize(at + bytes.len(), 0);
                        }
                        if !bytes.is_empty() {
                            model[at..at + bytes.len()].copy_from_slice(&bytes);
                        }
                    }
                    Step::Resize(len) => {
                        pages.resize(len as u64, &budget).unwrap();
                        model.resize(len, 0);
                    }
                    Step::Read(at, many) => {
                        let mut buffer = vec![1; many];
                        let read = pages.read(at as u64, &mut buffer);
                        let expected = &model[at.min(model.len())..(at + many).min(model.len())];
                        prop_assert_eq!(&buffer[..read], expected);
                    }
                }
                prop_assert_eq!(pages.len(), model.len() as u64);
                prop_assert_eq!(budget.used(), (model.len().div_ceil(PAGE)) as u64 * PAGE_COST);
            }
            pages.free(&budget);
            prop_assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn a_file_that_does_not_fit_stays_as_it_is() {
        let budget = Budget::new(2 * PAGE_COST);
        let mut pages = Pages::default();
        pages.write(0, b"kept", &budget).unwrap();
        for (at, bytes) in [(2 * PAGE as u64, &b"x"[..]), (u64::MAX, b"x"), (1 << 60, b"x")] {
            assert_eq!(pages.write(at, bytes, &budget), Err(FsError::NoSpace));
        }
        assert_eq!(pages.resize(u64::MAX, &budget), Err(FsError::NoSpace));
        assert_eq!((pages.len(), budget.used()), (4, PAGE_COST));
    }
}
