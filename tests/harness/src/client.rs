//! A small REST client that tests can be written in: every answer is kept whole, nothing is interpreted.

use std::sync::Arc;

use anyhow::Context as _;
use reqwest::{Method, StatusCode, header::HeaderMap};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::Value;

/// Speaks REST to one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8000`.
    ///
    /// # Panics
    /// Where this machine has no HTTP client.
    #[must_use]
    #[expect(clippy::expect_used, reason = "without a client no test can go on")]
    pub fn new(base: impl Into<String>) -> Self {
        Self::trusting(base, RootCertStore::empty()).expect("an HTTP client")
    }

    /// A client of an https server whose certificate this one, in PEM, vouches for.
    ///
    /// # Errors
    /// Where it is no certificate.
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
        // Servers of tests are on loopback, where no proxy of the environment leads.
        let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
        Ok(Self { base: base.into(), http: http.build()? })
    }

    /// Where the server is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Where no whole answer came.
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

    /// Sends a GET.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], []).await
    }

    /// Sends a POST of bytes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], body).await
    }

    /// Sends a POST of JSON.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[("content-type", "application/json")], serde_json::to_vec(body)?).await
    }

    /// Registers a module; the answer must be 201. `query` is added to `name=…`, such as `&wall_ms=100`.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn register(&self, name: &str, query: &str, wasm: &[u8]) -> anyhow::Result<Value> {
        let answer = self.post(&format!("/v1/functions?name={name}{query}"), wasm).await?;
        anyhow::ensure!(answer.status == StatusCode::CREATED, "register {name}: {answer}");
        answer.json()
    }

    /// Submits a task and gives its id; the answer must be 202.
    ///
    /// # Errors
    /// Where it is refused or no answer came.
    pub async fn submit(&self, function: &str, input: &[u8]) -> anyhow::Result<String> {
        let answer = self.post(&format!("/v1/functions/{function}/tasks"), input).await?;
        anyhow::ensure!(answer.status == StatusCode::ACCEPTED, "submit {function}: {answer}");
        answer.json()?["id"].as_str().map(str::to_owned).context("a task id")
    }

    /// A task's record.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn task(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self.get(&format!("/v1/tasks/{id}")).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "task {id}: {answer}");
        answer.json()
    }

    /// Waits until a task has ended, and gives its record.
    ///
    /// # Errors
    /// Where it does not end within 50 seconds.
    pub async fn ended(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self.send(Method::GET, &format!("/v1/tasks/{id}"), &[("prefer", "wait=50")], []).await?;
        let task = answer.json()?;
        let ended = matches!(task["status"].as_str(), Some("COMPLETED" | "FAILED"));
        anyhow::ensure!(ended, "task {id} has not ended: {task}");
        Ok(task)
    }

    /// Number of guests that run in slots of the server's own process. A task's status is RUNNING from its lease on, a
    /// moment before a slot takes it: a drain gives back what no slot has taken.
    ///
    /// # Errors
    /// Where the server's metrics do not say.
    pub async fn busy_slots(&self) -> anyhow::Result<u64> {
        let metrics = String::from_utf8(self.get("/metrics").await?.body)?;
        let busy = metrics.lines().find_map(|line| line.strip_prefix("fusebox_slots_busy "));
        Ok(busy.context("the number of busy slots")?.parse()?)
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is not.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("JSON is expected: {self}"))
    }

    /// A header as text; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The stable code of a problem; empty where the answer is none.
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
