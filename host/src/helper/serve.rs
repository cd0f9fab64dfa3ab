//! The helper's side: grants one wish a thread, a few at a time, until its worker is gone.

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

use fusebox_core::limits::MODULE_BYTES_MAX;
use fusebox_sandbox::Compiler;

use super::{CONNECT_TIME, DONE, FAILED, WISHES_MAX, Wish, passing};

use crate::frames;

/// Grants what is asked over `control`, until its other side is gone: compilations, connections to these addresses, and
/// once that `vitals` gets the channel by which the worker's health is asked for.
///
/// # Errors
/// Where the socket cannot be read.
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
        let (Some(wish), Some(descriptor)) = (Wish::of(byte), descriptor) else { continue };
        if wish == Wish::Vitals {
            if let Some(vitals) = vitals.take() {
                vitals(UnixStream::from(descriptor));
            }
            continue;
        }
        let granted = Granting::begin(&granting);
        if granted.before >= WISHES_MAX {
            // Who asked sees its connection closed.
            continue;
        }
        let (compiler, addresses) = (compiler.clone(), addresses.clone());
        thread::Builder::new().spawn(move || {
            let _granted = granted;
            // Whoever asked may be gone by now.
            let _ = grant(wish, descriptor, compiler.as_ref(), &addresses);
        })?;
    }
    Ok(())
}

/// Counts one wish until it is dropped.
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

fn grant(wish: Wish, descriptor: OwnedFd, compiler: &impl Compiler, addresses: &[String]) -> io::Result<()> {
    let mut asker = UnixStream::from(descriptor);
    match wish {
        Wish::Compile => {
            let wasm = frames::read(&mut asker, MODULE_BYTES_MAX)?;
            match compiler.compile(&wasm) {
                Ok(code) => answer(&mut asker, DONE, &code),
                Err(error) => {
                    let refusal = postcard::to_allocvec(&(error.code, error.message)).map_err(io::Error::other)?;
                    answer(&mut asker, FAILED, &refusal)
                }
            }
        }
        Wish::Connect => {
            asker.set_read_timeout(Some(CONNECT_TIME))?;
            let mut place = [0];
            asker.read_exact(&mut place)?;
            match connect(addresses.get(usize::from(place[0]))) {
                Ok(stream) => passing::send(&asker, DONE, Some(&stream)),
                Err(error) => answer(&mut asker, FAILED, error.to_string().as_bytes()),
            }
        }
        Wish::Vitals => Ok(()),
    }
}

fn answer(asker: &mut UnixStream, first: u8, bytes: &[u8]) -> io::Result<()> {
    asker.write_all(&[first])?;
    frames::write(asker, bytes)
}

/// Connects to the first of the address's places that answers; its name is resolved anew.
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
