//! Both languages: input and output, errors, checks, HTTP, the context, and what no image may hold.

use fusebox_core::http::Response;
use serde_json::{Value, json};

use crate::support::{JAVASCRIPT, Language, PYTHON, Script, Services, failed, log, returned};

/// Sources for the same thing in both languages.
fn each(javascript: &str, python: &str, check: impl Fn(&Language, &str)) {
    check(&JAVASCRIPT, javascript);
    check(&PYTHON, python);
}

#[test]
fn json_is_parsed_and_anything_else_is_bytes() {
    let sources = (
        "export const handle = (x) => x instanceof Uint8Array ? `bytes ${x.length}` : { got: x }",
        "def handle(x):\n    return f'bytes {len(x)}' if isinstance(x, bytes) else {'got': x}",
    );
    each(sources.0, sources.1, |language, source| {
        let cases: [(&[u8], Option<&str>, Value); 8] = [
            (b"{\"a\":[1,null]}", Some("application/json"), json!({"got": {"a": [1, null]}})),
            (b"7", Some("application/problem+json; charset=utf-8"), json!({"got": 7})),
            (b"7", Some("text/plain"), json!("bytes 1")),
            (b"7", None, json!({"got": 7})),
            (b"seven", None, json!("bytes 5")),
            (b"\xff", None, json!("bytes 1")),
            (b"", None, json!({"got": null})),
            (b"", Some("text/plain"), json!("bytes 0")),
        ];
        for (input, content_type, expected) in cases {
            let found = Script { input, content_type, ..Script::default() }.json(language, source);
            assert_eq!(found, expected, "{} {content_type:?}", input.escape_ascii());
        }
        let run =
            Script { input: b"{", content_type: Some("application/json"), ..Script::default() }.run(language, source);
        assert_eq!(failed(&run, 1), b"");
        assert!(log(&run).contains("the input is not JSON, as its content type says"), "{}", log(&run));
    });
}

#[test]
fn bytes_are_the_output_as_they_are() {
    let sources = ("export default () => new Uint8Array([0, 255])", "def handle(x):\n    return b'\\x00\\xff'");
    each(sources.0, sources.1, |language, source| {
        assert_eq!(returned(&Script::default().run(language, source)), [0, 255]);
    });
}

#[test]
fn an_error_names_its_lines_and_shows_them() {
    let sources = (
        "function inner(x) {\n  return x.y.z;\n}\nexport function handle(x) {\n  return inner({});\n}",
        "def inner(x):\n    return x['y']\n\ndef handle(x):\n    return inner({})",
    );
    let expected = ["handler.js:2", "return x.y.z;", "handler.js:5", "return inner({})"];
    let run = Script::default().run(&JAVASCRIPT, sources.0);
    assert_eq!(failed(&run, 1), b"");
    assert!(expected.iter().all(|part| log(&run).contains(part)), "{}", log(&run));
    let run = Script::default().run(&PYTHON, sources.1);
    assert_eq!(failed(&run, 1), b"");
    let expected = ["line 2, in inner", "return x['y']", "line 5, in handle", "return inner({})", "KeyError: 'y'"];
    assert!(expected.iter().all(|part| log(&run).contains(part)), "{}", log(&run));
    assert!(!log(&run).contains("_runtime"), "no frame of the runtime: {}", log(&run));
}

#[test]
fn async_functions_and_timers_work() {
    let sources = (
        "const later = (ms, x) => new Promise((done) => setTimeout(done, ms, x));
         export async function handle() { console.log('a line'); return await Promise.all([later(20, 1), later(1, 2)]); }",
        "import asyncio\nasync def later(s, x):\n    await asyncio.sleep(s)\n    return x\n
async def handle(x):\n    print('a line')\n    return await asyncio.gather(later(0.02, 1), later(0.001, 2))",
    );
    each(sources.0, sources.1, |language, source| {
        let run = Script::default().run(language, source);
        assert_eq!(returned(&run), b"[1,2]");
        assert!(log(&run).contains("a line"), "{}", log(&run));
    });
    let sources = (
        "export const handle = () => new Promise(() => {})",
        "import asyncio\nasync def handle(x):\n    await asyncio.Event().wait()",
    );
    each(sources.0, sources.1, |language, source| {
        let run = Script::default().run(language, source);
        failed(&run, 1);
        assert!(log(&run).contains("the function waits for"), "{}", log(&run));
    });
}

