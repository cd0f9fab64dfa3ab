//! Rules of the project that no compiler checks. Each finding suggests a remedy.
//!
//! A rule takes a file's path and text and returns findings, so that it can be tested on a planted violation: a rule
//! that never finds anything is useless.

#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/tree.rs"]
mod tree;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Line number, starting at 1, and the remedy.
type Finding = (usize, String);
type Rule = fn(path: &str, text: &str) -> Vec<Finding>;

const RULES: &[Rule] = &[
    long_file,
    missing_header,
    foreign_name,
    forbidden_edge,
    hidden_edge,
    banned_word,
    machine_path,
    undocumented_limit,
    missing_line,
];

const FILE_LINES_MAX: usize = 400;
/// Files with individual line limits.
const LINES_MAX: &[(&str, usize, &str)] = &[
    ("host/src/main.rs", 40, "move work into host/src/cli"),
    ("ARCHITECTURE.md", 200, "keep what outlives a change; the rest belongs into the code"),
];

/// Crates that only one part of the crate that depends on them may name; deny.toml says which crates those are.
const OWNERS: &[(&str, &str)] = &[
    ("heed", "host/crates/store/src/embedded/engine"),
    ("use redis", "host/crates/store/src/redis/"),
    ("nng", "host/crates/link/src/pair.rs"),
];

