//! WASI preview 1 for the command ABI: arguments, stdin, stdout, stderr, clocks and random. No files, sockets or
//! environment. Waits are implemented here, so a sleeping guest ends at its deadline or when stopped.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use wasmtime::Result;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtxBuilder,
    cli::{IsTerminal, StdoutStream},
    p1::WasiP1Ctx,
    p2::{OutputStream, Pollable, StreamError, StreamResult, pipe::MemoryInputPipe},
};

use crate::{ending::Ending, log::Log};

mod calls;
mod poll;

/// Module name that commands import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";
/// Maximum number of random bytes in one call.
const RANDOM_BYTES_MAX: u32 = 1 << 20;
/// Size that a write may have at once.
const WRITE_BYTES: usize = 64 << 10;

/// Functions of preview 1, each with its cost.
pub(crate) use calls::{OFFERED, add_to};

/// Returns the WASI context of a run, and the buffer of its stdout.
pub(crate) fn context(name: &str, input: Bytes, output_bytes_max: u64, log: &Log) -> (WasiP1Ctx, Output) {
    let output = Output::new(output_bytes_max);
    let context = WasiCtxBuilder::new()
        .arg(name)
        .stdin(MemoryInputPipe::new(input))
        .stdout(output.clone())
        .stderr(Stderr(log.clone()))
        .wall_clock(Milliseconds)
        .monotonic_clock(Milliseconds)
        .max_random_size(RANDOM_BYTES_MAX.into())
        .build_p1();
    (context, output)
}

/// Clocks with a resolution of one millisecond, so that they cannot be used to time other guests.
struct Milliseconds;

/// Returns the time since the origin of guests' monotonic clocks.
fn since_start() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Returns the monotonic time visible to guests, in nanoseconds.
fn monotonic_ns() -> u64 {
    u64::try_from(since_start().as_millis()).unwrap_or(u64::MAX).saturating_mul(1_000_000)
}

#[expect(clippy::disallowed_methods, reason = "a guest's clock is the machine's; tests check its bounds only")]
fn wall_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

impl HostWallClock for Milliseconds {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(wall_ms())
    }
}

impl HostMonotonicClock for Milliseconds {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        monotonic_ns()
    }
}

/// Stdout of a command: a buffer that ends the run when it is full.
#[derive(Clone)]
pub(crate) struct Output {
    buffer: Arc<Mutex<BytesMut>>,
    bytes_max: u64,
    overrun: Arc<AtomicU64>,
}

impl Output {
    fn new(bytes_max: u64) -> Self {
        Self { buffer: Arc::default(), bytes_max, overrun: Arc::default() }
    }

    /// Removes and returns the bytes written.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut *self.buffer.lock().unwrap_or_else(PoisonError::into_inner)).freeze()
    }

    fn put(&self, bytes: &[u8]) -> Result<(), Ending> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let size = buffer.len() as u64 + bytes.len() as u64;
        if size > self.bytes_max {
            self.overrun.store(size, Ordering::Relaxed);
            return Err(Ending::OutputTooLarge { bytes: size });
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }
}

/// Stderr of a command, written to its log.
#[derive(Clone)]
struct Stderr(Log);

/// Common behaviour of both streams: always ready, and able to end the run.
trait Sink: Clone + Send + Sync + 'static {
    fn write(&self, bytes: &[u8]) -> Result<(), Ending>;
}

impl Sink for Output {
    fn write(&self, bytes: &[u8]) -> Result<(), Ending> {
        self.put(bytes)
    }
}

impl Sink for Stderr {
    fn write(&self, bytes: &[u8]) -> Result<(), Ending> {
        self.0.text(bytes)
    }
}

struct Stream<S>(S);

macro_rules! stdout_stream {
    ($name:ident) => {
        impl IsTerminal for $name {
            fn is_terminal(&self) -> bool {
                false
            }
        }

        impl StdoutStream for $name {
            fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
                Box::new(Stream(self.clone()))
            }

            fn p2_stream(&self) -> Box<dyn OutputStream> {
                Box::new(Stream(self.clone()))
            }
        }
    };
}
stdout_stream!(Output);
stdout_stream!(Stderr);

#[wasmtime_wasi::async_trait]
impl<S: Sink> Pollable for Stream<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> OutputStream for Stream<S> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes).map_err(|ending| StreamError::Trap(ending.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl<S: Sink> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
