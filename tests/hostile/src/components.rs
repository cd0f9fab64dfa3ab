//! Hostile components: structure that multiplies, adapters, limits shared by all instances, host calls without end.

use crate::{
    Hostile, Must,
    component::{answer, echo, handler, handler_with, nested},
    write::wasm,
};

const COMPLEX: Must = Must::BeRefused("module-too-complex");
const INVALID: Must = Must::BeRefused("invalid-module");
const FULL: Must = Must::Fail("out-of-memory");
const TRAP: Must = Must::Fail("trap");

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = structure();
    modules.extend(worlds());
    modules.extend(adapters());
    modules.extend(limits());
    modules.extend(memories());
    modules.extend(calls());
    modules.extend(resources());
    modules
}

fn row(name: &str, trick: &'static str, text: &str, must: Must) -> Hostile {
    Hostile::new(&format!("component-{name}"), trick, wasm(text), must)
}

/// Returns a handler with a tower: `innermost`, which is named `$c0`, within `depth` components, each of which
/// instantiates the one below it `times` times.
fn tower(innermost: &str, depth: usize, times: usize) -> String {
    let mut text = innermost.to_owned();
    for level in 0..depth {
        let instances = format!("(instance (instantiate $c{level}))").repeat(times);
        text = format!("(component $c{} {text} {instances})", level + 1);
    }
    echo().replacen("(component", &format!("(component {text} (instance (instantiate $c{depth}))"), 1)
}

/// Returns a handler with further definitions.
fn with(more: &str) -> String {
    handler_with(&answer(0, "(local.get 0)", "(local.get 1)"), more, "", "")
}

fn structure() -> Vec<Hostile> {
    let one = "(component $c0 (core module $m) (core instance (instantiate $m)))";
    let instances = |module: &str, times: usize| {
        with(&format!("(core module $m {module}) {}", "(core instance (instantiate $m))".repeat(times)))
    };
    let functions = |name: &str| format!("(core module ${name} {})", "(func)".repeat(25_000));
    vec![
        row("tower", "8 levels that each make 8: 16 million instances from 1 KB", &tower(one, 7, 8), COMPLEX),
        row("tower-empty", "the same of nothing", &tower("(component $c0)", 7, 8), COMPLEX),
        row("deep", "a level too many", &tower(one, 8, 1), COMPLEX),
        row("deep-at", "as deep as it may be", &tower(one, 6, 1), Must::Complete),
        row("instances-above", "a core instance too many", &instances("", 63), COMPLEX),
        row("instances-at", "as many core instances as there may be", &instances("", 62), Must::Complete),
        row("definitions-above", "129 empty components", &with(&"(component)".repeat(128)), COMPLEX),
        row("memories-above", "a memory too many", &instances("(memory 1)", 4), COMPLEX),
        row("memories-at", "as many memories as there may be", &instances("(memory 1)", 3), Must::Complete),
        row("memories-in-one", "two memories in one module", &with("(core module (memory 1) (memory 1))"), COMPLEX),
        row("tables-above", "a table too many", &instances("(table 1 funcref)", 9), COMPLEX),
        row(
            "functions-above",
            "50,000 functions in two modules",
            &with(&[functions("a"), functions("b")].concat()),
            COMPLEX,
        ),
        row("types-above", "a type too many", &with(&"(type (list u8))".repeat(2_001)), COMPLEX),
        row(
            "aliases-above",
            "20,000 aliases",
            &with(&format!("(type $t (list u8)) {}", "(alias outer 0 $t (type))".repeat(20_000))),
            COMPLEX,
        ),
        row(
            "lifts-above",
            "2,000 lifted functions",
            &with(&format!(
                "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {}",
                "(func (canon lift (core func $i \"f\")))".repeat(2_000)
            )),
            COMPLEX,
        ),
    ]
}

fn worlds() -> Vec<Hostile> {
    let exporting = |names: &[&str]| {
        let exports: String = names.iter().map(|name| format!("(export \"{name}\" (instance $e))")).collect();
        format!("(component (instance $e) {exports})")
    };
    let importing = |name: &str| with(&format!("(import \"{name}\" (instance))"));
    let unknown = Must::BeRefused("unknown-import");
    vec![
        row("without-world", "nothing to call", "(component)", INVALID),
        row(
            "two-worlds",
            "a handler of bytes and of HTTP",
            &exporting(&["fusebox:function/handler@0.1.0", "wasi:http/incoming-handler@0.2.0"]),
            INVALID,
        ),
        row("empty-world", "a handler that has no function", &exporting(&["fusebox:function/handler@0.1.0"]), INVALID),
        row(
            "empty-http",
            "a handler of HTTP that has no function",
            &exporting(&["wasi:http/incoming-handler@0.2.0"]),
            INVALID,
        ),
        row(
            "old-world",
            "an interface of 2023",
            &exporting(&["fermyon:spin/inbound-http"]),
            Must::BeRefused("unsupported-module"),
        ),
        row("import-unknown", "an interface that there is not", &importing("evil:host/exec@1.0.0"), unknown),
        row(
            "import-ungranted",
            "entries without the grant",
            &importing("wasi:keyvalue/store@0.2.0-draft"),
            Must::BeRefused("grant-required"),
        ),
        row(
            "import-lacking",
            "a function that the interface lacks",
            &with("(import \"wasi:cli/exit@0.2.0\" (instance (export \"exec\" (func))))"),
            unknown,
        ),
    ]
}

