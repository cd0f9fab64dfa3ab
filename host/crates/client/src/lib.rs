//! REST client of a Fusebox host: registers functions, runs them, submits tasks and reads how they end.
//!
//! Answers are the types of [`fusebox_api`]. Errors keep the stable code of the host's problem document; see
//! [`ClientError`]. A [`Client`] keeps connections open between requests, so make one and share it.
//!
//! | to | call |
//! |---|---|
//! | make a client | [`Client::new`], or [`Client::build`] with an API key or a certificate authority |
//! | register and list functions | [`Client::register`], [`Client::compiled`], [`Client::functions`], [`Client::versions`] |
//! | run a function now | [`Client::invoke`] |
//! | run it as a task, which survives a crash of the host | [`Client::submit`], [`Client::batch`] |
//! | wait for tasks | [`Client::submit_and_wait`], [`Client::wait_for`], [`Client::wait`], [`Client::events`] |
//! | read tasks | [`Client::task`], [`Client::tasks`], [`Client::result`], [`Client::log`] |
//!
//! ```
//! use std::time::Duration;
//!
//! use fusebox_client::{Client, LimitParams};
//!
//! # // Stands for a host: it accepts any function and greets whoever its input names.
//! # async fn host() -> std::io::Result<String> {
//! #     use axum::{Json, Router, routing::{get, post}};
//! #     use serde_json::json;
//! #     let receipt = json!({"fuel": 1900, "wall_us": 40, "cpu_us": 40, "queue_us": 0, "load_us": 0, "instantiate_us": 9,
//! #         "memory_bytes": 65536, "output_bytes": 11, "log_bytes": 0, "attempt": 1, "worker": null});
//! #     let function = json!({"id": "f", "name": "hello", "version": 1, "module": "m", "module_bytes": 8, "abi": "core",
//! #         "limits": {"fuel": 1, "wall_ms": 1, "memory_bytes": 1, "output_bytes": 1, "log_bytes": 1}, "created_at": "now"});
//! #     let task = |status: &str| json!({"id": "t", "function_id": "f", "status": status, "attempt": 1, "attempts_max": 3,
//! #         "priority": "normal", "created_at": "now", "ended_at": null, "error": null, "receipt": null});
//! #     let header = [("fusebox-receipt", receipt.to_string())];
//! #     let (queued, ended) = (task("QUEUED"), task("COMPLETED"));
//! #     let router = Router::new()
//! #         .route("/v1/functions", post(async || Json(function)))
//! #         .route("/v1/functions/hello/invoke", post(async |name: String| (header, format!("Hello, {name}!"))))
//! #         .route("/v1/functions/hello/tasks", post(async || Json(queued)))
//! #         .route("/v1/tasks/t", get(async || Json(ended)));
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let url = format!("http://{}", listener.local_addr()?);
//! #     tokio::spawn(async { axum::serve(listener, router).await });
//! #     Ok(url)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let url = host().await?;
//! # let module = b"\0asm\x01\0\0\0".to_vec();
//! let client = Client::new(&url)?; // such as http://127.0.0.1:8000
//!
//! let limits = LimitParams { wall_ms: Some(500), ..LimitParams::default() };
//! client.register("hello", limits, &Default::default(), module).await?;
//!
//! let ran = client.invoke("hello", b"Ada".to_vec(), false).await?;
//! assert_eq!(ran.output, b"Hello, Ada!");
//! println!("{} units of fuel", ran.receipt.fuel.unwrap_or_default());
//!
//! let task = client.submit("hello", None, Duration::ZERO, b"Ada".to_vec()).await?;
//! let ended = client.wait_for(&task.id, 10).await?;
//! assert!(ended.is_ended());
//! # Ok(())
//! # }
//! ```

#![warn(clippy::missing_errors_doc)]

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_api::{problem::Problem, tasks::ReceiptView};
use fusebox_core::limits::PAGE_ROWS_MAX;
use reqwest::{
    RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use serde::de::DeserializeOwned;

pub use fusebox_api::functions::LimitParams;

pub use self::{
    credentials::Credentials,
    error::ClientError,
    events::{Event, Events},
    module::Module,
};
use self::{
    error::{AWAY, Result},
    tls::Authorities,
};

mod credentials;
mod error;
mod events;
mod form;
mod functions;
mod identity;
mod module;
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

impl Client {
    /// Creates a client of the host at `url`.
    ///
    /// # Errors
    /// Fails with [`ClientError::BadUrl`] if `url` is invalid.
    pub fn new(url: &str) -> Result<Self> {
        Self::build(url, None, None)
    }

    /// Creates a client of the host at `url`, which sends `key` with each request. An https host's certificate must be
    /// signed by an authority in the PEM file `ca`, or by one of the system's if no file is given.
    ///
    /// # Errors
    /// Fails with [`ClientError::BadUrl`] if `url` is not the URL of a host, [`ClientError::BadKey`] if the key cannot be
    /// sent, and [`ClientError::Authorities`] if no authority can be read.
    pub fn build(url: &str, ca: Option<&Path>, key: Option<&Credentials>) -> Result<Self> {
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
        let body = self.body(answer).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
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
