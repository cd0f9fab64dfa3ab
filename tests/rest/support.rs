//! The router with its parts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bytes::Bytes;
use fusebox::{
    compilations::Compilations,
    dispatch::{missing::MissingModules, short::SlotInvoker, store_calls::StoreHostCalls},
    invoke::Invoker,
    modules::Modules,
    pickles::PickleSettings,
    rest::{
        self, App, RestSettings,
        cors::Cors,
        endpoints::hosts,
        jobs::Runner,
        quota::Meter,
        room::{Room, RoomBounds},
        waiting::Outlook,
    },
    scripts::{Runtimes, Scripts, find::RuntimeArgs},
    secrets::SecretsKey,
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::{FuelMeter, Gate, Needs, QuotaBook, audit::Denials},
};
use fusebox_core::{
    function::RunLimits,
    keep::Keep,
    limits::{ARTIFACTS_BYTES_MAX, MODULE_BYTES_MAX},
};
use fusebox_sandbox::{CompileCommand, ModuleLimits, Options, Sandbox};
use fusebox_store::{Store, embedded::EmbeddedStore};
use fusebox_system::clock::Clock;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::no_store::NoStore;
pub(crate) use crate::slots::Slots;

pub(crate) struct Rest {
    router: Router,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) quotas: Arc<QuotaBook>,
    pub(crate) modules: Modules,
    pub(crate) compilations: Compilations,
    /// Performs jobs when a test lets it.
    pub(crate) jobs: Arc<Runner>,
    /// Cancelled when the node stops accepting connections.
    pub(crate) closing: CancellationToken,
    pub(crate) home: TempDir,
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

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
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

    /// Keeps the store in a folder of the test.
    pub(crate) fn with_store_in(folder: &Path) -> Self {
        let store = Arc::new(EmbeddedStore::open(folder, Clock::System).unwrap());
        Self::with_store(store, Slots::Echo, tempfile::tempdir().unwrap())
    }

    pub(crate) fn without_store() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::with_store(Arc::new(NoStore), Slots::Echo, home)
    }

    /// Allows pages of an origin.
    pub(crate) fn with_cors(origin: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&home.path().join("store"), Clock::System).unwrap());
        Self::with_all(store, Slots::Echo, home, Cors(vec![origin.parse().unwrap()]), Clock::System, Room::default())
    }

    /// Uses a clock that the test advances.
    pub(crate) fn with_clock(clock: Clock) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&home.path().join("store"), clock.clone()).unwrap());
        Self::with_all(store, Slots::Echo, home, Cors::default(), clock, Room::default())
    }

    /// Uses other limits.
    pub(crate) fn with_room(bounds: RoomBounds) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&home.path().join("store"), Clock::System).unwrap());
        Self::with_all(store, Slots::Echo, home, Cors::default(), Clock::System, Room::new(bounds))
    }

    /// Uses one clock for the store and another one for this node.
    pub(crate) fn with_clocks(store: Clock, node: Clock) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&home.path().join("store"), store).unwrap());
        Self::with_all(store, Slots::Echo, home, Cors::default(), node, Room::default())
    }

    /// Has runtimes of these names, all of which are the stand-in, and slots that run guests.
    pub(crate) async fn with_runtimes(names: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("runtimes");
        std::fs::create_dir(&dir).unwrap();
        let wasm = fusebox_harness::guests::runtime();
        names.iter().for_each(|name| std::fs::write(dir.join(format!("{name}.wasm")), &wasm).unwrap());
        let runtimes = RuntimeArgs { runtimes: Some(dir) }.find(home.path()).unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&home.path().join("store"), Clock::System).unwrap());
        let (metrics, quotas) = (Arc::new(Metrics::new(1)), QuotaBook::new(store.clone(), Keep::DEFAULT));
        let sandbox = sandbox(home.path());
        let modules = Modules::new(sandbox.clone(), metrics.clone());
        let worker = fusebox_system::random::worker_id(Clock::System.now());
        let calls = Arc::new(StoreHostCalls::new(store.clone(), None, quotas.clone()));
        let slots = fusebox::worker::slots::Slots::start(1, Arc::new(sandbox), calls, worker, &Clock::System, &metrics);
        let invoker = Arc::new(SlotInvoker {
            slots: Arc::new(slots.unwrap()),
            missing: MissingModules { store: store.clone(), modules: modules.clone() },
            fuel: FuelMeter::new(store.clone(), quotas),
        });
        runtimes.clone().prepare(modules, CancellationToken::new()).await;
        let scripts = Scripts { runtimes, checks: Some(invoker.clone()) };
        Self::with_parts(store, invoker, scripts, home, Cors::default(), Clock::System, Room::default())
    }

    fn with_store(store: Arc<dyn Store>, slots: Slots, home: TempDir) -> Self {
        Self::with_all(store, slots, home, Cors::default(), Clock::System, Room::default())
    }

    fn with_all(store: Arc<dyn Store>, slots: Slots, home: TempDir, cors: Cors, clock: Clock, room: Room) -> Self {
        let scripts = Scripts { runtimes: Runtimes::default(), checks: None };
        Self::with_parts(store, Arc::new(slots), scripts, home, cors, clock, room)
    }

    fn with_parts(
        store: Arc<dyn Store>,
        invoker: Arc<dyn Invoker>,
        scripts: Scripts,
        home: TempDir,
        cors: Cors,
        clock: Clock,
        room: Room,
    ) -> Self {
        let (metrics, quotas) = (Arc::new(Metrics::new(1)), QuotaBook::new(store.clone(), Keep::DEFAULT));
        let (readiness, closing) = (Readiness::new(), CancellationToken::new());
        readiness.ready();
        let modules = Modules::new(sandbox(home.path()), metrics.clone());
        let compilations = Compilations::new(store.clone(), modules.clone(), quotas.clone());
        let jobs = Runner::new(store.clone(), quotas.clone(), 3, metrics.clone());
        let app = App {
            store: store.clone(),
            gate: Gate::new(store.clone()),
            modules: modules.clone(),
            compilations: compilations.clone(),
            scripts,
            invoker,
            clock,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            secrets: Some(SecretsKey::read_or_make(&home.path().join("secrets.key")).unwrap()),
            meter: Meter::new(quotas.clone()),
            denials: Denials::default(),
            jobs: jobs.clone(),
            outlook: Outlook::default(),
            room,
            closing: closing.clone(),
            settings: RestSettings {
                limits: RunLimits::default(),
                ceiling: RunLimits::CEILING,
                module_bytes_max: MODULE_BYTES_MAX,
                upload_dir: home.path().to_owned(),
                pickles: PickleSettings { path: vec![python_path(&home)], default: None },
                attempts_max: 3,
                cors,
                is_tls: false,
            },
        };
        let router = rest::router(app);
        Self { router, store, readiness, metrics, quotas, modules, compilations, jobs, closing, home }
    }

    /// Serves functions on a domain, or on a listener of their own.
    pub(crate) fn on_domain(mut self, domain: &str, is_for_functions: bool) -> Self {
        self.router = hosts::directed(self.router, Some(domain.parse().unwrap()), is_for_functions, false);
        self
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
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
        let (parts, body) = self.open(request.body(body.into()).unwrap()).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request; returns the response before its body has arrived.
    pub(crate) async fn open(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn post_json(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await
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

/// Returns the directory of the operator's Python modules, as of `--python-path`.
pub(crate) fn python_path(home: &TempDir) -> PathBuf {
    home.path().canonicalize().unwrap().join("python")
}

fn sandbox(home: &Path) -> Sandbox {
    let program = env!("CARGO_BIN_EXE_fusebox").into();
    Sandbox::new(Options {
        slots: 1,
        ceiling: RunLimits::CEILING,
        modules: ModuleLimits::default(),
        cache_dir: home.join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: CompileCommand { program, args: vec!["compile-module".into()] },
    })
    .unwrap()
}

/// Sets the quotas of the default tenant.
pub(crate) async fn set_quotas(rest: &Rest, quotas: Value) -> Answer {
    let answer = rest.send(Method::PUT, "/v1/tenants/default/quotas", &[], quotas.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    answer
}

/// Returns every method and path of the router's table, with ids in place of the parameters.
pub(crate) fn routes() -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    for (method, path, _) in table() {
        let path = path.replace("{task}", "0190d5a0-7b1a-7c3e-8f00-0123456789ab").replace("{function}", "echo");
        let path = path.replace("{key}", "0123456789abcdef").replace("{tenant}", "acme");
        let path = path.replace("{job}", "0190d5a0-7b1a-7c3e-8f00-0123456789ab");
        let path = path.replace("{setting}", "NAME").replace("{*path}", "a");
        assert!(!path.contains('{'), "put in a value for the parameter of {path}");
        routes.push((method, path));
    }
    routes
}

/// Returns the router's table: each route and its access rule.
pub(crate) fn table() -> Vec<(Method, String, Needs)> {
    let (_, _, access) = rest::routes().split();
    access.rows().map(|(path, method, needs)| (method.clone(), path.to_owned(), needs)).collect()
}

/// Checks that a response is a problem of this status and code, with everything common to problems.
#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status.as_u16(), "{problem}");
    assert_eq!(problem["type"], format!("https://fusebox.dev/problems/{code}"), "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].as_str().is_some_and(|text| text.len() > 5), "{problem}");
    let again = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let again = again || ["task-not-ended", "function-compiling"].contains(&code);
    assert_eq!(!answer.header("retry-after").is_empty(), again, "{problem}");
}
