//! The helper's side: serves each request on a thread of its own, a few at a time, until its worker is gone.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use fusebox_core::limits::MODULE_BYTES_CEILING;
use fusebox_sandbox::Compiler;

use super::{CONNECT_TIME, DONE, FAILED, HelperRequest, WISHES_MAX, passing};

use crate::frames;

/// Serves the requests that arrive on `control` until its other side is closed: compilations, connections to
/// `addresses`, and, once, the channel for the worker's health, which `vitals` receives.
///
/// # Errors
/// Fails if the socket cannot be read, or if the system cannot start a thread.
pub fn serve<C: Compiler + 'static>(
    control: &UnixStream,
    compiler: &Arc<C>,
    addresses: &[String],
    vitals: impl FnOnce(UnixStream),
) -> io::Result<()> {
    let addresses: Arc<[String]> = addresses.into();
    let granting = Arc::new(AtomicUsize::new(0));
    let mut vitals = Some(vitals);
    while let Some((byte, descriptor)) = passing::receive(control)? {
        let (Some(request), Some(descriptor)) = (HelperRequest::of(byte), descriptor) else { continue };
        if request == HelperRequest::Vitals {
            if let Some(vitals) = vitals.take() {
                vitals(UnixStream::from(descriptor));
            }
            continue;
        }
        let granted = Granting::begin(&granting);
        if granted.before >= WISHES_MAX {
            // Dropping the descriptor closes the requester's connection.
            continue;
        }
        let (compiler, addresses) = (compiler.clone(), addresses.clone());
        thread::Builder::new().spawn(move || {
            let _granted = granted;
            // Errors are ignored: the requester may be gone by now.
            let _ = grant(request, descriptor, compiler.as_ref(), &addresses);
        })?;
    }
    Ok(())
}

/// Counts one request until it is dropped.
struct Granting {
    count: Arc<AtomicUsize>,
    before: usize,
}

impl Granting {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        Self { before: count.fetch_add(1, Ordering::AcqRel), count: count.clone() }
    }
}

impl Drop for Granting {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

fn grant(
    request: HelperRequest,
    descriptor: OwnedFd,
    compiler: &impl Compiler,
    addresses: &[String],
) -> io::Result<()> {
    let mut asker = UnixStream::from(descriptor);
    match request {
        HelperRequest::Compile => {
            let wasm = frames::read(&mut asker, MODULE_BYTES_CEILING)?;
            match compiler.compile(&wasm).0 {
                Ok(code) => answer(&mut asker, DONE, &code),
                Err(error) => {
                    let refusal = postcard::to_allocvec(&(error.code, error.message)).map_err(io::Error::other)?;
                    answer(&mut asker, FAILED, &refusal)
                }
            }
        }
        HelperRequest::Connect => {
            asker.set_read_timeout(Some(CONNECT_TIME))?;
            let mut place = [0];
            asker.read_exact(&mut place)?;
            match connect(addresses.get(usize::from(place[0]))) {
                Ok(stream) => passing::send(&asker, DONE, Some(&stream)),
                Err(error) => answer(&mut asker, FAILED, error.to_string().as_bytes()),
            }
        }
        HelperRequest::Vitals => Ok(()),
    }
}

fn answer(asker: &mut UnixStream, first: u8, bytes: &[u8]) -> io::Result<()> {
    asker.write_all(&[first])?;
    frames::write(asker, bytes)
}

/// Resolves the address and connects to the first result that accepts.
fn connect(address: Option<&String>) -> io::Result<TcpStream> {
    let address = address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such address"))?;
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for place in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, CONNECT_TIME) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
