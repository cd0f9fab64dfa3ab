//! WASI context of a component's run: arguments, stdin, stdout, stderr, clocks and random numbers. No sockets; environment
//! and files are in `offers`.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use fusebox_core::invocation::Invocation;
use tokio::io::AsyncWrite;
use wasmtime::Result;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult, pipe::MemoryInputPipe},
};

use crate::{ending::Ending, log::Log, time};

/// Maximum number of random bytes in one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// Size that a write may have at once.
const WRITE_BYTES: usize = 64 << 10;

/// Returns the context of a run. Without `stdout`, what it prints is written to the log.
pub(super) fn context(call: &Invocation, stdin: Bytes, stdout: Option<&Output>, log: &Log) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .arg(call.function.as_str())
        .args(&call.args)
        .stdin(MemoryInputPipe::new(stdin))
        .stderr(Stderr(log.clone()))
        .wall_clock(Milliseconds)
        .monotonic_clock(Milliseconds)
        .max_random_size(RANDOM_BYTES_MAX)
        .allow_ip_name_lookup(false)
        .allow_tcp(false)
        .allow_udp(false);
    match stdout {
        Some(stdout) => builder.stdout(stdout.clone()),
        None => builder.stdout(Stderr(log.clone())),
    };
    builder.build()
}

/// Clocks of guests.
struct Milliseconds;

impl HostWallClock for Milliseconds {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(time::RESOLUTION_NS)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(time::unix_ms())
    }
}

impl HostMonotonicClock for Milliseconds {
    fn resolution(&self) -> u64 {
        time::RESOLUTION_NS
    }

    fn now(&self) -> u64 {
        time::monotonic_ns()
    }
}

/// Stdout of a command: a buffer that ends the run when it is full.
#[derive(Clone)]
pub(super) struct Output {
    buffer: Arc<Mutex<BytesMut>>,
    bytes_max: u64,
    overrun: Arc<AtomicU64>,
}

impl Output {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { buffer: Arc::default(), bytes_max, overrun: Arc::default() }
    }

    /// Removes and returns the bytes written.
    pub(super) fn take(&self) -> Bytes {
        std::mem::take(&mut *self.buffer.lock().unwrap_or_else(PoisonError::into_inner)).freeze()
    }

    /// Returns the size that the output would have had, if it exceeded its limit.
    pub(super) fn overrun(&self) -> Option<u64> {
        Some(self.overrun.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
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
        self.0.stderr(bytes)
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
