//! TCP proxy between two processes that injects network faults into their connection. Faults are switched at run time
//! and apply to open and new connections.
//!
//! Bytes are delayed and dropped only with their connection: TCP retransmits what a network loses, so the stream resumes
//! where it stopped after a partition is healed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

/// Largest number of chunks in transit in one direction; times [`CHUNK_BYTES`], the most memory that a delay takes.
const CHUNKS_MAX: usize = 64;
const CHUNK_BYTES: usize = 16 << 10;

/// Faults of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Faults from the client to the target.
    pub to_target: Way,
    /// Faults from the target to the client.
    pub to_client: Way,
    /// Resets new connections as soon as they are established.
    pub refuse: bool,
}

/// Faults in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Delay of every byte.
    pub delay: Duration,
    /// Delivers nothing, without notice to either side.
    pub blocked: bool,
    /// Delivers every byte separately.
    pub sliced: bool,
}

impl Faults {
    /// Returns faults that delay both directions.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        let way = Way { delay, ..Way::default() };
        Self { to_target: way, to_client: way, refuse: false }
    }

    /// Returns faults that deliver nothing in either direction.
    #[must_use]
    pub fn black_hole() -> Self {
        let way = Way { blocked: true, ..Way::default() };
        Self { to_target: way, to_client: way, refuse: false }
    }

    /// Returns a half-open connection: only the target receives.
    #[must_use]
    pub fn deaf_client() -> Self {
        Self { to_target: Way::default(), ..Self::black_hole() }
    }

    /// Returns a half-open connection: only the client receives.
    #[must_use]
    pub fn deaf_target() -> Self {
        Self { to_client: Way::default(), ..Self::black_hole() }
    }

    /// Returns faults that deliver each byte separately.
    #[must_use]
    pub fn sliced() -> Self {
        let way = Way { sliced: true, ..Way::default() };
        Self { to_target: way, to_client: way, refuse: false }
    }

    /// Returns faults that reset new connections.
    #[must_use]
    pub fn refusing() -> Self {
        Self { refuse: true, ..Self::default() }
    }
}

/// A running proxy. Dropping it closes its connections.
pub struct Proxy {
    address: SocketAddr,
    control: watch::Sender<Control>,
    carried: Arc<Carried>,
}

/// State observed by every connection.
#[derive(Clone, Copy, Debug, Default)]
struct Control {
    faults: Faults,
    /// Connections with a lower number are reset.
    resets: u64,
}

#[derive(Debug, Default)]
struct Carried {
    connections: AtomicU64,
    bytes: AtomicU64,
    writes: AtomicU64,
}

impl Proxy {
    /// Listens on a free port and forwards connections to `target`. Runs on a separate thread, so that a blocking test
    /// does not stall it.
    ///
    /// # Errors
    /// Fails if no port is available.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("a port for the proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (control, watched) = watch::channel(Control::default());
        let carried = Arc::new(Carried::default());
        let counted = carried.clone();
        std::thread::spawn(move || runtime.block_on(serve(listener, target, watched, counted)));
        Ok(Self { address, control, carried })
    }

    /// Returns the address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the current faults.
    pub fn set(&self, faults: Faults) {
        self.control.send_modify(|control| control.faults = faults);
    }

    /// Removes all faults; delayed bytes arrive.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// Resets all open connections in both directions. Bytes that are held back are lost, even if the proxy is healed
    /// immediately afterwards.
    pub fn reset(&self) {
        self.control.send_modify(|control| control.resets += 1);
    }

    /// Returns the number of connections forwarded so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.carried.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes delivered so far in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.carried.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of writes used to deliver them.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.carried.writes.load(Ordering::Relaxed)
    }
}

/// Accepts connections until the proxy is dropped; the connections end with the runtime.
async fn serve(
    listener: std::net::TcpListener,
    target: SocketAddr,
    mut control: watch::Receiver<Control>,
    carried: Arc<Carried>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            dropped = until_dropped(&mut control) => return dropped,
        };
        let Ok((client, _)) = client else { continue };
        if control.borrow().faults.refuse {
            reset(&client);
        } else {
            tokio::spawn(connection(client, target, control.clone(), carried.clone()));
        }
    }
}

async fn until_dropped(control: &mut watch::Receiver<Control>) {
    while control.changed().await.is_ok() {}
}

async fn connection(
    mut client: TcpStream,
    target: SocketAddr,
    mut control: watch::Receiver<Control>,
    carried: Arc<Carried>,
) {
    let resets = control.borrow().resets;
    // In a black hole the target does not learn of the connection.
    if control.wait_for(|control| !control.faults.to_target.blocked).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    carried.connections.fetch_add(1, Ordering::Relaxed);
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let passed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let out = Pump { control: control.clone(), way: |faults| faults.to_target, resets, carried: &carried };
        let back = Pump { control: control.clone(), way: |faults| faults.to_client, resets, carried: &carried };
        tokio::select! {
            both = async { tokio::try_join!(out.run(from_client, to_server), back.run(from_server, to_client)) } => both.is_ok(),
            _ = control.wait_for(|control| control.resets != resets) => false,
        }
    };
    if !passed {
        reset(&client);
        reset(&server);
    }
}

/// Makes a connection end with a reset.
fn reset(stream: &TcpStream) {
    // Fails only if the connection has already ended.
    let _ = stream.set_zero_linger();
}

/// One direction of a connection.
struct Pump<'a> {
    control: watch::Receiver<Control>,
    way: fn(&Faults) -> Way,
    /// Number of resets when the connection was made.
    resets: u64,
    carried: &'a Carried,
}

impl Pump<'_> {
    async fn run(self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> anyhow::Result<()> {
        let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
        let (mut reading, mut writing) = (self.control.clone(), self.control.clone());
        let (way, resets) = (self.way, self.resets);
        let read = async move {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let count = from.read(&mut chunk).await?;
                chunk.truncate(count);
                // The end of the stream is delayed like its bytes.
                let faults = open(&mut reading, way, resets).await?;
                if count == 0 {
                    return anyhow::Ok(());
                }
                sender.send((Instant::now() + faults.delay, chunk)).await?;
            }
        };
        let write = async {
            while let Some((due, chunk)) = receiver.recv().await {
                tokio::time::sleep_until(due).await;
                let faults = open(&mut writing, way, resets).await?;
                let size = if faults.sliced { 1 } else { CHUNK_BYTES };
                // Counted before the write, so that the counts include everything that a receiver has.
                self.carried.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                for piece in chunk.chunks(size) {
                    self.carried.writes.fetch_add(1, Ordering::Relaxed);
                    to.write_all(piece).await?;
                }
            }
            anyhow::Ok(to.shutdown().await?)
        };
        tokio::try_join!(read, write).map(drop)
    }
}

/// Waits until a direction delivers bytes; fails if its connection is reset first.
async fn open(control: &mut watch::Receiver<Control>, way: fn(&Faults) -> Way, resets: u64) -> anyhow::Result<Way> {
    let is_over = |control: &Control| control.resets != resets;
    let control = *control.wait_for(|control| is_over(control) || !way(&control.faults).blocked).await?;
    anyhow::ensure!(!is_over(&control), "the connection is reset");
    Ok(way(&control.faults))
}
