//! Egress proxy: a process beside a jailed worker that sends its guests' requests, since a jailed worker cannot create
//! sockets. For each request the worker sends one end of a pair of sockets, writes the request with its function's
//! grants to the other, and reads the answer there. A guest that has broken out gains requests to public addresses.

use std::{
    io::{self, ErrorKind, Read},
    os::unix::net::UnixStream,
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use fusebox_core::{
    capability::{Grants, HostAnswer, HostCall, HttpRequest, Refusal},
    limits::{HTTP_ANSWER_BYTES_MAX, HTTP_MS_MAX, HTTP_REQUEST_BYTES_MAX},
    name::{FunctionName, TenantId},
};
use fusebox_sandbox::{Guest, HostCalls, StopFlag, WaitLimit};
use serde::{Deserialize, Serialize};

use super::passing;
use crate::{egress::Egress, frames};

/// Interval at which a waiting thread checks whether its run was stopped.
const TICK: Duration = Duration::from_millis(10);
/// Upper bound of names, grants and lengths around a request or an answer.
const FRAME_BYTES: u64 = 64 << 10;
/// Byte sent with the socket of a request.
const REQUEST: u8 = b'h';

/// Request with its tenant, function and grants.
#[derive(Serialize, Deserialize)]
struct GuestRequest {
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
    /// Starts `program` as a proxy with these arguments.
    ///
    /// # Errors
    /// Fails if the process cannot be started.
    pub fn start(program: &Path, arguments: &[String]) -> io::Result<Self> {
        // Locations of this machine's root certificates.
        let (control, process) = super::start_beside(program, arguments, &["SSL_CERT_FILE", "SSL_CERT_DIR"])?;
        Ok(Self { control, _process: Some(process) })
    }

    fn send(&self, asked: &GuestRequest, limit: &WaitLimit) -> io::Result<Result<HostAnswer, Refusal>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TICK))?;
        passing::send(&self.control, REQUEST, Some(&theirs))?;
        drop(theirs);
        frames::write(&mut ours, &postcard::to_allocvec(asked).map_err(io::Error::other)?)?;
        let answer = frames::read(&mut Waiting { socket: ours, limit }, bytes(HTTP_ANSWER_BYTES_MAX) + FRAME_BYTES)?;
        postcard::from_bytes(&answer).map_err(io::Error::other)
    }
}

impl HostCalls for Proxy {
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let HostCall::Http(request) = call else { return Err(Refusal::Invalid) };
        let left = limit.left().ok_or(Refusal::TimedOut)?;
        let asked = GuestRequest {
            tenant: guest.tenant.clone(),
            function: guest.function.clone(),
            grants: guest.grants.clone(),
            request,
            ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        self.send(&asked, limit).unwrap_or_else(|error| match error.kind() {
            ErrorKind::TimedOut => Err(Refusal::TimedOut),
            _ => Err(Refusal::Unavailable),
        })
    }
}

/// Reader that blocks until the deadline of `limit`.
struct Waiting<'a> {
    socket: UnixStream,
    limit: &'a WaitLimit,
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.limit.left().is_some() => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                done => return done,
            }
        }
    }
}

/// The proxy's side: sends each request on a thread of its own. Returns once the worker is gone.
///
/// # Errors
/// Fails if the socket cannot be read, or if the system cannot start a thread.
pub fn serve(control: &UnixStream, egress: &Egress) -> io::Result<()> {
    // The number of threads is bounded by the worker's slots, each of which waits for one request.
    while let Some((_, descriptor)) = passing::receive(control)? {
        let Some(descriptor) = descriptor else { continue };
        let egress = egress.clone();
        // Errors are ignored: the requester may be gone by now.
        thread::Builder::new().spawn(move || drop(answer(UnixStream::from(descriptor), &egress)))?;
    }
    Ok(())
}

fn answer(mut asker: UnixStream, egress: &Egress) -> io::Result<()> {
    let asked = frames::read(&mut asker, bytes(HTTP_REQUEST_BYTES_MAX) + FRAME_BYTES)?;
    let GuestRequest { tenant, function, grants, request, ms } =
        postcard::from_bytes(&asked).map_err(io::Error::other)?;
    let guest = Guest { tenant: &tenant, function: &function, grants: &grants, attempt: None };
    let until = Instant::now() + Duration::from_millis(ms.min(HTTP_MS_MAX));
    let answer = egress.call(guest, HostCall::Http(request), &WaitLimit::new(until, StopFlag::default()));
    frames::write(&mut asker, &postcard::to_allocvec(&answer).map_err(io::Error::other)?)
}

fn bytes(bound: usize) -> u64 {
    bound as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(proxy: &Proxy, request: &str) -> Result<HostAnswer, Refusal> {
        let request = HttpRequest::try_from(bytes::Bytes::from(request.to_owned())).unwrap();
        let limit = WaitLimit::new(Instant::now() + Duration::from_secs(20), StopFlag::default());
        let (tenant, function) = (TenantId::default_tenant(), "notify".parse().unwrap());
        let grants = Grants::parse_list("http=api.example.com").unwrap();
        let guest = Guest { tenant: &tenant, function: &function, grants: &grants, attempt: None };
        proxy.call(guest, HostCall::Http(request), &limit)
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
