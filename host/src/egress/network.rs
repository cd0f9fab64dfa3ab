//! The network as this part sees it: names become addresses, and an address is connected to. A seam, so that tests can
//! be a name server that lies.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::net::TcpStream;

/// See the module's documentation.
#[async_trait]
pub trait Network: Send + Sync {
    /// The addresses of a name, as many as its name server likes. `held` is kept until the look-up is over, also where
    /// nobody waits for it any more.
    async fn resolve(&self, name: &str, held: Held) -> io::Result<Vec<IpAddr>>;

    /// Connects to exactly this address.
    async fn connect(&self, address: SocketAddr) -> io::Result<Connected>;
}

/// What is dropped when a look-up is over.
pub type Held = Arc<dyn Send + Sync>;

/// A connection, and the addresses of its ends as the system says them.
pub struct Connected {
    /// The connection.
    pub stream: TcpStream,
    /// This end.
    pub own: IpAddr,
    /// The other end.
    pub peer: IpAddr,
}

/// This machine's.
pub struct System;

#[async_trait]
impl Network for System {
    async fn resolve(&self, name: &str, held: Held) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        let look_up = tokio::task::spawn_blocking(move || {
            // The system's resolver may take half a minute, and nothing ends it before.
            let found = (name.as_str(), 0).to_socket_addrs();
            drop(held);
            found.map(|addresses| addresses.map(|address| address.ip()).collect())
        });
        look_up.await.map_err(io::Error::other)?
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Connected> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (own, peer) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
        Ok(Connected { stream, own, peer })
    }
}
