//! The schedule: parts, faults and times drawn from a seed before anything starts, so that a run can be repeated.

use clap::ValueEnum;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use serde::{Deserialize, Serialize};

use crate::cluster::{Part, Role};

/// Range of milliseconds between the starts of two rounds.
const GAP_MS: [u64; 2] = [200, 900];
/// Range of milliseconds for which a killed or ended part is down.
const DOWN_MS: [u64; 2] = [0, 800];
/// Range of a pause: up to more than the longest silence allowed to a worker, mostly more than the shortest.
const PAUSE_MS: [u64; 2] = [1_000, 6_000];
/// Range of lost answers: longer than a step of a store takes, shorter than a lease.
const LOST_MS: [u64; 2] = [200, 3_000];
/// Range of a full store: up to longer than the host takes to notice.
const FULL_MS: [u64; 2] = [500, 4_000];
/// Largest error of a clock, in milliseconds: seconds, minutes, hours.
const WRONG_MS: [u64; 3] = [5_000, 300_000, 6 * 3_600_000];
/// Every so many rounds one runs alone, so that its recovery can be timed, or its cost observed.
const ALONE_EVERY: u32 = 6;
/// Roles with a limit on their recovery.
const TIMED: [Role; 4] = [Role::Dispatcher, Role::Worker, Role::Redis, Role::Host];
/// Percentage of rounds that strike all parts of a role at once.
const ALL_PERCENT: u64 = 10;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// SIGKILL, then a restart.
    Kill,
    /// SIGSTOP, and SIGCONT after 1 to 6 seconds.
    Pause,
    /// SIGTERM, which drains, then a restart.
    Terminate,
    /// Its requests arrive, but for 0.2 to 3 seconds the answers are lost; then its connections are reset.
    Answers,
    /// Its wall clock is changed by up to six hours, forward or back, and stays so.
    Clock,
    /// Its store has no room for 0.5 to 4 seconds: `maxmemory` of Redis is reached, or the disk is full.
    Full,
}

impl Kind {
    /// True if the fault may cost only time, and no run.
    pub(super) const fn is_harmless(self) -> bool {
        matches!(self, Self::Answers | Self::Clock | Self::Full)
    }
}

/// A fault: its kind, and the time for which the part is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) away_ms: u64,
    /// Offset of the part's clock from the machine's after a clock fault; negative if behind.
    #[serde(default)]
    pub(super) ahead_ms: i64,
}

/// One strike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) number: u32,
    /// Delay before the round.
    pub(super) gap_ms: u64,
    /// One part, or all parts of a role.
    pub(super) parts: Vec<Part>,
    pub(super) fault: Fault,
    /// True if the round begins when no other fault is active, and the next one waits until affected runs have
    /// recovered or ended.
    pub(super) alone: bool,
}

/// Input of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) rounds: u32,
    pub(super) parts: Vec<Part>,
    pub(super) kinds: Vec<Kind>,
}

impl Plan {
    /// Draws the rounds.
    pub(super) fn rounds(&self) -> Vec<Round> {
        let mut dice = Dice::new(self.seed);
        let mut roles: Vec<Role> = self.parts.iter().map(|part| part.role).collect();
        roles.dedup();
        (1..=self.rounds).map(|number| self.round(number, &roles, &mut dice)).collect()
    }

    fn round(&self, number: u32, roles: &[Role], dice: &mut Dice) -> Round {
        let gap_ms = dice.between(GAP_MS);
        let kind = dice.pick(&self.kinds).unwrap_or(Kind::Kill);
        let fault = Fault { kind, away_ms: 0, ahead_ms: 0 };
        let mut round = Round { number, gap_ms, parts: Vec::new(), fault, alone: false };
        let all_of = |role: Role| self.parts.iter().copied().filter(move |part| part.role == role);
        if let Some(role) = self.timed(number, roles) {
            // All dispatchers at once, since the other one would hide the recovery time; of workers only one.
            let count = if role == Role::Worker { 1 } else { usize::MAX };
            round.parts = all_of(role).take(count).collect();
            round.alone = true;
            round.fault.kind = Kind::Kill;
        } else if let Some(role) = dice.pick(&self.meet(kind, roles)) {
            round.parts = all_of(role).collect();
            if !dice.percent(ALL_PERCENT) {
                round.parts = dice.pick(&round.parts).into_iter().collect();
            }
            round.alone = kind.is_harmless() && number.is_multiple_of(ALONE_EVERY);
            match kind {
                Kind::Kill | Kind::Terminate => round.fault.away_ms = dice.between(DOWN_MS),
                Kind::Pause => round.fault.away_ms = dice.between(PAUSE_MS),
                Kind::Answers => round.fault.away_ms = dice.between(LOST_MS),
                Kind::Clock => round.fault.ahead_ms = dice.wrong_ms(),
                Kind::Full => round.fault.away_ms = dice.between(FULL_MS),
            }
        }
        round
    }

