//! Attempts that a worker holds: those that wait or run, and reports of those that have ended, until a dispatcher
//! confirms that they are recorded. Independent of links.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fusebox_core::{
    id::LeaseToken,
    outcome::StopReason,
    wire::{AttemptId, AttemptReport, End, HeldAttempt},
};
use fusebox_sandbox::StopFlag;

/// Time after which an unconfirmed report is sent again: its dispatcher may have lost the store's answer.
const AGAIN: Duration = Duration::from_secs(5);
/// Bytes of reports after which the rest goes into another message: half of a message's size, so that one report of the
/// largest size always fits.
const REPORT_BYTES_MAX: usize = 8 << 20;

enum Stage {
    /// Waits for a slot, or runs.
    Open(StopFlag),
    /// Has ended; with the time at which its report was last sent.
    Over(Box<AttemptReport>, Option<Instant>),
}

struct Held {
    token: LeaseToken,
    /// True if it is for the extra slot, which the dispatcher sends in addition to the requested attempts.
    is_extra: bool,
    stage: Stage,
}

/// Held attempts by id.
#[derive(Default)]
pub struct HeldAttempts {
    held: HashMap<AttemptId, Held>,
    /// Attempts whose reports are due.
    due: Vec<AttemptId>,
    open: u32,
}

impl HeldAttempts {
    /// Adds an attempt and returns its stop flag; `None` if it is already held.
    pub fn begin(&mut self, attempt: HeldAttempt) -> Option<StopFlag> {
        self.take_in(attempt, false)
    }

    /// Adds an attempt for the extra slot and returns its stop flag; `None` if it is already held.
    pub fn begin_extra(&mut self, attempt: HeldAttempt) -> Option<StopFlag> {
        self.take_in(attempt, true)
    }

    fn take_in(&mut self, attempt: HeldAttempt, is_extra: bool) -> Option<StopFlag> {
        if self.held.contains_key(&attempt.id) {
            return None;
        }
        let stop = StopFlag::default();
        self.held.insert(attempt.id, Held { token: attempt.token, is_extra, stage: Stage::Open(stop.clone()) });
        self.open += u32::from(!is_extra);
        Some(stop)
    }

    /// Records the end of an attempt. An attempt that is no longer held needs no report.
    pub fn end(&mut self, report: AttemptReport) {
        if let Some(held) = self.held.get_mut(&report.held.id)
            && matches!(held.stage, Stage::Open(_))
        {
            self.due.push(report.held.id);
            held.stage = Stage::Over(Box::new(report), None);
            self.open -= u32::from(!held.is_extra);
        }
    }

    /// Stops a run.
    pub fn stop(&self, id: AttemptId, reason: StopReason) {
        if let Some(Held { stage: Stage::Open(stop), .. }) = self.held.get(&id) {
            stop.raise(reason);
        }
    }

    /// Stops every run.
    pub fn stop_all(&self, reason: StopReason) {
        self.held.keys().for_each(|id| self.stop(*id, reason));
    }

    /// Removes an attempt whose report is recorded, or which is no longer this worker's.
    pub fn forget(&mut self, id: AttemptId) {
        if let Some(Held { stage: Stage::Open(stop), is_extra, .. }) = self.held.remove(&id) {
            stop.raise(StopReason::Interrupted);
            self.open -= u32::from(!is_extra);
        }
    }

    /// Returns the number of attempts that wait or run, without those of the extra slot.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Returns true if an attempt waits or runs.
    #[must_use]
    pub fn is_open(&self, id: AttemptId) -> bool {
        self.held.get(&id).is_some_and(|held| matches!(held.stage, Stage::Open(_)))
    }

    /// Returns an attempt that waits or runs, with its lease token.
    #[must_use]
    pub fn open_attempt(&self, id: AttemptId) -> Option<HeldAttempt> {
        let held = self.held.get(&id).filter(|held| matches!(held.stage, Stage::Open(_)))?;
        Some(HeldAttempt { id, token: held.token })
    }

    /// Returns true if nothing is held, reports included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns everything held, for a join.
    #[must_use]
    pub fn all(&self) -> Vec<HeldAttempt> {
        self.held.iter().map(|(id, held)| HeldAttempt { id: *id, token: held.token }).collect()
    }

    /// Marks every report as due, for a new link.
    pub fn send_again(&mut self) {
        self.due = self.over().map(|(id, _)| id).collect();
    }

