//! What each route needs. [`Routes`] takes no route without saying so; [`Access`] is asked by the guard for each request,
//! and a route it does not know of is refused.

use std::collections::HashMap;

use axum::{
    Router,
    http::{HeaderValue, Method, header},
};
use fusebox_core::error::ErrorCode;
use utoipa::openapi::{
    self, Components, OpenApi, ResponseBuilder,
    path::{Operation, PathItem},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{Shared, error::Problem};
use crate::tenancy::Needs;

/// The document's name for how keys are sent.
const SCHEME: &str = "key";

/// The routes, their document, and what each needs.
pub struct Routes {
    router: OpenApiRouter<Shared>,
    access: Access,
}

/// What the routes need, by path and method.
#[derive(Clone, Debug, Default)]
pub struct Access(HashMap<String, Vec<(Method, Needs)>>);

impl Routes {
    /// No routes yet.
    pub(super) fn new(frame: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(frame), access: Access::default() }
    }

    /// Adds the methods of a path, which all need the same; the document says so too.
    pub(super) fn add(mut self, needs: Needs, mut routes: UtoipaMethodRouter<Shared>) -> Self {
        for (path, item) in &mut routes.1.paths {
            for (method, operation) in operations(item) {
                tell(operation, needs);
                self.access.insert(path, method, needs);
            }
        }
        Self { router: self.router.routes(routes), ..self }
    }

    /// The router, its document, and what its routes need.
    pub fn split(self) -> (Router<Shared>, OpenApi, Access) {
        let (router, mut document) = self.router.split_for_parts();
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("fb_<id>_<secret>")
            .description(Some("An API key. Hosts without keys need none, and listen on loopback only."))
            .build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
        (router, document, self.access)
    }
}

impl Access {
    /// Adds a route.
    pub(super) fn insert(&mut self, path: &str, method: Method, needs: Needs) {
        self.0.entry(path.to_owned()).or_default().push((method, needs));
    }

    /// Every route.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Method, Needs)> {
        self.0.iter().flat_map(|(path, rows)| rows.iter().map(move |(method, needs)| (path.as_str(), method, *needs)))
    }

    /// What a request for a path of the router needs.
    ///
    /// # Errors
    /// Where the path has no such method, or is not known here.
    pub(super) fn needs(&self, path: &str, method: &Method) -> Result<Needs, Problem> {
        let Some(rows) = self.0.get(path) else {
            tracing::error!(path, "a route that says not what it needs is refused");
            return Err(Problem::new(ErrorCode::Internal, "the host does not say who may use this route"));
        };
        // What answers a GET answers its HEAD.
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        if let Some((_, needs)) = rows.iter().find(|(method, _)| method == asked) {
            return Ok(*needs);
        }
        let known: Vec<&str> = rows.iter().map(|(method, _)| method.as_str()).collect();
        let allowed = HeaderValue::try_from(known.join(", ")).unwrap_or(HeaderValue::from_static(""));
        let detail = format!("{path} has no {method}: /docs lists what it has");
        Err(Problem::new(ErrorCode::MethodNotAllowed, detail).with_header(header::ALLOW, allowed))
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Writes into an operation's document what it needs.
fn tell(operation: &mut Operation, needs: Needs) {
    let key = match needs {
        Needs::Nothing => {
            operation.security = Some(Vec::new());
            return;
        }
        Needs::Scope(scope) => format!("a key of scope `{scope}`"),
        Needs::Operator => "an `admin` key of the default tenant".to_owned(),
    };
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, std::iter::empty::<&str>())]);
    let mut add = |status: &str, description: String| {
        let response = ResponseBuilder::new().description(description).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(openapi::RefOr::T(response));
    };
    add("401", "unauthorized: the host has keys, and none that is good was given".to_owned());
    add("403", format!("forbidden: it takes {key}; foreign-origin where the host has no keys"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Scope;

    #[test]
    fn a_route_without_a_row_is_refused_and_head_is_get() {
        let mut access = Access::default();
        access.insert("/a", Method::GET, Needs::Operator);
        access.insert("/a", Method::POST, Needs::Scope(Scope::Deploy));
        assert_eq!(access.needs("/a", &Method::GET).unwrap(), Needs::Operator);
        assert_eq!(access.needs("/a", &Method::HEAD).unwrap(), Needs::Operator);
        assert_eq!(access.needs("/a", &Method::POST).unwrap(), Needs::Scope(Scope::Deploy));
        assert_eq!(access.needs("/a", &Method::DELETE).unwrap_err().code(), ErrorCode::MethodNotAllowed);
        assert_eq!(access.needs("/planted", &Method::GET).unwrap_err().code(), ErrorCode::Internal);
    }
}
