//! Differences between two versions of a function, as a deploy shows them.

use std::fmt::Display;

use bytesize::ByteSize;
use fusebox_api::functions::FunctionView;
use fusebox_ui::count;

/// Returns a line for each difference of limits, grants, size and setup; none if the versions are alike.
pub(crate) fn between(before: &FunctionView, after: &FunctionView) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differs = |what: &str, before: String, after: String| {
        if before != after {
            lines.push(format!("{what:<12}  {before} -> {after}"));
        }
    };
    let ms = |ms: u32| humantime::format_duration(std::time::Duration::from_millis(ms.into())).to_string();
    let size = |bytes: u64| ByteSize(bytes).to_string();
    let (old, new) = (&before.limits, &after.limits);
    differs("cpu", ms(old.cpu_ms), ms(new.cpu_ms));
    differs("fuel", count(old.fuel), count(new.fuel));
    differs("wall", ms(old.wall_ms), ms(new.wall_ms));
    differs("memory", size(old.memory_bytes), size(new.memory_bytes));
    differs("output", size(old.output_bytes), size(new.output_bytes));
    differs("log", size(old.log_bytes), size(new.log_bytes));
    let module = |function: &FunctionView| format!("{} ({})", size(function.module_bytes), short(&function.module));
    differs("module", module(before), module(after));
    differs("abi", before.abi.clone(), after.abi.clone());
    let files = |function: &FunctionView| match &function.files {
        Some(files) => format!("{} ({})", size(files.bytes), short(&files.digest)),
        None => NONE.to_owned(),
    };
    differs("files", files(before), files(after));
    differs("arguments", words(&before.args), words(&after.args));
    differs("export", or_none(before.export.as_ref()), or_none(after.export.as_ref()));
    differs("content type", or_none(before.content_type.as_ref()), or_none(after.content_type.as_ref()));
    differs("public", before.public.to_string(), after.public.to_string());
    for (what, before, after) in [("grants", &before.grants, &after.grants), ("environment", &before.env, &after.env)] {
        let gone = before.iter().filter(|word| !after.contains(word)).map(|word| format!("-{word}"));
        let come = after.iter().filter(|word| !before.contains(word)).map(|word| format!("+{word}"));
        let changes: Vec<String> = gone.chain(come).collect();
        if !changes.is_empty() {
            lines.push(format!("{what:<12}  {}", changes.join(" ")));
        }
    }
    lines
}

const NONE: &str = "none";
/// Characters of a digest that tell two modules of one function apart.
const DIGEST_CHARS: usize = 12;

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_CHARS).unwrap_or(digest)
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

fn words(words: &[String]) -> String {
    if words.is_empty() { NONE.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn version(changes: Value) -> FunctionView {
        let mut view = json!({"id": "i", "name": "f", "version": 1, "module": "0123456789abcdef", "module_bytes": 1024,
            "abi": "core", "created_at": "now", "grants": ["kv"], "env": ["A=1"], "limits": {"fuel": 1000, "wall_ms": 500,
            "memory_bytes": 65_536, "output_bytes": 1, "log_bytes": 1, "cpu_ms": 1000}});
        for (key, value) in changes.as_object().unwrap() {
            view[key] = value.clone();
        }
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn each_difference_is_a_line() {
        let before = version(json!({}));
        assert_eq!(between(&before, &before), Vec::<String>::new());
        let limits = json!({"fuel": 2000, "wall_ms": 1500, "memory_bytes": 131_072, "output_bytes": 1, "log_bytes": 1,
            "cpu_ms": 1000});
        let after =
            version(json!({"limits": limits, "grants": ["config"], "env": ["A=2"], "args": ["-v"], "public": true,
            "module": "fedcba9876543210", "module_bytes": 2048, "files": {"digest": "00112233445566", "bytes": 512}}));
        assert_eq!(
            between(&before, &after),
            [
                "fuel          1,000 -> 2,000",
                "wall          500ms -> 1s 500ms",
                "memory        64.0 KiB -> 128.0 KiB",
                "module        1.0 KiB (0123456789ab) -> 2.0 KiB (fedcba987654)",
                "files         none -> 512 B (001122334455)",
                "arguments     none -> -v",
                "public        false -> true",
                "grants        -kv +config",
                "environment   -A=1 +A=2",
            ]
        );
    }
}
