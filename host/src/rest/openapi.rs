//! The OpenAPI document's frame. Its routes come from the handlers themselves, so that it cannot forget one.

use utoipa::OpenApi;

/// The frame; [`super::routes()`] adds the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fusebox",
        description = "Runs functions compiled to WebAssembly, each run in its own sandbox on its own fuse.\n\n\
            Errors are `application/problem+json` (RFC 9457) with a stable `code`, which also ends the problem's \
            `type`, and a `detail` that says what to do. 429 and 503 carry `Retry-After`. Sizes are bytes.\n\n\
            From its first API key on, a host wants one with every request: `Authorization: Bearer fb_…`. A key \
            reaches its own tenant; what is another one's looks absent.",
        license(name = "Apache-2.0 OR MIT")
    ),
    tags(
        (name = "functions", description = "Register and run functions"),
        (name = "settings", description = "Configuration and secrets of functions"),
        (name = "tasks", description = "Runs that survive a crash"),
        (name = "Python platform", description = "The routes of the platform that Fusebox succeeds"),
        (name = "keys", description = "Who may ask for what"),
        (name = "tenants", description = "Who is kept apart from whom"),
        (name = "operations", description = "For operators")
    )
)]
pub struct Document;
