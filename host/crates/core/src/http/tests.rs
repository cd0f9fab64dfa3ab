//! Tests of the form of HTTP messages.

use alloc::{format, string::String, vec::Vec};

use proptest::prelude::*;

use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn a_request_has_its_parts() {
    let request = Request::parse(&bytes("POST /a/b?c=d\nAccept: text/plain\nx-two: 1\nx-two:  2 \n\nbody\n\nmore"));
    let request = request.unwrap();
    assert_eq!((request.method.as_str(), request.path_and_query()), ("POST", ("/a/b", Some("c=d"))));
    assert_eq!(request.header("accept").unwrap(), "text/plain");
    assert_eq!(request.headers.len(), 3);
    assert_eq!(request.headers[2].value, "2");
    assert_eq!(request.body, "body\n\nmore");
    let bare = Request::parse(&bytes("GET /\n\n")).unwrap();
    assert_eq!((bare.path_and_query(), bare.headers.len(), bare.body.len()), (("/", None), 0, 0));
}

#[test]
fn a_response_has_its_parts_and_its_trailers_apart() {
    let response = Response::parse(&bytes("404\ncontent-type: a/b\nfusebox-trailer: X-Sum: 7\n\nno")).unwrap();
    assert_eq!((response.status, response.headers.len(), response.is_fault()), (404, 1, false));
    assert_eq!(response.trailers, [Header::new("x-sum", "7").unwrap()]);
    assert_eq!(Response::parse(&response.to_bytes().unwrap()).unwrap(), response);
    assert!(Response::parse(&bytes("503\n\n")).unwrap().is_fault());
}

#[test]
fn an_input_is_a_request_too() {
    let request = Request::parse(&Request::of_input(b"text/csv ", b"a,b")).unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str(), &request.body[..]), ("POST", "/", &b"a,b"[..]));
    assert_eq!(request.headers, [Header::new("content-type", "text/csv").unwrap()]);
    assert_eq!(Request::parse(&Request::of_input(b"a\nb: c", b"")).unwrap().headers, []);
}

#[test]
fn each_fault_has_its_error() {
    use MessageError as Fault;
    for (message, fault) in [
        ("", Fault::NoHead),
        ("GET /\n", Fault::NoHead),
        ("GET\n\n", Fault::NoHead),
        ("TRACE /\n\n", Fault::BadMethod),
        ("get /\n\n", Fault::BadMethod),
        ("GET a\n\n", Fault::BadTarget),
        ("GET  /\n\n", Fault::BadTarget),
        ("GET /a b\n\n", Fault::BadTarget),
        ("GET /é\n\n", Fault::BadTarget),
        ("GET /\nno colon\n\n", Fault::BadHeader),
        ("GET /\n: a\n\n", Fault::BadHeader),
        ("GET /\nbad name: a\n\n", Fault::BadHeader),
        ("GET /\na: b\rhost: c\n\n", Fault::BadHeader),
        ("GET /\na: \0\n\n", Fault::BadHeader),
        ("GET /\n folded: a\n\n", Fault::BadHeader),
        ("GET /\nTransfer-Encoding: chunked\n\n", Fault::ConnectionHeader),
    ] {
        assert_eq!(Request::parse(&bytes(message)), Err(fault), "{message:?}");
    }
    for (message, fault) in [
        ("OK\n\n", Fault::BadStatus),
        ("199\n\n", Fault::BadStatus),
        ("101\n\n", Fault::BadStatus),
        ("600\n\n", Fault::BadStatus),
        ("+20\n\n", Fault::BadStatus),
        ("0200\n\n", Fault::BadStatus),
        ("200 OK\n\n", Fault::BadStatus),
        ("200\nconnection: close\n\n", Fault::ConnectionHeader),
        ("200\nfusebox-trailer: te: x\n\n", Fault::ConnectionHeader),
        ("200\nfusebox-trailer: x\n\n", Fault::BadHeader),
    ] {
        assert_eq!(Response::parse(&bytes(message)), Err(fault), "{message:?}");
    }
}

#[test]
fn a_head_is_bounded_in_both_directions() {
    let header = |n: usize| Header::new(&format!("x-{n}"), "a").unwrap();
    let response = |headers| Response { status: 200, headers, body: Bytes::new(), trailers: Vec::new() };
    let most = response((0..HTTP_HEADERS_MAX).map(header).collect());
    assert_eq!(Response::parse(&most.to_bytes().unwrap()), Ok(most.clone()));
    let more = response((0..=HTTP_HEADERS_MAX).map(header).collect());
    assert_eq!(more.to_bytes(), Err(MessageError::TooManyHeaders));
    let trailing = Response { trailers: Vec::from([header(0)]), ..most };
    assert_eq!(trailing.to_bytes(), Err(MessageError::TooManyHeaders));
    let lines: String = (0..=HTTP_HEADERS_MAX).map(|n| format!("x-{n}: a\n")).collect();
    assert_eq!(Response::parse(&bytes(&format!("200\n{lines}\n"))), Err(MessageError::TooManyHeaders));
    // `200`, a line's end, `a: `: eight bytes beside the value.
    let large = |size: usize| response(Vec::from([Header::new("a", "b".repeat(size)).unwrap()]));
    let most = large(HTTP_HEADERS_BYTES_MAX - 7);
    assert_eq!(Response::parse(&most.to_bytes().unwrap()), Ok(most));
    assert_eq!(large(HTTP_HEADERS_BYTES_MAX - 6).to_bytes(), Err(MessageError::HeadTooLarge));
    let endless = bytes(&format!("200\na: {}\n\n", "b".repeat(2 * HTTP_HEADERS_BYTES_MAX)));
    assert_eq!(Response::parse(&endless), Err(MessageError::HeadTooLarge));
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    let one = ("[a-z0-9!#$%&'*+.^_`|~-]{1,20}", "[\t !-~]{0,20}");
    let header = one.prop_map(|(name, value)| Header::new(&name, value.trim().to_string()).unwrap());
    prop::collection::vec(header.prop_filter("free", |it| !it.is_of_connection() && it.name != TRAILER), 0..6)
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, tail in "[ -~\n]{0,80}") {
        for start in ["", "GET /", "200\n"] {
            let message = Bytes::from([start.as_bytes(), tail.as_bytes(), b"\n\n", &bytes].concat());
            if let Ok(request) = Request::parse(&message) {
                prop_assert_eq!(Request::parse(&request.to_bytes().unwrap()), Ok(request));
            }
            if let Ok(response) = Response::parse(&message) {
                prop_assert_eq!(Response::parse(&response.to_bytes().unwrap()), Ok(response));
            }
        }
    }

    #[test]
    fn a_message_survives_its_form(
        method in prop::sample::select(&METHODS[..]), target in "/[!-~]{0,40}", status in 200u16..600,
        headers in headers(), trailers in headers(), body: Vec<u8>,
    ) {
        let body = Bytes::from(body);
        let (method, request) = (method.to_string(), headers.clone());
        let request = Request { method, target, headers: request, body: body.clone() };
        prop_assert_eq!(Request::parse(&request.to_bytes().unwrap()), Ok(request));
        let response = Response { status, headers, body, trailers };
        prop_assert_eq!(Response::parse(&response.to_bytes().unwrap()), Ok(response));
    }
}
