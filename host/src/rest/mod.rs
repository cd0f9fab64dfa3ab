//! The REST service: one file a resource. Meets the dispatcher only in the store; sync invokes go through
//! [`crate::invoke::Invoker`], modules through [`crate::modules::Modules`].
//!
//! | module | holds |
//! |---|---|
//! | [`seed`] | the four routes of the Python platform, exactly |
//! | [`functions`] | register, list, get, delete |
//! | [`invoke`] | run now |
//! | [`tasks`] | submit, get, list, cancel, result, logs |
//! | [`health`] | health, readiness, metrics |
//! | [`error`] | the one place where a code becomes an HTTP status and a problem |
//! | [`view`] | the JSON shapes |
//! | [`body`], [`extract`] | bounded bodies, base64; paths and queries |
//! | [`wait`] | `Prefer: wait` |
//! | [`guard`] | what every request passes: foreign origins, counting, headers |
//! | [`server`] | connections: header time-out, bounds, drain |

use std::sync::Arc;

use axum::{Router, middleware};
use fusebox_core::function::RunLimits;
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

pub mod body;
pub mod error;
pub mod extract;
pub mod functions;
pub mod guard;
pub mod health;
pub mod invoke;
pub mod openapi;
pub mod seed;
pub mod server;
pub mod tasks;
pub mod view;
pub mod wait;

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
    /// For large bodies on their way.
    pub room: body::Room,
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
}

/// The app as handlers hold it.
pub type Shared = Arc<App>;

/// Every route.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    let (router, document) = routes().split_for_parts();
    let docs: Router<Shared> = SwaggerUi::new("/docs").url("/openapi.json", document).into();
    router
        .merge(docs)
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
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
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}
