//! The only file that uses nng: wraps one connected TCP stream in a PAIR0 socket that carries whole messages, for async
//! code.
//!
//! The stream is passed to nng's `socket://` transport after the handshake, so nng never reads bytes of a peer without
//! the token and never dials, listens or reconnects. A socket has one connection and ends with it. It has no buffer of
//! its own: a message is either with the connection or still with the caller, and everything that the peer wrote before
//! it closed is received.
//!
//! Each direction has one nng operation (an "aio") at a time, so its methods take `&mut self`. nng's callbacks only
//! wake a task. Closing and freeing wait for callbacks to end, so a dedicated thread does that.
//!
//! nng writes with `writev`, so SIGPIPE must be ignored, as it is in every Rust program that does not change it.
#![expect(unsafe_code, reason = "nng is a C library, and this is its wrapper")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    io,
    net::TcpStream,
    os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd},
    ptr::{NonNull, null, null_mut},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Passes a connected stream to nng and waits until the peer's nng has answered. `bytes_max` bounds the memory that the
/// peer can make this side allocate. Dropping the future closes the stream.
///
/// # Errors
/// Fails if nng is out of memory or the peer is gone. Has no time limit.
pub(super) async fn attach(stream: TcpStream, bytes_max: usize) -> io::Result<(Outgoing, Incoming)> {
    let stream = OwnedFd::from(stream);
    let closer = closer()?;
    let (sent, received) = (Aio::new(closer.clone())?, Aio::new(closer.clone())?);
    let socket = Socket::open(closer)?;
    let outgoing = Outgoing { socket: socket.clone(), aio: sent, busy: false };
    // From here on, dropping `incoming` closes the socket.
    let mut incoming = Incoming { socket: socket.clone(), aio: received, ended: false };
    socket.start(stream, bytes_max)?;
    tokio::select! {
        biased;
        () = socket.attached.notified() => {}
        () = socket.closed.cancelled() => return Err(io::ErrorKind::ConnectionReset.into()),
    }
    incoming.begin();
    Ok((outgoing, incoming))
}

/// An nng socket with one connection.
pub(super) struct Socket {
    raw: nng::nng_socket,
    closer: Closer,
    closing: AtomicBool,
    closed: CancellationToken,
    attached: Notify,
    /// True once nng must not be given operations any more. nng 2.0.0 fails to end an operation that starts while the
    /// socket is being closed, and then uses freed memory; so starting holds this lock, and closing sets it first.
    is_shut: RwLock<bool>,
}

impl Socket {
    fn open(closer: Closer) -> io::Result<Arc<Self>> {
        let mut raw = nng::nng_socket::default();
        // SAFETY: nng is initialized, since there is a closer; `raw` is valid for the call.
        check(unsafe { nng::nng_pair0_open(&raw mut raw) })?;
        Ok(Arc::new(Self {
            raw,
            closer,
            closing: AtomicBool::new(false),
            closed: CancellationToken::new(),
            attached: Notify::new(),
            is_shut: RwLock::new(false),
        }))
    }

    fn start(self: &Arc<Self>, stream: OwnedFd, bytes_max: usize) -> io::Result<()> {
        let mut listener = nng::nng_listener::default();
        let size_max = nng::NNG_OPT_RECVMAXSZ.as_ptr().cast::<c_char>();
        let fd_option = nng::NNG_OPT_SOCKET_FD.as_ptr().cast::<c_char>();
        // SAFETY: nng checks the ids of sockets and listeners. The names end with NUL. `on_pipe` gets a pointer that is
        // valid as long as nng may call it: see `close`.
        unsafe {
            check(nng::nng_socket_set_size(self.raw, size_max, bytes_max))?;
            for event in [nng::NNG_PIPE_EV_ADD_POST, nng::NNG_PIPE_EV_REM_POST] {
                let this = Arc::as_ptr(self).cast_mut().cast();
                check_error(nng::nng_pipe_notify(self.raw, event, Some(on_pipe), this))?;
            }
            check(nng::nng_listener_create(&raw mut listener, self.raw, c"socket://".as_ptr()))?;
            // Started before it gets the stream: nng 2.0.0 closes a stream twice that a listener has not yet taken.
            check(nng::nng_listener_start(listener, 0))?;
            check(nng::nng_listener_set_int(listener, fd_option, stream.as_raw_fd()))?;
        }
        // nng closes the stream from now on.
        let _ = stream.into_raw_fd();
        Ok(())
    }

    /// Starts an operation unless the socket is being closed. Returns true if it did.
    fn begin(&self, operation: impl FnOnce()) -> bool {
        let is_shut = self.is_shut.read().unwrap_or_else(PoisonError::into_inner);
        if !*is_shut {
            operation();
        }
        !*is_shut
    }

