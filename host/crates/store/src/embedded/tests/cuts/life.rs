//! Life of a store while it is recorded: steps of every kind, restarts, a compaction and a new layout, one commit between
//! two marks at most.

use std::path::Path;

use bytes::Bytes;
use fusebox_core::{function::FunctionVersion, outcome::Ended, quota::UNLIMITED, time::Millis};
use fusebox_system::clock::Clock;

use super::{
    super::{Embedded, open, reopened},
    recorder::{self, Op},
};
use crate::{
    Finish, FunctionRef, Functions as _, LeasedTask, NewTask, Queue as _, Verdict,
    conformance::{Subject as _, cancel, claim, end, kv, lease, new_task, register, tenant},
    embedded::open as directory,
    kv::{Kv as _, SettingKind},
    layout::LAYOUT,
};

/// Rounds of tasks that come and go, so that pages are used again.
const ROUNDS: usize = 6;

/// A life so far.
struct Life {
    subject: Embedded,
    /// Backlog at each mark.
    backlogs: Vec<String>,
}

/// Returns what a store did to its directory, the backlog at each mark, and the directory.
pub(super) async fn record() -> (Vec<Op>, Vec<String>, tempfile::TempDir) {
    let dir = tempfile::tempdir_in(std::env::temp_dir().canonicalize().unwrap()).unwrap();
    recorder::start(dir.path());
    let clock = Clock::manual(Millis(1_750_000_000_000));
    let mut life = Life { subject: Embedded { store: open(dir.path(), &clock), clock, dir }, backlogs: Vec::new() };
    life.mark().await;
    let f = life.register("f").await;
    let g = life.register("g").await;
    life.settings().await;
    for round in 0..ROUNDS {
        life.round(if round % 2 == 0 { &f } else { &g }, 10 + round * 7).await;
    }
    life.leave(&g).await;
    life = life.restart().await;
    life.round(&f, 30).await;
    life = life.compacted().await;
    life.round(&f, 30).await;
    life = life.raised().await;
    life.round(&f, 10).await;
    let Life { subject: Embedded { store, dir, .. }, backlogs } = life;
    drop(store);
    (recorder::stop(dir.path()), backlogs, dir)
}

impl Life {
    /// Marks what was done so far as acknowledged.
    async fn mark(&mut self) {
        self.backlogs.push(format!("{:?}", self.subject.store.backlog().await.unwrap()));
        recorder::mark(self.subject.dir.path());
    }

    async fn register(&mut self, name: &str) -> FunctionVersion {
        let function = register(&self.subject, &tenant("acme"), name).await;
        self.mark().await;
        function
    }

    async fn settings(&mut self) {
        let of = kv::of("acme", "f");
        for (key, size) in [("a", 10), ("b", 9_000), ("a", 3_000)] {
            self.subject.store.set_value(&of, kv::new(key, &vec![1; size])).await.unwrap().unwrap();
            self.mark().await;
        }
        let name = "NAME".parse().unwrap();
        let set = self.subject.store.set_setting(&of, SettingKind::Config, &name, Bytes::from_static(b"x"), UNLIMITED);
        set.await.unwrap();
        self.mark().await;
    }

    /// Tasks come, run and go.
    async fn round(&mut self, function: &FunctionVersion, count: usize) {
        let task = |at: usize| NewTask {
            delay_ms: if at % 7 == 6 { 500 } else { 0 },
            expires_in_ms: if at % 5 == 4 { 900 } else { 3_600_000 },
            input: vec![7; count * 40 * (at % 3)].into(),
            ..new_task(&self.subject, function)
        };
        self.subject.store.accept((0..count).map(task).collect()).await.unwrap();
        self.mark().await;
        let leased = lease(&self.subject, &tenant("acme"), count / 2).await;
        self.mark().await;
        self.finish(&leased).await;
        self.subject.pass(600).await;
        self.subject.store.tick().await.unwrap();
        self.mark().await;
        let ended = leased.iter().map(|leased| (leased.task.tenant.clone(), leased.task.id)).collect();
        self.subject.store.purge(ended).await.unwrap();
        self.mark().await;
    }

    async fn finish(&mut self, leased: &[LeasedTask]) {
        let report = |(at, leased): (usize, &LeasedTask)| {
            let verdict = match (at % 6, end("out")) {
                (4, _) => Verdict::Retry { delay_ms: 100 },
                (5, _) => Verdict::Release,
                (_, Verdict::End(ended)) => Verdict::End(Ended { output: vec![9; at * 400].into(), ..ended }),
                (_, other) => other,
            };
            Finish { claim: claim(leased), verdict }
        };
        self.subject.store.finish(leased.iter().enumerate().map(report).collect()).await.unwrap();
        self.mark().await;
    }

    /// A task is cancelled, one is left running, and a function goes.
    async fn leave(&mut self, function: &FunctionVersion) {
        let running = lease(&self.subject, &tenant("acme"), 2).await;
        self.mark().await;
        cancel(&self.subject, &tenant("acme"), running[0].task.id).await;
        self.mark().await;
        let of = FunctionRef::Id(function.id);
        assert!(self.subject.store.delete_function(&tenant("acme"), &of).await.unwrap());
        self.mark().await;
    }

    /// Ends the process and starts another.
    async fn restart(self) -> Self {
        let mut life = Self { subject: reopened(self.subject), backlogs: self.backlogs };
        life.mark().await;
        life
    }

    /// Lets a copy take the place of the file.
    async fn compacted(self) -> Self {
        self.between(|dir| {
            let engine = directory::engine(dir, LAYOUT).unwrap();
            engine.copy().unwrap();
            engine.replace(engine.commits()).unwrap();
        })
        .await
    }

    /// Lets a process of the next layout use the store.
    async fn raised(self) -> Self {
        self.between(|dir| drop(directory::engine(dir, LAYOUT + 1).unwrap())).await
    }

    /// Does something while the store is closed.
    async fn between(self, act: impl FnOnce(&Path)) -> Self {
        let Self { subject: Embedded { store, clock, dir }, backlogs } = self;
        drop(store);
        act(dir.path());
        let store = open(dir.path(), &clock);
        let mut life = Self { subject: Embedded { store, clock, dir }, backlogs };
        life.mark().await;
        life
    }
}
