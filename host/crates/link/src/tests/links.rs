//! Tests of open links, and of the ways in which they end.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NNG_HEADER, bind, eventually, in_time, join, join_by_hand, pair, read, token};
use crate::{Direct, Link, LinkSender, MESSAGE_BYTES_MAX, SendError, connect, frame, seal};

#[tokio::test]
async fn messages_of_every_size_go_both_ways_in_order() {
    let (mut dispatcher, mut worker, counters) = pair().await;
    let piece = 65_519;
    let sizes = [0, 1, 100, piece - 1, piece, piece + 1, 2 * piece, 0, MESSAGE_BYTES_MAX];
    let texts = sizes.map(|bytes| Bytes::from_iter((0..251).cycle().take(bytes)));
    for text in &texts {
        dispatcher.sender.send(text.clone()).unwrap();
        worker.sender.send(text.clone()).unwrap();
    }
    for text in &texts {
        assert!(in_time("to the worker", worker.receiver.recv()).await.unwrap() == text, "{} bytes", text.len());
        assert!(
            in_time("to the dispatcher", dispatcher.receiver.recv()).await.unwrap() == text,
            "{} bytes",
            text.len()
        );
    }
    assert_eq!((read(&counters.accepted), read(&counters.broken_messages)), (1, 0));
}

#[tokio::test]
async fn a_message_above_the_bound_is_refused_and_the_link_stays() {
    let (mut dispatcher, worker, _) = pair().await;
    assert_eq!(worker.sender.send(Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1])), Err(SendError::TooLarge));
    worker.sender.send("small".into()).unwrap();
    assert_eq!(in_time("the small one", dispatcher.receiver.recv()).await.unwrap(), "small");
}

