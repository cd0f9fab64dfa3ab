//! One run: a cluster, its clients, the strikes, and finally everything in the store.

use std::{sync::Arc, time::Duration};

use fusebox_ui::{self as ui, progress};
use indicatif::ProgressBar;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    history::{Entry, Event, Floors, Setup},
    load::Client,
    nemesis::Nemesis,
    nodes::{self, Nodes},
    recorder::Recorder,
    schedule::{Kind, Plan},
};
use crate::cluster::{Cluster, Part, Role, Shape};
use fusebox_system::clock::Clock;

/// Number of concurrent clients.
const CLIENTS: u32 = 16;
/// Longest time for tasks to end after the last round: an expired lease, and the delays of retries before it.
const END: Duration = Duration::from_secs(90);
/// Divisor for the minimum of retried tasks: of the kills that can interrupt a run, only this share must, since a
/// worker may be idle when struck.
const MET_DIVISOR: u64 = 4;
/// Longest time to list the tasks at the end.
const COUNT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Settings of a run.
pub(super) struct Run {
    pub(super) shape: Shape,
    pub(super) plan: Plan,
    /// Minimum of accepted tasks.
    pub(super) tasks: u64,
    /// Time after which no round begins.
    pub(super) time_limit: Duration,
}

impl Run {
    /// Describes the run.
    pub(super) fn what(&self) -> String {
        let store = if self.shape.redis.is_some() { "redis" } else { "the embedded store" };
        format!("{} on {store}", self.shape.mode.as_str())
    }

    /// Runs to the end and returns the history.
    ///
    /// # Errors
    /// Fails if the cluster does not start, the function cannot be registered, or the nemesis panics.
    pub(super) async fn play(&self) -> anyhow::Result<Vec<Entry>> {
        let cluster = Arc::new(Cluster::start(&self.shape).await?);
        let nodes = Nodes::new(cluster.urls.clone())?;
        nodes.register().await?;
        let recorder = Recorder::start();
        recorder.record(0, Event::Began(self.setup()));
        let deadline = Instant::now() + self.time_limit;
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client::new(self.plan.seed, number, nodes.clone(), recorder.clone(), deadline + END);
            clients.spawn(client.run(stop.clone()));
        }
        let nemesis = Nemesis { cluster: cluster.clone(), nodes: nodes.clone(), recorder: recorder.clone(), deadline };
        let mut rounds = tokio::spawn(Arc::new(nemesis).play(self.plan.rounds()));
        let bar = progress::bar("rounds", self.plan.rounds.into());
        let is_done = |rounds_done: bool| rounds_done && recorder.progress().accepted >= self.tasks;
        while !is_done(rounds.is_finished()) && Instant::now() < deadline {
            self.show(&bar, &recorder);
            sleep(LOOK_AGAIN).await;
        }
        (&mut rounds).await?;
        stop.cancel();
        while !clients.is_empty() {
            self.show(&bar, &recorder);
            let _ = tokio::time::timeout(LOOK_AGAIN, clients.join_next()).await;
        }
        // Anything that cannot be counted is missing in the history, which the checker reports.
        let counted = tokio::time::timeout(COUNT, count(&nodes, &recorder)).await;
        if counted.is_err() {
            tracing::warn!("the store was not counted at the end: no REST node answered within {COUNT:?}");
        }
        bar.finish_and_clear();
        Ok(recorder.take())
    }

    fn show(&self, bar: &ProgressBar, recorder: &Recorder) {
        let now = recorder.progress();
        bar.set_position(now.rounds.into());
        let (accepted, completed) = (ui::count(now.accepted), ui::count(now.completed));
        bar.set_message(format!("{}: {accepted} accepted, {completed} completed, rounds", self.what()));
    }

    fn setup(&self) -> Setup {
        let kills = |is_meant: &dyn Fn(&Part) -> bool| {
            let rounds = self.plan.rounds();
            let kills = rounds.iter().filter(|round| round.fault.kind == Kind::Kill);
            kills.flat_map(|round| &round.parts).filter(|part| is_meant(part)).map(|_| 1).sum::<u64>()
        };
        let floors = Floors {
            accepted: self.tasks,
            completed: self.tasks,
            killed: kills(&|_| true),
            retried: kills(&|part| self.shape.runs_tasks(part.role)) / MET_DIVISOR,
        };
        let mut runners: Vec<Role> = self.shape.parts().into_iter().map(|part| part.role).collect();
        runners.retain(|role| self.shape.runs_tasks(*role));
        runners.dedup();
        let (seed, rounds) = (self.plan.seed, self.plan.rounds);
        Setup { what: self.what(), seed, began_ms: Clock::System.now().0, rounds, runners, floors }
    }
}

/// Records the tasks in the store at the end; any node may answer.
async fn count(nodes: &Nodes, recorder: &Recorder) {
    let mut cursor: Option<String> = None;
    for node in 0.. {
        let asked_us = recorder.now_us();
        let Ok(page) = nodes.page(node, cursor.as_deref()).await else {
            sleep(LOOK_AGAIN).await;
            continue;
        };
        let tasks = page.items.iter().map(|task| (task.id.clone(), nodes::sight(task).status)).collect();
        recorder.record(asked_us, Event::Listed { tasks });
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    for node in 0.. {
        let asked_us = recorder.now_us();
        if let Ok([ready, delayed, running]) = nodes.backlog(node).await {
            return recorder.record(asked_us, Event::Backlog { ready, delayed, running });
        }
        sleep(LOOK_AGAIN).await;
    }
}
