//! A cut cable holds back packets, and a reconnected one delivers them.

use std::{process::Stdio, time::Duration};

use fusebox_harness::{namespace::Namespace, stays_silent};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_cut_cable_holds_up_what_is_sent_until_it_is_healed() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return println!("NOT CHECKED: {why:#}"),
    };
    let listener = TcpListener::bind((namespace.host(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // Connects from inside the namespace and echoes what it receives.
    let echo = format!("exec 3<>/dev/tcp/{}/{}; cat <&3 >&3", address.ip(), address.port());
    let mut child = namespace.command("bash").args(["-c", &echo]).stdin(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut back = [0; 5];
    stream.write_all(b"hello").await.unwrap();
    stream.read_exact(&mut back).await.unwrap();

    namespace.cut().unwrap();
    stream.write_all(b"again").await.unwrap();
    assert!(stays_silent(&stream).await.unwrap());
    namespace.heal().unwrap();
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"again");
    child.kill().unwrap();
    child.wait().unwrap();
}
