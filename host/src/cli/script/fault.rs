//! Faults of scripts, shown with the line of the source and a sign below the column.

use std::{fmt, path::Path};

use fusebox_api::problem::Problem;
use fusebox_client::ClientError;

use super::Source;

/// Place in a file: line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Line.
    pub(super) line: u32,
    /// Column in characters.
    pub(super) column: Option<u32>,
}

/// Fault at a place of a file.
#[derive(Clone, Debug)]
pub(super) struct Fault<'a> {
    /// File as its author named it.
    pub(super) path: &'a Path,
    /// Its text.
    pub(super) text: &'a str,
    /// Place in it.
    pub(super) place: Place,
    /// Sentence that describes the fault.
    pub(super) message: &'a str,
}

/// Shows file, line, column and sentence, then the line itself and a sign below the column.
impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, text, place: Place { line, column }, message } = self;
        write!(f, "{}:{line}", path.display())?;
        if let Some(column) = column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {message}")?;
        let index = usize::try_from(*line).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(shown) = text.lines().nth(index).filter(|shown| !shown.trim().is_empty()) else { return Ok(()) };
        let shown: String = shown.chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect();
        let number = line.to_string();
        write!(f, "\n  {number} | {shown}")?;
        let Some(column) = column else { return Ok(()) };
        // Tabs stay tabs, so that the sign stands where the terminal shows the letter.
        let before = usize::try_from(*column).unwrap_or(usize::MAX).saturating_sub(1);
        let indent: String = shown.chars().take(before).map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n  {} | {indent}^", " ".repeat(number.len()))
    }
}

/// Returns the error of a script's registration, with the line of the source if the host names one in it.
pub fn explained(source: &Source, error: ClientError) -> anyhow::Error {
    let ClientError::Problem(problem) = &error else { return error.into() };
    let Problem { detail, file: Some(file), line: Some(line), column, .. } = &**problem else { return error.into() };
    if source.params.entry.as_ref() != Some(file) {
        return error.into();
    }
    // The detail begins with the place.
    let start = column.map_or_else(|| format!("{file}:{line}: "), |column| format!("{file}:{line}:{column}: "));
    let message = detail.strip_prefix(&start).unwrap_or(detail);
    let place = Place { line: *line, column: *column };
    anyhow::anyhow!("{}", Fault { path: &source.path, text: &source.text, place, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_below_its_line() {
        let text = "one\n\tif x = 1:\nthrée";
        let shown = |place| {
            let path = Path::new("f.py");
            Fault { path, text, place, message: "invalid syntax" }.to_string()
        };
        let at = |line, column| Place { line, column };
        assert_eq!(shown(at(2, Some(7))), "f.py:2:7: invalid syntax\n  2 | \tif x = 1:\n    | \t     ^");
        assert_eq!(shown(at(1, None)), "f.py:1: invalid syntax\n  1 | one");
        assert_eq!(shown(at(9, Some(1))), "f.py:9:1: invalid syntax");
    }
}
