//! The egress proxy: a process beside a jailed worker that sends its guests' requests, since a worker that is locked up can
//! make no socket. For each request the worker sends one end of a pair of sockets, the request with its function's grants
//! over the other, and reads the answer there. What a guest that has broken out gains by it: requests to public addresses.

use std::{
    io::{self, ErrorKind, Read},
    os::unix::net::UnixStream,
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use fusebox_core::{
    capability::{Answer, Call, Grants, HttpRequest, Refusal},
    limits::{HTTP_ANSWER_BYTES_MAX, HTTP_MS_MAX, HTTP_REQUEST_BYTES_MAX},
    name::{FunctionName, TenantId},
    time::Millis,
};
use fusebox_sandbox::{CallContext, HostCalls, Patience, StopFlag};
use serde::{Deserialize, Serialize};

use super::passing;
use crate::{egress::Egress, frames};

/// How often a thread that waits for an answer looks whether its run is to stop.
const TICK: Duration = Duration::from_millis(10);
/// Names, grants and lengths beside a request or an answer.
const FRAME_BYTES: u64 = 64 << 10;
/// What comes along with the socket of a request.
const REQUEST: u8 = b'h';

/// A request and whose it is.
#[derive(Serialize, Deserialize)]
struct Wish {
    tenant: TenantId,
    function: FunctionName,
    grants: Grants,
    request: HttpRequest,
    ms: u64,
}

/// The worker's side. The process ends when this is dropped.
pub struct Proxy {
    control: UnixStream,
    /// `None` in tests, where a thread is the other side.
    _process: Option<Child>,
}

impl Proxy {
    /// Starts `program` with these arguments as a proxy.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(program: &Path, arguments: &[String]) -> io::Result<Self> {
        // Where this machine's certificate authorities are.
        let (control, process) = super::start_beside(program, arguments, &["SSL_CERT_FILE", "SSL_CERT_DIR"])?;
        Ok(Self { control, _process: Some(process) })
    }

    fn send(&self, wish: &Wish, patience: &Patience) -> io::Result<Result<Answer, Refusal>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TICK))?;
        passing::send(&self.control, REQUEST, Some(&theirs))?;
        drop(theirs);
        frames::write(&mut ours, &postcard::to_allocvec(wish).map_err(io::Error::other)?)?;
        let answer = frames::read(&mut Waiting { socket: ours, patience }, bytes(HTTP_ANSWER_BYTES_MAX) + FRAME_BYTES)?;
        postcard::from_bytes(&answer).map_err(io::Error::other)
    }
}

impl HostCalls for Proxy {
    fn call(&self, context: &CallContext, call: Call, patience: &Patience) -> Result<Answer, Refusal> {
        let Call::Http(request) = call else { return Err(Refusal::Invalid) };
        let left = patience.left().ok_or(Refusal::TimedOut)?;
        let wish = Wish {
            tenant: context.tenant.clone(),
            function: context.function.clone(),
            grants: context.grants.clone(),
            request,
            ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        self.send(&wish, patience).unwrap_or_else(|error| match error.kind() {
            ErrorKind::TimedOut => Err(Refusal::TimedOut),
            _ => Err(Refusal::Unavailable),
        })
    }
}

/// Reads for as long as there is patience.
struct Waiting<'a> {
    socket: UnixStream,
    patience: &'a Patience,
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.patience.left().is_some() => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                done => return done,
            }
        }
    }
}

/// The proxy's side: one request a thread, until the worker is gone.
///
/// # Errors
/// Where the socket cannot be read, or there is no room for a thread.
pub fn serve(control: &UnixStream, egress: &Egress) -> io::Result<()> {
    // Bounded by the worker's slots, each of which waits for its one request.
    while let Some((_, descriptor)) = passing::receive(control)? {
        let Some(descriptor) = descriptor else { continue };
        let egress = egress.clone();
        // Who asked may be gone by now.
        thread::Builder::new().spawn(move || drop(answer(UnixStream::from(descriptor), &egress)))?;
    }
    Ok(())
}

fn answer(mut asker: UnixStream, egress: &Egress) -> io::Result<()> {
    let wish = frames::read(&mut asker, bytes(HTTP_REQUEST_BYTES_MAX) + FRAME_BYTES)?;
    let Wish { tenant, function, grants, request, ms } = postcard::from_bytes(&wish).map_err(io::Error::other)?;
    let context = CallContext { task: None, attempt: 0, tenant, function, deadline: Millis(0), grants };
    let until = Instant::now() + Duration::from_millis(ms.min(HTTP_MS_MAX));
    let answer = egress.call(&context, Call::Http(request), &Patience::new(until, StopFlag::default()));
    frames::write(&mut asker, &postcard::to_allocvec(&answer).map_err(io::Error::other)?)
}

fn bytes(bound: usize) -> u64 {
    bound as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> CallContext {
        let (tenant, function) = (TenantId::default_tenant(), "notify".parse().unwrap());
        let grants = Grants::parse_list("http=api.example.com").unwrap();
        CallContext { task: None, attempt: 1, tenant, function, deadline: Millis(0), grants }
    }

    fn ask(proxy: &Proxy, request: &str) -> Result<Answer, Refusal> {
        let request = HttpRequest::try_from(bytes::Bytes::from(request.to_owned())).unwrap();
        let patience = Patience::new(Instant::now() + Duration::from_secs(20), StopFlag::default());
        proxy.call(&context(), Call::Http(request), &patience)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_proxy_refuses_the_worker_is_told_and_one_that_is_gone_gives_nothing() {
        let (control, theirs) = UnixStream::pair().unwrap();
        let proxy = Proxy { control, _process: None };
        let egress = Egress::off();
        let serving = thread::spawn(move || serve(&theirs, &egress));
        let asked = tokio::task::spawn_blocking(move || {
            let told = ask(&proxy, "GET http://api.example.com/\n\n");
            (told, proxy)
        });
        let (told, proxy) = asked.await.unwrap();
        assert_eq!(told, Err(Refusal::Refused), "requests are off");
        drop(proxy);
        serving.join().unwrap().unwrap();
        let (control, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(
            ask(&Proxy { control, _process: None }, "GET http://api.example.com/\n\n"),
            Err(Refusal::Unavailable)
        );
    }
}
