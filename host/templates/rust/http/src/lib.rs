//! Greets the person named in the query of a request.

use fusebox_guest::http::{Request, Response};

#[fusebox_guest::http]
fn greet(request: Request) -> Response {
    match (request.method(), request.path()) {
        ("GET", "/") => match request.parameter("name") {
            Some(name) if !name.is_empty() => Response::new(200).with_text(format!("Hello, {name}!")),
            _ => Response::new(400).with_text("name whom to greet: ?name=Ada"),
        },
        _ => Response::new(404).with_text("no such page"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_by_name() {
        assert_eq!(greet(Request::new("GET", "/?name=Ada")).status(), 200);
    }
}
