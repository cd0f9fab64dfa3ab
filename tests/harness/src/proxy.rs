//! A TCP proxy that can be told to misbehave: it stands between two processes and does to their connection what networks
//! do. Faults are switched at run time and hold for open connections and new ones.
//!
//! Bytes are held up, never thrown away: what a network loses, TCP sends again, so that after a healed partition the
//! stream goes on where it stopped.

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

/// Chunks on their way in one direction: together with [`CHUNK_BYTES`] the most that a delay keeps in memory.
const CHUNKS_MAX: usize = 64;
const CHUNK_BYTES: usize = 16 << 10;

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From the client to the target.
    pub to_target: Way,
    /// From the target to the client.
    pub to_client: Way,
    /// New connections are reset as soon as they are made.
    pub refuse: bool,
}

/// What is wrong in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Bytes arrive so much later.
    pub delay: Duration,
    /// Nothing arrives, and nobody is told.
    pub blocked: bool,
    /// Every byte arrives alone.
    pub sliced: bool,
}

impl Faults {
    /// Both directions are slow.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        let way = Way { delay, ..Way::default() };
        Self { to_target: way, to_client: way, refuse: false }
    }

    /// A black hole: nothing passes, in neither direction.
    #[must_use]
    pub fn black_hole() -> Self {
        let way = Way { blocked: true, ..Way::default() };
        Self { to_target: way, to_client: way, refuse: false }
    }

    /// Half open: the target hears the client, the client hears nothing.
    #[must_use]
    pub fn deaf_client() -> Self {
        Self { to_target: Way::default(), ..Self::black_hole() }
    }

    /// Half open: the client hears the target, the target hears nothing.
    #[must_use]
    pub fn deaf_target() -> Self {
        Self { to_client: Way::default(), ..Self::black_hole() }
    }

    /// Each byte arrives alone.
    #[must_use]
    pub fn sliced() -> Self {
        let way = Way { sliced: true, ..Way::default() };
        Self { to_target: way, to_client: way, refuse: false }
    }

    /// Nobody new gets through.
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

/// What every connection watches.
#[derive(Clone, Copy, Debug, Default)]
struct Control {
    faults: Faults,
    /// Connections of an earlier number are reset.
    resets: u64,
}

#[derive(Debug, Default)]
struct Carried {
    connections: AtomicU64,
    bytes: AtomicU64,
    writes: AtomicU64,
}

impl Proxy {
    /// Listens on a free port and passes connections on to `target`. It runs on a thread of its own, so that a test that
    /// blocks does not hold it up.
    ///
    /// # Errors
    /// Where no port can be had.
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

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these faults and no others.
    pub fn set(&self, faults: Faults) {
        self.control.send_modify(|control| control.faults = faults);
    }

    /// Everything passes again; what was held up arrives.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// Resets every open connection, in both directions.
    pub fn reset(&self) {
        self.control.send_modify(|control| control.resets += 1);
    }

    /// Connections that were let through so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.carried.connections.load(Ordering::Relaxed)
    }

    /// Bytes that were delivered so far, both directions together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.carried.bytes.load(Ordering::Relaxed)
    }

    /// Writes that it took to deliver them.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.carried.writes.load(Ordering::Relaxed)
    }
}

/// Ends when the proxy is dropped; the connections end with the runtime.
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
        let out = Pump { control: control.clone(), way: |faults| faults.to_target, carried: &carried };
        let back = Pump { control: control.clone(), way: |faults| faults.to_client, carried: &carried };
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

/// Makes the end of a connection a reset.
fn reset(stream: &TcpStream) {
    // A connection that is gone needs none.
    let _ = stream.set_zero_linger();
}

/// One direction of a connection.
struct Pump<'a> {
    control: watch::Receiver<Control>,
    way: fn(&Faults) -> Way,
    carried: &'a Carried,
}

impl Pump<'_> {
    async fn run(self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> anyhow::Result<()> {
        let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
        let (mut reading, mut writing) = (self.control.clone(), self.control.clone());
        let way = self.way;
        let read = async move {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let count = from.read(&mut chunk).await?;
                chunk.truncate(count);
                // The end of the stream is held up as its bytes are.
                let control = *reading.wait_for(|control| !way(&control.faults).blocked).await?;
                if count == 0 {
                    return anyhow::Ok(());
                }
                sender.send((Instant::now() + way(&control.faults).delay, chunk)).await?;
            }
        };
        let write = async {
            while let Some((due, chunk)) = receiver.recv().await {
                tokio::time::sleep_until(due).await;
                let control = *writing.wait_for(|control| !way(&control.faults).blocked).await?;
                let size = if way(&control.faults).sliced { 1 } else { CHUNK_BYTES };
                // Counted before they are written, so that whoever has them finds them counted.
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