    /// Ends the connection; operations fail soon after. Returns at once.
    pub(super) fn close(self: &Arc<Self>) {
        if !self.closing.swap(true, Ordering::SeqCst) {
            self.closed.cancel();
            // This clone keeps the callbacks' pointer valid until nng has closed the socket and makes no more calls.
            // Before this point `Incoming` did, since its drop calls this.
            self.closer.send(Leftover::Socket(self.clone()));
        }
    }

    /// Returns a token that is cancelled once the connection has ended or is about to.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

/// Called by nng on its own threads.
unsafe extern "C" fn on_pipe(_: nng::nng_pipe, event: nng::nng_pipe_ev, socket: *mut c_void) {
    let socket = socket.cast::<Socket>().cast_const();
    // SAFETY: the pointer came from `Arc::as_ptr`, and an `Arc` of it lives until the socket is closed: see `close`.
    let socket = unsafe {
        Arc::increment_strong_count(socket);
        Arc::from_raw(socket)
    };
    match event {
        nng::NNG_PIPE_EV_ADD_POST => socket.attached.notify_one(),
        _ => socket.close(),
    }
}

/// Direction to the peer.
pub(super) struct Outgoing {
    socket: Arc<Socket>,
    aio: Aio,
    busy: bool,
}

impl Outgoing {
    pub(super) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Passes a message to the connection once there is room. The message may not arrive.
    ///
    /// # Errors
    /// Fails if the connection has ended.
    pub(super) async fn send(&mut self, message: Message) -> io::Result<()> {
        // A cancelled call may have left its operation running.
        if self.busy {
            self.sent().await?;
        }
        self.busy = self.socket.begin(|| {
            // SAFETY: no operation uses the aio; it takes over the message, which nothing else points to.
            unsafe {
                nng::nng_aio_set_msg(self.aio.raw.as_ptr(), message.into_raw());
                nng::nng_socket_send(self.socket.raw, self.aio.raw.as_ptr());
            }
        });
        if !self.busy {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.sent().await
    }

    async fn sent(&mut self) -> io::Result<()> {
        self.aio.done.notified().await;
        self.busy = false;
        // Frees the message if nng did not take it.
        self.aio.take().map(drop)
    }
}

/// Direction from the peer. Dropping it closes the socket.
pub(super) struct Incoming {
    socket: Arc<Socket>,
    aio: Aio,
    ended: bool,
}

impl Incoming {
    /// Receives the next message; `None` once the connection has ended. Cancellation safe.
    pub(super) async fn recv(&mut self) -> Option<Message> {
        if self.ended {
            return None;
        }
        self.aio.done.notified().await;
        match self.aio.take() {
            Ok(Some(message)) => {
                self.begin();
                Some(message)
            }
            Ok(None) | Err(_) => {
                self.ended = true;
                self.socket.close();
                None
            }
        }
    }

    /// Starts the next operation early, so that the next message arrives while this one is processed.
    fn begin(&mut self) {
        self.ended = !self.socket.begin(|| {
            // SAFETY: the aio's last operation, if any, has ended: its result was taken.
            unsafe { nng::nng_socket_recv(self.socket.raw, self.aio.raw.as_ptr()) };
        });
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.socket.close();
    }
}

/// Reusable operation, one at a time.
struct Aio {
    raw: NonNull<nng::nng_aio>,
    done: Arc<Notify>,
    closer: Closer,
}

// SAFETY: nng allows an aio's use from any thread; that no two use it at once is up to `&mut`.
unsafe impl Send for Aio {}
// SAFETY: nothing is done with a shared `Aio`.
unsafe impl Sync for Aio {}

impl Aio {
    fn new(closer: Closer) -> io::Result<Self> {
        let done = Arc::new(Notify::new());
        let mut raw = null_mut();
        // SAFETY: `raw` is valid for the call. `on_done` gets a pointer that is valid until the aio is freed: see `free`.
        check_error(unsafe { nng::nng_aio_alloc(&raw mut raw, Some(on_done), Arc::as_ptr(&done).cast_mut().cast()) })?;
        let raw = NonNull::new(raw).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { raw, done, closer })
    }

