//! What each route needs. [`Routes`] takes no route without saying so; [`Access`] is asked by the guard for each request,
//! and a route it does not know of is refused.

use std::collections::HashMap;

use axum::{
    Router,
    http::{HeaderValue, Method, header},
};
use fusebox_core::error::ErrorCode;
use url::form_urlencoded;
use utoipa::openapi::{
    Components, OpenApi, RefOr, ResponseBuilder,
    path::{Operation, Parameter, ParameterIn, PathItem},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{Shared, error::Problem};
use crate::tenancy::Needs;

/// The document's name for how keys are sent.
const SCHEME: &str = "key";
/// From this likeness on (Jaro-Winkler, 0 to 1), one name is taken for a slip in writing another.
const ALIKE: f64 = 0.8;
/// Of an unknown parameter's name, an answer repeats so many characters.
const SHOWN_CHARS_MAX: usize = 64;

/// The routes, their document, and what each needs.
pub struct Routes {
    router: OpenApiRouter<Shared>,
    access: Access,
}

/// What the routes need, by path and method.
#[derive(Clone, Debug, Default)]
pub struct Access(HashMap<String, Vec<Row>>);

/// A route's needs, and the parameters that its query may have.
#[derive(Clone, Debug)]
pub(super) struct Row {
    method: Method,
    pub(super) needs: Needs,
    parameters: Vec<String>,
}

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
                self.access.insert(path, Row { method, needs, parameters: parameters(operation) });
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
    fn insert(&mut self, path: &str, row: Row) {
        self.0.entry(path.to_owned()).or_default().push(row);
    }

    /// Adds a route that anyone may read and that takes no parameters.
    pub(super) fn open(&mut self, path: &str) {
        self.insert(path, Row { method: Method::GET, needs: Needs::Nothing, parameters: Vec::new() });
    }

    /// Every route.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Method, Needs)> {
        self.0.iter().flat_map(|(path, rows)| rows.iter().map(move |row| (path.as_str(), &row.method, row.needs)))
    }

    /// The row of a request for a path of the router.
    ///
    /// # Errors
    /// Where the path has no such method, or is not known here.
    pub(super) fn row(&self, path: &str, method: &Method) -> Result<&Row, Problem> {
        let Some(rows) = self.0.get(path) else {
            tracing::error!(path, "a route that says not what it needs is refused");
            return Err(Problem::new(ErrorCode::Internal, "the host does not say who may use this route"));
        };
        // What answers a GET answers its HEAD.
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        if let Some(row) = rows.iter().find(|row| row.method == asked) {
            return Ok(row);
        }
        let known: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        let allowed = HeaderValue::try_from(known.join(", ")).unwrap_or(HeaderValue::from_static(""));
        let detail = format!("{path} has no {method}: /docs lists what it has");
        Err(Problem::new(ErrorCode::MethodNotAllowed, detail).with_header(header::ALLOW, allowed))
    }
}

impl Row {
    /// Refuses a query that says what the route does not know: run without it, a request would do something else than
    /// was meant.
    ///
    /// # Errors
    /// The first such parameter, and the known one that is most like it.
    pub(super) fn check_query(&self, query: Option<&str>) -> Result<(), Problem> {
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(()) };
        let known = |name: &str| self.parameters.iter().any(|known| known == name);
        let Some((unknown, _)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !known(name)) else {
            return Ok(());
        };
        let likeness = |known: &&String| strsim::jaro_winkler(known, &unknown);
        let nearest = self.parameters.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        let advice = match nearest {
            None => "this route takes none".to_owned(),
            Some(nearest) if likeness(&nearest) >= ALIKE => format!("did you mean {nearest}?"),
            Some(_) => format!("this route takes {}", self.parameters.join(", ")),
        };
        let shown: String = unknown.chars().take(SHOWN_CHARS_MAX).collect();
        let detail = format!("there is no query parameter {shown:?} here: {advice}");
        let problem = Problem::new(ErrorCode::UnprocessableRequest, detail).with("parameter", shown);
        Err(nearest.iter().fold(problem, |problem, nearest| problem.with("nearest", nearest.as_str())))
    }
}

/// The names of an operation's query parameters: its document is the one place that says them.
fn parameters(operation: &Operation) -> Vec<String> {
    let in_query = |one: &RefOr<Parameter>| match one {
        RefOr::T(one) => (one.parameter_in == ParameterIn::Query).then(|| one.name.clone()),
        RefOr::Ref(_) => None,
    };
    operation.parameters.iter().flatten().filter_map(in_query).collect()
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
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    };
    add("401", "unauthorized: the host has keys, and none that is good was given".to_owned());
    add("403", format!("forbidden: it takes {key}; foreign-origin where the host has no keys"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Scope;

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
