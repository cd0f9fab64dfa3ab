//! JavaScript: modules, packages of both kinds that npm has, and what programs find in the global scope.

use serde_json::json;

use crate::support::{JAVASCRIPT, Script, failed};

#[test]
fn modules_and_packages_are_read_from_the_files() {
    let files = [
        ("lib/a.js", "export const a = 'relative'"),
        ("data.json", "{\"json\": 1}"),
        ("node_modules/common/package.json", "{\"main\": \"./main\"}"),
        ("node_modules/common/main.js", "const h = require('./helper'); exports.add = (a, b) => h.plus(a, b);"),
        ("node_modules/common/helper.js", "module.exports = { plus: (a, b) => a + b }"),
        (
            "node_modules/@scope/es/package.json",
            "{\"exports\": {\".\": \"./i.js\", \"./*\": {\"import\": \"./x/*.mjs\"}}}",
        ),
        ("node_modules/@scope/es/x/sub.mjs", "export default 'by its exports'"),
    ];
    let source = "import { a } from './lib/a.js'; import common, { add } from 'common'; import es from '@scope/es/sub';
        import data from './data.json';
        export const handle = () => [a, add(1, 2), typeof common.add, es, data];";
    let found = Script { files: &files, ..Script::default() }.json(&JAVASCRIPT, source);
    assert_eq!(found, json!(["relative", 3, "function", "by its exports", {"json": 1}]));
}

#[test]
fn an_import_of_what_is_nowhere_is_named_with_its_line() {
    for (name, reason) in [("fs", "a part of Node.js"), ("./none.js", "not among the files of the function")] {
        let source = format!("// A comment.\nimport x from '{name}';\nexport const handle = () => x;");
        let run = Script { verb: Some("check"), ..Script::default() }.run(&JAVASCRIPT, &source);
        let found: serde_json::Value = serde_json::from_slice(failed(&run, 2)).unwrap();
        assert_eq!((&found["file"], &found["line"]), (&json!("handler.js"), &json!(2)), "{found}");
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(name) && message.contains(reason), "{message}");
    }
}

#[test]
fn the_global_scope_has_what_programs_expect() {
    let source = "export const handle = () => {
        const url = new URL('../a b?x=1#h', 'http://me@h.example:8080/p/q');
        url.searchParams.append('z', '1 2');
        return [url.href, btoa('hello'), atob('aGVsbG8='), new TextDecoder().decode(new TextEncoder().encode('€')),
            new Headers({ 'A-B': 'c' }).get('a-b'), typeof fetch, typeof performance.now()];
    }";
    let found = Script::default().json(&JAVASCRIPT, source);
    let expected =
        json!(["http://me@h.example:8080/a%20b?x=1&z=1+2#h", "aGVsbG8=", "hello", "€", "c", "function", "number"]);
    assert_eq!(found, expected);
}
