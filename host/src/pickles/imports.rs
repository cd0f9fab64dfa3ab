//! Imports of a Python module, found line by line. Taken: statements that begin with `import` or `from` at the start of
//! a line or behind a semicolon, at any depth, also over several lines in parentheses or by backslashes. Not taken:
//! imports behind a colon on the same line, and those that call `__import__` or `importlib`. Text in a string that looks
//! like an import is taken for one; this costs a look-up that finds nothing.

/// Lines that one statement may have; a longer one ends there.
const STATEMENT_LINES_MAX: usize = 1_000;

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Number of leading dots: 0 for an absolute import.
    pub level: usize,
    /// Module behind the dots; empty for `from . import a`.
    pub module: String,
    /// Names taken from it, of which each may be a module; empty for `import a`.
    pub names: Vec<String>,
    /// True if it runs whenever the module is imported: it is not indented.
    pub is_top_level: bool,
}

/// Returns the imports of a module.
#[must_use]
pub fn of(source: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut lines = source.lines().map(without_comment);
    while let Some(line) = lines.next() {
        let is_top_level = !line.starts_with([' ', '\t']);
        if !line.split(';').any(|part| is_import(part.trim_start())) {
            continue;
        }
        let statement = whole(line, &mut lines);
        imports.extend(statement.split(';').flat_map(|part| parse(part.trim(), is_top_level)));
    }
    imports
}

/// Leaves out what follows `#`. No import has one in a string.
fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim_end()
}

fn is_import(statement: &str) -> bool {
    let mut words = statement.split([' ', '\t', '.', '(']);
    matches!(words.next(), Some("import" | "from")) && words.next().is_some()
}

/// Joins a statement with the lines on which it goes on.
fn whole<'a>(first: &str, rest: &mut impl Iterator<Item = &'a str>) -> String {
    let mut statement = first.to_owned();
    for _ in 0..STATEMENT_LINES_MAX {
        let is_open = statement.matches('(').count() > statement.matches(')').count();
        let goes_on = statement.ends_with('\\');
        if !is_open && !goes_on {
            break;
        }
        let Some(next) = rest.next() else { break };
        statement.truncate(statement.trim_end_matches('\\').len());
        statement.push(' ');
        statement.push_str(next.trim_start());
    }
    statement
}

/// Returns the imports of one statement.
fn parse(statement: &str, is_top_level: bool) -> Vec<Import> {
    let clean = statement.replace(['(', ')'], " ");
    let imported = |module: &str| Import { level: 0, module: module.to_owned(), names: Vec::new(), is_top_level };
    if let Some(modules) = after(&clean, "import") {
        return names(modules).filter(|module| is_dotted(module)).map(|module| imported(&module)).collect();
    }
    let Some((module, taken)) = after(&clean, "from").and_then(|rest| split_at_import(rest)) else { return Vec::new() };
    let level = module.len() - module.trim_start_matches('.').len();
    let module = module[level..].trim();
    if !(is_dotted(module) || module.is_empty() && level > 0) {
        return Vec::new();
    }
    let names = names(taken).filter(|name| is_dotted(name) && !name.contains('.')).collect();
    vec![Import { level, module: module.to_owned(), names, is_top_level }]
}

/// Returns what follows a keyword.
fn after<'a>(statement: &'a str, keyword: &str) -> Option<&'a str> {
    statement.strip_prefix(keyword).filter(|rest| rest.starts_with([' ', '\t', '.'])).map(str::trim_start)
}

/// Splits `.a import b` at its keyword. Blanks between dots are none to Python.
fn split_at_import(rest: &str) -> Option<(&str, &str)> {
    let at = rest.match_indices("import").find(|(at, word)| {
        let (before, behind) = (&rest[..*at], &rest[at + word.len()..]);
        before.ends_with([' ', '\t', '.']) && (behind.starts_with([' ', '\t']))
    })?;
    Some((rest[..at.0].trim(), &rest[at.0 + "import".len()..]))
}

/// Returns the names of a list, without what they are renamed to.
fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').filter_map(|item| item.split_whitespace().next()).map(str::to_owned)
}

/// Returns true for names joined by dots.
fn is_dotted(name: &str) -> bool {
    let is_start = |letter: char| letter == '_' || letter.is_alphabetic();
    let is_part = |part: &str| part.starts_with(is_start) && part.chars().all(|c| c == '_' || c.is_alphanumeric());
    name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> Vec<String> {
        let show = |import: Import| {
            let depth = if import.is_top_level { "" } else { "  " };
            format!("{depth}{}{} {}", ".".repeat(import.level), import.module, import.names.join("+"))
        };
        of(source).into_iter().map(show).collect()
    }

    #[test]
    fn imports_are_found_line_by_line() {
        let cases: &[(&str, &[&str])] = &[
            ("import os", &["os "]),
            ("import os.path as p, sys # both", &["os.path ", "sys "]),
            ("import a; import b;x = 1", &["a ", "b "]),
            ("from a.b import c, d as e", &["a.b c+d"]),
            ("from . import x", &[". x"]),
            ("from ..pkg.m import (x,\n    y as z, # why\n)", &["..pkg.m x+y"]),
            ("from .import x", &[". x"]),
            ("from a import b, \\\n    c", &["a b+c"]),
            ("from a import *", &["a "]),
            ("def f():\n    import late\n\tfrom x import y", &["  late ", "  x y"]),
            ("try:\n    import numpy\nexcept ImportError:\n    numpy = None", &["  numpy "]),
            ("x = 1; import b", &["b "]),
            ("importlib = 1\nfromage = 2\nimports.x()\nfrom_x = 3", &[]),
            ("from\nimport\nimport 1\nfrom x\nfrom 1 import 2\nfrom x import 3", &["x "]),
            ("# import a\n'''\nimport in_text\n'''", &["in_text "]),
            ("from é import ü", &["é ü"]),
        ];
        for (source, found) in cases {
            assert_eq!(shown(source), *found, "{source}");
        }
    }

    #[test]
    fn statements_without_an_end_are_bounded() {
        let open = format!("from a import (b,\n{}", "c,\n".repeat(3 * STATEMENT_LINES_MAX));
        let imports = of(&open);
        assert_eq!((imports.len(), imports[0].names.len()), (1, 1 + STATEMENT_LINES_MAX));
        assert_eq!(of(&"from \\\n".repeat(5)), []);
    }
}
