//! The REST service: one file a resource. Meets the dispatcher only in the store; sync invokes go through
//! [`crate::invoke::Invoker`], modules through [`crate::modules::Modules`].
//!
//! | module | holds |
//! |---|---|
//! | [`seed`] | the four routes of the Python platform, exactly |
//! | [`functions`] | register, list, get, delete |
//! | [`invoke`] | run now |
//! | [`tasks`] | submit, get, list, cancel, result, logs |
//! | `accept`, [`idempotency`] | from what a request asks for to durable tasks; keys that make sending again safe |
//! | [`batch`], `items` | submit many tasks: the routes, and how a batch is read |
//! | [`wait_many`] | wait for all or any of many tasks |
//! | [`retry`], [`dead_letters`] | try a failed task again; all of them |
//! | [`events`] | a task's changes as they happen |
//! | [`workers`] | who runs tasks |
//! | [`health`] | health, readiness, metrics |
//! | [`error`] | the one place where a code becomes an HTTP status and a problem |
//! | [`view`] | the JSON shapes |
//! | [`body`], [`room`] | bounded bodies, base64; what requests may take together |
//! | [`extract`] | paths and queries |
//! | [`wait`] | `Prefer: wait` |
//! | [`guard`] | what every request passes: foreign origins, counting |
//! | `headers`, `request_id`, [`cors`] | what every answer has: protection in browsers, the request's name, who may read it |
//! | [`server`], `stall`, [`tls`] | connections: time-outs, bounds, drain; TLS and its certificate |

use std::sync::Arc;

use axum::{Router, middleware};
use fusebox_core::{function::RunLimits, id::Attempt};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    clock::Clock,
    invoke::Invoker,
    modules::Modules,
    store::Store,
    telemetry::{health::Readiness, metrics::Metrics},
};

mod accept;
pub mod batch;
pub mod body;
pub mod cors;
pub mod dead_letters;
pub mod error;
pub mod events;
pub mod extract;
pub mod functions;
pub mod guard;
mod headers;
pub mod health;
pub mod idempotency;
pub mod invoke;
mod items;
pub mod openapi;
mod request_id;
pub mod retry;
pub mod room;
pub mod rows;
pub mod seed;
pub mod server;
mod stall;
pub mod tasks;
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
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the host takes work.
    pub readiness: Readiness,
    /// What requests may take together.
    pub room: room::Room,
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
    let envelope = Arc::new(headers::Envelope { ids: request_id::RequestIds::new(), is_tls: app.settings.is_tls });
    let (router, document) = routes().split_for_parts();
    let docs: Router<Shared> = SwaggerUi::new("/docs").url("/openapi.json", document).into();
    router
        .merge(docs)
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .layer(middleware::from_fn_with_state(app.clone(), cors::cors))
        .layer(middleware::from_fn_with_state(envelope, headers::envelope))
        .with_state(app)
}

/// Every documented route, with its document.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(seed::register_function))
        .routes(routes!(seed::execute_function))
        .routes(routes!(seed::status))
        .routes(routes!(seed::result))
        .routes(routes!(functions::register, functions::list))
        .routes(routes!(functions::get, functions::delete))
        .routes(routes!(functions::versions))
        .routes(routes!(invoke::invoke))
        .routes(routes!(tasks::submit))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::get, tasks::cancel))
        .routes(routes!(tasks::result))
        .routes(routes!(tasks::logs))
        .routes(routes!(batch::of_function))
        .routes(routes!(batch::of_any))
        .routes(routes!(wait_many::wait))
        .routes(routes!(events::events))
        .routes(routes!(retry::retry))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(workers::list))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}
