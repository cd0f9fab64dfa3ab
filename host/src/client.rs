//! The REST client of the command line: typed answers, and errors that keep the problem's code.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_api::{
    functions::{FunctionPage, FunctionView},
    problem::Problem,
    tasks::ReceiptView,
};
use fusebox_core::{function::Grants, limits::PAGE_ROWS_MAX};
use reqwest::{
    RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use serde::de::DeserializeOwned;

use crate::cli::{Credentials, HostArgs, LimitArgs};

use self::tls::Authorities;

pub mod events;
mod identity;
mod proxies;
mod settings;
mod tasks;
pub mod tls;

/// Timeout of a request: longer than the host keeps any request open.
const TIMEOUT: Duration = Duration::from_secs(330);
/// Time after which a host that accepts no connection counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most rows read for a listing; REST itself pages through more.
const ROWS_MAX: usize = 10_000;

/// REST client of one host.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// Address without user name and password, as messages show it.
    shown: String,
}

/// Result of a successful run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Output of the run.
    pub output: Vec<u8>,
    /// Resources used.
    pub receipt: ReceiptView,
    /// End of the log; empty unless requested.
    pub log: Vec<u8>,
}

/// Error of a request to the host.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No host answers at the address.
    #[error("no host answers at {url}: start one with `fusebox up`, or name another with --url ({reason})")]
    Unreachable {
        /// Address of the host.
        url: String,
        /// Reason as the system reports it.
        reason: String,
    },
    /// The host refused the request, or the function failed.
    #[error("{}: {}", .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// A server answers, but not as a Fusebox host.
    #[error("the server at {url} is not a Fusebox host of this version: {reason}")]
    Protocol {
        /// Address of the server.
        url: String,
        /// Mismatch that was found.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {url} is not trusted: name its certificate authority with --ca FILE ({reason})")]
    Untrusted {
        /// Address of the server.
        url: String,
        /// Reason as TLS reports it.
        reason: String,
    },
    /// No certificate authority could be read.
    #[error("{0}")]
    Authorities(String),
    /// The API key cannot be sent as a header.
    #[error("not an API key: give one such as fb_…, as printed by `fusebox keys create`")]
    BadKey,
    /// The address of the host is not a valid URL.
    #[error("{url:?} is not the address of a host: give one such as http://127.0.0.1:8000 ({reason})")]
    BadUrl {
        /// Address as given.
        url: String,
        /// Reason it is invalid.
        reason: String,
    },
}

/// Statuses of a host that is unavailable, busy or restarting.
const AWAY: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