    /// Marks reports as due that were not confirmed in time.
    pub fn send_overdue(&mut self, now: Instant) {
        let is_overdue = |sent: &Option<Instant>| sent.is_some_and(|sent| now.saturating_duration_since(sent) >= AGAIN);
        let overdue: Vec<_> = self.over().filter(|(_, sent)| is_overdue(sent)).map(|(id, _)| id).collect();
        self.due.extend(overdue);
    }

    fn over(&self) -> impl Iterator<Item = (AttemptId, Option<Instant>)> {
        self.held.iter().filter_map(|(id, held)| match &held.stage {
            Stage::Over(_, sent) => Some((*id, *sent)),
            Stage::Open(_) => None,
        })
    }

    /// Returns the due reports, split into messages.
    pub fn due(&mut self, now: Instant) -> Vec<Vec<AttemptReport>> {
        let (mut messages, mut message, mut bytes) = (Vec::new(), Vec::new(), 0);
        for id in std::mem::take(&mut self.due) {
            let Some(Stage::Over(report, sent)) = self.held.get_mut(&id).map(|held| &mut held.stage) else { continue };
            *sent = Some(now);
            let size = size(&report.end);
            if bytes + size > REPORT_BYTES_MAX && !message.is_empty() {
                messages.push(std::mem::take(&mut message));
                bytes = 0;
            }
            bytes += size;
            message.push(report.as_ref().clone());
        }
        if !message.is_empty() {
            messages.push(message);
        }
        messages
    }
}

fn size(end: &End) -> usize {
    match end {
        End::Ended(ended) => ended.output.len() + ended.log.len(),
        End::Interrupted | End::Broken { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fusebox_core::{
        id::TaskId,
        outcome::{Ended, Receipt},
    };

    use super::*;

    fn attempt(n: u8) -> HeldAttempt {
        HeldAttempt { id: AttemptId { task: TaskId::from_bytes([n; 16]), attempt: 1 }, token: LeaseToken([n; 16]) }
    }

    fn report(n: u8, bytes: usize) -> AttemptReport {
        let output = Bytes::from(vec![0; bytes]);
        let end = End::Ended(Ended { failure: None, output, log: Bytes::new(), receipt: Receipt::default() });
        AttemptReport { held: attempt(n), cpu_us: 0, end }
    }

    #[test]
    fn a_report_is_kept_and_said_again_until_it_is_recorded() {
        let (mut held, now) = (HeldAttempts::default(), Instant::now());
        held.begin(attempt(1)).unwrap();
        assert!(held.begin(attempt(1)).is_none(), "it is held already");
        held.end(report(1, 1));
        held.end(report(1, 2));
        assert_eq!(held.due(now), [[report(1, 1)]], "the first report counts");
        held.send_overdue(now);
        assert!(held.due(now).is_empty());
        held.send_overdue(now + AGAIN);
        assert_eq!(held.due(now + AGAIN), [[report(1, 1)]]);
        held.send_again();
        assert_eq!((held.due(now + AGAIN).len(), held.open(), held.all()), (1, 0, vec![attempt(1)]));
        held.forget(attempt(1).id);
        assert!(held.is_empty());
        held.end(report(1, 1));
        assert!(held.due(now).is_empty(), "nobody waits for it");
    }

    #[test]
    fn what_is_forgotten_while_it_runs_is_stopped() {
        let mut held = HeldAttempts::default();
        let stop = held.begin(attempt(1)).unwrap();
        held.forget(attempt(1).id);
        assert_eq!((stop.reason(), held.open()), (Some(StopReason::Interrupted), 0));
    }

    #[test]
    fn an_attempt_of_the_extra_slot_is_not_one_that_was_asked_for() {
        let mut held = HeldAttempts::default();
        held.begin(attempt(1)).unwrap();
        held.begin_extra(attempt(2)).unwrap();
        held.begin_extra(attempt(3)).unwrap();
        assert_eq!((held.open(), held.all().len()), (1, 3));
        held.end(report(2, 1));
        held.forget(attempt(3).id);
        assert_eq!((held.open(), held.due(Instant::now()).len()), (1, 1));
        held.end(report(1, 1));
        assert_eq!(held.open(), 0);
    }

    #[test]
    fn reports_are_split_where_they_are_large() {
        let mut held = HeldAttempts::default();
        for n in 0..5 {
            held.begin(attempt(n)).unwrap();
            held.end(report(n, 3 << 20));
        }
        let sizes: Vec<usize> = held.due(Instant::now()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }
}
