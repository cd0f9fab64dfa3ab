//! Guests' requests to servers of the test, over a network that lies: names resolve to addresses chosen by the test,
//! and connections to any address reach the test's server under that address.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{LazyLock, Mutex},
};

use async_trait::async_trait;
use fusebox_core::{
    capability::Grants,
    name::{FunctionName, TenantId},
    outcome::StopReason,
};
use fusebox_sandbox::StopFlag;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    network::{Connected, Permit},
    *,
};

mod answers;
mod places;
mod tls;

/// Public address, and another one.
const PUBLIC: &str = "93.184.216.34";
const OTHER: &str = "151.101.1.69";

/// Network of the tests.
struct FakeNetwork {
    /// Answers of the name server, one per query; the last one is repeated.
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    /// Server that every connection reaches.
    server: SocketAddr,
    /// Addresses without a server.
    dead: Vec<IpAddr>,
    /// Address of this machine.
    own: IpAddr,
    /// True if the name server never answers.
    is_stuck: bool,
    stuck: Mutex<Vec<Permit>>,
    resolved: Mutex<Vec<String>>,
    connected: Mutex<Vec<SocketAddr>>,
}

#[async_trait]
impl Network for FakeNetwork {
    async fn resolve(&self, name: &str, held: Permit) -> io::Result<Vec<IpAddr>> {
        self.resolved.lock().unwrap().push(name.to_owned());
        if self.is_stuck {
            self.stuck.lock().unwrap().push(held);
            return std::future::pending().await;
        }
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        next.ok_or_else(|| io::Error::other("no such name"))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Connected> {
        self.connected.lock().unwrap().push(address);
        if self.dead.contains(&address.ip()) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let stream = TcpStream::connect(self.server).await?;
        Ok(Connected { stream, own: self.own, peer: address.ip() })
    }
}

impl FakeNetwork {
    fn connected(&self) -> Vec<String> {
        self.connected.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

fn network(server: SocketAddr, answers: &[&[&str]]) -> FakeNetwork {
    let ips = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    FakeNetwork {
        answers: Mutex::new(answers.iter().map(ips).collect()),
        server,
        dead: Vec::new(),
        own: "198.51.100.7".parse().unwrap(),
        is_stuck: false,
        stuck: Mutex::default(),
        resolved: Mutex::default(),
        connected: Mutex::default(),
    }
}

/// Starts a server that sends `answer` on each connection once it has the request's head, and then closes it. Returns
/// its address and the list of requests that it receives.
async fn server(answer: impl Into<Vec<u8>>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, seen) = (answer.into(), Arc::new(Mutex::default()));
    let list: Arc<Mutex<Vec<String>>> = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = head(&mut stream).await;
            list.lock().unwrap().push(request);
            // A client that has enough closes its end.
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, seen)
}

/// Reads the head of a request and, since it is sent at once, its body.
async fn head(stream: &mut TcpStream) -> String {
    let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(bytes) => request.extend_from_slice(&buffer[..bytes]),
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

fn egress(network: FakeNetwork) -> (Egress, Arc<FakeNetwork>) {
    let network = Arc::new(network);
    (Egress::new(network.clone(), Reachable::default(), RootCertStore::empty()).unwrap(), network)
}

fn public(server: SocketAddr) -> Egress {
    egress(network(server, &[&[PUBLIC]])).0
}

/// Sends a request with a deadline of a minute.
async fn send(egress: &Egress, request: &str) -> Result<String, Refused> {
    send_within(egress, request, Duration::from_secs(60), &StopFlag::default()).await
}

async fn send_within(egress: &Egress, request: &str, time: Duration, stop: &StopFlag) -> Result<String, Refused> {
    let limit = WaitLimit::new(Instant::now() + time, stop.clone());
    let answer = egress.send(&Bytes::copy_from_slice(request.as_bytes()), guest(), &limit).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns a guest with the grants that the tests use.
fn guest() -> Guest<'static> {
    const HOSTS: &str = "http=a.example.com,http=a.example.com:8080,http=127.0.0.1,http=127.0.0.1:8080,\
                         http=169.254.169.254";
    static GUEST: LazyLock<(TenantId, FunctionName, Grants)> =
        LazyLock::new(|| (TenantId::default_tenant(), "f".parse().unwrap(), Grants::parse_list(HOSTS).unwrap()));
    let (tenant, function, grants) = &*GUEST;
    Guest { tenant, function, grants, attempt: None }
}
