//! Work that is due: lapsing, promoting, expiring and purging. Bounded per call.

use fusebox_core::task::{Task, TaskState};

use super::{Place, Steps};
use crate::{
    Result, Ticked,
    embedded::{engine::Space, keys::Timed},
};

/// Largest number of tasks of each kind in one step, to bound the time for which it occupies the writer.
const TASKS_MAX: usize = 1_000;

impl Steps<'_> {
    /// Lapses leases, promotes delayed tasks, expires waiting ones, purges ended ones.
    pub(in crate::embedded) fn tick(&mut self) -> Result<Ticked> {
        let mut ticked = Ticked::default();
        self.lapse(&mut ticked)?;
        self.promote(&mut ticked)?;
        self.expire(&mut ticked)?;
        self.purge_due(&mut ticked)?;
        Ok(ticked)
    }

    fn lapse(&mut self, ticked: &mut Ticked) -> Result<()> {
        for key in self.due(Timed::Leased, self.now, TASKS_MAX)? {
            let Some(before) = self.indexed(&key)? else {
                self.group.remove(Space::Index, key);
                continue;
            };
            let mut task = before.clone();
            match task.lapse(self.now, self.now) {
                Ok(next) => {
                    self.change(&before, Place::Ready, &task)?;
                    ticked.lapsed.push((task.id, next));
                }
                Err(_) => self.group.remove(Space::Index, key),
            }
        }
        Ok(())
    }

    fn promote(&mut self, ticked: &mut Ticked) -> Result<()> {
        for key in self.due(Timed::Delayed, self.now, TASKS_MAX)? {
            match self.indexed(&key)? {
                Some(task @ Task { state: TaskState::Queued { .. }, .. }) => {
                    self.group.remove(Space::Index, key);
                    self.count(&task.tenant, |counters| counters.delayed = counters.delayed.saturating_sub(1))?;
                    self.enter_ready(&task)?;
                    ticked.promoted += 1;
                }
                _ => self.group.remove(Space::Index, key),
            }
        }
        Ok(())
    }

    fn expire(&mut self, ticked: &mut Ticked) -> Result<()> {
        for key in self.due(Timed::Waiting, self.now, TASKS_MAX)? {
            let Some(before) = self.indexed(&key)? else {
                self.group.remove(Space::Index, key);
                continue;
            };
            let mut task = before.clone();
            match task.expire(self.now) {
                Ok(()) => {
                    self.change(&before, self.place(&before)?, &task)?;
                    ticked.expired += 1;
                }
                Err(_) => self.group.remove(Space::Index, key),
            }
        }
        Ok(())
    }

    fn purge_due(&mut self, ticked: &mut Ticked) -> Result<()> {
        for key in self.due(Timed::Ended, self.now, TASKS_MAX)? {
            let Some(task) = self.indexed(&key)?.filter(|task| task.status().is_ended()) else {
                self.group.remove(Space::Index, key);
                continue;
            };
            self.group.remove(Space::Index, key);
            self.remove_ended(&task)?;
            ticked.purged += 1;
        }
        Ok(())
    }
}