/// Modules below `crate::` that a part of `host/src` may name, besides itself, and the crates of [`LAYERS`].
enum Edges {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Crates of the workspace that only some parts of `host/src` may name, with the prefix of their paths in [`EDGES`].
const LAYERS: &[(&str, &str)] = &[("fusebox_link::", "link::"), ("fusebox_store::", "store::")];

const EDGES: &[(&str, Edges)] = &[
    ("rest", Edges::AllBut(&["cli", "node", "dispatch", "link", "worker"])),
    ("worker", Edges::AllBut(&["cli", "node", "dispatch", "rest", "store"])),
    ("dispatch", Edges::AllBut(&["cli", "node", "rest"])),
    ("modules", Edges::AllBut(&["cli", "node", "dispatch", "rest", "store", "worker"])),
    ("invoke", Edges::Only(&[])),
    ("helper", Edges::Only(&["egress::Egress", "frames", "link", "telemetry::vitals"])),
    ("telemetry", Edges::Only(&["egress::refused", "link", "store::Backlog", "store::Room"])),
    ("egress", Edges::Only(&[])),
    ("tenancy", Edges::Only(&["store"])),
];

/// Banned words, whether they are banned only in tests, and their replacements.
const BANNED: &[(&str, bool, &str)] = &[
    ("todo!(", false, "do it now, or leave the feature out"),
    ("dbg!(", false, "use tracing, or take it out"),
    ("FIXME", false, "fix it, or say in a comment why it is so"),
    ("XXX", false, "fix it, or say in a comment why it is so"),
    ("#[ignore", false, "make the test fast and steady, or delete it"),
    ("should_panic", false, "return an error and assert which"),
    ("thread::sleep(", true, "wait for a condition with a deadline: fusebox_harness::eventually"),
    ("time::sleep(", true, "wait for a condition with a deadline: fusebox_harness::eventually"),
];

/// Lines that a file must contain, by their beginning.
const NEEDED: &[(&str, &str, &str)] = &[
    ("host/crates/core/src/lib.rs", "#![no_std]", "without it a clock or a socket compiles in the core"),
    ("CHANGELOG.md", "## [Unreleased]", "changes are written down as they are made"),
    ("Makefile", "demo:", "README promises `make demo`"),
    ("Makefile", "test:", "README promises `make test`"),
];

const LIMITS: &str = "host/crates/core/src/limits.rs";
/// This file, which contains the banned words as data.
const THIS_FILE: &str = "tests/tidy.rs";

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Returns numbered lines except whole-line comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn long_file(path: &str, text: &str) -> Vec<Finding> {
    let own = LINES_MAX.iter().find(|(file, ..)| *file == path).map(|(_, max, remedy)| (*max, *remedy));
    let general = is_rust(path).then_some((FILE_LINES_MAX, "split it by what its parts know"));
    match own.or(general) {
        Some((max, remedy)) if text.lines().count() > max => vec![(max, format!("more than {max} lines: {remedy}"))],
        _ => Vec::new(),
    }
}

fn missing_header(path: &str, text: &str) -> Vec<Finding> {
    // Sources compiled by trybuild appear in its error messages line by line.
    if !is_rust(path) || path.starts_with("guest-sdk/tests/compile/") || text.starts_with("//!") {
        return Vec::new();
    }
    vec![(1, "no `//!` header: say in a line what the file holds".into())]
}

fn foreign_name(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let may = |owner: &str| path == THIS_FILE || path.starts_with(owner);
    for (name, owner) in OWNERS.iter().filter(|(_, owner)| is_rust(path) && !may(owner)) {
        let called = format!("{name}::");
        for (number, _) in code_lines(text).filter(|(_, line)| line.contains(&called)) {
            found.push((number, format!("only {owner} names {name}: give it a function for this")));
        }
    }
    found
}

fn forbidden_edge(path: &str, text: &str) -> Vec<Finding> {
    let part = path.strip_prefix("host/src/").and_then(|path| path.split(['/', '.']).next()).unwrap_or_default();
    let Some((_, edges)) = EDGES.iter().find(|(name, _)| *name == part) else { return Vec::new() };
    let within = |path: &str, names: &[&str]| {
        names.iter().any(|name| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
    };
    let allowed = |path: &str| match edges {
        Edges::Only(names) => within(path, names) || within(path, &[part]),
        Edges::AllBut(names) => !within(path, names),
    };
    let named = crate_paths(text).into_iter().filter(|(_, path)| !allowed(path));
    named.map(|(line, path)| (line, format!("{part} must not know crate::{path}: see ARCHITECTURE.md, 12"))).collect()
}

/// Returns the paths named by code, below `crate::` and in the crates of [`LAYERS`], with groups expanded: `crate::{a,
/// b::{C, D}}` names a, b::C and b::D.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let mut code = String::new();
    let mut last = 0;
    for (number, line) in code_lines(text) {
        code.push_str(&"\n".repeat(number - last));
        code.push_str(line);
        last = number;
    }
    let mut found = Vec::new();
    let own = code.match_indices("crate::").map(|hit| (hit, ""));
    let layers = LAYERS.iter().flat_map(|(layer, prefix)| code.match_indices(layer).map(move |hit| (hit, *prefix)));
    for ((at, name), prefix) in own.chain(layers) {
        let mut paths = Vec::new();
        unfold(prefix, &code[at + name.len()..], &mut paths);
        let line = code[..at].matches('\n').count();
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

/// Adds the paths of the use tree at the start of `text`, and returns the remaining text.
fn unfold<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    if let Some(group) = text.strip_prefix('{') {
        let mut rest = group.trim_start();
        while !rest.is_empty() && !rest.starts_with('}') {
            let after = unfold(prefix, rest, paths);
            // Skips everything between two members, including `as`.
            rest = after.find([',', '}']).map_or("", |at| &after[at..]).trim_start_matches(',').trim_start();
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if let Some(rest) = text[end..].strip_prefix("::") {
        return unfold(&format!("{path}::"), rest, paths);
    }
    paths.push(path);
    &text[end..]
}

/// Finds `super` paths that leave a part of `host/src`, which [`forbidden_edge`] does not detect.
fn hidden_edge(path: &str, text: &str) -> Vec<Finding> {
    let inside = path.strip_prefix("host/src/").unwrap_or_default();
    let is_root = !inside.contains('/') || inside.matches('/').count() == 1 && inside.ends_with("/mod.rs");
    let leads_out = |line: &str| line.contains("super::super::") || is_root && line.starts_with("use super::");
    let lines = code_lines(text).filter(|(_, line)| !inside.is_empty() && leads_out(line));
    lines.map(|(number, _)| (number, "write the path from `crate::`, so that import rules see it".into())).collect()
}

fn banned_word(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut in_tests = path.starts_with("tests/") || path.contains("/tests/");
    for (number, line) in (1..).zip(text.lines()).filter(|_| is_rust(path) && path != THIS_FILE) {
        in_tests |= line.trim_start().starts_with("mod tests");
        for (word, _, remedy) in BANNED.iter().filter(|(word, tests, _)| line.contains(word) && (in_tests || !tests)) {
            found.push((number, format!("`{word}`: {remedy}")));
        }
    }
    found
}

fn machine_path(path: &str, text: &str) -> Vec<Finding> {
    let is_one = |line: &str| ["/home/", "/root/", "/Users/"].iter().any(|start| line.contains(start));
    let lines = (1..).zip(text.lines()).filter(|(_, line)| path != THIS_FILE && is_one(line));
    lines.map(|(number, _)| (number, "a path of one machine: write it from the project's root".into())).collect()
}

fn undocumented_limit(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().filter(|_| path == LIMITS).collect();
    let bare = (1..)
        .zip(lines.windows(2))
        .filter(|(_, pair)| pair[1].starts_with("pub const ") && !pair[0].starts_with("///"));
    bare.map(|(before, _)| (before + 1, "a limit without its reason: say in `///` why this number".into())).collect()
}

fn missing_line(path: &str, text: &str) -> Vec<Finding> {
    let needed = NEEDED.iter().filter(|(file, start, _)| *file == path && !text.lines().any(|l| l.starts_with(start)));
    needed.map(|(_, start, why)| (1, format!("no line `{start}`: {why}"))).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the sorted names in a folder, with a flag for folders.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let listing = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = listing
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()))
        .collect();
    names.sort();
    names
}

/// Collects the text files below a folder, as paths from the root.
fn files(folder: &str, found: &mut Vec<String>) {
    const SKIPPED: &[&str] = &[".git", "target", "fusebox-data", "demo-output"];
    const TEXT: &[&str] = &["rs", "md", "toml", "sh", "yml", "Makefile", "run"];
    for (name, is_folder) in entries(&root().join(folder)) {
        let path = format!("{folder}{name}");
        if is_folder && !SKIPPED.contains(&name.as_str()) {
            files(&format!("{path}/"), found);
        } else if !is_folder && name.rsplit('.').next().is_some_and(|kind| TEXT.contains(&kind)) {
            found.push(path);
        }
    }
}

#[test]
fn every_file_keeps_the_rules() {
    let mut paths = Vec::new();
    files("", &mut paths);
    for path in LINES_MAX.iter().map(|row| row.0).chain(NEEDED.iter().map(|row| row.0)).chain([LIMITS, THIS_FILE]) {
        assert!(paths.iter().any(|other| other == path), "{path} is gone, but a rule in {THIS_FILE} names it");
    }
    let mut report = String::new();
    for path in &paths {
        let text = read(path);
        for (line, what) in RULES.iter().flat_map(|rule| rule(path, &text)) {
            writeln!(report, "{path}:{line}: {what}").unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn each_rule_catches_a_planted_violation() {
    let lines = |count: usize| "x\n".repeat(count);
    let cases: &[(Rule, &str, String, String)] = &[
        (long_file, "a.rs", lines(401), lines(400)),
        (long_file, "host/src/main.rs", lines(41), lines(40)),
        (long_file, "ARCHITECTURE.md", lines(201), lines(200)),
        (missing_header, "a.rs", "use a;\n".into(), "//! A.\n".into()),
        (foreign_name, "host/crates/link/src/a.rs", "use nng::Socket;".into(), "// nng::Socket".into()),
        (foreign_name, "host/crates/store/src/lib.rs", "use redis::cmd;".into(), "use redis_store::A;".into()),
        (
            forbidden_edge,
            "host/src/rest/a.rs",
            "use crate::{\n    b::C,\n    dispatch,\n};".into(),
            "use crate::store;".into(),
        ),
        (forbidden_edge, "host/src/modules.rs", "fusebox_store::Store".into(), "//! [`fusebox_store`]".into()),
        (
            forbidden_edge,
            "host/src/telemetry/a.rs",
            "use fusebox_store::{Backlog, Store};".into(),
            "use fusebox_store::Backlog as B;".into(),
        ),
        (hidden_edge, "host/src/rest/a.rs", "use super::super::dispatch;".into(), "use super::error;".into()),
        (hidden_edge, "host/src/rest/mod.rs", "use super::dispatch;".into(), "    use super::*;".into()),
        (banned_word, "host/src/a.rs", "#[ignore]".into(), "tokio::time::sleep(PAUSE)".into()),
        (
            banned_word,
            "host/src/a.rs",
            "mod tests {\n    time::sleep(PAUSE)".into(),
            "time::sleep(PAUSE)\nmod tests {".into(),
        ),
        (banned_word, "tests/it/a.rs", "std::thread::sleep(PAUSE)".into(), "eventually(|| done())".into()),
        (machine_path, "README.md", "cd /home/ada/fusebox".into(), "cd fusebox".into()),
        (undocumented_limit, LIMITS, "\npub const A: u8 = 1;".into(), "/// Why.\npub const A: u8 = 1;".into()),
        (missing_line, "CHANGELOG.md", "# Changelog".into(), "# Changelog\n## [Unreleased]".into()),
    ];
    for (rule, path, bad, good) in cases {
        assert_eq!(rule(path, bad).len(), 1, "not caught in {path}: {bad}");
        assert_eq!(rule(path, good), Vec::new(), "caught for nothing in {path}: {good}");
    }
    for rule in RULES {
        assert!(cases.iter().any(|(tested, ..)| std::ptr::fn_addr_eq(*tested, *rule)), "a rule without a case here");
    }
}
