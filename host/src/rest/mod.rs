//! The REST service: one file a resource. Meets the dispatcher only in the store; sync invokes go through
//! [`crate::invoke::Invoker`], modules through [`crate::modules::Modules`].
//!
//! | module | holds |
//! |---|---|
//! | [`seed`] | the four routes of the Python platform, exactly |
//! | [`functions`], [`grants`] | register, list, get, delete; what a function is granted |
//! | [`settings`] | configuration and secrets of functions |
//! | [`invoke`] | run now |
//! | [`tasks`] | submit, get, list, cancel, result, logs |
//! | `accept`, [`idempotency`] | from what a request asks for to durable tasks; keys that make sending again safe |
//! | [`batch`], `items` | submit many tasks: the routes, and how a batch is read |
//! | [`wait_many`] | wait for all or any of many tasks |
//! | [`retry`], [`dead_letters`] | try a failed task again; all of them |
//! | [`events`] | a task's changes as they happen |
//! | [`workers`] | who runs tasks |
//! | [`keys`], [`tenants`] | who may ask for what |
//! | [`health`], [`admin`] | health, readiness, metrics; on a listener of their own |
//! | [`error`] | the one place where a code becomes an HTTP status and a problem |
//! | [`view`] | the JSON shapes |
//! | [`body`], [`room`] | bounded bodies, base64; what requests may take together |
//! | [`quota`], [`quotas`] | what a tenant may take of this node, and what a refusal says; shown and set |
//! | [`extract`] | paths and queries |
//! | [`wait`], `prefer` | waits for ends; what `Prefer` asks for |
//! | `front` | what every request passes, in the one layer |
//! | [`guard`], [`access`] | who asks, foreign origins, counting; what each route needs |
//! | `headers`, `request_id`, [`cors`] | what every answer has: protection in browsers, the request's name, who may read it |
//! | [`server`], [`tls`] | connections: time-outs, bounds, drain; TLS and its certificate |

use std::sync::Arc;

use axum::{Router, middleware};
use fusebox_core::{function::RunLimits, id::Attempt};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    clock::Clock,
    invoke::Invoker,
    modules::Modules,
    secrets::SecretsKey,
    store::{Scope, Store},
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::{Gate, Needs, audit::Denials},
};

use self::{access::Routes, front::Front};

mod accept;
pub mod access;
pub mod admin;
pub mod batch;
pub mod body;
pub mod cors;
pub mod dead_letters;
pub mod error;
pub mod events;
pub mod extract;
mod front;
pub mod functions;
pub mod grants;
pub mod guard;
mod headers;
pub mod health;
pub mod idempotency;
pub mod invoke;
mod items;
pub mod keys;
pub mod openapi;
mod prefer;
pub mod quota;
pub mod quotas;
mod request_id;
pub mod retry;
pub mod room;
pub mod rows;
pub mod seed;
pub mod server;
pub mod settings;
pub mod tasks;
pub mod tenants;
pub mod tls;
pub mod view;
pub mod wait;
pub mod wait_many;
pub mod workers;

/// What the handlers work with.
pub struct App {
    /// Where functions and tasks are.
    pub store: Arc<dyn Store>,
    /// Checks and compiles modules.
    pub modules: Modules,
    /// Runs sync invokes.
    pub invoker: Arc<dyn Invoker>,
    /// Who may ask for what.
    pub gate: Gate,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the host takes work.
    pub readiness: Readiness,
    /// What secrets are sealed with; where there is none, none are taken.
    pub secrets: Option<SecretsKey>,
    /// What each tenant may take.
    pub meter: quota::Meter,
    /// Denials to tenants, for the audit log.
    pub denials: Denials,
    /// What requests may take together.
    pub room: room::Room,
    /// Cancelled when the node takes no connections any more: whoever waits is answered then.
    pub closing: CancellationToken,
    /// What an operator may set.
    pub settings: RestSettings,
}

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// Limits of functions that state none.
    pub limits: RunLimits,
    /// The most a function may ask for.
    pub ceiling: RunLimits,
    /// Attempts that a task may have.
    pub attempts_max: Attempt,
    /// Web pages that may read answers.
    pub cors: cors::Cors,
    /// Whether connections are TLS.
    pub is_tls: bool,
}

/// The app as handlers hold it.
pub type Shared = Arc<App>;

/// Every route.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    let (router, document, mut access) = routes().split();
    let docs: Router<Shared> =
        SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", openapi::complete(&document)).into();
    for path in ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"] {
        access.open(path);
    }
    let front = Arc::new(Front { app: app.clone(), access, ids: request_id::RequestIds::new() });
    router
        .merge(docs)
        .fallback(error::no_route)
        .layer(middleware::from_fn_with_state(front, front::front))
        .with_state(app)
}

/// Every documented route: what it needs, and what answers it.
pub fn routes() -> Routes {
    const INVOKE: Needs = Needs::Scope(Scope::Invoke);
    const DEPLOY: Needs = Needs::Scope(Scope::Deploy);
    const ADMIN: Needs = Needs::Scope(Scope::Admin);
    Routes::new(openapi::Document::openapi())
        .add(DEPLOY, routes!(seed::register_function))
        .add(INVOKE, routes!(seed::execute_function))
        .add(INVOKE, routes!(seed::status))
        .add(INVOKE, routes!(seed::result))
        .add(DEPLOY, routes!(functions::register))
        .add(INVOKE, routes!(functions::list))
        .add(INVOKE, routes!(functions::get))
        .add(DEPLOY, routes!(functions::delete))
        .add(INVOKE, routes!(functions::versions))
        .add(DEPLOY, routes!(settings::list_config))
        .add(DEPLOY, routes!(settings::get_config, settings::set_config, settings::unset_config))
        .add(DEPLOY, routes!(settings::list_secrets))
        .add(DEPLOY, routes!(settings::set_secret, settings::unset_secret))
        .add(INVOKE, routes!(invoke::invoke))
        .add(INVOKE, routes!(tasks::submit))
        .add(INVOKE, routes!(tasks::list))
        .add(INVOKE, routes!(tasks::get, tasks::cancel))
        .add(INVOKE, routes!(tasks::result))
        .add(INVOKE, routes!(tasks::logs))
        .add(INVOKE, routes!(batch::of_function))
        .add(INVOKE, routes!(batch::of_any))
        .add(INVOKE, routes!(wait_many::wait))
        .add(INVOKE, routes!(events::events))
        .add(INVOKE, routes!(retry::retry))
        .add(INVOKE, routes!(dead_letters::list))
        .add(INVOKE, routes!(dead_letters::replay))
        .add(ADMIN, routes!(keys::create, keys::list))
        .add(ADMIN, routes!(keys::revoke))
        .add(ADMIN, routes!(keys::rotate))
        .add(Needs::Operator, routes!(tenants::create, tenants::list))
        .add(Needs::Operator, routes!(tenants::delete))
        .add(Needs::Operator, routes!(quotas::get, quotas::set))
        .add(Needs::Operator, routes!(workers::list))
        .add(Needs::Nothing, routes!(health::healthz))
        .add(Needs::Nothing, routes!(health::readyz))
        .add(Needs::Operator, routes!(health::metrics))
}
