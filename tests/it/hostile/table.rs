//! Table of the corpus by mode, in Markdown.

use std::fmt::Write as _;

use fusebox_hostile::{Hostile, Must};

use super::Fate;

/// Table with a row for each module and a column for each mode.
pub(super) struct Table<'a> {
    corpus: &'a [Hostile],
    /// Results by mode, in the order of the corpus.
    fates: Vec<Fate>,
    notes: Vec<String>,
}

impl<'a> Table<'a> {
    pub(super) fn new(corpus: &'a [Hostile]) -> Self {
        Self { corpus, fates: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn add(&mut self, fate: Fate) {
        self.fates.push(fate);
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} hostile modules; what became of each, and the milliseconds of its upload (refused) or of its run\n\n",
            self.corpus.len()
        );
        text.push_str("| family | module | trick | must | local | push | pull |\n|---|---|---|---|---|---|---|\n");
        for (row, hostile) in self.corpus.iter().enumerate() {
            let must = match hostile.must {
                Must::BeRefused(code) => format!("refused: {code}"),
                Must::Fail(code) => code.to_owned(),
                Must::Complete => "completed".to_owned(),
                Must::CompleteOrBadPointer => "completed or bad-pointer".to_owned(),
            };
            let _ = write!(text, "| {} | {} | {} | {must} |", hostile.family, hostile.name, hostile.trick);
            for fates in self.fates.chunks(self.corpus.len()) {
                let cell = fates.get(row).map(|fate| Self::cell(fate, &must)).unwrap_or_default();
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
        let _ = write!(text, "\n{}\n", self.notes.join("\n"));
        text
    }

    /// Returns the content of a cell: only the time if the result is the required one.
    fn cell(fate: &Fate, must: &str) -> String {
        let outcome = if fate.refused { format!("refused: {}", fate.outcome) } else { fate.outcome.clone() };
        let is = if outcome == must { "" } else { &outcome };
        format!("{is} {} ms", fate.took_ms).trim().to_owned()
    }
}
