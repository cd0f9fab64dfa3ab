//! The OpenAPI document's frame. Its routes come from the handlers themselves, so that it cannot forget one.

use serde_json::{Value, json};
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

/// Adds what holds for every operation, so that no handler has to say it: the answers that any of its kind may give, what
/// a problem looks like, that ids of tasks are UUIDs, and where numbers without a sign
/// end.
#[must_use]
pub fn complete(document: &utoipa::openapi::OpenApi) -> Value {
    let mut json = serde_json::to_value(document).unwrap_or_default();
    let paths = json["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.filter_map(Value::as_object_mut).flat_map(|operations| operations.values_mut()) {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if parameter["in"] == "path" && parameter["name"] == "task" {
                parameter["schema"] = json!({"type": "string", "format": "uuid"});
            }
        }
        answers(operation);
    }
    json["components"]["schemas"]["Problem"] = problem();
    without_signs(&mut json);
    json
}

/// Adds the answers that an operation may give because of what it takes, and the form of each that is a problem.
fn answers(operation: &mut Value) {
    let parameters = operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty());
    let body = operation["requestBody"].is_object();
    let key = operation["security"].as_array().is_some_and(|keys| !keys.is_empty());
    let common = [
        (key || parameters, "400", "invalid-request: a part of the path or a header cannot be read"),
        (body, "408", "request-timeout: the body came too slowly"),
        (body, "413", "payload-too-large"),
        (body, "415", "unsupported-encoding: the body is compressed, and may not be"),
        (key || body, "422", "unprocessable-request: a parameter is unknown, or it or the body cannot be read"),
        (key, "429", "rate-limited; see Retry-After"),
        (key, "503", "store-unavailable or shutting-down; see Retry-After"),
    ];
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (_, status, description) in common.iter().filter(|(applies, ..)| *applies) {
        responses.entry(*status).or_insert(json!({ "description": description }));
    }
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.as_str() >= "400") {
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        response["content"] = json!({"application/problem+json": {"schema": schema}});
    }
}

fn problem() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "What went wrong, as RFC 9457 has it. Some codes add members of their own.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": text("A URI that ends in the code."),
            "title": text("The code in words."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "code": text("What programs go by; it does not change."),
            "detail": text("What to do."),
            "request_id": text("The request's name in the host's log."),
        },
    })
}

/// The formats of numbers end at 2^31 - 1 and 2^63 - 1, which is not where those without a sign end.
fn without_signs(value: &mut Value) {
    let most = match value["format"].as_str() {
        Some("int32") => Some(u64::from(u32::MAX)),
        Some("int64") => Some(u64::MAX),
        _ => None,
    };
    if let Some(most) = most.filter(|_| value["minimum"] == 0) {
        value["format"] = Value::Null;
        if value["maximum"].is_null() {
            value["maximum"] = most.into();
        }
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| name != "format" || !field.is_null());
            fields.values_mut().for_each(without_signs);
        }
        Value::Array(items) => items.iter_mut().for_each(without_signs),
        _ => {}
    }
}
