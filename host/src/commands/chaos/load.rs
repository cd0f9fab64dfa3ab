//! The clients of a run: each submits tasks, sends a key again until it has an answer, looks at its tasks while they run
//! and after they have ended, and writes down what it sees.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    history::Event,
    nodes::{Answer, Nodes},
    recorder::Recorder,
    schedule::Dice,
};

/// Tasks of one client that have not ended: together they keep every slot busy, and a drain at the end short.
const OPEN_MAX: usize = 8;
/// Milliseconds between an answer that says nothing and the next try.
const RETRY_MS: [u64; 2] = [10, 150];
/// Some tasks are over at once, most kills meet one of the others.
const QUICK_MS: [u64; 2] = [0, 20];
const SLOW_MS: [u64; 2] = [50, 300];
const SLOW_PERCENT: u64 = 40;
/// How often a client looks back at a task that has ended, and sends an old key again.
const LOOK_BACK_PERCENT: u64 = 10;
const RESEND_PERCENT: u64 = 5;

/// One client.
pub(super) struct Client {
    name: String,
    nodes: Nodes,
    recorder: Recorder,
    dice: Dice,
    /// The node it turns to; the next one after an answer that says nothing.
    node: usize,
    /// Gives up then.
    deadline: Instant,
    /// Keys it has used.
    keys: u64,
    /// Its tasks that have ended.
    tasks: Vec<Known>,
}

/// A task that a client was given.
#[derive(Clone)]
struct Known {
    key: String,
    wait_ms: u16,
    task: String,
}

impl Client {
    /// The client of this number.
    pub(super) fn new(seed: u64, number: u32, nodes: Nodes, recorder: Recorder, deadline: Instant) -> Self {
        let dice = Dice::new(seed ^ u64::from(number).rotate_left(32));
        let node = usize::try_from(number).unwrap_or_default();
        Self { name: format!("{seed}-{number}"), nodes, recorder, dice, node, deadline, keys: 0, tasks: Vec::new() }
    }

    /// Submits until it is told to stop, follows every task to its end, and at last looks at each once more.
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

    /// Submits a task with a key of its own.
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
                Answer::Is(task) => {
                    self.recorder.record(asked_us, Event::Accepted { key, task: task.clone() });
                    return Some(task);
                }
                Answer::Unknown(why) => self.recorder.record(asked_us, Event::Unanswered { key, why }),
                Answer::Missing => return self.refused(asked_us, key, 404, "task-not-found".to_owned()),
                Answer::Refused { status, code } => return self.refused(asked_us, key, status, code),
            }
            self.pause().await;
        }
        None
    }

    fn refused<T>(&self, asked_us: u64, about: String, status: u16, code: String) -> Option<T> {
        self.recorder.record(asked_us, Event::Refused { about, status, code });
        None
    }

    /// Looks until a task has ended.
    async fn follow(&mut self, known: Known) {
        while !self.recorder.has_ended(&known.task) && !self.is_late() {
            if !self.look(&known.task, 2).await {
                break;
            }
        }
        self.tasks.push(known);
    }

    /// Looks at a task; whether it makes sense to look again.
    async fn look(&mut self, task: &str, wait_s: u64) -> bool {
        while !self.is_late() {
            let asked_us = self.recorder.now_us();
            let answer = self.nodes.look(self.node, task, wait_s).await;
            let task = task.to_owned();
            match answer {
                Answer::Is(sight) => {
                    self.recorder.record(asked_us, Event::Seen { task, sight });
                    return true;
                }
                Answer::Unknown(_) => self.pause().await,
                Answer::Missing => {
                    self.recorder.record(asked_us, Event::Missing { task });
                    return false;
                }
                Answer::Refused { status, code } => return self.refused::<()>(asked_us, task, status, code).is_some(),
            }
        }
        false
    }

    /// Now and then at a task that ended long ago, and at what its key is answered now.
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
