//! Modules and files that a worker lacks: fetches each from the dispatcher in pieces, then runs the jobs that wait for it.
//! Artifacts are accepted only with a valid authentication code; wasm is checked against its digest and compiled in a
//! child process as always; so are files, of which a run may lack some before its module. Fetches one at a time, which bounds memory; a few more may be prepared meanwhile.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    id::{FilesDigest, ModuleDigest},
    name::TenantId,
    wire::{Form, FromWorker, HeldAttempt},
};
use fusebox_sandbox::ArtifactKey;
use tokio::task::JoinSet;

use super::{
    fetch::{Fetch, Step},
    slots::Job,
};
use crate::modules::Modules;

/// Time after which a missing piece is requested again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Number of modules prepared while the next one is fetched: those that compile at a time, and one that waits.
const PREPARED_MAX: usize = 3;

/// Job that waits for its module.
pub type WaitingJob = (Job, HeldAttempt);

/// Module that is ready, or has failed.
pub struct Ready {
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Reason of the failure.
    pub result: Result<(), String>,
    form: Form,
    began_at: Instant,
}

/// Missing modules and the jobs that wait for them.
pub struct MissingWasm {
    modules: Modules,
    key: Option<ArtifactKey>,
    waiting: HashMap<ModuleDigest, Vec<WaitingJob>>,
    wanted: VecDeque<(ModuleDigest, Form)>,
    fetch: Option<Fetch>,
    prepared: JoinSet<Ready>,
}

impl MissingWasm {
    /// Starts without missing modules. Artifacts are requested only if there is a key that authenticates them.
    #[must_use]
    pub fn new(modules: Modules, key: Option<ArtifactKey>) -> Self {
        let (waiting, wanted) = (HashMap::new(), VecDeque::new());
        Self { modules, key, waiting, wanted, fetch: None, prepared: JoinSet::new() }
    }

    /// Adds a job whose module is missing; returns the message to send if the fetch can start.
    pub fn want(&mut self, job: Job, held: HeldAttempt, now: Instant) -> Option<FromWorker> {
        // Once its files are here, the job is tried again, and then its module may be missing.
        let lacked = job.invocation.files.filter(|files| !self.modules.holds_files(Some(files)));
        let module = lacked.map_or(job.invocation.module, |files| ModuleDigest(files.0));
        let waiting = self.waiting.entry(module).or_default();
        waiting.push((job, held));
        if waiting.len() == 1 {
            let form = match self.key {
                _ if lacked.is_some() => Form::Files,
                Some(_) => Form::Artifact { engine: self.modules.engine_hash() },
                None => Form::Wasm,
            };
            self.wanted.push_back((module, form));
        }
        self.next(now)
    }

    /// Receives a piece; returns the next message to send.
    pub fn piece(
        &mut self,
        module: ModuleDigest,
        form: Form,
        offset: u64,
        total: u64,
        bytes: &Bytes,
        now: Instant,
    ) -> Option<FromWorker> {
        let fetch = self.fetch.as_mut().filter(|fetch| fetch.module == module)?;
        let failed = match fetch.piece(form, offset, total, bytes) {
            Step::Stale => return None,
            Step::Ask => return Some(fetch.ask(now)),
            Step::Whole => None,
            Step::Failed(reason) => Some(reason.to_owned()),
        };
        if let Some(Fetch { form, began_at, bytes, .. }) = self.fetch.take() {
            let (modules, key) = (self.modules.clone(), self.key.clone());
            let tenant = self.waiting.get(&module).and_then(|jobs| Some(jobs.first()?.0.invocation.tenant.clone()));
            self.prepared.spawn(async move {
                let result = match failed {
                    Some(reason) => Err(reason),
                    None => prepare(modules, tenant, key, module, form, bytes).await,
                };
                Ready { module, result, form, began_at }
            });
        }
        self.next(now)
    }

    /// Repeats the request for a piece that is late, or whose request may have been lost with its link.
    pub fn overdue(&mut self, is_new_link: bool, now: Instant) -> Option<FromWorker> {
        let fetch = self.fetch.as_mut()?;
        let is_due = is_new_link || now.saturating_duration_since(fetch.asked_at) >= PATIENCE;
        is_due.then(|| fetch.ask(now))
    }