/// Returns two components of which one calls the other with values of this type, for which the engine writes the code.
fn adapter(kind: &str) -> String {
    let params: String = (0..17).map(|at| format!("(param \"p{at}\" $shared)")).collect();
    with(&format!(
        r#"(component $callee
            (core module $m (memory (export "memory") 1) (func (export "f") (param i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
            (core instance $i (instantiate $m))
            {kind}
            (export $shared "t" (type $t))
            (func (export "f") {params} (canon lift (core func $i "f") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc")))))
        (instance $inner (instantiate $callee))
        (core func $adapted (canon lower (func $inner "f") (memory (core memory $libc "memory"))))
        (core module $use (import "a" "f" (func (param i32))))
        (core instance (instantiate $use (with "a" (instance (export "f" (func $adapted))))))"#
    ))
}

/// Returns nested types: the first, and each further one made from the one before it.
fn levels(first: &str, next: &str, depth: usize) -> String {
    let mut text = format!("(type $t0 {first})");
    for level in 1..=depth {
        text += &format!("(type $t{level} {})", next.replace('$', &format!("$t{}", level - 1)));
    }
    text + &format!("(type $t (tuple $t{depth}))")
}

fn adapters() -> Vec<Hostile> {
    let fields = |count: usize| (0..count).map(|at| format!("(field \"f{at}\" string)")).collect::<String>();
    let cases = |count: usize| (0..count).map(|at| format!("(case \"c{at}\" string)")).collect::<String>();
    let flags = |count: usize| (0..count).map(|at| format!("\"f{at}\" ")).collect::<String>();
    let tens = |kind: &str| format!("(tuple {})", [kind; 10].join(" "));
    let kind = |kind: &str| adapter(&format!("(type $t ({kind}))"));
    vec![
        row(
            "adapter-tuples",
            "17,000 strings in nested tuples",
            &adapter(&levels(&tens("string"), &tens("$"), 2)),
            Must::Complete,
        ),
        row(
            "adapter-tuples-above",
            "10 million values in nested tuples",
            &adapter(&levels(&tens("u8"), &tens("$"), 6)),
            INVALID,
        ),
        row(
            "adapter-lists",
            "lists of lists, 50 deep",
            &adapter(&levels("(list string)", "(list $)", 50)),
            Must::Complete,
        ),
        row(
            "adapter-options",
            "options of options, 40 deep",
            &adapter(&levels("(list u8)", "(option $)", 40)),
            Must::Complete,
        ),
        row("adapter-variant", "a variant of 500 cases", &kind(&format!("variant {}", cases(500))), Must::Complete),
        row("adapter-record", "a record of 500 strings", &kind(&format!("record {}", fields(500))), Must::Complete),
        row("adapter-flags", "all flags that there may be", &kind(&format!("flags {}", flags(32))), Must::Complete),
        row("adapter-flags-above", "a flag too many", &kind(&format!("flags {}", flags(33))), INVALID),
    ]
}

fn limits() -> Vec<Hostile> {
    let spin = handler("(loop (br 0))");
    let start = |body: &str| {
        with(&format!("(core module $m (memory 1) (func $s {body}) (start $s)) (core instance (instantiate $m))"))
    };
    let large = |bytes: u32| {
        handler(&format!(
            "(drop (memory.grow (i32.const 200))) {}",
            answer(0, "(i32.const 0)", &format!("(i32.const {bytes})"))
        ))
    };
    vec![
        row("loop", "a loop until the clock ends it", &spin, Must::Fail("deadline-exceeded")).by_the_clock(),
        row("loop-fuel", "a loop until its fuel is used up", &spin, Must::Fail("out-of-fuel")).by_fuel(),
        row("start-loop", "a loop while it is instantiated", &start("(loop (br 0))"), Must::Fail("deadline-exceeded"))
            .by_the_clock(),
        row(
            "recursion",
            "recursion without end",
            &handler("(drop (call $handle (local.get 0) (local.get 1)))"),
            Must::Fail("stack-overflow"),
        ),
        row("output", "an output just above its limit", &large((1 << 20) + 1), Must::Fail("output-too-large")),
        row("output-large", "an output far above its limit", &large(10 << 20), Must::Fail("output-too-large")),
        row("output-claimed", "an output of 4 GiB", &large(u32::MAX), TRAP),
        row("result-outside", "a result outside the memory", &handler("(return (i32.const -4))"), TRAP),
        row("result-unaligned", "a result at an odd address", &handler("(return (i32.const 1))"), TRAP),
        row(
            "result-tag",
            "a result that is neither output nor error",
            &handler(&answer(9, "(i32.const 0)", "(i32.const 0)")),
            TRAP,
        ),
        row(
            "realloc-outside",
            "an allocator that answers an address outside the memory",
            &echo().replace("(local.get $at)))", "(i32.const -8)))"),
            TRAP,
        ),
        row(
            "realloc-loop",
            "an allocator that never answers",
            &echo().replace("(local.get $at)))", "(loop (br 0)) (local.get $at)))"),
            Must::Fail("deadline-exceeded"),
        )
        .by_the_clock(),
        row(
            "adapter-loop",
            "an allocator of an inner component that never answers",
            &nested().replacen("(local.get $at)))", "(loop (br 0)) (local.get $at)))", 1),
            Must::Fail("deadline-exceeded"),
        )
        .by_the_clock(),
    ]
}

fn memories() -> Vec<Hostile> {
    let grown = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    vec![
        row("grow", "memory until it is refused", &handler(grown), FULL),
        row(
            "memories-full",
            "4 memories that each begin with the whole limit",
            &with(&format!("(core module $m (memory 1023)) {}", "(core instance (instantiate $m))".repeat(3))),
            FULL,
        ),
        row(
            "memories-huge",
            "a first memory above the ceiling of any run",
            &with("(core module $m (memory 4097)) (core instance (instantiate $m))"),
            COMPLEX,
        ),
        row(
            "tables-full",
            "tables that each begin with the whole limit",
            &with(&format!("(core module $m (table 20000 funcref)) {}", "(core instance (instantiate $m))".repeat(3))),
            FULL,
        ),
    ]
}

/// Returns a handler that imports an instance and calls one of its functions, whose core type is given, without end.
fn calling(import: &str, lower: &str, kind: &str, call: &str) -> String {
    handler_with(
        &format!("(loop {call} (br 0))"),
        &format!("{import} {lower}"),
        &format!(r#"(import "host" "call" (func $call {kind}))"#),
        r#"(with "host" (instance (export "call" (func $lowered))))"#,
    )
}

fn calls() -> Vec<Hostile> {
    let random = r#"(import "wasi:random/random@0.2.0" (instance $host
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $space (memory (export "memory") 32)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
        (core instance $space (instantiate $space))"#;
    let lowered = r#"(core func $lowered (canon lower (func $host "get-random-bytes")
        (memory (core memory $space "memory")) (realloc (core func $space "realloc"))))"#;
    let clock = r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance $host (export "now" (func (result u64)))))"#;
    vec![
        row(
            "random",
            "1 MiB of random bytes, again and again",
            &calling(random, lowered, "(param i64 i32)", "(call $call (i64.const 1048576) (i32.const 0))"),
            Must::Fail("deadline-exceeded"),
        )
        .by_the_clock(),
        row(
            "random-above",
            "more random bytes than one call may have",
            &calling(random, lowered, "(param i64 i32)", "(call $call (i64.const -1) (i32.const 0))"),
            TRAP,
        ),
        row(
            "clock",
            "reads the clock without end",
            &calling(
                clock,
                r#"(core func $lowered (canon lower (func $host "now")))"#,
                "(result i64)",
                "(drop (call $call))",
            ),
            Must::Fail("deadline-exceeded"),
        )
        .by_the_clock(),
    ]
}

fn resources() -> Vec<Hostile> {
    let timers = r#"(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $pollable (sub resource)))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $host (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $pollable (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))"#;
    let fields = r#"(import "wasi:http/types@0.2.0" (instance $host (export "fields" (type $fields (sub resource)))
        (export "[constructor]fields" (func (result (own $fields))))))"#;
    let own = "(type $r (resource (rep i32)))";
    vec![
        row(
            "timers",
            "timers that it never drops",
            &calling(
                timers,
                r#"(core func $lowered (canon lower (func $host "subscribe-duration")))"#,
                "(param i64) (result i32)",
                "(drop (call $call (i64.const -1)))",
            ),
            TRAP,
        ),
        row(
            "fields",
            "headers that it never drops",
            &calling(
                fields,
                r#"(core func $lowered (canon lower (func $host "[constructor]fields")))"#,
                "(result i32)",
                "(drop (call $call))",
            ),
            TRAP,
        ),
        row(
            "handles",
            "resources of its own that it never drops",
            &calling(
                own,
                "(core func $lowered (canon resource.new $r))",
                "(param i32) (result i32)",
                "(drop (call $call (i32.const 7)))",
            ),
            TRAP,
        ),
        row(
            "handle-forged",
            "a handle that it never got",
            &calling(
                own,
                "(core func $lowered (canon resource.drop $r))",
                "(param i32)",
                "(call $call (i32.const 12345))",
            ),
            TRAP,
        ),
        row(
            "handle-rep",
            "the representation of a handle that it never got",
            &calling(
                own,
                "(core func $lowered (canon resource.rep $r))",
                "(param i32) (result i32)",
                "(drop (call $call (i32.const -1)))",
            ),
            TRAP,
        ),
    ]
}
