//! Tests of admission: peers that may join, and peers that may not.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{LOCAL, NNG_HEADER, bind, eventually, in_time, join, join_by_hand, read, refusal, token};
use crate::{
    Admission, BindError, ConnectError, Direct, HANDSHAKE_TIME, JoinToken, Listener, PROTOCOL, VERSIONS, connect,
    connect::connect_as, handshake,
};

#[tokio::test]
async fn both_sides_need_the_same_token() {
    let other: JoinToken = "another token of the tests".parse().unwrap();
    let cases = [(Some(token()), Some(other)), (Some(token()), None), (None, Some(token()))];
    for (theirs, ours) in cases {
        let (mut listener, url, counters) = bind(theirs).await;
        let error = refusal(&mut listener, connect(&url, ours.as_ref(), &Direct)).await;
        assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("set the same on both sides"), "{error}");
        tokio::select! {
            link = listener.accept() => panic!("{link:?} joined"),
            () = eventually("it is counted", || read(&counters.refused_handshakes) == 1) => {}
        }
        assert_eq!(read(&counters.accepted), 0);
    }
}

fn admission() -> Admission {
    Admission { tokens: vec![token()], ..Admission::default() }
}

#[tokio::test]
async fn while_a_token_is_replaced_either_one_lets_in() {
    let (old, new) = (token(), "another token of the tests".parse::<JoinToken>().unwrap());
    let admission = Admission { tokens: vec![new.clone(), old.clone()], ..Admission::default() };
    let mut listener = Listener::bind(LOCAL, admission, Arc::default()).await.unwrap();
    let url = format!("tcp://{}", listener.local_addr());
    for token in [old, new] {
        let (dispatcher, worker) = tokio::join!(listener.accept(), connect(&url, Some(&token), &Direct));
        let keys = [worker.unwrap(), dispatcher].map(|link| link.token.unwrap().artifact_key());
        assert_eq!(keys, [token.artifact_key(); 2], "code is sealed with the token that the worker knows");
    }
    let other: JoinToken = "a token that nobody gave it".parse().unwrap();
    for wrong in [Some(&other), None] {
        let error = refusal(&mut listener, connect(&url, wrong, &Direct)).await;
        assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    }
}

#[tokio::test]
async fn once_it_is_closed_nobody_joins_without_a_token_and_is_told_how_to_make_one() {
    let (mut listener, url, _) = bind(None).await;
    let (_dispatcher, worker) = tokio::join!(listener.accept(), connect(&url, None, &Direct));
    worker.unwrap();
    listener.closed().cancel();
    let token = token();
    for token in [None, Some(&token)] {
        let error = refusal(&mut listener, connect(&url, token, &Direct)).await;
        assert!(matches!(error, ConnectError::Closed { .. }), "{error}");
        assert!(error.to_string().contains("openssl rand -hex 32"), "{error}");
    }
}

#[tokio::test]
async fn without_tokens_a_worker_of_the_same_machine_joins() {
    let (mut listener, url, _) = bind(None).await;
    let (mut dispatcher, worker) = tokio::join!(listener.accept(), connect(&url, None, &Direct));
    let worker = worker.unwrap();
    worker.sender.send("hello".into()).unwrap();
    assert_eq!(in_time("a message", dispatcher.receiver.recv()).await.unwrap(), "hello");
}

#[tokio::test]
async fn releases_that_follow_each_other_speak_the_newest_version_of_both() {
    let token = token();
    // Versions of the worker and of the dispatcher, and the version they agree on.
    let cases = [(2..=3, 2..=3, 3), (1..=2, 2..=3, 2), (2..=3, 1..=2, 2), (3..=4, 2..=3, 3), (2..=3, 3..=4, 3)];
    for (ours, theirs, agreed) in cases {
        let (mut listener, url, counters) = bind(Some(token.clone())).await;
        listener.set_versions(theirs);
        let connecting = connect_as(&url, Some(&token), &Direct, ours, HANDSHAKE_TIME);
        let (dispatcher, worker) = tokio::join!(listener.accept(), connecting);
        let (mut dispatcher, worker) = (dispatcher, worker.unwrap());
        assert_eq!((dispatcher.sender.version(), worker.sender.version()), (agreed, agreed));
        worker.sender.send("hello".into()).unwrap();
        assert_eq!(in_time("a message", dispatcher.receiver.recv()).await.unwrap(), "hello");
        assert_eq!(read(&counters.accepted), 1);
    }
}

