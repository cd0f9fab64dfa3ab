//! A lean HTTP/1.1 client: a prepared request over a persistent connection. Client, server, store and workers share the
//! machine's cores, so the client's cost reduces the measured rates.

use anyhow::Context as _;
use bytes::Bytes;
use fusebox_client::Credentials;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// Address of the server.
#[derive(Clone, Debug)]
pub(super) struct Target {
    authority: String,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// A prepared request, to be sent many times.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    path: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// An answer with its whole body.
pub(super) struct HttpAnswer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Target {
    /// Creates the target at a URL, with an API key if the server has keys.
    ///
    /// # Errors
    /// Fails if the URL is not a plain `http://` address.
    pub(super) fn new(url: &str, key: Option<&Credentials>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        let is_plain = uri.scheme_str() == Some("http");
        let authority = uri.authority().filter(|_| is_plain);
        let authority = authority.with_context(|| format!("{url} should be one such as http://127.0.0.1:8000"))?;
        let port = authority.port_u16().unwrap_or(80);
        let host = HeaderValue::from_str(authority.as_str())?;
        let mut authorization = key.map(|key| HeaderValue::try_from(format!("Bearer {}", key.reveal()))).transpose()?;
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        Ok(Self { authority: format!("{}:{port}", authority.host()), host, authorization })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Fails if no server answers.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.with_context(|| format!("no host answers at {}", self.authority))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // The next sender gets any error of the connection.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, host: self.host.clone(), authorization: self.authorization.clone() })
    }

    /// Opens `count` connections.
    ///
    /// # Errors
    /// Fails as [`Target::connect`] does.
    pub(super) async fn connections(&self, count: usize) -> anyhow::Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }
}

impl Call {
    /// Creates a request without a body.
    ///
    /// # Errors
    /// Fails if the path is invalid.
    pub(super) fn get(path: &str) -> anyhow::Result<Self> {
        Ok(Self { method: Method::GET, path: path.parse()?, headers: HeaderMap::new(), body: Bytes::new() })
    }

    /// Creates a request with a body.
    ///
    /// # Errors
    /// Fails if the path is invalid.
    pub(super) fn post(path: &str, body: impl Into<Bytes>) -> anyhow::Result<Self> {
        Ok(Self { method: Method::POST, body: body.into(), ..Self::get(path)? })
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Marks the body as JSON.
    pub(super) fn json(self) -> Self {
        self.with(CONTENT_TYPE, "application/json")
    }
}

impl Connection {
    /// Sends a request and reads its answer, whatever its status.
    ///
    /// # Errors
    /// Fails if the connection breaks.
    pub(super) async fn exchange(&mut self, call: &Call) -> anyhow::Result<(StatusCode, HttpAnswer)> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.clone();
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let broke = || format!("the connection broke at {} {}", call.method, call.path);
        self.sender.ready().await.with_context(broke)?;
        let (head, body) = self.sender.send_request(request).await.with_context(broke)?.into_parts();
        let body = body.collect().await.with_context(broke)?.to_bytes();
        Ok((head.status, HttpAnswer { headers: head.headers, body }))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Fails if the connection breaks, or the answer is a problem.
    pub(super) async fn send(&mut self, call: &Call) -> anyhow::Result<HttpAnswer> {
        let (status, answer) = self.exchange(call).await?;
        anyhow::ensure!(
            status.is_success(),
            "{} {} was answered {status}: {}",
            call.method,
            call.path,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer)
    }
}

impl HttpAnswer {
    /// Parses the body as JSON.
    ///
    /// # Errors
    /// Fails if it is not valid JSON of this type.
    pub(super) fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).context("the answer is not of this version of Fusebox")
    }
}
