//! Which part is struck, how, and when: drawn from a seed before anything starts, so that a run can be had again.

use clap::ValueEnum;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use serde::{Deserialize, Serialize};

use crate::commands::cluster::{Part, Role};

/// A round begins so long after the one before it began.
const GAP_MS: [u64; 2] = [200, 900];
/// A killed or ended part is away for so long.
const DOWN_MS: [u64; 2] = [0, 800];
/// Longer than a worker may be silent at its longest, shorter than most at its shortest.
const PAUSE_MS: [u64; 2] = [1_000, 6_000];
/// One round in so many happens alone, so that its recovery can be timed.
const ALONE_EVERY: u32 = 6;
/// Whose recovery has a bound.
const TIMED: [Role; 4] = [Role::Dispatcher, Role::Worker, Role::Redis, Role::Host];
/// So many rounds in a hundred strike all parts of a role at once.
const ALL_PERCENT: u64 = 10;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// SIGKILL, then a new start.
    Kill,
    /// SIGSTOP, and SIGCONT after 1 to 6 seconds.
    Pause,
    /// SIGTERM, which drains, then a new start.
    Terminate,
}

/// A fault: what is done, and for how long the part is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) away_ms: u64,
}

/// One strike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) number: u32,
    /// Waits so long first.
    pub(super) gap_ms: u64,
    /// One part, or all parts of a role.
    pub(super) parts: Vec<Part>,
    pub(super) fault: Fault,
    /// Begins when no other fault is on, and the next begins when what it met has recovered.
    pub(super) alone: bool,
}

/// Everything a schedule is drawn from.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) rounds: u32,
    pub(super) parts: Vec<Part>,
    pub(super) kinds: Vec<Kind>,
}

impl Plan {
    /// The rounds.
    pub(super) fn rounds(&self) -> Vec<Round> {
        let mut dice = Dice::new(self.seed);
        let mut roles: Vec<Role> = self.parts.iter().map(|part| part.role).collect();
        roles.dedup();
        (1..=self.rounds).map(|number| self.round(number, &roles, &mut dice)).collect()
    }

    fn round(&self, number: u32, roles: &[Role], dice: &mut Dice) -> Round {
        let gap_ms = dice.between(GAP_MS);
        let kind = dice.pick(&self.kinds).unwrap_or(Kind::Kill);
        let mut round = Round { number, gap_ms, parts: Vec::new(), fault: Fault { kind, away_ms: 0 }, alone: false };
        let all_of = |role: Role| self.parts.iter().copied().filter(move |part| part.role == role);
        if let Some(role) = self.timed(number, roles) {
            // Every dispatcher at once, since one of two would hide how long the other's absence lasts; one worker.
            let count = if role == Role::Worker { 1 } else { usize::MAX };
            round.parts = all_of(role).take(count).collect();
            round.alone = true;
            round.fault = Fault { kind: Kind::Kill, away_ms: 0 };
        } else if let Some(role) = dice.pick(roles) {
            round.parts = all_of(role).collect();
            if !dice.percent(ALL_PERCENT) {
                round.parts = dice.pick(&round.parts).into_iter().collect();
            }
            round.fault.away_ms = dice.between(if kind == Kind::Pause { PAUSE_MS } else { DOWN_MS });
        }
        round
    }

    /// Whose recovery this round times, if any: each role in its turn.
    fn timed(&self, number: u32, roles: &[Role]) -> Option<Role> {
        let is_one = number % ALONE_EVERY == ALONE_EVERY / 2 && self.kinds.contains(&Kind::Kill);
        let timed: Vec<Role> = TIMED.into_iter().filter(|role| is_one && roles.contains(role)).collect();
        let turn = usize::try_from(number / ALONE_EVERY).ok()?.checked_rem(timed.len())?;
        timed.get(turn).copied()
    }
}

/// Random numbers from a seed.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Evenly from the least to the most.
    pub(super) fn between(&mut self, [least, most]: [u64; 2]) -> u64 {
        least + self.0.next_u64() % (most - least + 1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.between([0, 99]) < percent
    }

    /// One of several, `None` of none.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let last = u64::try_from(from.len()).ok()?.checked_sub(1)?;
        from.get(usize::try_from(self.between([0, last])).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, rounds: u32) -> Plan {
        let roles = [(Role::Redis, 1), (Role::Rest, 2), (Role::Dispatcher, 2), (Role::Worker, 3)];
        let parts = roles.iter().flat_map(|&(role, count)| (1..=count).map(move |number| Part { role, number }));
        Plan { seed, rounds, parts: parts.collect(), kinds: vec![Kind::Kill, Kind::Pause, Kind::Terminate] }
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(plan(7, 100).rounds(), plan(7, 100).rounds());
        assert_ne!(plan(7, 100).rounds(), plan(8, 100).rounds());
    }

    #[test]
    fn every_part_meets_every_kind() {
        let rounds = plan(7, 400).rounds();
        for part in plan(7, 0).parts {
            for kind in [Kind::Kill, Kind::Pause, Kind::Terminate] {
                let met = |round: &&Round| round.parts.contains(&part) && round.fault.kind == kind;
                assert!(rounds.iter().any(|round| met(&round)), "{part} never meets {kind:?}");
            }
        }
        let alone = |role| rounds.iter().filter(|round| round.alone && round.parts[0].role == role).count();
        assert!(alone(Role::Dispatcher) > 10 && alone(Role::Worker) > 10 && alone(Role::Rest) == 0);
        assert!(rounds.iter().all(|round| !round.parts.is_empty()));
    }

    #[test]
    fn only_what_is_asked_for_is_struck() {
        let mut plan = plan(7, 60);
        plan.parts.retain(|part| part.role == Role::Redis);
        plan.kinds = vec![Kind::Kill];
        let redis = Part { role: Role::Redis, number: 1 };
        assert!(plan.rounds().iter().all(|round| round.parts == [redis] && round.fault.kind == Kind::Kill));
    }
}
