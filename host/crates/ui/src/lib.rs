//! Terminal output of commands: answers on stdout, everything else on stderr.
//!
//! | module | holds |
//! |---|---|
//! | [`lines`] | output that does not block a server |
//! | [`progress`] | bars and spinners of long operations |
//! | [`receipt`], [`table`] | receipts and tables for people |

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

pub mod lines;
pub mod progress;
pub mod receipt;
pub mod table;

/// Choice of an output format on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputChoice {
    /// Text for people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// Text with more columns, where a listing has any.
    Wide,
    /// One JSON document, for programs.
    Json,
}

impl OutputChoice {
    /// Returns the format, which most commands know alone.
    #[must_use]
    pub const fn format(self) -> OutputFormat {
        match self {
            Self::Text | Self::Wide => OutputFormat::Text,
            Self::Json => OutputFormat::Json,
        }
    }
}

/// Output format of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON document, for programs.
    Json,
}

/// Prints a line of an answer.
///
/// # Errors
/// Fails if stdout is closed.
pub fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", line.as_ref())?;
    Ok(stdout.flush()?)
}

/// Prints a line of a server, which continues to run even if nothing reads its output.
pub fn tell(line: impl AsRef<str>) {
    lines::stdout().push(format!("{}\n", line.as_ref()).as_bytes());
}

/// Prints raw bytes.
///
/// # Errors
/// Fails if stdout is closed.
pub fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// Prints a JSON document.
///
/// # Errors
/// Fails if stdout is closed.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?)
}

/// Prints a remark to stderr, apart from the answer on stdout. Ignored if stderr is closed.
pub fn note(line: impl AsRef<str>) {
    lines::stderr().push(format!("{}\n", line.as_ref()).as_bytes());
}

/// Formats a number with separators: `1,000,000`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"].map(str::to_owned));
    }
}