impl ClientError {
    /// True if a later try is likely to succeed: no host answers, or it is busy or restarting. A failed run is
    /// permanent; its problem has a receipt.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => {
                problem.receipt.is_none() && AWAY.iter().any(|status| status.as_u16() == problem.status)
            }
            _ => false,
        }
    }

    /// Returns the reason alone, without the address.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable { reason, .. } => reason.clone(),
            error => error.to_string(),
        }
    }
}

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// Creates a client of the host at `url`.
    ///
    /// # Errors
    /// Fails with [`ClientError::BadUrl`] if `url` is invalid.
    pub fn new(url: &str) -> Result<Self> {
        Self::build(url, None, None)
    }

    /// Creates a client of the host at `url`, with an API key if one is given.
    ///
    /// # Errors
    /// Fails with [`ClientError::BadUrl`] if `url` is invalid, [`ClientError::BadKey`] if the key is.
    pub fn with_key(url: &str, key: Option<&Credentials>) -> Result<Self> {
        Self::build(url, None, key)
    }

    /// Creates a client of the host that the command line names.
    ///
    /// # Errors
    /// Fails if the address or the API key is invalid, or the certificate authority cannot be read.
    pub fn of(host: &HostArgs) -> Result<Self> {
        Self::build(&host.url, host.ca.as_deref(), host.api_key.as_ref())
    }

    fn build(url: &str, ca: Option<&Path>, key: Option<&Credentials>) -> Result<Self> {
        let bad = |reason: String| ClientError::BadUrl { url: url.to_owned(), reason };
        let base: Url = url.parse().map_err(|error| bad(format!("{error}")))?;
        let authorities = match (base.scheme(), ca) {
            _ if base.cannot_be_a_base() => return Err(bad("it names no host".to_owned())),
            ("http", _) => Authorities::None,
            ("https", None) => Authorities::System,
            ("https", Some(file)) => Authorities::File(file),
            _ => return Err(bad("it must start with http:// or https://".to_owned())),
        };
        let tls = tls::config(authorities).map_err(ClientError::Authorities)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let value = HeaderValue::try_from(format!("Bearer {}", key.reveal()));
            let mut value = value.map_err(|_| ClientError::BadKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
        let http = proxies::set_up(http, &base, key.is_some()).tls_backend_preconfigured(tls);
        // A host never redirects, and the key must not reach another server.
        let http = http.default_headers(headers).redirect(Policy::none()).build();
        let shown = without_password(&base);
        Ok(Self { http: http.map_err(|error| bad(error.to_string()))?, base, shown })
    }

    /// Registers a function.
    pub async fn register(
        &self,
        name: &str,
        limits: LimitArgs,
        grants: &Grants,
        wasm: Vec<u8>,
    ) -> Result<FunctionView> {
        let mut url = self.url(&["v1", "functions"]);
        url.query_pairs_mut().append_pair("name", name);
        let limits = [
            ("fuel", limits.fuel),
            ("wall_ms", limits.wall.map(u64::from)),
            ("memory_bytes", limits.memory),
            ("output_bytes", limits.output_size),
            ("log_bytes", limits.log_size),
        ];
        for (name, value) in limits {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value.to_string());
            }
        }
        if *grants != Grants::default() {
            url.query_pairs_mut().append_pair("grants", &grants.to_list());
        }
        let request = self.http.post(url).header("content-type", "application/wasm").body(wasm);
        self.json(request).await
    }

    /// Lists the newest version of each function.
    pub async fn functions(&self) -> Result<Vec<FunctionView>> {
        self.pages(self.url(&["v1", "functions"]), |page: FunctionPage| (page.items, page.next)).await
    }

    /// Lists the versions of a function, newest first.
    pub async fn versions(&self, function: &str) -> Result<Vec<FunctionView>> {
        let url = self.url(&["v1", "functions", function, "versions"]);
        self.pages(url, |page: FunctionPage| (page.items, page.next)).await
    }

    /// Reads a list page by page, up to [`ROWS_MAX`] rows.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        list: Url,
        rows: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let mut url = list.clone();
            url.query_pairs_mut()
                .append_pair("limit", &PAGE_ROWS_MAX.to_string())
                .extend_pairs(cursor.iter().map(|next: &String| ("cursor", next)));
            let (more, next) = rows(self.json(self.http.get(url)).await?);
            all.extend(more);
            match next {
                Some(next) if all.len() < ROWS_MAX => cursor = Some(next),
                _ => return Ok(all),
            }
        }
    }

    /// Deletes a version or a function.
    pub async fn delete_function(&self, function: &str) -> Result<()> {
        self.send(self.http.delete(self.url(&["v1", "functions", function]))).await.map(drop)
    }

    /// Runs a function and waits for its output.
    pub async fn invoke(&self, function: &str, input: Vec<u8>, with_log: bool) -> Result<Ran> {
        let request = self.http.post(self.url(&["v1", "functions", function, "invoke"])).body(input);
        let request = if with_log { request.header("fusebox-log", "tail") } else { request };
        self.ran(self.send(request).await?).await
    }

    /// URL of a path whose segments may hold any character.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let log = log_tail(&answer);
        let body = self.body(answer).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(Problem { log, ..problem }))),
            // While the host is unavailable, a proxy in front of it answers in its place.
            Err(_) if AWAY.contains(&status) => {
                let reason = format!("a proxy in front of it answers HTTP {}", status.as_u16());
                Err(ClientError::Unreachable { url: self.shown.clone(), reason })
            }
            Err(_) => Err(self.protocol(format!("HTTP {}", status.as_u16()))),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let answer = self.send(request).await?;
        let body = self.body(answer).await?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(error.to_string()))
    }

    async fn ran(&self, answer: Response) -> Result<Ran> {
        if answer.status() != StatusCode::OK {
            return Err(self.protocol(format!("HTTP {}", answer.status().as_u16())));
        }
        let receipt = answer.headers().get("fusebox-receipt").map(HeaderValue::as_bytes).unwrap_or_default();
        let receipt = serde_json::from_slice(receipt);
        let receipt = receipt.map_err(|error| self.protocol(format!("it sends no receipt: {error}")))?;
        let log = log_tail(&answer);
        Ok(Ran { output: self.body(answer).await?, receipt, log })
    }

    async fn body(&self, answer: Response) -> Result<Vec<u8>> {
        Ok(answer.bytes().await.map_err(|error| self.unreachable(&error))?.to_vec())
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(deeper) = source {
            reason = deeper.to_string();
            source = deeper.source();
        }
        let url = self.shown.clone();
        if reason.starts_with("invalid peer certificate") {
            return ClientError::Untrusted { url, reason };
        }
        ClientError::Unreachable { url, reason }
    }

    fn protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { url: self.shown.clone(), reason }
    }
}

/// The address without the user name and password that it may hold.
fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for an address without a host, which has no user name or password.
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    url.to_string()
}

/// End of a run's log, decoded from its header.
fn log_tail(answer: &Response) -> Vec<u8> {
    let header = answer.headers().get("fusebox-log").map(HeaderValue::as_bytes).unwrap_or_default();
    STANDARD.decode(header).unwrap_or_default()
}
