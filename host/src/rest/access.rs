//! Access rules of the routes. [`Routes`] accepts no route without one; the guard looks each request up in [`Access`]
//! and refuses a route that has none.

use std::collections::HashMap;

use axum::{
    Router,
    http::{HeaderValue, Method, header},
};
use foldhash::fast::RandomState;
use fusebox_core::error::ErrorCode;
use url::form_urlencoded;
use utoipa::openapi::{
    Components, OpenApi, RefOr, ResponseBuilder,
    path::{Operation, Parameter, ParameterIn, PathItem},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{app::Shared, error::Problem};
use crate::tenancy::Needs;

/// Name of the security scheme in the OpenAPI document.
const SCHEME: &str = "key";
/// Jaro-Winkler similarity (0 to 1) from which a parameter's name is suggested for an unknown one.
const ALIKE: f64 = 0.8;
/// Number of characters of an unknown parameter's name that the response repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// Routes, their OpenAPI document and their access rules.
pub struct Routes {
    router: OpenApiRouter<Shared>,
    access: Access,
}

/// Access rules by path and method.
#[derive(Clone, Debug, Default)]
pub struct Access(HashMap<String, Vec<Row>, RandomState>);

/// Access rule of a route, and the query parameters that it takes.
#[derive(Clone, Debug)]
pub(super) struct Row {
    method: Method,
    pub(super) needs: Needs,
    parameters: Vec<String>,
}

impl Routes {
    /// Starts without routes; `frame` is the document to add them to.
    pub(super) fn new(frame: OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(frame), access: Access::default() }
    }

    /// Adds the methods of a path under one access rule, which is also written into the document.
    pub(super) fn add(mut self, needs: Needs, mut routes: UtoipaMethodRouter<Shared>) -> Self {
        for (path, item) in &mut routes.1.paths {
            for (method, operation) in operations(item) {
                tell(operation, needs);
                self.access.insert(path, Row { method, needs, parameters: parameters(operation) });
            }
        }
        Self { router: self.router.routes(routes), ..self }
    }

    /// Returns the router, its OpenAPI document and the access rules.
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
    /// Adds a rule.
    fn insert(&mut self, path: &str, row: Row) {
        self.0.entry(path.to_owned()).or_default().push(row);
    }

    /// Adds a public route without parameters.
    pub(super) fn open(&mut self, path: &str) {
        self.insert(path, Row { method: Method::GET, needs: Needs::Nothing, parameters: Vec::new() });
    }

    /// Returns every rule.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Method, Needs)> {
        self.0.iter().flat_map(|(path, rows)| rows.iter().map(move |row| (path.as_str(), &row.method, row.needs)))
    }

    /// Returns the rule for a request, given the router's path pattern.
    ///
    /// # Errors
    /// `MethodNotAllowed` if the path has no such method, `Internal` if the route has no rule.
    pub(super) fn row(&self, path: &str, method: &Method) -> Result<&Row, Problem> {
        let Some(rows) = self.0.get(path) else {
            tracing::error!(path, "route has no access rule");
            return Err(Problem::new(ErrorCode::Internal, "this route has no access rule"));
        };
        // HEAD is served by the GET handler.
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        if let Some(row) = rows.iter().find(|row| row.method == asked) {
            return Ok(row);
        }
        let known: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        let allowed = HeaderValue::try_from(known.join(", ")).unwrap_or(HeaderValue::from_static(""));
        let detail = format!("{path} does not support {method}: /docs lists the methods of each route");
        Err(Problem::new(ErrorCode::MethodNotAllowed, detail).with_header(header::ALLOW, allowed))
    }
}

impl Row {
    /// Refuses a query with an unknown parameter. Ignoring it would do something other than the client meant.
    ///
    /// # Errors
    /// `UnprocessableRequest` with the first unknown parameter and the known one that is most similar.
    pub(super) fn check_query(&self, query: Option<&str>) -> Result<(), Problem> {
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(()) };
        let known = |name: &str| self.parameters.iter().any(|known| known == name);
        let Some((unknown, _)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !known(name)) else {
            return Ok(());
        };
        let likeness = |known: &&String| strsim::jaro_winkler(known, &unknown);
        let nearest = self.parameters.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        let advice = match nearest {
            None => "this route has none".to_owned(),
            Some(nearest) if likeness(&nearest) >= ALIKE => format!("did you mean {nearest}?"),
            Some(_) => format!("this route takes {}", self.parameters.join(", ")),
        };
        let shown: String = unknown.chars().take(SHOWN_CHARS_MAX).collect();
        let detail = format!("unknown query parameter {shown:?}: {advice}");
        let problem = Problem::new(ErrorCode::UnprocessableRequest, detail).with("parameter", shown);
        Err(nearest.iter().fold(problem, |problem, nearest| problem.with("nearest", nearest.as_str())))
    }
}