    /// Returns the result of an operation that has ended, with the message left in the aio.
    fn take(&mut self) -> io::Result<Option<Message>> {
        // SAFETY: the operation has ended, so nng does not touch the aio; a message in it is the caller's.
        let (result, message) = unsafe {
            let message = nng::nng_aio_get_msg(self.raw.as_ptr());
            nng::nng_aio_set_msg(self.raw.as_ptr(), null_mut());
            (nng::nng_aio_result(self.raw.as_ptr()), message)
        };
        let message = NonNull::new(message).map(Message);
        check_error(result).map(|()| message)
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        self.closer.send(Leftover::Aio(self.raw, self.done.clone()));
    }
}

/// Called by nng when an operation has ended.
unsafe extern "C" fn on_done(done: *mut c_void) {
    // SAFETY: it points to the aio's `Notify`, which outlives the aio.
    unsafe { &*done.cast::<Notify>() }.notify_one();
}

/// Message in nng's memory.
pub(super) struct Message(NonNull<nng::nng_msg>);

// SAFETY: a message belongs to its holder; nng binds it to no thread.
unsafe impl Send for Message {}

impl Message {
    /// Allocates a message of zeros; `None` if there is no memory.
    pub(super) fn zeros(bytes: usize) -> Option<Self> {
        let mut raw = null_mut();
        // SAFETY: `raw` is valid for the call.
        check(unsafe { nng::nng_msg_alloc(&raw mut raw, bytes) }).ok()?;
        NonNull::new(raw).map(Self)
    }

    fn into_raw(self) -> *mut nng::nng_msg {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Returns the address and length of the bytes; the address is never null.
    fn body(&self) -> (*mut u8, usize) {
        // SAFETY: the message is valid as long as `self`.
        let (start, bytes) = unsafe { (nng::nng_msg_body(self.0.as_ptr()), nng::nng_msg_len(self.0.as_ptr())) };
        NonNull::new(start.cast()).map_or((NonNull::dangling().as_ptr(), 0), |start| (start.as_ptr(), bytes))
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        let (start, bytes) = self.body();
        // SAFETY: nng gives `bytes` bytes there, zeroed when they were allocated, that live as long as `self`.
        unsafe { std::slice::from_raw_parts(start, bytes) }
    }
}

impl AsMut<[u8]> for Message {
    fn as_mut(&mut self) -> &mut [u8] {
        let (start, bytes) = self.body();
        // SAFETY: as in `as_ref`; a message is not shared, so nothing else points there.
        unsafe { std::slice::from_raw_parts_mut(start, bytes) }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it is the holder's and is not used again.
        unsafe { nng::nng_msg_free(self.0.as_ptr()) };
    }
}

/// Resource whose closing or freeing has to wait.
enum Leftover {
    Socket(Arc<Socket>),
    Aio(NonNull<nng::nng_aio>, Arc<Notify>),
}

// SAFETY: as for `Aio`.
unsafe impl Send for Leftover {}

impl Leftover {
    fn free(self) {
        match self {
            Self::Socket(socket) => {
                *socket.is_shut.write().unwrap_or_else(PoisonError::into_inner) = true;
                // SAFETY: nng checks the id. It returns once no callback runs or will run, so the `Arc` may go then.
                unsafe { nng::nng_socket_close(socket.raw) };
            }
            // SAFETY: its owner is gone. Stopping ends its operation and waits for the callback, which uses `done`;
            // then a message left in it is ours.
            Self::Aio(aio, done) => unsafe {
                nng::nng_aio_stop(aio.as_ptr());
                drop(NonNull::new(nng::nng_aio_get_msg(aio.as_ptr())).map(Message));
                nng::nng_aio_free(aio.as_ptr());
                drop(done);
            },
        }
    }
}

/// Sends leftovers to the thread that frees them.
#[derive(Clone)]
struct Closer(mpsc::Sender<Leftover>);

impl Closer {
    fn send(&self, leftover: Leftover) {
        // The thread runs as long as the process; if it were gone, leaking would be the only safe option.
        if let Err(mpsc::SendError(leftover)) = self.0.send(leftover) {
            std::mem::forget(leftover);
        }
    }
}

/// Returns the process's closer. Starts it and nng on the first call.
fn closer() -> io::Result<Closer> {
    static CLOSER: Mutex<Option<Closer>> = Mutex::new(None);
    let mut closer = CLOSER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(closer) = &*closer {
        return Ok(closer.clone());
    }
    // SAFETY: may be called from any thread, any number of times.
    check_error(unsafe { nng::nng_init(null()) })?;
    let (sender, leftovers) = mpsc::channel::<Leftover>();
    std::thread::Builder::new()
        .name("link-close".into())
        .spawn(move || leftovers.into_iter().for_each(Leftover::free))?;
    Ok(closer.insert(Closer(sender)).clone())
}

fn check(result: c_int) -> io::Result<()> {
    check_error(nng::nng_err(result.unsigned_abs()))
}

fn check_error(result: nng::nng_err) -> io::Result<()> {
    if result == nng::nng_err::NNG_OK {
        return Ok(());
    }
    // SAFETY: nng gives a text that ends with NUL and lives as long as the process.
    let text = unsafe { CStr::from_ptr(nng::nng_strerror(result)) };
    Err(io::Error::other(text.to_string_lossy().into_owned()))
}