fn checked(language: &Language, source: &str) -> Result<Value, Value> {
    let run = Script { verb: Some("check"), ..Script::default() }.run(language, source);
    match run.outcome.failure() {
        None => Ok(serde_json::from_slice(returned(&run)).unwrap()),
        Some(_) => Err(serde_json::from_slice(failed(&run, 2)).unwrap()),
    }
}

#[test]
fn a_check_says_where_a_function_is_wrong() {
    let ok = ("export function handle() {}", "def handle(x):\n    pass");
    each(ok.0, ok.1, |language, source| {
        assert_eq!(checked(language, source), Ok(json!({"handle": true, "handle_http": false})));
    });
    let http = ("export function handle_http() {}", "def handle_http(x):\n    pass");
    each(http.0, http.1, |language, source| {
        assert_eq!(checked(language, source), Ok(json!({"handle": false, "handle_http": true})));
    });
    let syntax = ("export function handle() {\n  return 1 +;\n}", "def handle(x):\n  return 1 +");
    each(syntax.0, syntax.1, |language, source| {
        let found = checked(language, source).unwrap_err();
        assert_eq!((&found["file"], &found["line"], &found["column"]), (&json!(language.entry), &json!(2), &json!(13)));
        assert!(found["message"].as_str().unwrap().starts_with("SyntaxError: "), "{found}");
    });
    let top = ("export const handle = 1;\nnull.x;", "def handle(x):\n    pass\n1 / 0");
    each(top.0, top.1, |language, source| {
        let found = checked(language, source).unwrap_err();
        assert_eq!(found["file"], json!(language.entry));
        assert_eq!(found["line"], json!(source.lines().count()), "{found}");
    });
    let none = ("export const other = 1", "other = 1");
    each(none.0, none.1, |language, source| {
        let found = checked(language, source).unwrap_err();
        assert!(found["message"].as_str().unwrap().contains("handle_http"), "{found}");
    });
}

const REQUEST: &[u8] = b"POST /a%20b?c=d\nx-mine: 1\nhost: h.example\ncontent-type: a/b\n\nbody";

#[test]
fn a_function_serves_http() {
    let sources = (
        "export async function handle_http(r) {
            const seen = [r.method, new URL(r.url).pathname, new URL(r.url).searchParams.get('c'), r.headers.get('X-Mine')];
            return Response.json([...seen, await r.text()], { status: 201, headers: { 'x-a': '1' } });
        }",
        "from fusebox import Response
def handle_http(r):
    return Response([r.method, r.path, r.args['c'], r.headers['X-Mine'], r.text], 201, {'x-a': '1'})",
    );
    let paths = ["/a%20b", "/a b"];
    for (at, (language, source)) in [(&*JAVASCRIPT, sources.0), (&*PYTHON, sources.1)].into_iter().enumerate() {
        let run = Script { input: REQUEST, is_http: true, ..Script::default() }.run(language, source);
        let response = Response::parse(&returned(&run).to_vec().into()).unwrap();
        assert_eq!((response.status, &response.header("x-a").unwrap()[..]), (201, &b"1"[..]));
        assert_eq!(&response.header("content-type").unwrap()[..], b"application/json");
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body, json!(["POST", paths[at], "d", "1", "body"]));
    }
    let sources = ("export const handle = (x) => `${x.n + 1}`", "def handle(x):\n    return str(x['n'] + 1)");
    each(sources.0, sources.1, |language, source| {
        let input = b"POST /\ncontent-type: application/json\n\n{\"n\":1}";
        let run = Script { input, is_http: true, ..Script::default() }.run(language, source);
        let response = Response::parse(&returned(&run).to_vec().into()).unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"2"[..]), "handle answers where nothing else does");
    });
}

