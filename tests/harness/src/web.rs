//! Web server that receives requests of guests: a fixed response for each path, and a list of the requests.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Maximum size of a request; tests send less.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// A server on a free port of loopback. Dropping it ends it.
pub struct Web {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Web {
    /// Starts a server that answers each path with these bytes, a complete HTTP message, and all others with 404.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn start(answers: &[(&'static str, String)]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (answers, requests) = (Arc::new(answers.to_vec()), Arc::new(Mutex::default()));
        let list = requests.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers.clone(), list.clone()));
            }
        });
        Ok(Self { address, requests, accepting })
    }

    /// Returns the address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests received, head and body, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Vec<(&'static str, String)>>, list: Arc<Mutex<Vec<String>>>) {
    let Some(request) = read(&mut stream).await else { return };
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = answers.iter().find(|(known, _)| *known == path).map(|(_, answer)| answer.clone());
    let answer = answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned());
    list.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    // A client that has disconnected is expected in some tests.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads a complete request; `None` if none arrives.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.ok()?;
        bytes.extend_from_slice(buffer.get(..read)?);
        if read == 0 || bytes.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
}