    /// Returns the roles that a kind of fault can strike. The clock of Redis is changed only if nothing else is struck,
    /// to show that its effect is found: leases follow that clock and need not survive its jumps. Only what keeps the
    /// tasks can be full.
    fn meet(&self, kind: Kind, roles: &[Role]) -> Vec<Role> {
        let is_met = |role: &&Role| match kind {
            Kind::Clock => **role != Role::Redis || roles == [Role::Redis],
            Kind::Full => role.keeps_tasks(),
            _ => true,
        };
        roles.iter().filter(is_met).copied().collect()
    }

    /// Returns the role whose recovery this round times, if any: each role in turn.
    fn timed(&self, number: u32, roles: &[Role]) -> Option<Role> {
        // Recoveries are timed by the store, and a host that starts again with a wrong clock keeps its store by that.
        let is_skewed = roles.contains(&Role::Host) && self.kinds.contains(&Kind::Clock);
        let is_due = number % ALONE_EVERY == ALONE_EVERY / 2 && self.kinds.contains(&Kind::Kill);
        let timed = TIMED.into_iter().filter(|role| is_due && !is_skewed && roles.contains(role));
        let timed: Vec<Role> = timed.collect();
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

    /// Draws uniformly from the least to the most.
    pub(super) fn between(&mut self, [least, most]: [u64; 2]) -> u64 {
        least + self.0.next_u64() % (most - least + 1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.between([0, 99]) < percent
    }

    /// Draws an offset forward or back by seconds, minutes or hours, with equal probability.
    fn wrong_ms(&mut self) -> i64 {
        let most = self.pick(&WRONG_MS).unwrap_or_default();
        let wrong = i64::try_from(self.between([most / 10, most])).unwrap_or_default();
        if self.percent(50) { wrong } else { -wrong }
    }

    /// Draws one of several values; `None` if there are none.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let last = u64::try_from(from.len()).ok()?.checked_sub(1)?;
        from.get(usize::try_from(self.between([0, last])).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 6] = [Kind::Kill, Kind::Pause, Kind::Terminate, Kind::Answers, Kind::Clock, Kind::Full];

    fn plan(seed: u64, rounds: u32) -> Plan {
        let roles = [(Role::Redis, 1), (Role::Rest, 2), (Role::Dispatcher, 2), (Role::Worker, 3)];
        let parts = roles.iter().flat_map(|&(role, count)| (1..=count).map(move |number| Part { role, number }));
        Plan { seed, rounds, parts: parts.collect(), kinds: KINDS.to_vec() }
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(plan(7, 100).rounds(), plan(7, 100).rounds());
        assert_ne!(plan(7, 100).rounds(), plan(8, 100).rounds());
    }

    #[test]
    fn every_part_meets_every_kind() {
        let rounds = plan(7, 600).rounds();
        for part in plan(7, 0).parts {
            for kind in KINDS {
                let met = |round: &&Round| round.parts.contains(&part) && round.fault.kind == kind;
                let meets = rounds.iter().any(|round| met(&round));
                let expected = match kind {
                    Kind::Clock => part.role != Role::Redis,
                    Kind::Full => part.role == Role::Redis,
                    _ => true,
                };
                assert_eq!(meets, expected, "{part} and {kind:?}");
            }
        }
        let alone = rounds.iter().filter(|round| round.alone && round.fault.kind.is_harmless());
        assert!(alone.count() > 10);
        let ahead = || rounds.iter().map(|round| round.fault.ahead_ms);
        assert!(ahead().any(|ms| ms > 3_600_000) && ahead().any(|ms| ms < -3_600_000));
        let alone = |role| {
            rounds
                .iter()
                .filter(|round| round.alone && round.fault.kind == Kind::Kill && round.parts[0].role == role)
                .count()
        };
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
        plan.kinds = vec![Kind::Clock];
        assert!(plan.rounds().iter().all(|round| round.parts == [redis] && round.fault.ahead_ms != 0));
        // The times of a host whose clock is set are not the run's.
        let parts = [Role::Host, Role::Worker].map(|role| Part { role, number: 1 });
        plan = Plan { parts: parts.to_vec(), kinds: vec![Kind::Kill, Kind::Clock], ..plan };
        assert!(plan.rounds().iter().all(|round| !round.alone || round.fault.kind == Kind::Clock));
    }
}