    /// Waits for the next module that is ready or has failed; forever if none is being prepared.
    pub async fn ready(&mut self) -> Ready {
        loop {
            match self.prepared.join_next().await {
                Some(Ok(ready)) => return ready,
                Some(Err(error)) => tracing::error!(%error, "preparing a module failed"),
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the jobs that waited for a module, and the next message to send. If an artifact was refused, they keep
    /// waiting while the wasm is fetched.
    pub fn take(&mut self, ready: &Ready, now: Instant) -> (Vec<WaitingJob>, Option<FromWorker>) {
        let Ready { module, form, .. } = ready;
        match (&ready.result, form) {
            (Err(reason), Form::Artifact { .. }) => {
                tracing::warn!(%module, reason, "artifact of a module refused: the module is compiled here");
                self.wanted.push_front((*module, Form::Wasm));
                return (Vec::new(), self.next(now));
            }
            (Err(reason), Form::Wasm | Form::Files) => {
                tracing::warn!(%module, form = form.as_str(), reason, "cannot get a module or its files");
            }
            (Ok(()), _) => {
                let took = now.saturating_duration_since(ready.began_at);
                tracing::info!(%module, form = form.as_str(), ?took, "a module is here");
            }
        }
        (self.waiting.remove(module).unwrap_or_default(), self.next(now))
    }

    fn next(&mut self, now: Instant) -> Option<FromWorker> {
        if self.fetch.is_some() || self.prepared.len() >= PREPARED_MAX {
            return None;
        }
        let (module, form) = self.wanted.pop_front()?;
        tracing::info!(%module, form = form.as_str(), "a module is fetched: it has not run here");
        Some(self.fetch.insert(Fetch::new(module, form, now)).ask(now))
    }
}

async fn prepare(
    modules: Modules,
    tenant: Option<TenantId>,
    key: Option<ArtifactKey>,
    module: ModuleDigest,
    form: Form,
    bytes: Vec<u8>,
) -> Result<(), String> {
    if let (Form::Artifact { .. }, Some(key)) = (form, key) {
        return modules.import(module, key, bytes).await.map_err(|error| error.to_string());
    }
    if form == Form::Files {
        let added = modules.add_files(FilesDigest(module.0), bytes.into()).await;
        return added.map_err(|error| error.to_string());
    }
    match modules.prepare(tenant, bytes.into()).await {
        Ok(digest) if digest == module => Ok(()),
        Ok(_) => Err("the dispatcher sent another module".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fusebox_core::{
        function::RunLimits,
        id::{LeaseToken, TaskId},
        wire::AttemptId,
    };
    use fusebox_sandbox::{CompileCommand, ModuleLimits, Options, Sandbox};
    use tempfile::TempDir;

    use super::*;
    use crate::{telemetry::metrics::Metrics, worker::slots::tests::job};

    const MODULE: ModuleDigest = ModuleDigest([4; 32]);

    /// Worker without artifacts whose compile child cannot be run.
    struct Worker {
        missing: MissingWasm,
        artifact: Form,
        home: TempDir,
    }

    impl Worker {
        fn new(key: Option<ArtifactKey>) -> Self {
            let home = tempfile::tempdir().unwrap();
            let sandbox = Sandbox::new(Options {
                slots: 1,
                ceiling: RunLimits::CEILING,
                modules: ModuleLimits::default(),
                cache_dir: home.path().to_owned(),
                cache_bytes_max: 1 << 30,
                compile_command: CompileCommand { program: "/nowhere/at/all".into(), args: Vec::new() },
            });
            let sandbox = sandbox.unwrap();
            let artifact = Form::Artifact { engine: sandbox.engine_hash() };
            let missing = MissingWasm::new(Modules::new(sandbox, Arc::new(Metrics::new(1))), key);
            Self { missing, artifact, home }
        }

        fn want(&mut self) -> Option<FromWorker> {
            let id = AttemptId { task: TaskId::from_bytes([1; 16]), attempt: 1 };
            let mut job = Job { task: Some(id.task), ..job() };
            job.invocation.module = MODULE;
            self.missing.want(job, HeldAttempt { id, token: LeaseToken([2; 16]) }, Instant::now())
        }

        fn piece(&mut self, form: Form, offset: u64, total: u64, bytes: &'static [u8]) -> Option<FromWorker> {
            self.missing.piece(MODULE, form, offset, total, &Bytes::from_static(bytes), Instant::now())
        }

        /// Waits for a module; returns the freed jobs, the next request, and whether the module is ready.
        async fn ready(&mut self) -> (usize, Option<FromWorker>, bool) {
            let ready = self.missing.ready().await;
            let (jobs, next) = self.missing.take(&ready, Instant::now());
            (jobs.len(), next, ready.result.is_ok())
        }
    }

    fn asks(form: Form, offset: u64) -> Option<FromWorker> {
        Some(FromWorker::Fetch { module: MODULE, form, offset })
    }

    #[tokio::test]
    async fn a_tampered_artifact_is_refused_and_the_wasm_asked_for() {
        let mut worker = Worker::new(Some(ArtifactKey([1; 32])));
        let artifact = worker.artifact;
        assert_eq!(worker.want(), asks(artifact, 0));
        assert_eq!(worker.want(), None, "it is asked for already");
        assert_eq!(worker.piece(artifact, 0, 12, b"native "), asks(artifact, 7));
        assert_eq!(worker.piece(artifact, 7, 12, b"code!"), None);
        assert_eq!(worker.ready().await, (0, asks(Form::Wasm, 0), false), "both jobs wait on");
        assert_eq!(worker.piece(artifact, 0, 12, b"native "), None, "an answer to a question of before");
        assert_eq!(worker.piece(Form::Wasm, 0, 4, b"wasm"), None);
        assert_eq!(worker.ready().await, (2, None, false), "what is no module either ends the jobs");
        let kept = std::fs::read_dir(worker.home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(kept.collect::<Vec<_>>(), ["key"], "nothing of it is kept");
    }

    #[tokio::test]
    async fn without_a_key_no_artifact_is_asked_for() {
        let mut worker = Worker::new(None);
        assert_eq!(worker.want(), asks(Form::Wasm, 0));
        assert_eq!(worker.piece(worker.artifact, 0, 4, b"code"), None, "nor taken");
        assert_eq!(worker.piece(Form::Wasm, 0, 0, b""), None);
        assert_eq!(worker.ready().await, (1, None, false));
    }

    #[test]
    fn a_question_is_asked_again_after_a_while_and_on_a_new_link() {
        let mut worker = Worker::new(Some(ArtifactKey([1; 32])));
        let artifact = worker.artifact;
        worker.want();
        worker.piece(artifact, 0, 8, b"code");
        let now = Instant::now();
        assert_eq!(worker.missing.overdue(false, now), None);
        assert_eq!(worker.missing.overdue(true, now), asks(artifact, 4));
        assert_eq!(worker.missing.overdue(false, now + PATIENCE), asks(artifact, 4));
    }
}
