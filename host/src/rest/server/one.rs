//! HTTP/1 connections. hyper answers most malformed requests with 400 or 431; cases that it ends silently are answered
//! here, and no response is lost because its connection closes while the client still sends.

use std::{pin::Pin, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    HEADER_BYTES_MAX, Server,
    connections::Connection,
    line::Line,
    pace::{Pace, Pacer},
    requests::Requests,
};

/// Time for which bytes are read and discarded after the last response. Closing a socket with unread bytes resets the
/// connection, which can overtake the response.
const LINGER: Duration = Duration::from_secs(1);
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const CUT_SHORT: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves a connection to its end, or until it turns out to use HTTP/2; then returns its line, with everything to be
/// read again.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    server: &Server,
    connection: &Arc<Connection>,
) -> Option<Line<S>> {
    let pace = Pace::new(server.bounds);
    connection.paced_by(&pace);
    let line = Line::new(stream, pace.clone(), server.bounds.stall);
    let router = TowerToHyperService::new(server.router.clone());
    let requests =
        Requests { router, pace: pace.clone(), connection: connection.clone(), is_tls: server.tls.is_some() };
    let mut serving = http1::Builder::new()
        .timer(Pacer(pace.clone()))
        .header_read_timeout(server.bounds.keep_alive)
        .max_buf_size(HEADER_BYTES_MAX)
        // One buffer for head and body. hyper's alternatives delay responses, or make small ones more expensive.
        .writev(false)
        .serve_connection(TokioIo::new(line), requests);
    let ended = tokio::select! {
        biased;
        ended = &mut serving => Some(ended),
        () = connection.closing() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut serving).graceful_shutdown();
            (&mut serving).await
        }
    };
    let waits = pace.waits();
    let parts = serving.into_parts();
    let (mut line, is_cut) = (parts.io.into_inner(), waits && !parts.read_buf.is_empty());
    match ended {
        Err(error) if error.is_parse_version_h2() => return Some(line.rewound(parts.read_buf)),
        Err(error) if error.is_timeout() && is_cut => farewell(&mut line, TOO_SLOW).await,
        Err(error) if error.is_incomplete_message() && is_cut => farewell(&mut line, CUT_SHORT).await,
        Err(error) if error.is_parse() => farewell(&mut line, b"").await,
        Ok(()) if pace.is_body_left() => farewell(&mut line, b"").await,
        // The client closed, was silent, or reads nothing: not a fault of the host.
        Ok(()) | Err(_) => {}
    }
    None
}

/// Sends the bytes, if any, and closes once the client has closed, or after a moment.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(line: &mut Line<S>, words: &[u8]) {
    if line.is_stuck() {
        return;
    }
    let said = async {
        line.write_all(words).await?;
        line.shutdown().await?;
        let mut dropped = [0; 1_024];
        while line.read(&mut dropped).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, said).await;
}