#[tokio::test]
async fn many_workers_on_one_port_do_not_mix() {
    let (mut listener, url, counters) = bind(Some(token())).await;
    let workers = (0..20).map(|number: u32| {
        let url = url.clone();
        tokio::spawn(async move {
            let mut link = connect(&url, Some(&token()), &Direct).await.unwrap();
            for round in 0..50 {
                link.sender.send(format!("{number} {round}").into()).unwrap();
            }
            for round in 0..50 {
                assert_eq!(link.receiver.recv().await.unwrap(), format!("{number} {round}"));
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for _ in 0..20 {
        let mut link = in_time("a worker", listener.accept()).await;
        tokio::spawn(async move {
            while let Some(message) = link.receiver.recv().await {
                link.sender.send(message).unwrap();
            }
        });
    }
    for worker in workers {
        in_time("its echoes", worker).await.unwrap();
    }
    assert_eq!(read(&counters.accepted), 20);
}

#[tokio::test]
async fn receiving_can_be_cancelled_without_loss() {
    let (mut dispatcher, worker, _) = pair().await;
    for number in 0..200_u32 {
        worker.sender.send(number.to_string().into()).unwrap();
    }
    for number in 0..200_u32 {
        let message = loop {
            tokio::select! {
                biased;
                message = dispatcher.receiver.recv() => break message,
                () = tokio::task::yield_now() => {}
            }
        };
        assert_eq!(message.unwrap(), number.to_string());
    }
}

#[tokio::test]
async fn what_the_peer_did_not_seal_ends_its_link() {
    let plain = [&23_u64.to_be_bytes()[..], &[7; 23]].concat();
    let empty = 0_u64.to_be_bytes().to_vec();
    for frame in [plain, empty] {
        let (mut listener, url, counters) = bind(Some(token())).await;
        let (mut dispatcher, (mut stream, _session)) = tokio::join!(listener.accept(), async {
            let mut joined = join_by_hand(&url).await;
            joined.0.write_all(NNG_HEADER).await.unwrap();
            joined
        });
        stream.write_all(&[&frame[..], &frame].concat()).await.unwrap();
        assert_eq!(in_time("the end", dispatcher.receiver.recv()).await, None);
        assert_eq!(in_time("the end", dispatcher.receiver.recv()).await, None);
        assert_eq!(read(&counters.broken_messages), 1, "once for the link");
        assert_eq!(dispatcher.sender.send("x".into()), Err(SendError::Closed));
        let _ = in_time("the connection's end", stream.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn a_length_beyond_the_bound_ends_the_link_before_its_bytes_come() {
    let (mut listener, url, _) = bind(Some(token())).await;
    let (mut dispatcher, mut stream) = tokio::join!(listener.accept(), async {
        let mut stream = join_by_hand(&url).await.0;
        stream.write_all(NNG_HEADER).await.unwrap();
        stream
    });
    let length = seal::sealed_bytes(frame::FRAME_BYTES_MAX) as u64 + 1;
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    assert_eq!(in_time("the end", dispatcher.receiver.recv()).await, None);
}

#[tokio::test]
async fn a_closed_link_is_noticed_at_once_on_both_sides() {
    type Close = fn(Link) -> Option<LinkSender>;
    let closes: [(&str, Close); 3] = [
        ("close", |link| {
            link.sender.close();
            Some(link.sender)
        }),
        ("drop of all", |link| {
            drop(link);
            None
        }),
        ("drop of the receiver", |link| Some(link.sender)),
    ];
    for (how, close) in closes {
        let (mut dispatcher, worker, _) = pair().await;
        let sender = close(worker);
        assert_eq!(in_time("the end", dispatcher.receiver.recv()).await, None, "{how}");
        assert!(dispatcher.sender.is_closed(), "{how}");
        assert_eq!(dispatcher.sender.send("x".into()), Err(SendError::Closed), "{how}");
        if let Some(sender) = sender {
            assert_eq!(sender.send("x".into()), Err(SendError::Closed), "{how}");
        }
    }
}

#[tokio::test]
async fn a_reset_connection_ends_the_link() {
    let (mut listener, url, _) = bind(Some(token())).await;
    let (mut dispatcher, stream) = tokio::join!(listener.accept(), async {
        let mut stream = join_by_hand(&url).await.0;
        stream.write_all(NNG_HEADER).await.unwrap();
        stream
    });
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(in_time("the end", dispatcher.receiver.recv()).await, None);
    assert_eq!(dispatcher.sender.send("x".into()), Err(SendError::Closed));
}

#[tokio::test]
async fn a_side_that_only_sends_notices_the_end_as_well() {
    let (dispatcher, worker, _) = pair().await;
    drop(worker);
    eventually("the sender sees it", || dispatcher.sender.is_closed()).await;
    assert_eq!(dispatcher.sender.send("x".into()), Err(SendError::Closed));
}

#[tokio::test]
async fn what_was_sent_before_all_senders_went_still_arrives() {
    let (mut dispatcher, worker, _) = pair().await;
    let Link { sender, mut receiver, .. } = worker;
    for number in 0..100_u32 {
        sender.send(number.to_string().into()).unwrap();
    }
    drop(sender);
    for number in 0..100_u32 {
        assert_eq!(in_time("a message", dispatcher.receiver.recv()).await.unwrap(), number.to_string());
    }
    dispatcher.sender.send("back".into()).unwrap();
    assert_eq!(in_time("the other way", receiver.recv()).await.unwrap(), "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_costs_a_bounded_queue_and_its_link() {
    let mebibyte = Bytes::from(vec![0; 1 << 20]);
    for message in [mebibyte, Bytes::from_static(b"x")] {
        let (dispatcher, mut worker, _) = pair().await;
        let mut sent = 0;
        let error = loop {
            match dispatcher.sender.send(message.clone()) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1_000_000, "no bound on messages of {} bytes", message.len());
        };
        assert_eq!(error, SendError::Full);
        assert!(dispatcher.sender.is_closed());
        // Messages sent before are received, and then the end.
        in_time("the end", async { while worker.receiver.recv().await.is_some() {} }).await;
    }
}

#[tokio::test]
async fn a_link_leaves_no_descriptor_behind() {
    let (mut listener, url, _) = bind(Some(token())).await;
    let port = listener.local_addr().port();
    for _ in 0..200 {
        let (dispatcher, worker) = join(&mut listener, &url).await;
        dispatcher.sender.send("x".into()).unwrap();
        worker.sender.send("y".into()).unwrap();
    }
    eventually("only the listener is open", || sockets(port) == 1).await;
}

/// Counts this process's sockets with `port` on either end. Other tests may run concurrently.
fn sockets(port: u16) -> usize {
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inodes: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|row| row.len() > 9 && (row[1].ends_with(&port) || row[2].ends_with(&port)))
        .map(|row| format!("socket:[{}]", row[9]))
        .collect();
    let open =
        std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    open.filter(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str())).count()
}
