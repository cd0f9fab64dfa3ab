//! Destinations of requests: allowed and refused.

use super::*;

const GET: &str = "GET http://a.example.com/\n\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn kind(refused: Result<String, Refused>) -> &'static str {
    match refused {
        Err(Refused::Address { kind, .. }) => kind,
        other => panic!("an address is refused, and this is {other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_caught_each_time() {
    let (server, _) = server(OK).await;
    let (egress, network) = egress(network(server, &[&[PUBLIC], &["127.0.0.1"], &[PUBLIC, "127.0.0.1"]]));
    assert!(send(&egress, GET).await.unwrap().ends_with("hi"));
    assert_eq!(network.resolved.lock().unwrap().len(), 1, "asked once, and what was checked is connected to");
    assert_eq!(kind(send(&egress, GET).await), "loopback");
    assert!(send(&egress, GET).await.is_ok(), "the public one of both");
    assert_eq!(network.connected(), [format!("{PUBLIC}:80"), format!("{PUBLIC}:80")]);
}

#[tokio::test]
async fn no_notation_of_a_private_address_is_connected_to() {
    let (server, seen) = server(OK).await;
    let (egress, network) = egress(network(server, &[&[PUBLIC]]));
    for (url, what) in [
        ("http://127.0.0.1/", "loopback"),
        ("http://127.1/", "loopback"),
        ("http://0x7f000001/", "loopback"),
        ("http://2130706433/", "loopback"),
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
    ] {
        assert_eq!(kind(send(&egress, &format!("GET {url}\n\n")).await), what, "{url}");
    }
    // These cannot even be granted.
    for url in ["http://[::ffff:127.0.0.1]/", "http://[::1]/", "http://[64:ff9b::7f00:1]/", "http://localhost/"] {
        let refused = send(&egress, &format!("GET {url}\n\n")).await;
        assert!(matches!(refused, Err(Refused::Host(_))), "{url}: {refused:?}");
    }
    assert!(network.connected().is_empty() && seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_private_addresses_is_refused() {
    let (server, _) = server(OK).await;
    for address in ["10.0.0.1", "::1", "::ffff:10.0.0.1", "fd00:ec2::254", "64:ff9b::a00:1", "0.0.0.0", "100.64.0.1"] {
        let (egress, network) = egress(network(server, &[&[address]]));
        let refused = send(&egress, GET).await;
        assert!(matches!(refused, Err(Refused::Address { .. })), "{address}: {refused:?}");
        assert!(network.connected().is_empty(), "{address}");
    }
}

#[tokio::test]
async fn this_machine_is_refused_by_its_public_address_too() {
    let (server, seen) = server(OK).await;
    let (egress, _) = egress(FakeNetwork { own: PUBLIC.parse().unwrap(), ..network(server, &[&[PUBLIC]]) });
    assert_eq!(kind(send(&egress, GET).await), "this machine's own");
    assert!(seen.lock().unwrap().iter().all(String::is_empty), "nothing was sent");
}

#[tokio::test]
async fn an_operator_can_allow_a_private_network() {
    let (server, _) = server(OK).await;
    let network = Arc::new(network(server, &[&["127.0.0.1"]]));
    let reachable = Reachable::new(vec!["127.0.0.0/8".parse().unwrap()], Vec::new());
    let egress = Egress::new(network, reachable, RootCertStore::empty()).unwrap();
    assert!(send(&egress, GET).await.is_ok());
    assert!(send(&egress, "GET http://127.0.0.1:8080/\n\n").await.is_ok());
    assert_eq!(kind(send(&egress, "GET http://169.254.169.254/\n\n").await), "link-local");
}

#[tokio::test]
async fn what_an_operator_denies_is_not_connected_to() {
    let (server, seen) = server(OK).await;
    for (denied, is_resolved) in [("93.184.216.0/24", true), ("a.example.com", false), ("*.example.com:80", false)] {
        let network = Arc::new(network(server, &[&[PUBLIC]]));
        // Deny goes before allow.
        let reachable = Reachable::new(vec!["93.184.216.34/32".parse().unwrap()], vec![denied.parse().unwrap()]);
        let egress = Egress::new(network.clone(), reachable, RootCertStore::empty()).unwrap();
        let refused = send(&egress, GET).await.unwrap_err();
        assert_eq!(refused, Refused::Denied("a.example.com".to_owned(), denied.to_owned()));
        assert_eq!(refused.refusal(), Refusal::Refused);
        assert_eq!(network.resolved.lock().unwrap().len(), usize::from(is_resolved), "{denied}");
        assert!(network.connected().is_empty());
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_port_that_browsers_block_is_not_connected_to() {
    let (server, _) = server(OK).await;
    let (egress, network) = egress(network(server, &[&[PUBLIC]]));
    // A version that was granted it before this rule.
    let grants = serde_json::from_str(r#"{"http":["a.example.com:25"]}"#).unwrap();
    let limit = WaitLimit::new(Instant::now() + Duration::from_secs(60), StopFlag::default());
    let request = Bytes::from_static(b"GET http://a.example.com:25/\n\n");
    let refused = egress.send(&request, Guest { grants: &grants, ..guest() }, &limit).await;
    assert_eq!(refused, Err(Refused::Port(25)));
    assert!(network.resolved.lock().unwrap().is_empty() && network.connected().is_empty());
}

#[tokio::test]
async fn what_was_not_granted_is_not_even_resolved() {
    let (server, _) = server(OK).await;
    let (egress, network) = egress(network(server, &[&[PUBLIC]]));
    for url in [
        "http://b.example.com/",
        "http://a.example.com.evil.org/",
        "http://xa.example.com/",
        "http://a.example.com:8081/",
        "https://a.example.com:80/",
        "http://evil.org/a.example.com",
    ] {
        let refused = send(&egress, &format!("GET {url}\n\n")).await.unwrap_err();
        assert!(matches!(refused, Refused::Host(_)), "{url}: {refused:?}");
        assert_eq!(refused.refusal(), Refusal::Refused);
    }
    assert!(network.resolved.lock().unwrap().is_empty());
    for url in ["http://A.Example.COM./", "http://a.example.com:80/", "http://a.example.com:8080/"] {
        assert!(send(&egress, &format!("GET {url}\n\n")).await.is_ok(), "{url}");
    }
}

#[tokio::test]
async fn the_next_address_is_tried_where_nobody_is_at_one() {
    let (server, _) = server(OK).await;
    let dead = vec![PUBLIC.parse().unwrap()];
    let (egress, network) = egress(FakeNetwork { dead, ..network(server, &[&["10.0.0.1", PUBLIC, OTHER]]) });
    assert!(send(&egress, GET).await.is_ok());
    assert_eq!(network.connected(), [format!("{PUBLIC}:80"), format!("{OTHER}:80")]);
}

#[tokio::test]
async fn a_long_list_of_addresses_is_not_tried_to_its_end() {
    let (server, _) = server(OK).await;
    let list: Vec<String> = (0..100).map(|n| format!("93.184.216.{n}")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let dead = list.iter().map(|address| address.parse().unwrap()).collect();
    let (egress, network) = egress(FakeNetwork { dead, ..network(server, &[&list]) });
    assert!(matches!(send(&egress, GET).await, Err(Refused::Unreachable { .. })));
    assert_eq!(network.connected().len(), fusebox_core::limits::HTTP_ADDRESSES_MAX);
}

#[tokio::test]
async fn a_name_without_an_address_is_not_available() {
    let (server, _) = server(OK).await;
    for answers in [&[][..], &[&[][..]]] {
        let refused = send(&egress(network(server, answers)).0, GET).await.unwrap_err();
        assert_eq!(refused.refusal(), Refusal::Unavailable, "{refused}");
    }
}

#[tokio::test]
async fn look_ups_that_nobody_waits_for_keep_their_places() {
    let (server, _) = server(OK).await;
    let (egress, network) = egress(FakeNetwork { is_stuck: true, ..network(server, &[]) });
    let stop = StopFlag::default();
    for _ in 0..fusebox_core::limits::HTTP_REQUESTS_PER_TENANT_MAX {
        let refused = send_within(&egress, GET, Duration::from_millis(5), &stop).await;
        assert_eq!(refused, Err(Refused::TimedOut));
    }
    assert_eq!(send_within(&egress, GET, Duration::from_millis(5), &stop).await, Err(Refused::Busy));
    network.stuck.lock().unwrap().clear();
    assert_eq!(send_within(&egress, GET, Duration::from_millis(5), &stop).await, Err(Refused::TimedOut));
}

#[tokio::test]
async fn turned_off_nothing_is_sent() {
    assert_eq!(send(&Egress::off(), GET).await, Err(Refused::Off));
}
