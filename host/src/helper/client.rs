//! The worker's side of the helper: starts it, requests compilations and connections, and detects its end.

use std::{
    io::{self, Write as _},
    net::TcpStream as Connected,
    os::unix::net::UnixStream,
    path::Path,
    process::Child,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use fusebox_core::{error::ErrorCode, limits::ARTIFACT_BYTES_MAX};
use fusebox_sandbox::{Compiler, ModuleError, compile_time_max};
use tokio::{net::TcpStream, sync::oneshot};

use super::{CONNECT_TIME, DONE, HelperRequest, REASON_BYTES_MAX, passing};
use crate::frames;
use fusebox_link::Dial;

/// Time that the helper may take beyond the bounds of its own work before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// Running helper. Cheap to clone; the process ends when the last clone is dropped.
#[derive(Clone)]
pub struct Helper {
    control: Arc<UnixStream>,
    /// Addresses given to the helper at its start.
    addresses: Arc<[String]>,
    /// Never waited for: it ends with this process, and the system reaps it.
    _process: Option<Arc<Child>>,
}

impl Helper {
    /// Starts `program` as a helper with these arguments, which contain these addresses.
    ///
    /// # Errors
    /// Fails if the process cannot be started.
    pub fn start(program: &Path, arguments: &[String], addresses: Vec<String>) -> io::Result<Self> {
        let (control, process) = super::start_beside(program, arguments, &[])?;
        Ok(Self { _process: Some(Arc::new(process)), ..Self::over(control, addresses) })
    }

    pub(super) fn over(control: UnixStream, addresses: Vec<String>) -> Self {
        Self { control: Arc::new(control), addresses: addresses.into(), _process: None }
    }

    /// Returns a channel that receives when the helper has ended. Uses a thread.
    ///
    /// # Errors
    /// Fails if the system cannot start a thread.
    pub fn watch(&self) -> io::Result<oneshot::Receiver<()>> {
        let control = self.control.clone();
        let (tell, told) = oneshot::channel();
        // The helper sends nothing on this socket, so the first event is its end.
        let watch = move || {
            let _ = passing::receive(&control);
            let _ = tell.send(());
        };
        std::thread::Builder::new().name("helper-watch".to_owned()).spawn(watch)?;
        Ok(told)
    }

    /// Passes the helper the channel on which it requests this worker's health.
    pub(super) fn keep_vitals(&self, channel: &UnixStream) -> io::Result<()> {
        passing::send(&self.control, HelperRequest::Vitals.byte(), Some(channel))
    }

    /// Opens a connection for one request.
    fn ask(&self, request: HelperRequest, time: Duration) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(time))?;
        passing::send(&self.control, request.byte(), Some(&theirs))?;
        Ok(ours)
    }

    fn compiled(&self, wasm: &[u8]) -> io::Result<Result<Vec<u8>, ModuleError>> {
        let mut answers = self.ask(HelperRequest::Compile, compile_time_max(wasm) + PATIENCE)?;
        frames::write(&mut answers, wasm)?;
        match passing::receive(&answers)? {
            Some((DONE, _)) => frames::read(&mut answers, ARTIFACT_BYTES_MAX).map(Ok),
            Some(_) => {
                let refusal = frames::read(&mut answers, REASON_BYTES_MAX)?;
                let (code, message) = postcard::from_bytes(&refusal).map_err(io::Error::other)?;
                Ok(Err(ModuleError { code, message }))
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn connected(&self, address: &str) -> io::Result<Connected> {
        let place = self.addresses.iter().position(|known| known == address);
        let place = place.and_then(|place| u8::try_from(place).ok());
        let place = place.ok_or_else(|| io::Error::other("this worker's helper was not started with this address"))?;
        let mut answers = self.ask(HelperRequest::Connect, CONNECT_TIME + PATIENCE)?;
        answers.write_all(&[place])?;
        match passing::receive(&answers)? {
            Some((DONE, Some(descriptor))) => {
                let stream = Connected::from(descriptor);
                stream.set_nonblocking(true)?;
                Ok(stream)
            }
            Some(_) => {
                let reason = frames::read(&mut answers, REASON_BYTES_MAX)?;
                Err(io::Error::other(String::from_utf8_lossy(&reason).into_owned()))
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Compiler for Helper {
    fn compile(&self, wasm: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration) {
        let compiled = self.compiled(wasm).unwrap_or_else(|error| {
            let message = format!("this worker's helper failed to compile: {error}");
            Err(ModuleError { code: ErrorCode::Internal, message })
        });
        // No tenant is charged for what a worker compiles.
        (compiled, Duration::ZERO)
    }
}

#[async_trait]
impl Dial for Helper {
    /// The request holds only the address's index: the helper has had the list since before the worker ran untrusted
    /// code.
    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        let (helper, address) = (self.clone(), address.to_owned());
        let connected = tokio::task::spawn_blocking(move || helper.connected(&address)).await;
        TcpStream::from_std(connected.map_err(io::Error::other)??)
    }
}
