//! Tests of the format of requests and responses.

use super::*;
use crate::fake;

fn parsed(text: &str) -> Option<Response> {
    Response::parse(text.as_bytes().to_vec())
}

#[test]
fn an_answer_has_its_parts() {
    let response = parsed("404\nx-a: 1\ncontent-type: text/plain; a: b\n\nno\n\nsuch page").unwrap();
    assert_eq!((response.status(), response.is_success()), (404, false));
    assert_eq!(response.header("Content-Type"), Some("text/plain; a: b"));
    assert_eq!(response.headers().collect::<Vec<_>>()[0], ("x-a", "1"));
    assert_eq!((response.header("x-b"), response.text()), (None, Some("no\n\nsuch page")));
    let bare = parsed("204\n\n").unwrap();
    assert_eq!((bare.status(), bare.body(), bare.headers().count()), (204, b"".as_slice(), 0));
    let odd = Response::parse(b"200\nx: \xff\ny: z\n\n\xff".to_vec()).unwrap();
    assert_eq!((odd.header("x"), odd.header("y"), odd.text(), odd.body()), (None, Some("z"), None, b"\xff".as_slice()));
}

#[test]
fn what_is_no_answer_is_none() {
    for text in ["", "200", "200\n", "200\nx: a\n", "OK\n\n", "70000\n\n"] {
        assert_eq!(parsed(text), None, "{text:?}");
    }
}

#[test]
fn a_request_is_seen_as_it_was_made() {
    fake::reset();
    fake::http("POST", "https://a.example.com/x", fake::Answer::new(201).header("X-A", "1").body("made"));
    let response = post("https://a.example.com/x").bearer("t0k").header("x-b", "").body("so").send().unwrap();
    assert_eq!((response.status(), response.header("x-a"), response.text()), (201, Some("1"), Some("made")));
    let [request] = &fake::requests()[..] else { panic!("one request") };
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://a.example.com/x"));
    assert_eq!(request.header("Authorization"), Some("Bearer t0k"));
    assert_eq!((request.header("x-b"), request.body.as_slice()), (Some(""), b"so".as_slice()));
}

#[test]
fn answers_come_in_turn_and_the_last_one_stays() {
    fake::reset();
    let url = "http://a.example.com/";
    fake::http("GET", url, Refusal::TimedOut);
    fake::http("GET", url, fake::Answer::new(200));
    let statuses: Vec<_> = (0..3).map(|_| get(url).send().map(|response| response.status())).collect();
    assert_eq!(statuses, [Err(Refusal::TimedOut), Ok(200), Ok(200)]);
    assert_eq!(put(url).send(), Err(Refusal::NotAllowed), "what no test answers is not granted");
}

#[test]
fn a_line_break_begins_no_header_of_its_own() {
    fake::reset();
    let url = "http://a.example.com/";
    let bad = [
        get("http://a.example.com/\nhost: b"),
        get("http://a.example.com/ x"),
        get(""),
        request("GET /", url),
        get(url).header("x", "a\nhost: b"),
        get(url).header("x\n", "a"),
        get(url).header("host: b\nx", "a"),
        get(url).bearer("a\rb"),
    ];
    for request in bad {
        assert_eq!(request.clone().send(), Err(Refusal::Invalid), "{request:?}");
    }
    assert!(fake::requests().is_empty());
}

#[cfg(feature = "json")]
#[test]
fn bodies_can_be_json() {
    fake::reset();
    fake::http("PATCH", "http://a.example.com/", fake::Answer::new(200).body("[3]"));
    let response = patch("http://a.example.com/").json(&[1, 2]).send().unwrap();
    assert_eq!(response.json::<Vec<u8>>().unwrap(), [3]);
    let requests = fake::requests();
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].body, b"[1,2]");
}