const CONTEXT: (&str, &str) = (
    "export async function handle(x, c) {
        c.log('logged', 'warn');
        const first = c.kv.set('k', 'v', { revision: null });
        let refused;
        try { c.kv.set('k', 'w', { revision: null }) } catch (error) { refused = error.code }
        const answer = await c.http.fetch('https://example.com/a', { method: 'POST', body: '{}' });
        return [c.task, c.attempt, c.function, c.config.get('COLOUR'), c.config.get('NONE', 'otherwise'), c.secrets.get('KEY'),
            first, refused, c.kv.get('k'), c.kv.delete('k'), c.kv.get('k') ?? null, answer.status, await answer.json()];
    }",
    "from fusebox import Refused
def handle(x, c):
    c.log('logged', 'warn')
    first = c.kv.set('k', 'v', revision=None)
    try:
        c.kv.set('k', 'w', revision=None)
    except Refused as error:
        refused = error.code
    answer = c.http.post('https://example.com/a', json={})
    return [c.task, c.attempt, c.function, c.config['COLOUR'], c.config.get('NONE', 'otherwise'), c.secrets['KEY'],
            first, refused, c.kv.get('k').decode(), c.kv.delete('k'), c.kv.get('k'), answer.status, answer.json()]",
);

#[test]
fn the_context_offers_what_is_granted() {
    each(CONTEXT.0, CONTEXT.1, |language, source| {
        let run = Script::default().run(language, source);
        let found: Value = serde_json::from_slice(returned(&run)).unwrap();
        let expected = json!([null, 1, "tested", "green", "otherwise", "hush", 1, "conflict", "v", true, null, 201, {"seen": true}]);
        assert_eq!(found, expected);
        assert!(log(&run).contains("logged"), "{}", log(&run));
    });
}

#[test]
fn a_call_without_its_grant_is_an_error_that_says_so() {
    let sources = ("export const handle = (x, c) => c.config.get('A')", "def handle(x, c):\n    return c.config['A']");
    each(sources.0, sources.1, |language, source| {
        let services = Services { refuses: true, ..Services::default() };
        let run = Script { services, ..Script::default() }.run(language, source);
        failed(&run, 1);
        assert!(log(&run).contains("Refused: config A: the version lacks the grant for it"), "{}", log(&run));
    });
}

#[test]
fn two_runs_share_neither_randomness_nor_time_nor_environment() {
    let sources = (
        "export const handle = () => [Math.random(), crypto.randomUUID(), Date.now()]",
        "import os, random, time, uuid\ndef handle(x):
    return [random.random(), str(uuid.uuid4()), time.time() * 1000, os.urandom(4).hex(), time.monotonic()]",
    );
    each(sources.0, sources.1, |language, source| {
        let [one, other] = [(); 2].map(|()| Script::default().json(language, source));
        for (at, value) in one.as_array().unwrap().iter().enumerate() {
            assert_ne!(value, &other[at], "place {at}");
        }
        assert!(one[2].as_f64().unwrap() > 1e12, "the clock of the host: {one}");
        assert!(one[2].as_f64().unwrap() < other[2].as_f64().unwrap(), "{one} {other}");
    });
    let environment = "import os\ndef handle(x):\n    return os.environ.get('CONTENT_TYPE')";
    for kind in ["a/b", "c/d"] {
        let script = Script { content_type: Some(kind), ..Script::default() };
        assert_eq!(script.json(&PYTHON, environment), json!(kind));
    }
}

#[test]
fn deep_recursion_is_an_error_of_the_function() {
    let sources = (
        "const deep = (n) => n === 0 ? 0 : 1 + deep(n - 1);
         export function handle() { try { return [deep(500), deep(1e6)] } catch (error) { return error.name } }",
        "def deep(n):\n    return 0 if n == 0 else 1 + deep(n - 1)
def handle(x):\n    try:\n        return [deep(900), deep(10**6)]\n    except RecursionError as error:\n        return 'RangeError'",
    );
    each(sources.0, sources.1, |language, source| {
        assert_eq!(Script::default().json(language, source), json!("RangeError"));
    });
}