#[tokio::test]
async fn releases_that_are_too_far_apart_are_told_their_versions() {
    let token = token();
    for (ours, theirs) in [(4..=5, 2..=3), (1..=2, 3..=4)] {
        let (mut listener, url, _) = bind(Some(token.clone())).await;
        listener.set_versions(theirs.clone());
        let connecting = connect_as(&url, Some(&token), &Direct, ours.clone(), HANDSHAKE_TIME);
        let error = refusal(&mut listener, connecting).await;
        let ConnectError::Version { oldest, newest, theirs: told, .. } = &error else { panic!("{error}") };
        assert_eq!((*oldest..=*newest, *told), (ours, *theirs.end()));
        assert!(error.to_string().contains("install consecutive releases"), "{error}");
    }
}

#[tokio::test]
async fn strangers_are_dropped_and_counted_while_a_worker_joins() {
    let (mut listener, url, counters) = bind(Some(token())).await;
    let hello = handshake::begin(&[9; 32], PROTOCOL).unwrap().1;
    let garbage = std::iter::successors(Some(1_u32), |x| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
        .flat_map(u32::to_be_bytes)
        .take(100_000)
        .collect();
    let says: [Vec<u8>; 7] = [
        b"GET / HTTP/1.1\r\nhost: dispatcher\r\n\r\n".into(),
        garbage,
        [NNG_HEADER, b"\0\0\0\0\x7f\xff\xff\xffgarbage"].concat(),
        b"FBOX\0\x01".iter().copied().chain([0; handshake::NOISE_BYTES]).collect(),
        b"FBOX\xff\xff".into(),
        [&handshake::hello_header(PROTOCOL)[..], &hello].concat(),
        b"FBO".into(),
    ];
    let expected = says.len() as u64;
    let mut silent = Vec::new();
    for text in says {
        let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        // It may be cut off while it still sends.
        let _ = stream.write_all(&text).await;
        let _ = stream.shutdown().await;
        silent.push(stream);
        silent.push(TcpStream::connect(listener.local_addr()).await.unwrap());
    }
    let (mut dispatcher, worker) = join(&mut listener, &url).await;
    worker.sender.send("here".into()).unwrap();
    assert_eq!(in_time("a message", dispatcher.receiver.recv()).await.unwrap(), "here");
    tokio::select! {
        link = listener.accept() => panic!("{link:?} joined"),
        () = eventually("all are counted", || read(&counters.refused_handshakes) == expected) => {}
    }
    assert_eq!(read(&counters.accepted), 1);
}

#[tokio::test]
async fn who_says_nothing_is_cut_off_in_time() {
    let (mut listener, _, counters) = bind(Some(token())).await;
    listener.set_handshake_time(Duration::from_millis(50));
    let mut silent = TcpStream::connect(listener.local_addr()).await.unwrap();
    tokio::select! {
        link = listener.accept() => panic!("{link:?} joined"),
        () = eventually("it is counted", || read(&counters.expired_handshakes) == 1) => {}
    }
    assert_eq!(in_time("its end", silent.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test]
async fn who_knows_the_token_and_then_says_nothing_is_cut_off_as_well() {
    let (mut listener, url, counters) = bind(Some(token())).await;
    // Long enough for the handshake's arithmetic on a busy machine.
    listener.set_handshake_time(Duration::from_secs(2));
    let (mut stream, _) = tokio::select! {
        link = listener.accept() => panic!("{link:?} joined"),
        joined = join_by_hand(&url) => joined,
    };
    tokio::select! {
        link = listener.accept() => panic!("{link:?} joined"),
        () = eventually("it is counted", || read(&counters.expired_handshakes) == 1) => {}
    }
    let mut header = Vec::new();
    in_time("its end", stream.read_to_end(&mut header)).await.unwrap();
    assert_eq!(header, NNG_HEADER);
}

#[tokio::test]
async fn a_crowd_of_silent_strangers_makes_room_for_a_worker() {
    let (mut listener, url, counters) = bind(Some(token())).await;
    let (addr, crowd) = (listener.local_addr(), 300);
    let mut silent = Vec::new();
    for _ in 0..crowd {
        let stream = tokio::select! {
            link = listener.accept() => panic!("{link:?} joined"),
            stream = TcpStream::connect(addr) => stream.unwrap(),
        };
        silent.push(stream);
    }
    join(&mut listener, &url).await;
    assert!(read(&counters.expired_handshakes) >= crowd + 1 - 256);
    assert_eq!(read(&counters.accepted), 1);
}

#[tokio::test]
async fn a_recorded_handshake_joins_nobody() {
    let (mut listener, url, counters) = bind(Some(token())).await;
    // An attacker between the two, who records the worker's messages.
    let between = TcpListener::bind(LOCAL).await.unwrap();
    let worker_url = format!("tcp://{}", between.local_addr().unwrap());
    let addr = listener.local_addr();
    let record = tokio::spawn(async move {
        let mut worker = between.accept().await.unwrap().0;
        let mut dispatcher = TcpStream::connect(addr).await.unwrap();
        let mut said = [0; 54 + handshake::CONFIRM_BYTES];
        worker.read_exact(&mut said[..54]).await.unwrap();
        dispatcher.write_all(&said[..54]).await.unwrap();
        let mut answer = [0; handshake::ANSWER_HEADER_BYTES + handshake::NOISE_BYTES];
        dispatcher.read_exact(&mut answer).await.unwrap();
        worker.write_all(&answer).await.unwrap();
        worker.read_exact(&mut said[54..]).await.unwrap();
        dispatcher.write_all(&said[54..]).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut worker, &mut dispatcher).await });
        said
    });
    let _links = join(&mut listener, &worker_url).await;
    let said = in_time("the record", record).await.unwrap();

    let mut replay = TcpStream::connect(addr).await.unwrap();
    replay.write_all(&said).await.unwrap();
    tokio::select! {
        link = listener.accept() => panic!("{link:?} joined"),
        () = eventually("it is counted", || read(&counters.refused_handshakes) == 1) => {}
    }
    join(&mut listener, &url).await;
}

