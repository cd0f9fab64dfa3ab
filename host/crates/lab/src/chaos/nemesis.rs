//! Runs a schedule: strikes the parts of a cluster under load, brings them back, and records both.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use fusebox_core::{id::Attempt, task::Status};
use rustix::process::Signal;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    history::Event,
    nodes::{self, Nodes},
    recorder::Recorder,
    schedule::{Kind, Round},
};
use crate::{
    cluster::{Cluster, Part, READY, Role},
    process::Process,
};
use fusebox_system::clock::Clock;

/// Longest time of an orderly end: running tasks may take 30 s, and the process a moment more.
const DRAIN: Duration = Duration::from_secs(35);
/// Longest wait for progress of the load before a round and, in timed rounds, for the recovery.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The driver of a schedule.
pub(super) struct Nemesis {
    pub(super) cluster: Arc<Cluster>,
    pub(super) nodes: Nodes,
    pub(super) recorder: Recorder,
    /// No round begins after this.
    pub(super) deadline: Instant,
}

impl Nemesis {
    /// Plays the rounds; returns when every part is back.
    pub(super) async fn play(self: Arc<Self>, rounds: Vec<Round>) {
        let mut strikes = JoinSet::new();
        for round in rounds {
            if Instant::now() >= self.deadline {
                break;
            }
            sleep(Duration::from_millis(round.gap_ms)).await;
            if round.alone {
                while strikes.join_next().await.is_some() {}
                self.settle(&round).await;
            }
            self.until_load_moves().await;
            let running = if round.alone { self.first_attempts().await } else { Vec::new() };
            let mut struck_with = running.clone();
            for part in &round.parts {
                strikes.spawn(self.clone().strike(round.clone(), *part, std::mem::take(&mut struck_with)));
            }
            if round.alone {
                while strikes.join_next().await.is_some() {}
                self.until_recovered(&round, &running).await;
            }
        }
        while strikes.join_next().await.is_some() {}
        self.bury().await;
    }

    /// Before a round that must lose no run, waits for the end of runs that earlier rounds may have cost.
    async fn settle(&self, round: &Round) {
        if round.fault.kind.is_harmless() {
            let running = self.running().await;
            self.until(|| running.iter().all(|(task, _)| self.recorder.has_ended(task))).await;
        }
    }

    /// Waits for progress: a strike without load proves nothing.
    async fn until_load_moves(&self) {
        let before = self.recorder.progress();
        self.until(|| self.recorder.progress() != before).await;
    }

    /// Waits until the struck role has recovered, as defined for it; the checker decides if that was in time.
    async fn until_recovered(&self, round: &Round, running: &[(String, Attempt)]) {
        let role = round.parts.first().map(|part| part.role);
        let before = self.recorder.progress();
        // The time excludes ends recorded before the strike but observed after it.
        let back = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(Clock::System.now().0));
        let back = back.to_string();
        let have_ended = || running.iter().all(|(task, _)| self.recorder.has_ended(task));
        self.until(|| match role {
            _ if round.fault.kind.is_harmless() => have_ended(),
            Some(Role::Worker) => have_ended(),
            Some(Role::Redis) => self.recorder.progress().accepted > before.accepted,
            _ => self.recorder.has_end_after(&back),
        })
        .await;
    }

    async fn until(&self, mut is_so: impl FnMut() -> bool) {
        let patience = Instant::now() + PATIENCE;
        while !is_so() && Instant::now() < patience {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Returns the running first attempts. Later ones are left out, since retries are delayed on purpose.
    async fn first_attempts(&self) -> Vec<(String, Attempt)> {
        let mut running = self.running().await;
        running.retain(|(_, attempt)| *attempt == 1);
        running
    }

    /// Returns the running attempts.
    async fn running(&self) -> Vec<(String, Attempt)> {
        let asked_us = self.recorder.now_us();
        let Ok(page) = self.nodes.page(0, None).await else { return Vec::new() };
        let mut running = Vec::new();
        for task in page.items {
            let sight = nodes::sight(&task);
            if sight.status == Status::Running {
                running.push((task.id.clone(), sight.attempt));
                self.recorder.record(asked_us, Event::Seen { task: task.id, sight });
            }
        }
        running
    }

    /// Strikes one part and brings it back. The lock on its process excludes other strikes.
    async fn strike(self: Arc<Self>, round: Round, part: Part, running: Vec<(String, Attempt)>) {
        let Ok(process) = self.cluster.process(part) else { return };
        let mut process = process.lock().await;
        if let Some(exit) = process.ended() {
            self.died(part, exit.to_string());
            if let Err(error) = process.restart(READY).await {
                return self.died(part, format!("{error:#}"));
            }
        }
        let asked_us = self.recorder.now_us();
        let Round { number, fault, alone, .. } = round;
        let struck = Event::Struck { round: number, part, fault, alone, running };
        let away = Duration::from_millis(fault.away_ms);
        let done = match fault.kind {
            Kind::Kill => process.kill().await,
            Kind::Pause => process.signal(Signal::STOP),
            Kind::Terminate => Ok(()),
            Kind::Answers => self.cluster.rig.lose_answers(part),
            Kind::Clock => self.cluster.rig.set_clock(part, fault.ahead_ms),
            Kind::Full => self.cluster.rig.fill(part),
        };
        self.recorder.record(asked_us, struck);
        let done = match done {
            Ok(()) if fault.kind == Kind::Terminate => self.terminate(number, part, &mut process).await,
            done => done,
        };
        sleep(away).await;
        let back_us = self.recorder.now_us();
        let back = match (done, fault.kind) {
            (Err(error), _) => Err(error),
            (Ok(()), Kind::Pause) => process.signal(Signal::CONT),
            (Ok(()), Kind::Answers) => self.cluster.rig.find_answers(part),
            (Ok(()), Kind::Clock) => Ok(()),
            (Ok(()), Kind::Full) => self.cluster.rig.free(part),
            // A worker only becomes ready once it joins a dispatcher, which may be down too.
            (Ok(()), _) if part.role == Role::Worker => process.spawn(),
            (Ok(()), _) => process.restart(READY).await,
        };
        match back {
            Ok(()) => self.recorder.record(back_us, Event::Back { round: number, part }),
            Err(error) => self.died(part, format!("{error:#}")),
        }
    }

    async fn terminate(&self, round: u32, part: Part, process: &mut Process) -> anyhow::Result<()> {
        let asked_us = self.recorder.now_us();
        let status = process.terminate(DRAIN).await?;
        let clean = status.is_some_and(|status| status.success());
        let exit = status.map_or_else(|| format!("not ended after {DRAIN:?}"), |status| status.to_string());
        self.recorder.record(asked_us, Event::Drained { round, part, exit, clean });
        Ok(())
    }

    /// Records the parts that ended by themselves.
    async fn bury(&self) {
        for part in self.cluster.parts() {
            if let Ok(process) = self.cluster.process(part)
                && let Some(exit) = process.lock().await.ended()
            {
                self.died(part, exit.to_string());
            }
        }
    }

    fn died(&self, part: Part, exit: String) {
        self.recorder.record(self.recorder.now_us(), Event::Died { part, exit });
    }
}
