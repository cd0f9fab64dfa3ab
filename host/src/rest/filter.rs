//! Filters of tasks: from a query or a JSON body to a selection of the store. A value that is malformed is refused with its
//! place and an example.

use std::time::Duration;

use axum::{extract::FromRequestParts, http::request::Parts};
use fusebox_api::filter::TaskFilter;
use fusebox_core::{
    error::ErrorCode,
    id::FunctionId,
    limits::PAGE_ROWS_MAX,
    name::{FunctionName, TenantId},
    task::Status,
    time::Millis,
};
use fusebox_store::{Order, PageRequest, Runs, Selection};
use url::form_urlencoded;

use super::{App, error::Problem, functions, keys::whose, setup::once, tenants::absent};
use crate::tenancy::Caller;

/// Filter in a query. Other parameters of the query are others' to read.
pub struct FilterQuery(pub TaskFilter);

impl<S: Send + Sync> FromRequestParts<S> for FilterQuery {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut filter = TaskFilter::default();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "function" => once(&mut filter.function, "function", value)?,
                "version" => once(&mut filter.version, "version", number(&value)?)?,
                "status" => once(&mut filter.status, "status", value)?,
                "code" => once(&mut filter.code, "code", value)?,
                "worker" => once(&mut filter.worker, "worker", value)?,
                "tag" => filter.tag.push(value),
                "since" => once(&mut filter.since, "since", value)?,
                "until" => once(&mut filter.until, "until", value)?,
                "retry_of" => once(&mut filter.retry_of, "retry_of", value)?,
                "tenant" => once(&mut filter.tenant, "tenant", value)?,
                _ => {}
            }
        }
        Ok(Self(filter))
    }
}

fn number(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| wrong("version", text, "the number of a version", "version=3"))
}

/// Reads a filter: whose tasks it selects, and which.
///
/// # Errors
/// `UnprocessableRequest` with the first value that is malformed, `FunctionNotFound` and `TenantNotFound`.
pub(super) async fn read(app: &App, caller: &Caller, filter: &TaskFilter) -> Result<(TenantId, Selection), Problem> {
    let now = app.clock.now();
    let tags = filter.tag.iter().map(|tag| {
        tag.parse().map_err(|error: fusebox_core::tags::TagError| {
            Problem::new(ErrorCode::UnprocessableRequest, format!("tag: {error}")).with("parameter", "tag")
        })
    });
    let selection = Selection {
        function: None,
        status: filter.status.as_deref().map(status).transpose()?,
        code: filter.code.as_deref().map(code).transpose()?,
        worker: filter.worker.as_deref().map(|text| id("worker", text)).transpose()?,
        tags: tags.collect::<Result<_, _>>()?,
        since: filter.since.as_deref().map(|text| time("since", text, now)).transpose()?,
        until: filter.until.as_deref().map(|text| time("until", text, now)).transpose()?,
        retry_of: filter.retry_of.as_deref().map(|text| id("retry_of", text)).transpose()?,
    };
    let tenant = tenant(app, caller, filter.tenant.as_deref()).await?;
    let function = function(app, &tenant, filter.function.as_deref(), filter.version).await?;
    Ok((tenant, Selection { function, ..selection }))
}

/// Returns the tenant whose tasks are meant: the caller's, or one that an operator names.
async fn tenant(app: &App, caller: &Caller, named: Option<&str>) -> Result<TenantId, Problem> {
    let Some(named) = named else { return Ok(caller.tenant.clone()) };
    let tenant = whose(caller, Some(named.parse().map_err(|_| absent(named))?))?;
    match tenant == caller.tenant || app.store.tenants().await?.iter().any(|known| known.id == tenant) {
        true => Ok(tenant),
        false => Err(absent(named)),
    }
}

/// Reads the order of a listing.
///
/// # Errors
/// `UnprocessableRequest` if there is no such order.
pub(super) fn order(text: Option<&str>) -> Result<Order, Problem> {
    match text {
        None | Some("newest") => Ok(Order::Newest),
        Some("oldest") => Ok(Order::Oldest),
        Some(other) => Err(wrong("order", other, "one of newest and oldest", "order=oldest")),
    }
}

/// Builds the problem of a parameter whose value is malformed.
pub(super) fn wrong(parameter: &str, value: &str, expected: &str, example: &str) -> Problem {
    const SHOWN_CHARS_MAX: usize = 64;
    let shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    let detail = format!("{parameter} {shown:?} is not {expected}: write one such as {example}");
    Problem::new(ErrorCode::UnprocessableRequest, detail).with("parameter", parameter).with("example", example)
}

