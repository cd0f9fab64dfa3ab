//! Counts words: text on stdin, a table on stdout. Words of the files named as arguments are left out. An ordinary
//! program, and therefore also a function: stdin is the input, stdout the output, stderr the log, and an exit code other
//! than 0 an error; the files are deployed with it.

use std::{
    collections::{HashMap, HashSet},
    env,
    fmt::Write as _,
    fs,
    io::{self, Read, Write},
    process::ExitCode,
};

/// Maximum number of rows in the table.
const ROWS: usize = 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A failure to write to stderr cannot be reported.
            let _ = writeln!(io::stderr(), "word-count: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut text = String::new();
    let bytes = io::stdin().read_to_string(&mut text)?;
    writeln!(io::stderr(), "read {bytes} bytes")?;
    let left_out = env::args().skip(1).map(|path| left_out(&path)).collect::<io::Result<Vec<_>>>()?;
    io::stdout().write_all(table(&text, &left_out.into_iter().flatten().collect()).as_bytes())
}

/// Returns the words of a file.
fn left_out(path: &str) -> io::Result<HashSet<String>> {
    let text = fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    Ok(counts(&text).into_keys().collect())
}

/// Returns a table of the most frequent words, followed by the totals, without those that are left out.
fn table(text: &str, left_out: &HashSet<String>) -> String {
    let mut counts = counts(text);
    counts.retain(|word, _| !left_out.contains(word));
    let words: usize = counts.values().sum();
    let mut rows: Vec<(&String, &usize)> = counts.iter().collect();
    rows.sort_by(|(word, count), (other, others)| others.cmp(count).then(word.cmp(other)));

    let mut table = String::from(" count  word\n");
    for (word, count) in rows.iter().take(ROWS) {
        let _ = writeln!(table, "{count:>6}  {word}");
    }
    let _ = writeln!(table, "\n{} lines, {words} words, {} different", text.lines().count(), counts.len());
    table
}

/// Counts the occurrences of each word. A word consists of letters and digits, and of apostrophes and hyphens between
/// them.
fn counts(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '\'' | '’' | '-');
    for word in text.split(|letter| !is_part(letter)) {
        let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_word_is_first() {
        let expected =
            " count  word\n     2  the\n     1  and\n     1  cat\n     1  hat\n\n1 lines, 5 words, 4 different\n";
        assert_eq!(table("The cat and the hat", &HashSet::new()), expected);
        let left_out = HashSet::from(["the".to_owned(), "and".to_owned()]);
        let expected = " count  word\n     1  cat\n     1  hat\n\n1 lines, 2 words, 2 different\n";
        assert_eq!(table("The cat and the hat", &left_out), expected);
    }

    #[test]
    fn a_word_keeps_its_apostrophe_but_no_quotes() {
        let counts = counts("'Don't—don't!' -- 'so'");
        assert_eq!((counts["don't"], counts["so"], counts.len()), (2, 1, 2));
    }

    #[test]
    fn nothing_is_no_word() {
        assert_eq!(table("", &HashSet::new()), " count  word\n\n0 lines, 0 words, 0 different\n");
    }
}
