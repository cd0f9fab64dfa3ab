//! Errors of commands: how they are printed, and their exit codes.

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use fusebox_client::ClientError;
use fusebox_ui::{self as ui, OutputFormat, receipt};
use serde_json::json;

/// Some of many functions failed; the output has already named them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FunctionsFailed(pub String);

/// The wait exceeded `--timeout`.
#[derive(Debug, thiserror::Error)]
#[error(
    "--timeout: not ended within {}; it continues, and `fusebox tasks ID --wait` waits for it",
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
            ui::note(json!({"code": code, "detail": format!("{error:#}")}).to_string());
        }
        OutputFormat::Text => {
            ui::note(format!("error: {error:#}"));
            if let Some(ClientError::Problem(problem)) = cause {
                problem.backtrace.iter().for_each(|frame| ui::note(format!("  at {frame}")));
                if let Some(used) = &problem.receipt {
                    ui::note(format!("  {}", receipt::line(used)));
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
