//! Errors of a project's file, with the file, line and column, and the nearest of the words that it may have.

use std::{fmt, ops::Range, path::Path};

/// Similarity from which a word counts as a misspelling of another one; the scale of `strsim::jaro_winkler`.
const ALIKE: f64 = 0.7;

/// Error at a place of a file: `FILE:LINE:COLUMN: MESSAGE`, a form in which editors find the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{at}: {message}")]
pub(crate) struct Misplaced {
    file: String,
    at: At,
    message: String,
}

/// Line and column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At(Option<(usize, usize)>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |(line, column)| write!(f, ":{line}:{column}"))
    }
}

impl Misplaced {
    /// Returns an error at a range of bytes of `text`, the content of `file`; without a range, of the whole file.
    pub(crate) fn new(file: &Path, text: &str, at: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let place = at.map(|range| {
            let before = text.get(..range.start).unwrap_or(text);
            let line = before.rsplit('\n').next().unwrap_or_default();
            (before.matches('\n').count() + 1, line.chars().count() + 1)
        });
        Self { file: file.display().to_string(), at: At(place), message: message.into() }
    }

    /// Returns the error of a parser, with the nearest word that the place may have.
    pub(crate) fn of_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        // A key that the whole file lacks has no place in it.
        let is_whole = |span: &Range<usize>| span.start == 0 && error.message().starts_with("missing field");
        let span = error.span().filter(|span| !is_whole(span));
        Self::new(file, text, span, advised(error.message()))
    }
}

/// Adds the nearest known word to the parser's message about an unknown one, and names what a message leaves open.
fn advised(message: &str) -> String {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match (message.split(' ').next(), words.split_first()) {
        (Some("unknown"), Some((unknown, known))) if message.starts_with("unknown field") => {
            format!("there is no key `{unknown}` here{}", nearest(unknown, known))
        }
        (Some("unknown"), Some((unknown, known))) => {
            format!("`{unknown}` cannot stand here{}", nearest(unknown, known))
        }
        (Some("missing"), Some((key, _))) => format!("the key `{key}` is missing: add it"),
        _ => message.to_owned(),
    }
}

/// Returns the end of a sentence about an unknown word: the nearest known one, or all of them.
pub(crate) fn nearest(unknown: &str, known: &[&str]) -> String {
    let likeness = |word: &&&str| strsim::jaro_winkler(word, unknown);
    match known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other))) {
        None => ": there are none".to_owned(),
        Some(nearest) if likeness(&nearest) >= ALIKE => format!(": did you mean `{nearest}`?"),
        Some(_) => format!(": use one of {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_column_of_characters() {
        let of = |at| Misplaced::new(Path::new("a.toml"), "é = 1\nb = 2", Some(at), "no").to_string();
        assert_eq!([of(0..1), of(3..4), of(7..8)], ["a.toml:1:1: no", "a.toml:1:3: no", "a.toml:2:1: no"]);
        assert_eq!(Misplaced::new(Path::new("a.toml"), "", None, "no").to_string(), "a.toml: no");
    }

    #[test]
    fn the_nearest_word_is_named_or_all_of_them() {
        assert_eq!(nearest("wal", &["cpu", "wall"]), ": did you mean `wall`?");
        assert_eq!(nearest("zzz", &["cpu", "wall"]), ": use one of cpu, wall");
        assert_eq!(nearest("zzz", &[]), ": there are none");
        assert_eq!(
            advised("unknown field `wal`, expected one of `cpu`, `wall`"),
            "there is no key `wal` here: did you mean `wall`?"
        );
        assert_eq!(advised("missing field `name`"), "the key `name` is missing: add it");
        assert_eq!(advised("something else"), "something else");
    }
}