fn status(text: &str) -> Result<Status, Problem> {
    let known = [Status::Queued, Status::Running, Status::Completed, Status::Failed];
    let found = known.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| wrong("status", text, "one of QUEUED, RUNNING, COMPLETED and FAILED", "status=FAILED"))
}

fn code(text: &str) -> Result<ErrorCode, Problem> {
    let found = ErrorCode::ALL.iter().copied().find(|known| known.as_str() == text);
    found.ok_or_else(|| wrong("code", text, "an error code", "code=out-of-fuel"))
}

fn id<T: std::str::FromStr>(parameter: &str, text: &str) -> Result<T, Problem> {
    let example = format!("{parameter}=0190d5a0-7b1a-7c3e-8f00-0123456789ab");
    text.parse().map_err(|_| wrong(parameter, text, "a UUID", &example))
}

fn time(parameter: &str, text: &str, now: Millis) -> Result<Millis, Problem> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let at = || humantime::parse_rfc3339(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok();
    let ago = || humantime::parse_duration(text).ok();
    let found = at().map(|at| Millis(ms(at))).or_else(|| ago().map(|ago| now.minus(ms(ago))));
    let example = format!("{parameter}=2026-01-31T12:00:00Z or {parameter}=1h");
    found.ok_or_else(|| wrong(parameter, text, "a time in UTC (RFC 3339) or a time ago", &example))
}

/// Finds the function of a filter: a version by its id, which may be deleted, or by its number, or all versions of a name.
async fn function(
    app: &App,
    tenant: &TenantId,
    function: Option<&str>,
    version: Option<u32>,
) -> Result<Option<Runs>, Problem> {
    let Some(function) = function else {
        return match version {
            None => Ok(None),
            Some(version) => {
                let (version, expected) = (version.to_string(), "given together with the name of a function");
                Err(wrong("version", &version, expected, "function=hello&version=3"))
            }
        };
    };
    if let Ok(id) = function.parse::<FunctionId>() {
        return match version {
            None => Ok(Some(Runs::Version(id))),
            Some(version) => {
                let (version, expected) = (version.to_string(), "needed beside the id of a version");
                Err(wrong("version", &version, expected, "function=hello&version=3"))
            }
        };
    }
    let name = functions::find(app, tenant, function).await?.name;
    match version {
        None => Ok(Some(Runs::Name(name))),
        Some(version) => numbered(app, tenant, &name, version).await.map(|id| Some(Runs::Version(id))),
    }
}

/// Returns the id of a version by its number.
async fn numbered(app: &App, tenant: &TenantId, name: &FunctionName, number: u32) -> Result<FunctionId, Problem> {
    let mut cursor = None;
    loop {
        let page = app.store.versions(tenant, name, &PageRequest { cursor, rows: PAGE_ROWS_MAX }).await?;
        if let Some(found) = page.items.iter().find(|version| version.version == number) {
            return Ok(found.id);
        }
        cursor = page.next;
        if cursor.is_none() {
            let detail = format!("the function {name} has no version {number}");
            return Err(Problem::new(ErrorCode::FunctionNotFound, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused_with_their_place_and_an_example() {
        let now = Millis(1_000_000_000_000);
        assert_eq!(time("since", "1970-01-01T00:00:01.5Z", now).unwrap(), Millis(1_500));
        assert_eq!(time("since", "1h 30m", now).unwrap(), now.minus(5_400_000));
        assert_eq!((status("failed").unwrap(), code("trap").unwrap()), (Status::Failed, ErrorCode::Trap));
        assert_eq!((order(None).unwrap(), order(Some("oldest")).unwrap()), (Order::Newest, Order::Oldest));
        let refused = |problem: Problem, words: &str| {
            assert_eq!(problem.code(), ErrorCode::UnprocessableRequest);
            assert!(problem.detail().contains(words), "{}", problem.detail());
        };
        refused(time("since", "yesterday", now).unwrap_err(), "such as since=2026-01-31T12:00:00Z or since=1h");
        refused(status("DONE").unwrap_err(), "status \"DONE\" is not one of QUEUED");
        refused(code("oops").unwrap_err(), "such as code=out-of-fuel");
        refused(id::<FunctionId>("worker", "7").unwrap_err(), "worker \"7\" is not a UUID");
        refused(order(Some("up")).unwrap_err(), "order=oldest");
        refused(number("v3").unwrap_err(), "version=3");
    }
}
