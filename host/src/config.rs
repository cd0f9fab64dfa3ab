//! The settings file: values for flags that neither the command line nor the environment gives. Its keys are the flags'
//! names. At the top they hold for every command that has such a flag, in a table of a command's name for that command
//! and its subcommands, in a table such as `[keys.create]` for that subcommand alone; the nearest one counts. A file's
//! value becomes the flag's default, so that a flag goes before the environment and both go before the file.
//!
//! | file | holds |
//! |---|---|
//! | `apply` | from a file to defaults |
//! | `dump` | from what counts to a file |
//! | `compare` | what counts held against what counted before |

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{
    Arg, Command, CommandFactory as _, Error, FromArgMatches as _,
    error::{ContextKind, ContextValue},
};
use toml::Table;

pub use self::compare::Settings;
use crate::cli::Cli;

mod apply;
mod compare;
mod dump;
#[cfg(test)]
mod tests;

/// Names the settings file where no flag does.
const VARIABLE: &str = "FUSEBOX_CONFIG";
/// Shown in place of a secret.
const HIDDEN: &str = "***";

/// Reads the command line, with what a settings file adds to it. Ends the process where the command line asks for help or
/// is wrong, as clap does.
///
/// # Errors
/// Where the settings file cannot be read, or has a setting that there is none of.
pub fn parse() -> anyhow::Result<Parsed> {
    parse_with(|error| error.exit())
}

/// Reads the command line and its settings file once more, as a server does at SIGHUP.
///
/// # Errors
/// As [`parse`], and where the command line and the file are wrong together.
pub fn again() -> anyhow::Result<Parsed> {
    parse_with(anyhow::Error::from)
}

fn parse_with(refused: impl FnOnce(Error) -> anyhow::Error) -> anyhow::Result<Parsed> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (mut command, mut file) = (Cli::command(), Table::new());
    if let Some(path) = path(&args) {
        file = read(&path)?;
        command = apply::apply(command, &file).with_context(|| format!("the settings file {}", path.display()))?;
    }
    let matches = discreet(command.clone()).try_get_matches_from(args);
    let matches = matches.map_err(|error| refused(without_secret(error, &command)))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let dump = matches.get_flag("dump_config").then(|| dump::dump(&command, &matches, &file));
    Ok(Parsed { cli, dump, settings: Settings::of(&command, &matches) })
}

/// The command line as it was read.
pub struct Parsed {
    /// What to do.
    pub cli: Cli,
    /// The settings as a file, where they were asked for instead.
    pub dump: Option<String>,
    /// The settings' values, to be held against others.
    pub settings: Settings,
}

/// Known before clap reads, since the file adds to what clap reads by.
fn path(args: &[OsString]) -> Option<PathBuf> {
    let flagged = args.iter().enumerate().find_map(|(at, arg)| match arg.to_str()? {
        "--config" => args.get(at + 1).cloned(),
        arg => arg.strip_prefix("--config=").map(OsString::from),
    });
    flagged.or_else(|| std::env::var_os(VARIABLE)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn read(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read the settings file {}", path.display()))?;
    // Some editors write a byte order mark, which TOML has no place for.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.parse().with_context(|| format!("the settings file {} is no TOML", path.display()))
}

/// A flag's name, or a positional argument's.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

fn is_setting(arg: &Arg) -> bool {
    !["help", "version", "config", "dump-config"].contains(&name(arg))
}

/// The settings of a command itself, its subcommands' left out.
fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| is_setting(arg))
}

/// Whether it may hold a password or a key. Such arguments are marked with `hide_env_values`.
fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

/// A command whose help shows no value of the environment: an address too may hold a password.
fn discreet(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| arg.hide_env_values(true));
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, discreet))
}

/// An error of the command line that does not repeat the value of a secret.
fn without_secret(mut error: Error, command: &Command) -> Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = argument.split([' ', '=']).next().unwrap_or_default().trim_start_matches("--").to_owned();
    if secrets(command).contains(&flag) {
        error.insert(ContextKind::InvalidValue, ContextValue::String(HIDDEN.to_owned()));
    }
    error
}

/// The names of all secrets of a command and its subcommands.
fn secrets(command: &Command) -> Vec<String> {
    let own = settings(command).filter(|arg| is_secret(arg)).map(|arg| name(arg).to_owned());
    own.chain(command.get_subcommands().flat_map(secrets)).collect()
}
