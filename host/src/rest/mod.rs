//! REST service, one file per resource. It reaches the dispatcher only through the store; synchronous invocations go
//! through [`crate::invoke::Invoker`], modules through [`crate::modules::Modules`].
//!
//! | module | holds |
//! |---|---|
//! | [`seed`] | the four routes of the Python platform, unchanged |
//! | [`functions`], [`grants`] | register, list, get and delete functions; check their grants |
//! | [`setup`], `scripts` | ways to start a function, in queries; registration of scripts |
//! | [`settings`] | configuration and secrets of functions |
//! | [`invoke`], `output` | run a function synchronously; the content type of outputs |
//! | [`endpoints`] | functions that answer HTTP requests |
//! | [`tasks`] | submit, get, list and cancel tasks; results and logs |
//! | [`filter`], [`stats`], `tags` | filters of tasks; counts by group; tags in headers |
//! | `accept`, [`idempotency`] | turns requests into durable tasks; idempotency keys |
//! | [`batch`], `items` | submit many tasks: the routes, and the parser of a batch |
//! | [`wait_many`] | wait for all or any of many tasks |
//! | [`jobs`] | acts on many tasks |
//! | [`retry`], [`dead_letters`] | retry a failed task; list and replay dead letters |
//! | [`events`] | stream of a task's state changes |
//! | [`workers`] | connected workers |
//! | [`keys`], [`tenants`] | API keys and tenants |
//! | [`health`], [`admin`] | health, readiness and metrics; a separate listener for them |
//! | [`error`] | the only mapping from error codes to HTTP statuses and problem bodies |
//! | [`body`], [`room`] | bounded bodies and base64; bounds on what concurrent requests use together |
//! | [`quota`], [`quotas`] | rates enforced in this node; routes that get and set quotas |
//! | [`extract`] | extractors of paths, queries and the caller |
//! | [`wait`], `prefer` | waits for the end of a task; the `Prefer` header |
//! | [`waiting`] | reasons for which tasks are queued |
//! | `compiling` | versions that are being compiled or have failed |
//! | `app` | the state that handlers share |
//! | `front` | the one layer that every request passes |
//! | [`guard`], [`access`] | authorization, foreign origins and request counts; access rules of the routes |
//! | `headers`, `request_id`, [`cors`] | security headers, request ids and CORS headers of every response |
//! | [`server`], [`tls`] | connections: time-outs, bounds, drain; TLS and its certificate |

use std::sync::Arc;

use axum::{Router, middleware};
use fusebox_store::Scope;
use utoipa::OpenApi as _;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::tenancy::Needs;

pub use self::app::{App, RestSettings, Shared};
use self::{access::Routes, front::Front};

mod accept;
pub mod access;
pub mod admin;
mod app;
pub mod batch;
pub mod body;
mod compiling;
pub mod cors;
pub mod dead_letters;
pub mod endpoints;
pub mod error;
pub mod events;
pub mod extract;
pub mod filter;
mod front;
pub mod functions;
pub mod grants;
pub mod guard;
mod headers;
pub mod health;
pub mod idempotency;
pub mod invoke;
mod items;
pub mod jobs;
pub mod keys;
pub mod openapi;
mod output;
mod paging;
mod pickles;
mod prefer;
pub mod quota;
pub mod quotas;
mod request_id;
pub mod retry;
pub mod room;
pub mod rows;
mod scripts;
pub mod seed;
pub mod server;
pub mod settings;
pub mod setup;
pub mod stats;
mod tags;
pub mod tasks;
pub mod tenants;
pub mod tls;
pub mod wait;
pub mod wait_many;
pub mod waiting;
pub mod workers;

/// Builds the router of all routes, with the layer that guards them.
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

/// Returns every documented route with its handler and its access rule.
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
        .add(Needs::Endpoint, endpoints::routes())
        .add(INVOKE, routes!(tasks::submit))
        .add(INVOKE, routes!(tasks::list))
        .add(INVOKE, routes!(stats::stats))
        .add(INVOKE, routes!(tasks::get, tasks::cancel))
        .add(INVOKE, routes!(tasks::result))
        .add(INVOKE, routes!(tasks::logs))
        .add(INVOKE, routes!(batch::of_function))
        .add(INVOKE, routes!(batch::of_any))
        .add(INVOKE, routes!(wait_many::wait))
        .add(INVOKE, routes!(events::events))
        .add(INVOKE, routes!(retry::retry))
        .add(INVOKE, routes!(jobs::cancel))
        .add(INVOKE, routes!(jobs::retry))
        .add(INVOKE, routes!(jobs::delete))
        .add(INVOKE, routes!(jobs::list))
        .add(INVOKE, routes!(jobs::get, jobs::stop))
        .add(INVOKE, routes!(dead_letters::list))
        .add(INVOKE, routes!(dead_letters::replay))
        .add(ADMIN, routes!(keys::create, keys::list))
        .add(ADMIN, routes!(keys::revoke))
        .add(ADMIN, routes!(keys::rotate))
        .add(Needs::Operator, routes!(tenants::create, tenants::list))
        .add(Needs::Operator, routes!(tenants::get, tenants::delete))
        .add(Needs::Operator, routes!(quotas::get, quotas::set))
        .add(Needs::Operator, routes!(workers::list))
        .add(Needs::Nothing, routes!(health::healthz))
        .add(Needs::Nothing, routes!(health::readyz))
        .add(Needs::Operator, routes!(health::metrics))
}
