//! The clients of a run: each submits tasks, repeats a key until it gets an answer, reads its tasks while they run and
//! after they have ended, and records its observations.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    history::Event,
    nodes::{NodeAnswer, Nodes},
    recorder::Recorder,
    schedule::Dice,
};

/// Limit of one client's unended tasks: together they occupy every slot, yet end soon after the last round.
const OPEN_MAX: usize = 8;
/// Range of milliseconds between an indefinite answer and the next try.
const RETRY_MS: [u64; 2] = [10, 150];
/// Ranges of a task's duration: some end at once; most kills interrupt one of the slow ones.
const QUICK_MS: [u64; 2] = [0, 20];
const SLOW_MS: [u64; 2] = [50, 300];
const SLOW_PERCENT: u64 = 40;
/// Share of steps in which a client reads an ended task again, and in which it repeats an old key.
const LOOK_BACK_PERCENT: u64 = 10;
const RESEND_PERCENT: u64 = 5;

/// A client.
pub(super) struct Client {
    name: String,
    nodes: Nodes,
    recorder: Recorder,
    dice: Dice,
    /// Index of the current node; the next one after an indefinite answer.
    node: usize,
    /// Time at which the client gives up.
    deadline: Instant,
    /// Number of keys used.
    keys: u64,
    /// Tasks that were followed to their end.
    tasks: Vec<Known>,
}

/// A task that the client received.
#[derive(Clone)]
struct Known {
    key: String,
    wait_ms: u16,
    task: String,
}

impl Client {
    /// Creates the client with this number.
    pub(super) fn new(seed: u64, number: u32, nodes: Nodes, recorder: Recorder, deadline: Instant) -> Self {
        let dice = Dice::new(seed ^ u64::from(number).rotate_left(32));
        let node = usize::try_from(number).unwrap_or_default();
        Self { name: format!("{seed}-{number}"), nodes, recorder, dice, node, deadline, keys: 0, tasks: Vec::new() }
    }

    /// Submits tasks until `stop`, follows each to its end, and finally reads each once more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut open = VecDeque::new();
        while !stop.is_cancelled() && !self.is_late() {
            match self.submit_next().await {
                Some(known) => {
                    self.look(&known.task, 0).await;
                    open.push_back(known);
                }
                None => self.pause().await,
            }
            let one = self.dice.between([0, OPEN_MAX as u64 - 1]);
            if let Some(known) = open.get(usize::try_from(one).unwrap_or_default()) {
                self.look(&known.task, 0).await;
            }
            if open.len() >= OPEN_MAX
                && let Some(oldest) = open.pop_front()
            {
                self.follow(oldest).await;
            }
            self.look_back().await;
        }
        for known in open {
            self.follow(known).await;
        }
        for known in std::mem::take(&mut self.tasks) {
            self.node += 1;
            self.look(&known.task, 0).await;
        }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Submits a task with a new key.
    async fn submit_next(&mut self) -> Option<Known> {
        let key = format!("{}-{}", self.name, self.keys);
        self.keys += 1;
        let range = if self.dice.percent(SLOW_PERCENT) { SLOW_MS } else { QUICK_MS };
        let wait_ms = self.dice.between(range);
        let wait_ms = u16::try_from(wait_ms).unwrap_or_default();
        self.recorder.record(self.recorder.now_us(), Event::Meant { key: key.clone(), wait_ms });
        let task = self.submit(&key, wait_ms).await?;
        Some(Known { key, wait_ms, task })
    }

    /// Sends a key until the answer is definite: the task's id, or a refusal.
    async fn submit(&mut self, key: &str, wait_ms: u16) -> Option<String> {
        while !self.is_late() {
            let asked_us = self.recorder.now_us();
            let answer = self.nodes.submit(self.node, key, wait_ms).await;
            let key = key.to_owned();
            match answer {
                NodeAnswer::Is(task) => {
                    self.recorder.record(asked_us, Event::Accepted { key, task: task.clone() });
                    return Some(task);
                }
                NodeAnswer::Unknown(why) => self.recorder.record(asked_us, Event::Unanswered { key, why }),
                NodeAnswer::Missing => return self.refused(asked_us, key, 404, "task-not-found".to_owned()),
                NodeAnswer::Refused { status, code } => return self.refused(asked_us, key, status, code),
            }
            self.pause().await;
        }
        None
    }

    fn refused<T>(&self, asked_us: u64, about: String, status: u16, code: String) -> Option<T> {
        self.recorder.record(asked_us, Event::Refused { about, status, code });
        None
    }

    /// Reads a task until it has ended.
    async fn follow(&mut self, known: Known) {
        while !self.recorder.has_ended(&known.task) && !self.is_late() {
            if !self.look(&known.task, 2).await {
                break;
            }
        }
        self.tasks.push(known);
    }

    /// Reads a task; returns true if it should be read again.
    async fn look(&mut self, task: &str, wait_s: u64) -> bool {
        while !self.is_late() {
            let asked_us = self.recorder.now_us();
            let answer = self.nodes.look(self.node, task, wait_s).await;
            let task = task.to_owned();
            match answer {
                NodeAnswer::Is(sight) => {
                    self.recorder.record(asked_us, Event::Seen { task, sight });
                    return true;
                }
                NodeAnswer::Unknown(_) => self.pause().await,
                NodeAnswer::Missing => {
                    self.recorder.record(asked_us, Event::Missing { task });
                    return false;
                }
                NodeAnswer::Refused { status, code } => {
                    return self.refused::<()>(asked_us, task, status, code).is_some();
                }
            }
        }
        false
    }

    /// Occasionally reads a task that ended long ago, and sends its key again.
    async fn look_back(&mut self) {
        let last = (self.tasks.len() as u64).saturating_sub(1);
        let old = usize::try_from(self.dice.between([0, last])).unwrap_or_default();
        let Some(known) = self.tasks.get(old).cloned() else { return };
        if self.dice.percent(LOOK_BACK_PERCENT) {
            self.look(&known.task, 0).await;
        }
        if self.dice.percent(RESEND_PERCENT) {
            self.submit(&known.key, known.wait_ms).await;
        }
    }

    async fn pause(&mut self) {
        self.node += 1;
        sleep(Duration::from_millis(self.dice.between(RETRY_MS))).await;
    }
}