/// Returns the names of an operation's query parameters; its OpenAPI document is the only place that lists them.
fn parameters(operation: &Operation) -> Vec<String> {
    let in_query = |one: &RefOr<Parameter>| match one {
        RefOr::T(one) => (one.parameter_in == ParameterIn::Query).then(|| one.name.clone()),
        RefOr::Ref(_) => None,
    };
    operation.parameters.iter().flatten().filter_map(in_query).collect()
}

/// Returns the operations of a path, with their methods.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
        (Method::OPTIONS, &mut item.options),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Writes the access rule into an operation's document.
fn tell(operation: &mut Operation, needs: Needs) {
    let key = match needs {
        Needs::Nothing => {
            operation.security = Some(Vec::new());
            return;
        }
        Needs::Endpoint => "a key of scope `invoke`, unless the function is public".to_owned(),
        Needs::Scope(scope) => format!("a key of scope `{scope}`"),
        Needs::Operator => "an `admin` key of the default tenant".to_owned(),
    };
    let with_key = SecurityRequirement::new(SCHEME, std::iter::empty::<&str>());
    // An empty requirement makes the key optional.
    let without = (needs == Needs::Endpoint).then(SecurityRequirement::default);
    operation.security = Some(without.into_iter().chain([with_key]).collect());
    let mut add = |status: &str, description: String| {
        let response = ResponseBuilder::new().description(description).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    };
    add("401", "unauthorized: the host has API keys, and the request has no valid one".to_owned());
    add("403", format!("forbidden: the route requires {key}; foreign-origin if the host has no keys"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_store::Scope;

    fn row(method: Method, needs: Needs, parameters: &[&str]) -> Row {
        Row { method, needs, parameters: parameters.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn a_route_without_a_row_is_refused_and_head_is_get() {
        let mut access = Access::default();
        access.insert("/a", row(Method::GET, Needs::Operator, &[]));
        access.insert("/a", row(Method::POST, Needs::Scope(Scope::Deploy), &[]));
        let needs = |path, method| access.row(path, &method).map(|row| row.needs);
        assert_eq!(needs("/a", Method::GET).unwrap(), Needs::Operator);
        assert_eq!(needs("/a", Method::HEAD).unwrap(), Needs::Operator);
        assert_eq!(needs("/a", Method::POST).unwrap(), Needs::Scope(Scope::Deploy));
        assert_eq!(needs("/a", Method::DELETE).unwrap_err().code(), ErrorCode::MethodNotAllowed);
        assert_eq!(needs("/planted", Method::GET).unwrap_err().code(), ErrorCode::Internal);
    }

    #[test]
    fn a_misspelled_parameter_is_refused_with_the_nearest_known_one() {
        let row = row(Method::POST, Needs::Nothing, &["priority", "delay_ms", "fuel", "wall_ms", "grants"]);
        for query in [None, Some(""), Some("delay_ms=5"), Some("wall_ms=1&fuel=2"), Some("delay%5Fms=5"), Some("&")] {
            assert!(row.check_query(query).is_ok(), "{query:?}");
        }
        for (query, nearest) in [
            ("dealy_ms=5", "delay_ms"),
            ("wall=5", "wall_ms"),
            ("fuel=1&grant=kv", "grants"),
            ("Delay_ms=5", "delay_ms"),
            ("priorty", "priority"),
        ] {
            let problem = row.check_query(Some(query)).unwrap_err();
            assert_eq!(problem.code(), ErrorCode::UnprocessableRequest);
            assert!(problem.detail().ends_with(&format!("did you mean {nearest}?")), "{}", problem.detail());
        }
        let problem = row.check_query(Some("zzz=1")).unwrap_err();
        assert!(problem.detail().ends_with("takes priority, delay_ms, fuel, wall_ms, grants"), "{}", problem.detail());
    }
}
