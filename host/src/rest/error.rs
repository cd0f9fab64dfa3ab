//! The only place that maps error codes to HTTP statuses and `application/problem+json` bodies (RFC 9457).

use std::borrow::Cow;

use axum::{
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use fusebox_core::{
    capability::GrantError,
    error::{ErrorClass, ErrorCode},
    function::LimitError,
    http::MessageError,
    name::NameError,
};
use fusebox_sandbox::ModuleError;
use serde::Serialize;
use serde_json::{Map, Value};

use super::request_id;
use crate::tenancy::{Refusal, admin::AdminError};
use fusebox_store::Acting;

/// Prefix of a problem's type URI; the code follows.
const TYPE_BASE: &str = "https://fusebox.dev/problems/";
/// `Retry-After` in seconds if no better value is known.
const RETRY_AFTER_S: u32 = 1;
/// `Retry-After` of a full store in seconds: it takes ends of tasks or an operator to make room.
const FULL_S: u32 = 10;

/// Sentence of a store that has no room.
pub(super) const STORE_FULL: &str =
    "the store is full: what it has goes on; delete tasks, values or functions, or try again later";

/// Error response.
#[derive(Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: Cow<'static, str>,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// True if the client sent its request to a function, for which this host is a gateway.
    is_of_gateway: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Problem {
    /// Creates a problem; `detail` is a sentence that says what to do.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), more: Map::new(), headers: Vec::new(), is_of_gateway: false }
    }

    /// Creates the problem of a store that has no room; `detail` is as in [`Problem::new`].
    pub(super) fn store_full(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::StoreFull, detail).with_header(header::RETRY_AFTER, FULL_S.into())
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Gives a failed run the status of a gateway: 504 if it took too long, otherwise 502.
    #[must_use]
    pub(super) fn of_gateway(mut self) -> Self {
        self.is_of_gateway = true;
        self
    }

    /// Returns true if what the request names is not there.
    pub(super) fn is_absence(&self) -> bool {
        status(self.code) == StatusCode::NOT_FOUND
    }

    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the detail.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the problem if it can stand in the row of one item.
    ///
    /// # Errors
    /// Fails with the problem if the fault is not the client's: the whole request then fails, as other items would meet
    /// it too.
    pub(super) fn of_item(self) -> Result<Self, Self> {
        match self.code.class() {
            ErrorClass::Client => Ok(self),
            ErrorClass::Guest | ErrorClass::Host => Err(self),
        }
    }
}

/// Maps a code to an HTTP status.
#[must_use]
pub const fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as Code;
    match code {
        Code::UnprocessableRequest | Code::IdempotencyConflict | Code::InvalidTags => StatusCode::UNPROCESSABLE_ENTITY,
        Code::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::FunctionNotFound | Code::TaskNotFound | Code::RouteNotFound => StatusCode::NOT_FOUND,
        Code::KeyNotFound | Code::TenantNotFound | Code::SettingNotFound | Code::JobNotFound => StatusCode::NOT_FOUND,
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::ForeignOrigin | Code::Forbidden => StatusCode::FORBIDDEN,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::TaskNotEnded | Code::TaskEnded | Code::TaskNotFailed | Code::InputGone => StatusCode::CONFLICT,
        Code::KeyEnded | Code::TenantExists | Code::TenantStays => StatusCode::CONFLICT,
        Code::FunctionCompiling | Code::FunctionFailed => StatusCode::CONFLICT,
        Code::QueueFull | Code::FunctionQuota | Code::SettingQuota | Code::CompileQuota => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Code::RateLimited | Code::RunningQuota | Code::FuelQuota => StatusCode::TOO_MANY_REQUESTS,
        Code::KeyQuota | Code::TenantQuota | Code::StorageQuota | Code::JobQuota => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded | Code::ShuttingDown | Code::StoreUnavailable | Code::StoreFull | Code::NoDispatcher => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::NoSecretsKey => StatusCode::NOT_IMPLEMENTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => match code.class() {
            ErrorClass::Client => StatusCode::BAD_REQUEST,
            // Neither the request nor the host is at fault: the function that the response depends on failed.
            ErrorClass::Guest | ErrorClass::Host => StatusCode::FAILED_DEPENDENCY,
        },
    }
}

