//! Request bodies: the first byte selects the route, the second whether a batch is sent as lines, the rest is the body.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use bytes::Bytes;
use fusebox::{
    compilations::Compilations,
    invoke::{Exchange, InvokeError, Invoker},
    modules::Modules,
    rest::{self, App, RestSettings, cors::Cors, jobs::Runner, quota::Meter, room::Room, waiting::Outlook},
    scripts::Scripts,
    secrets::SecretsKey,
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::{
        Gate, QuotaBook,
        admin::{self, NewKey},
        audit::Denials,
    },
};
use fusebox_core::{
    function::{FunctionVersion, RunLimits},
    keep::Keep,
    limits::MODULE_BYTES_MAX,
    name::TenantId,
    outcome::{Ended, Receipt},
    quota::QuotaSettings,
    setup::Start,
};
use fusebox_store::{Acting, Scope, embedded::EmbeddedStore};
use fusebox_system::clock::Clock;
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::{sandbox, scratch};

/// Routes that read a body, each with an example. They are called with the operator's key.
const ROUTES: &[(&str, &str)] = &[
    ("/register_function", r#"{"name": "f", "payload": "AGFzbQEAAAA="}"#),
    ("/execute_function", r#"{"function_id": "0190d5a0-7b1a-7c3e-8f00-0123456789ab", "payload": "eA=="}"#),
    ("/v1/functions?name=f&wall_ms=100", "(module)"),
    ("/v1/functions/echo/tasks?delay_ms=1000&priority=low", "an input"),
    ("/v1/functions/echo/invoke", "an input"),
    (
        "/v1/functions/echo/tasks/batch",
        r#"[{"text": "a"}, {"json": {"b": [1, 2.5e3, null]}, "priority": "high", "delay_ms": 5}, {"input": "eA=="}]"#,
    ),
    (
        "/v1/tasks/batch",
        r#"[{"function": "echo", "text": "a", "idempotency_key": "k", "limits": {"fuel": 1000, "wall_ms": 10}}, 7, {}]"#,
    ),
    ("/v1/tasks/wait", r#"{"tasks": ["0190d5a0-7b1a-7c3e-8f00-0123456789ab"], "for": "any"}"#),
    ("/v1/dead-letters/replay", r#"{"tasks": ["0190d5a0-7b1a-7c3e-8f00-0123456789ab"]}"#),
    ("/v1/keys", r#"{"scope": "invoke", "name": "ci", "tenant": "acme", "life_ms": 60000}"#),
    ("/v1/keys/00000000000000000000000000000000/rotate", r#"{"grace_ms": 3600000}"#),
    ("/v1/tenants", r#"{"name": "globex"}"#),
    ("PUT /v1/tenants/acme/quotas", r#"{"functions": 5000, "queued_tasks": 100000, "fuel_per_minute": 1000000}"#),
    ("PUT /v1/functions/echo/config/NAME", "a value"),
    ("PUT /v1/functions/echo/secrets/NAME", "a secret"),
];
/// Quota of queued tasks, so that a long run does not fill the memory.
const QUEUED_TASKS_MAX: u64 = 2_000;

/// Invoker that returns its input, since no guest is needed here.
struct Echo;

#[async_trait]
impl Invoker for Echo {
    async fn invoke(
        &self,
        _: FunctionVersion,
        _: Start,
        input: Bytes,
        _: Option<Exchange>,
    ) -> Result<Ended, InvokeError> {
        Ok(Ended { failure: None, output: input, receipt: Receipt::default(), log: Bytes::new() })
    }
}

/// The service, in this process.
struct Service {
    runtime: Runtime,
    router: Router,
    /// Key of the operator.
    key: String,
}

/// The service, on a store in a temporary directory that exists as long as the process.
static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let home = scratch().keep();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("a runtime: {error}"));
    let (router, key) = runtime.block_on(service(&home));
    let service = Service { runtime, router, key };
    let echo = r#"(module (memory (export "memory") 1) (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 0))
        (func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0)))"#;
    let wasm = wat::parse_str(echo).unwrap_or_default();
    for (path, body) in [("/v1/functions?name=echo", wasm.into()), ("/v1/tenants", r#"{"name": "acme"}"#.into())] {
        let (status, answer) = service.send(path, "application/json", body);
        assert_eq!(status, StatusCode::CREATED, "{path}: {answer:?}");
    }
    service
});

/// Returns the complete router and the operator's key.
async fn service(home: &Path) -> (Router, String) {
    let store = EmbeddedStore::open(&home.join("store"), Clock::System);
    let store = Arc::new(store.unwrap_or_else(|error| panic!("a store: {error}")));
    let bounded = QuotaSettings { queued_tasks: Some(QUEUED_TASKS_MAX), ..QuotaSettings::NONE };
    let set = admin::set_quotas(&*store, Acting::Store, &TenantId::default_tenant(), bounded, Keep::MOST).await;
    set.unwrap_or_else(|error| panic!("a bound: {error}"));
    let new = NewKey { tenant: TenantId::default_tenant(), scope: Scope::Admin, name: String::new(), life_ms: None };
    let made = admin::create_key(&*store, Acting::Store, new).await;
    let (_, key) = made.unwrap_or_else(|error| panic!("the operator's key: {error}"));
    let secrets = SecretsKey::read_or_make(&home.join("secrets.key"));
    let metrics = Arc::new(Metrics::new(1));
    let readiness = Readiness::new();
    readiness.ready();
    let modules = Modules::new(sandbox().clone(), metrics.clone());
    let quotas = QuotaBook::open(store.clone(), Keep::DEFAULT).await;
    let jobs = Runner::new(store.clone(), quotas.clone(), 1, metrics.clone());
    let app = App {
        store: store.clone(),
        gate: Gate::new(store.clone()),
        compilations: Compilations::new(store, modules.clone(), quotas.clone()),
        modules,
        scripts: Scripts { runtimes: Default::default(), checks: None },
        invoker: Arc::new(Echo),
        clock: Clock::System,
        metrics,
        readiness,
        secrets: Some(secrets.unwrap_or_else(|error| panic!("a key for secrets: {error}"))),
        meter: Meter::new(quotas),
        denials: Denials::default(),
        jobs,
        outlook: Outlook::default(),
        room: Room::default(),
        closing: Default::default(),
        settings: RestSettings {
            limits: RunLimits::default(),
            ceiling: RunLimits::CEILING,
            module_bytes_max: MODULE_BYTES_MAX,
            upload_dir: home.to_owned(),
            pickles: Default::default(),
            attempts_max: 3,
            cors: Cors::default(),
            is_tls: false,
        },
    };
    (rest::router(app), key.reveal())
}

impl Service {
    fn send(&self, route: &str, kind: &str, body: Bytes) -> (StatusCode, Bytes) {
        self.runtime.block_on(self.answer(route, kind, body))
    }

    async fn answer(&self, route: &str, kind: &str, body: Bytes) -> (StatusCode, Bytes) {
        let (method, path) = route.split_once(' ').unwrap_or(("POST", route));
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.key)).body(Body::from(body));
        let request = request.unwrap_or_else(|error| panic!("{path}: {error}"));
        let Ok(answer) = self.router.clone().oneshot(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap_or_else(|error| panic!("{path}: the answer broke off: {error}"));
        let (body, kind) = (body.to_bytes(), head.headers.get(header::CONTENT_TYPE));
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_problem = kind == "application/problem+json";
        assert_eq!(is_problem, head.status.as_u16() >= 400, "{path}: {} as {kind}: {body:?}", head.status);
        (head.status, body)
    }
}

/// Runs the target. See the crate's documentation.
pub fn run(data: &[u8]) {
    let [route, lines, body @ ..] = data else { return };
    let Some((path, _)) = ROUTES.get(usize::from(*route) % ROUTES.len()) else { return };
    let kind = if lines % 2 == 1 { "application/x-ndjson" } else { "application/json" };
    let (status, answer) = SERVICE.send(path, kind, Bytes::copy_from_slice(body));
    assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{path}: {status} {answer:?}");
}

/// Returns the seeds. See the crate's documentation.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, (_, body)) in (0_u8..).zip(ROUTES) {
        seeds.push([&[number, 0], body.as_bytes()].concat());
        let lines = body.trim_matches(['[', ']']).replace("}, {", "}\n{");
        seeds.push([&[number, 1], lines.as_bytes()].concat());
    }
    seeds
}
