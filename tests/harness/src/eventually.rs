//! Waits for a condition until a deadline, in place of a fixed sleep, and checks that nothing arrives.

use std::{
    future::Future,
    io, thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Interval between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Trips of a byte over loopback and back: many times what a byte takes to any process on this machine.
const ROUND_TRIPS: usize = 500;

/// Calls `probe` until it returns `Some`, for at most `patience`.
///
/// # Errors
/// Fails if the deadline passes first; the message contains `what`.
pub async fn eventually<T, F, Fut>(what: &str, patience: Duration, mut probe: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let mut pause = tokio::time::interval(LOOK);
    loop {
        pause.tick().await;
        if let Some(found) = probe().await {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
    }
}

/// Same as [`eventually`], for callers that are not async.
///
/// # Errors
/// Same as [`eventually`].
pub fn eventually_blocking<T>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        anyhow::ensure!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
        thread::park_timeout(LOOK);
    }
}

/// Returns true if nothing arrives on a stream while a byte beside it goes over loopback and back many times.
///
/// # Errors
/// Fails if loopback does, or if the stream has ended.
pub async fn stays_silent(stream: &TcpStream) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut near = TcpStream::connect(listener.local_addr()?).await?;
    let (mut far, _) = listener.accept().await?;
    for _ in 0..ROUND_TRIPS {
        near.write_all(&[0]).await?;
        far.read_exact(&mut [0]).await?;
        far.write_all(&[0]).await?;
        near.read_exact(&mut [0]).await?;
    }
    match stream.try_read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error.into()),
        Ok(count) => {
            anyhow::ensure!(count > 0, "the stream has ended");
            Ok(false)
        }
    }
}
