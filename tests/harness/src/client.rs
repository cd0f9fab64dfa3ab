//! Small REST client for tests. It returns complete responses without interpreting them.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use reqwest::{Method, StatusCode, header::HeaderMap};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::Value;

use crate::eventually;

/// Longest wait for a compilation: for its takeover, and for the compilation itself on a busy machine.
const COMPILED: Duration = Duration::from_secs(180);

/// REST client of one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Client {
    /// Returns a client of the server at `base`, such as `http://127.0.0.1:8000`.
    ///
    /// # Panics
    /// Panics if the HTTP client cannot be created.
    #[must_use]
    #[expect(clippy::expect_used, reason = "without a client no test can go on")]
    pub fn new(base: impl Into<String>) -> Self {
        Self::trusting(base, RootCertStore::empty()).expect("an HTTP client")
    }

    /// Returns a client of an https server that trusts this certificate, in PEM.
    ///
    /// # Errors
    /// Fails if the certificate is invalid.
    pub fn with_ca(base: impl Into<String>, ca: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
        Self::trusting(base, roots)
    }

    fn trusting(base: impl Into<String>, roots: RootCertStore) -> anyhow::Result<Self> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Servers under test are on loopback, which no configured proxy reaches.
        let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
        Ok(Self { base: base.into(), http: http.build()? })
    }

    /// Returns the base URL of the server.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Fails if no complete response arrives.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// Same as [`Client::send`].
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], []).await
    }

    /// Sends a POST request with bytes.
    ///
    /// # Errors
    /// Same as [`Client::send`].
    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], body).await
    }

    /// Sends a POST request with JSON.
    ///
    /// # Errors
    /// Same as [`Client::send`].
    pub async fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[("content-type", "application/json")], serde_json::to_vec(body)?).await
    }

    /// Registers a module, and requires status 201. `query` is appended to `name=…`, such as `&wall_ms=100`.
    ///
    /// # Errors
    /// Fails if the module is refused.
    pub async fn register(&self, name: &str, query: &str, wasm: &[u8]) -> anyhow::Result<Value> {
        let answer = self.post(&format!("/v1/functions?name={name}{query}"), wasm).await?;
        anyhow::ensure!(answer.status == StatusCode::CREATED, "register {name}: {answer}");
        answer.json()
    }

    /// Waits for the end of a version's compilation, and returns its state.
    ///
    /// # Errors
    /// Fails if the version does not exist or its compilation does not end.
    pub async fn compiled(&self, version: &str) -> anyhow::Result<String> {
        eventually("the end of a compilation", COMPILED, || async {
            let answer =
                self.send(Method::GET, &format!("/v1/functions/{version}"), &[("prefer", "wait=50")], []).await;
            let view = answer.ok()?.json().ok()?;
            (view["state"] != "compiling").then(|| view["state"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// Submits a task and returns its id; requires status 202.
    ///
    /// # Errors
    /// Fails if the task is refused or no response arrives.
    pub async fn submit(&self, function: &str, input: &[u8]) -> anyhow::Result<String> {
        let answer = self.post(&format!("/v1/functions/{function}/tasks"), input).await?;
        anyhow::ensure!(answer.status == StatusCode::ACCEPTED, "submit {function}: {answer}");
        answer.json()?["id"].as_str().map(str::to_owned).context("a task id")
    }

    /// Returns a task's record.
    ///
    /// # Errors
    /// Fails if the task does not exist.
    pub async fn task(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self.get(&format!("/v1/tasks/{id}")).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "task {id}: {answer}");
        answer.json()
    }

    /// Waits until a task has ended, and returns its record.
    ///
    /// # Errors
    /// Fails if the task does not end within 50 seconds.
    pub async fn ended(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self.send(Method::GET, &format!("/v1/tasks/{id}"), &[("prefer", "wait=50")], []).await?;
        let task = answer.json()?;
        let ended = matches!(task["status"].as_str(), Some("COMPLETED" | "FAILED"));
        anyhow::ensure!(ended, "task {id} has not ended: {task}");
        Ok(task)
    }

    /// Returns the number of guests running in slots of the server's own process. A task is RUNNING from its lease on,
    /// slightly before a slot takes it: a drain releases attempts that no slot has taken.
    ///
    /// # Errors
    /// Fails if the server's metrics lack the number.
    pub async fn busy_slots(&self) -> anyhow::Result<u64> {
        let metrics = String::from_utf8(self.get("/metrics").await?.body)?;
        let busy = metrics.lines().find_map(|line| line.strip_prefix("fusebox_slots_busy "));
        Ok(busy.context("the number of busy slots")?.parse()?)
    }
}

impl Answer {
    /// Parses the body as JSON.
    ///
    /// # Errors
    /// Fails if the body is not JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("JSON is expected: {self}"))
    }

    /// Returns a header as text; empty if absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the stable code of a problem; empty if the response is not a problem.
    #[must_use]
    pub fn code(&self) -> String {
        self.json().ok().and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
