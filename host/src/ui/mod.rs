//! Output of the command line: answers on stdout, everything else on stderr, and the exit codes.

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use fusebox_client::ClientError;
use serde::Serialize;
use serde_json::json;

use crate::{cli::OutputFormat, telemetry::lines};

pub mod progress;
pub mod receipt;
pub mod table;

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

/// Some of many functions failed; the output has already named them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FunctionsFailed(pub String);

/// The wait exceeded `--timeout`.
#[derive(Debug, thiserror::Error)]
#[error(
    "--timeout: not ended within {}; it goes on, and `fusebox tasks ID --wait` waits for it",
    humantime::format_duration(*.0)
)]
pub struct Late(pub std::time::Duration);

/// The arguments of a command cannot be combined.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub &'static str);

/// Prints the error and returns the exit code; `fusebox help` lists the codes.
#[must_use]
pub fn report(error: &anyhow::Error, format: OutputFormat) -> ExitCode {
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        // The reader closed its end early, as `head` does; not an error.
        return ExitCode::SUCCESS;
    }
    let cause = error.downcast_ref::<ClientError>();
    match format {
        OutputFormat::Json => {
            let code = match cause {
                Some(ClientError::Problem(problem)) => problem.code.as_str(),
                Some(ClientError::Unreachable { .. }) => "unreachable",
                _ => "failed",
            };
            note(json!({"code": code, "detail": format!("{error:#}")}).to_string());
        }
        OutputFormat::Text => {
            note(format!("error: {error:#}"));
            if let Some(ClientError::Problem(problem)) = cause {
                problem.backtrace.iter().for_each(|frame| note(format!("  at {frame}")));
                if let Some(used) = &problem.receipt {
                    note(format!("  {}", receipt::line(used)));
                }
            }
        }
    }
    ExitCode::from(match error {
        error if error.is::<FunctionsFailed>() => FUNCTION_FAILED,
        error if error.is::<WrongUsage>() => WRONG_USAGE,
        error if error.is::<Late>() => TRY_AGAIN,
        _ => exit_code(cause),
    })
}

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const FUNCTION_FAILED: u8 = 3;
const NOT_FOUND: u8 = 4;
const TRY_AGAIN: u8 = 5;

fn exit_code(cause: Option<&ClientError>) -> u8 {
    match cause {
        Some(ClientError::Unreachable { .. }) => TRY_AGAIN,
        Some(ClientError::Problem(problem)) => match problem.status {
            404 => NOT_FOUND,
            424 => FUNCTION_FAILED,
            429 | 503 => TRY_AGAIN,
            _ => FAILED,
        },
        _ => FAILED,
    }
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
