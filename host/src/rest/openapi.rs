//! Frame of the OpenAPI document. The handlers themselves add its routes, so that none can be missing.

use serde_json::{Value, json};
use utoipa::OpenApi;

/// Frame of the document; [`super::routes()`] adds the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fusebox",
        description = "Runs functions compiled to WebAssembly, each run in its own sandbox with its own limits.\n\n\
            Errors are `application/problem+json` (RFC 9457) with a stable `code`, which also ends the problem's \
            `type`, and a `detail` that says what to do. 429 and 503 carry `Retry-After`. Sizes are bytes.\n\n\
            Once a host has an API key, every request requires one: `Authorization: Bearer fb_…`. A key \
            reaches its own tenant; records of others look absent.",
        license(name = "Apache-2.0 OR MIT")
    ),
    tags(
        (name = "functions", description = "Register and run functions"),
        (name = "settings", description = "Configuration and secrets of functions"),
        (name = "tasks", description = "Runs that survive a crash"),
        (name = "Python platform", description = "The routes of the platform that Fusebox succeeds"),
        (name = "keys", description = "API keys and their scopes"),
        (name = "tenants", description = "Tenants, which are isolated from each other"),
        (name = "operations", description = "For operators")
    )
)]
pub struct Document;

/// Adds everything that holds for every operation: common error responses, the schema of problems, the UUID format of
/// task ids, and bounds of unsigned numbers.
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

/// Adds the error responses common to operations with parameters, a body or a key, and the schema of all problems.
fn answers(operation: &mut Value) {
    let parameters = operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty());
    let body = operation["requestBody"].is_object();
    let key = operation["security"].as_array().is_some_and(|keys| !keys.is_empty());
    let common = [
        (key || parameters, "400", "invalid-request: a path parameter or a header is malformed"),
        (body, "408", "request-timeout: the body came too slowly"),
        (body, "413", "payload-too-large"),
        (body, "415", "unsupported-encoding: the body has a content coding that the route does not accept"),
        (key || body, "422", "unprocessable-request: a parameter is unknown, or a parameter or the body is malformed"),
        (key, "429", "rate-limited; see Retry-After"),
        (key && body, "503", "store-full, store-unavailable or shutting-down; see Retry-After"),
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
        "description": "Problem details (RFC 9457). Some codes add members of their own.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": text("URI that ends in the code."),
            "title": text("Title of the code."),
            "status": {"type": "integer", "description": "HTTP status."},
            "code": text("Stable code for programs."),
            "detail": text("Explanation of the problem, and its remedy."),
            "request_id": text("Id of the request in the host's log."),
        },
    })
}

/// Bounds unsigned numbers by their maximum instead of `int32` and `int64`, whose ranges are signed.
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
