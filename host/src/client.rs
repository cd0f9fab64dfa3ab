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

/// Longer than the host keeps any request open.
const TIMEOUT: Duration = Duration::from_secs(330);
/// A host that takes no connection for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows read for a listing; who has more pages through REST.
const ROWS_MAX: usize = 10_000;

/// Speaks to one host.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// The address without a name and password, as messages show it.
    shown: String,
}

/// A run that ended well.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The output.
    pub output: Vec<u8>,
    /// What it used.
    pub receipt: ReceiptView,
    /// The end of the log, where it was asked for.
    pub log: Vec<u8>,
}

/// Why there is no answer, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers there.
    #[error("no host answers at {url}: start one with `fusebox up`, or name another with --url ({reason})")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The host refused, or the function failed.
    #[error("{}: {}", .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// Something answers, but no Fusebox host.
    #[error("what answers at {url} is no Fusebox host of this version: {reason}")]
    Protocol {
        /// Where.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Something answers, but cannot prove that it is the host.
    #[error("the certificate of {url} is not believed: name who vouches for it with --ca FILE ({reason})")]
    Untrusted {
        /// Where.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody is known who could vouch for a host's certificate.
    #[error("{0}")]
    Authorities(String),
    /// The API key cannot be one.
    #[error("what was given as an API key is none: it should be one such as fb_… that `fusebox keys create` prints")]
    BadKey,
    /// The URL cannot be one.
    #[error("{url:?} is no address of a host: give one such as http://127.0.0.1:8000 ({reason})")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// Answers of a host that is away, busy or restarting.
const AWAY: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

impl ClientError {
    /// Whether it is likely to pass by itself: nothing answers, or the host is busy or restarting. A run that failed does
    /// not pass; its problem has a receipt.
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

    /// The reason alone.
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
    /// A client of the host at `url`.
    ///
    /// # Errors
    /// Where `url` is no URL.
    pub fn new(url: &str) -> Result<Self> {
        Self::build(url, None, None)
    }

    /// A client of the host at `url`, with a key where there is one.
    ///
    /// # Errors
    /// Where `url` is no URL, or the key none.
    pub fn with_key(url: &str, key: Option<&Credentials>) -> Result<Self> {
        Self::build(url, None, key)
    }

    /// A client of the host that the command line names.
    ///
    /// # Errors
    /// Where its address is none, its certificate authority cannot be read, or the key is none.
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
        // A host redirects nobody, and the key is for it alone.
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

    /// The newest version of each function.
    pub async fn functions(&self) -> Result<Vec<FunctionView>> {
        self.pages(self.url(&["v1", "functions"]), |page: FunctionPage| (page.items, page.next)).await
    }

    /// The versions of a function, newest first.
    pub async fn versions(&self, function: &str) -> Result<Vec<FunctionView>> {
        let url = self.url(&["v1", "functions", function, "versions"]);
        self.pages(url, |page: FunctionPage| (page.items, page.next)).await
    }

    /// The rows of a list, page by page, up to [`ROWS_MAX`].
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

    /// Removes a version or a function.
    pub async fn delete_function(&self, function: &str) -> Result<()> {
        self.send(self.http.delete(self.url(&["v1", "functions", function]))).await.map(drop)
    }

    /// Runs a function now.
    pub async fn invoke(&self, function: &str, input: Vec<u8>, with_log: bool) -> Result<Ran> {
        let request = self.http.post(self.url(&["v1", "functions", function, "invoke"])).body(input);
        let request = if with_log { request.header("fusebox-log", "tail") } else { request };
        self.ran(self.send(request).await?).await
    }

    /// A path of segments that may hold any character.
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
            // A proxy in front of the host speaks for it while it is away.
            Err(_) if AWAY.contains(&status) => {
                let reason = format!("what is in front of it answers HTTP {}", status.as_u16());
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

/// An address without the name and password that may stand in it.
fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    // Only an address without a host refuses, and has neither.
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    url.to_string()
}

/// The end of a run's log, from its header.
fn log_tail(answer: &Response) -> Vec<u8> {
    let header = answer.headers().get("fusebox-log").map(HeaderValue::as_bytes).unwrap_or_default();
    STANDARD.decode(header).unwrap_or_default()
}
