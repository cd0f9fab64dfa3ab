//! Python: packages, the standard library, and functions that clients pickled.

use fusebox_core::outcome::Outcome;
use serde_json::json;

use crate::support::{PYTHON, Script, failed, log, returned};

#[test]
fn modules_and_packages_are_read_from_the_files() {
    let files = [("lib/a.py", "A = 1"), ("packages/pure/__init__.py", "B = 2")];
    let source =
        "import lib.a, pure, tomllib, wave\ndef handle(x):\n    return [lib.a.A, pure.B, tomllib.loads('a = 3')['a']]";
    assert_eq!(Script { files: &files, ..Script::default() }.json(&PYTHON, source), json!([1, 2, 3]));
}

#[test]
fn a_native_extension_is_a_module_that_is_not_found() {
    let source = "def handle(x):\n    import numpy";
    let run = Script::default().run(&PYTHON, source);
    failed(&run, 1);
    assert!(log(&run).contains("ModuleNotFoundError: No module named 'numpy'"), "{}", log(&run));
}

/// Returns the pickle that an expression gives, made by the runtime itself, so that the bytecode is of its version. The
/// definitions are those of a program that was started, which pickles hold by value.
fn pickled(definitions: &str, expression: &str) -> Vec<u8> {
    let source = format!(
        "import dill, cloudpickle\nscope = {{'__name__': '__main__', 'dill': dill, 'cloudpickle': cloudpickle}}
exec({definitions:?}, scope)\ndef handle(x):\n    return eval({expression:?}, scope)"
    );
    returned(&Script::default().run(&PYTHON, &source)).to_vec()
}

/// Calls a pickled function with pickled arguments; returns whether it returned, and its answer as `repr` shows it.
fn called(function: &[u8], arguments: &str, files: &[(&str, &str)]) -> (bool, String) {
    let arguments = pickled("", &format!("dill.dumps({arguments})"));
    let script = Script { verb: Some("pickle"), input: &arguments, files, ..Script::default() };
    let run = script.run_file(&PYTHON, "function.pickle", function);
    let is_ok = matches!(run.outcome, Outcome::Returned(_));
    let answer = if is_ok { returned(&run) } else { failed(&run, 1) };
    let show = Script { input: answer, content_type: Some("a/b"), ..Script::default() };
    let shown = show.run(&PYTHON, "import pickle\ndef handle(x):\n    return repr(pickle.loads(x)).encode()");
    (is_ok, String::from_utf8(returned(&shown).to_vec()).unwrap())
}

#[test]
fn pickled_functions_return_pickles() {
    let closure = "def adder(n):\n    def add(x, *, scale=1):\n        return (x + n) * scale\n    return add";
    for dumps in ["dill.dumps(adder(5))", "cloudpickle.dumps(adder(5))"] {
        let function = pickled(closure, dumps);
        assert_eq!(called(&function, "((1,), {'scale': 3})", &[]), (true, "18".into()), "{dumps}");
    }
    let raising = pickled("def f(x):\n    raise ValueError(f'bad {x}')", "dill.dumps(f)");
    assert_eq!(called(&raising, "((1,), {})", &[]), (false, "ValueError('bad 1')".into()));
    let own = "class Odd(Exception):\n    pass\ndef f():\n    raise Odd('no')";
    let (is_ok, shown) = called(&pickled(own, "cloudpickle.dumps(f)"), "((), {})", &[]);
    assert!(!is_ok && shown.starts_with("RuntimeError(") && shown.contains("Odd: no"), "{shown}");
}

#[test]
fn functions_by_reference_are_imported_from_the_files() {
    let files = [
        (
            "test_it.py",
            "import pytest\n\n@pytest.fixture\ndef f(x):\n    return x + 1\n\ndef g():\n    return pytest.raises",
        ),
        ("imports.txt", "pytest\n"),
    ];
    let by_name = |name: &str| format!("\u{0}ctest_it\n{name}\n.").into_bytes()[1..].to_vec();
    assert_eq!(called(&by_name("f"), "((1,), {})", &files), (true, "2".into()));
    let (is_ok, shown) = called(&by_name("g"), "((), {})", &files);
    assert_eq!((is_ok, shown.as_str()), (false, "ModuleNotFoundError(\"No module named 'pytest'\")"));
}

#[test]
fn a_pickle_that_holds_no_function_is_refused() {
    let check = |content: &[u8]| {
        let run =
            Script { verb: Some("check-pickle"), ..Script::default() }.run_file(&PYTHON, "function.pickle", content);
        match run.outcome.failure() {
            None => returned(&run).to_vec(),
            Some(_) => failed(&run, 2).to_vec(),
        }
    };
    assert_eq!(check(b"cmath\nsqrt\n."), b"");
    assert!(String::from_utf8_lossy(&check(b"I7\n.")).contains("the pickle holds int"));
    assert!(String::from_utf8_lossy(&check(b"cnone\nf\n.")).contains("No module named 'none'"));
    assert!(String::from_utf8_lossy(&check(b"\x80")).contains("message"));
}
