//! The router with its parts, and doubles of the store and of the slots.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bytes::Bytes;
use fusebox::{
    clock::Clock,
    invoke::{InvokeError, Invoked, Invoker},
    modules::Modules,
    rest::{self, App, RestSettings, body::Room},
    store::{self, Store, embedded::EmbeddedStore},
    telemetry::{health::Readiness, metrics::Metrics},
};
use fusebox_core::{
    function::{FunctionVersion, RunLimits},
    limits::ARTIFACTS_BYTES_MAX,
    outcome::{Outcome, Receipt},
};
use fusebox_sandbox::{CompileCommand, Options, Sandbox};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// What a sync invoke meets.
#[derive(Clone, Copy)]
pub(crate) enum Slots {
    Echo,
    Busy,
    Ending,
    Broken,
}

#[async_trait]
impl Invoker for Slots {
    async fn invoke(&self, _: FunctionVersion, input: Bytes) -> Result<Invoked, InvokeError> {
        match self {
            Self::Echo => {
                Ok(Invoked { outcome: Outcome::Returned(input), receipt: Receipt::default(), log: Bytes::new() })
            }
            Self::Busy => Err(InvokeError::Overloaded),
            Self::Ending => Err(InvokeError::ShuttingDown),
            Self::Broken => Err(InvokeError::Internal("a secret reason".to_owned())),
        }
    }
}

pub(crate) struct Rest {
    router: Router,
    pub(crate) readiness: Readiness,
    _home: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Rest {
    pub(crate) fn new(slots: Slots) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&home.path().join("store"), Clock::System).unwrap());
        Self::with_store(store, slots, home)
    }

    pub(crate) fn without_store() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::with_store(Arc::new(store_double::NoStore), Slots::Echo, home)
    }

    fn with_store(store: Arc<dyn Store>, slots: Slots, home: TempDir) -> Self {
        let metrics = Arc::new(Metrics::new(1));
        let readiness = Readiness::new();
        readiness.ready();
        let app = App {
            store,
            modules: Modules::new(sandbox(home.path()), metrics.clone()),
            invoker: Arc::new(slots),
            clock: Clock::System,
            metrics,
            readiness: readiness.clone(),
            room: Room::default(),
            settings: RestSettings { limits: RunLimits::default(), ceiling: RunLimits::CEILING },
        };
        Self { router: rest::router(app), readiness, _home: home }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Method::POST, path, &[], body).await
    }

    /// Registers the function `echo`.
    pub(crate) async fn with_echo(self) -> Self {
        let answer = self.post("/v1/functions?name=echo", fusebox_harness::guests::echo()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        self
    }
}

fn sandbox(home: &Path) -> Sandbox {
    let program = env!("CARGO_BIN_EXE_fusebox").into();
    Sandbox::new(Options {
        slots: 1,
        ceiling: RunLimits::CEILING,
        cache_dir: home.join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program, args: vec!["compile-module".into()] },
    })
    .unwrap()
}

/// Every method and path of the document, with ids put in for its parameters.
pub(crate) fn routes() -> Vec<(Method, String)> {
    let (_, document) = rest::routes().split_for_parts();
    let document = serde_json::to_value(document).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{task}", "0190d5a0-7b1a-7c3e-8f00-0123456789ab").replace("{function}", "echo");
        assert!(!path.contains('{'), "put in a value for the parameter of {path}");
        for method in operations.as_object().unwrap().keys() {
            routes.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    routes
}

/// A store that never answers.
mod store_double {
    use super::*;
    use fusebox::store::*;
    use fusebox_core::{
        id::{ModuleDigest, TaskId},
        name::{FunctionName, TenantId},
        task::Task,
    };

    pub(crate) struct NoStore;

    fn no<T>() -> store::Result<T> {
        Err(Error::Unavailable("it is a double".to_owned()))
    }

    #[async_trait]
    impl Store for NoStore {
        async fn register(&self, _: NewFunction, _: Bytes) -> store::Result<Registered> {
            no()
        }
        async fn function(&self, _: &TenantId, _: &FunctionRef) -> store::Result<Option<FunctionVersion>> {
            no()
        }
        async fn functions(&self, _: &TenantId, _: &PageRequest) -> store::Result<Page<FunctionVersion>> {
            no()
        }
        async fn versions(&self, _: &TenantId, _: &FunctionName) -> store::Result<Vec<FunctionVersion>> {
            no()
        }
        async fn delete_function(&self, _: &TenantId, _: &FunctionRef) -> store::Result<bool> {
            no()
        }
        async fn module(&self, _: &ModuleDigest) -> store::Result<Option<Bytes>> {
            no()
        }
        async fn accept(&self, _: Vec<NewTask>) -> store::Result<Vec<Accepted>> {
            no()
        }
        async fn lease(&self, _: LeaseRequest) -> store::Result<Vec<LeasedTask>> {
            no()
        }
        async fn beat(&self, _: Vec<Claim>, _: u64) -> store::Result<Vec<Beaten>> {
            no()
        }
        async fn finish(&self, _: Vec<Finish>) -> store::Result<Vec<Finished>> {
            no()
        }
        async fn cancel(&self, _: &TenantId, _: TaskId) -> store::Result<Cancelled> {
            no()
        }
        async fn tick(&self) -> store::Result<Ticked> {
            no()
        }
        async fn task(&self, _: &TenantId, _: TaskId) -> store::Result<Option<Task>> {
            no()
        }
        async fn result(&self, _: &TenantId, _: TaskId) -> store::Result<Option<TaskResult>> {
            no()
        }
        async fn log(&self, _: &TenantId, _: TaskId) -> store::Result<Option<Bytes>> {
            no()
        }
        async fn tasks(&self, _: &TenantId, _: &PageRequest) -> store::Result<Page<Task>> {
            no()
        }
        async fn backlog(&self) -> store::Result<Vec<Backlog>> {
            no()
        }
        fn ended_hint(&self, _: TaskId) -> Hint {
            Box::pin(std::future::pending())
        }
        fn ready_hint(&self) -> Hint {
            Box::pin(std::future::pending())
        }
        fn cancellations(&self) -> tokio::sync::broadcast::Receiver<TaskId> {
            tokio::sync::broadcast::channel(1).1
        }
        async fn check(&self) -> store::Result<()> {
            no()
        }
    }
}