#[tokio::test]
async fn an_open_port_needs_a_token() {
    let open = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let error = Listener::bind(open, Admission::default(), Arc::default()).await.unwrap_err();
    assert!(error.to_string().contains("set a join token, or listen on 127.0.0.1"), "{error}");
    let mut listener = Listener::bind(open, admission(), Arc::default()).await.unwrap();
    let url = format!("tcp://127.0.0.1:{}", listener.local_addr().port());
    join(&mut listener, &url).await;
}

#[tokio::test]
async fn a_port_in_use_is_said_so() {
    let (listener, ..) = bind(Some(token())).await;
    let error = Listener::bind(listener.local_addr(), admission(), Arc::default()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("is in use"), "{error}");
}

#[tokio::test]
async fn a_worker_learns_what_is_wrong_with_an_address() {
    let error = connect("http://127.0.0.1:1", None, &Direct).await.unwrap_err();
    assert!(matches!(error, ConnectError::BadUrl { .. }), "{error}");

    let free = TcpListener::bind(LOCAL).await.unwrap();
    let url = format!("tcp://{}", free.local_addr().unwrap());
    drop(free);
    let error = connect(&url, None, &Direct).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");

    let other = TcpListener::bind(LOCAL).await.unwrap();
    let url = format!("tcp://{}", other.local_addr().unwrap());
    for says in [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), b""] {
        let (error, ()) = tokio::join!(connect(&url, None, &Direct), async {
            let mut stream = other.accept().await.unwrap().0;
            stream.read_exact(&mut [0; 54]).await.unwrap();
            stream.write_all(says).await.unwrap();
        });
        let error = error.unwrap_err();
        assert!(matches!(error, ConnectError::NotADispatcher { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_worker_does_not_wait_for_ever() {
    let silent = TcpListener::bind(LOCAL).await.unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let error = connect_as(&url, None, &Direct, VERSIONS, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_dispatcher_that_does_not_know_the_token_gets_no_worker() {
    let rogue = TcpListener::bind(LOCAL).await.unwrap();
    let url = format!("tcp://{}", rogue.local_addr().unwrap());
    let token = token();
    let (error, ()) = tokio::join!(connect(&url, Some(&token), &Direct), async {
        let mut stream = rogue.accept().await.unwrap().0;
        stream.read_exact(&mut [0; 54]).await.unwrap();
        let welcome = handshake::answer_header(PROTOCOL, handshake::Verdict::Welcome);
        stream.write_all(&[&welcome[..], &[3; handshake::NOISE_BYTES]].concat()).await.unwrap();
    });
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
}