/// Turns a code into a title: `out-of-fuel` becomes "Out of fuel".
fn title(code: ErrorCode) -> String {
    let mut title = code.as_str().replace('-', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = match status(self.code) {
            StatusCode::FAILED_DEPENDENCY if self.is_of_gateway => match self.code {
                ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_GATEWAY,
            },
            status => status,
        };
        let body = Body {
            kind: format!("{TYPE_BASE}{}", self.code),
            title: title(self.code),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            request_id: request_id::current(),
            more: &self.more,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let try_again = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            || self.code == ErrorCode::TaskNotEnded;
        if try_again {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

impl From<fusebox_store::Error> for Problem {
    fn from(error: fusebox_store::Error) -> Self {
        match error {
            fusebox_store::Error::Corrupt(_) => {
                tracing::error!(%error, "a stored record cannot be read");
                Self::new(ErrorCode::Internal, "a stored record cannot be read; the host's log has the reason")
            }
            // Said in the log once a minute.
            fusebox_store::Error::Full(_) => Self::store_full(STORE_FULL),
            // Said in the log by the store itself.
            fusebox_store::Error::Emptied { .. } => Self::new(
                ErrorCode::StoreUnavailable,
                "the store has lost its functions, keys and tasks, or was replaced: the host's log describes the remedy",
            ),
            _ => {
                tracing::warn!(%error, "the store does not answer");
                Self::new(ErrorCode::StoreUnavailable, "the store does not answer: try again in a moment")
            }
        }
    }
}

/// Refusals for lack of a valid key carry the challenge of RFC 6750, which says how to send one.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (code, detail, challenge) = match refusal {
            Refusal::NoKey => {
                let detail =
                    "an API key is required: send `Authorization: Bearer fb_…`, which `fusebox keys create` makes";
                (ErrorCode::Unauthorized, detail, "Bearer realm=\"fusebox\"")
            }
            Refusal::BadKey => {
                let detail = "the API key is unknown, expired or revoked: use another one";
                (ErrorCode::Unauthorized, detail, "Bearer realm=\"fusebox\", error=\"invalid_token\"")
            }
            Refusal::Forbidden(_) => {
                let detail = "the API key lacks the scope for this route: /docs lists the scope of each";
                (ErrorCode::Forbidden, detail, "Bearer realm=\"fusebox\", error=\"insufficient_scope\"")
            }
            Refusal::Store(error) => return error.into(),
        };
        Self::new(code, detail).with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        let code = match error {
            AdminError::Store(error) => return error.into(),
            AdminError::Denied(Acting::Keyless) => return Refusal::NoKey.into(),
            AdminError::Denied(_) => return Refusal::BadKey.into(),
            AdminError::OutOfBounds(asked) => {
                let problem = Self::new(ErrorCode::UnprocessableRequest, asked.to_string());
                return problem.with("field", asked.name).with("min", asked.min).with("max", asked.max);
            }
            AdminError::BadName => ErrorCode::InvalidName,
            AdminError::NoTenant(_) => ErrorCode::TenantNotFound,
            AdminError::TenantTaken(_) => ErrorCode::TenantExists,
            AdminError::TenantStays(_) => ErrorCode::TenantStays,
            AdminError::TenantsFull => ErrorCode::TenantQuota,
            AdminError::NoKey(_) => ErrorCode::KeyNotFound,
            AdminError::NotGood(_) => ErrorCode::KeyEnded,
            AdminError::KeysFull => ErrorCode::KeyQuota,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ModuleError> for Problem {
    fn from(error: ModuleError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(ErrorCode::InvalidName, error.to_string())
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        let detail = error.to_string();
        match error {
            GrantError::Port(port) => Self::new(ErrorCode::UnprocessableRequest, detail).with("port", port),
            _ => Self::new(ErrorCode::InvalidRequest, detail),
        }
    }
}

impl From<MessageError> for Problem {
    fn from(error: MessageError) -> Self {
        Self::new(ErrorCode::InvalidRequest, error.to_string())
    }
}

impl From<LimitError> for Problem {
    fn from(error: LimitError) -> Self {
        Self::new(ErrorCode::InvalidLimits, error.to_string()).with("limit", error.name).with("max", error.max)
    }
}

/// Handles unknown paths, and `OPTIONS *`, which names no path.
pub async fn no_route(method: Method, uri: Uri) -> Result<StatusCode, Problem> {
    // RFC 9110, 9.3.7: such a request only tests whether the server answers.
    if method == Method::OPTIONS && uri.path() == "*" {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("no route {}: /docs lists every route", uri.path());
    Err(Problem::new(ErrorCode::RouteNotFound, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_fault_is_never_the_hosts_error() {
        for code in ErrorCode::ALL.iter().filter(|code| code.class() == ErrorClass::Guest) {
            assert_eq!(status(*code), StatusCode::FAILED_DEPENDENCY, "{code}");
        }
        for code in ErrorCode::ALL.iter().filter(|code| code.class() == ErrorClass::Client) {
            assert!(status(*code).is_client_error(), "{code}");
        }
    }

    #[test]
    fn a_title_is_the_code_in_words() {
        assert_eq!(title(ErrorCode::OutOfFuel), "Out of fuel");
    }
}
