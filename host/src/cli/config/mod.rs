//! The settings file: values for flags that neither the command line nor the environment gives. Its keys are the names
//! of flags. A key at the top applies to every command with that flag; in a table named after a command, to that
//! command and its subcommands; in a table such as `[keys.create]`, to that subcommand alone. The most specific one
//! wins. A value becomes the flag's default, so the flag and the environment take precedence over the file.
//!
//! | file | holds |
//! |---|---|
//! | `apply` | turns a file's values into defaults |
//! | `dump` | writes the effective settings as a file |
//! | `compare` | compares the effective settings with those of a reload |

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

/// Environment variable that names the settings file if `--config` does not.
const VARIABLE: &str = "FUSEBOX_CONFIG";
/// Placeholder for a secret.
const HIDDEN: &str = "***";

/// Parses the command line together with its settings file. Like clap, it ends the process if the command line requests
/// help or is invalid.
///
/// # Errors
/// Fails if the settings file cannot be read or has an unknown setting.
pub fn parse() -> anyhow::Result<Parsed> {
    parse_with(|error| error.exit())
}

/// Parses the command line and its settings file once more, as a server does at SIGHUP.
///
/// # Errors
/// Fails as [`parse`] does, and if the command line and the file are invalid together.
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

/// The parsed command line.
pub struct Parsed {
    /// Command and global options.
    pub cli: Cli,
    /// The settings as a file, if `--dump-config` requests it.
    pub dump: Option<String>,
    /// Values of the settings, for comparison with those of a later reload.
    pub settings: Settings,
}

/// Finds the settings file before clap parses, since the file changes clap's defaults.
fn path(args: &[OsString]) -> Option<PathBuf> {
    let flagged = args.iter().enumerate().find_map(|(at, arg)| match arg.to_str()? {
        "--config" => args.get(at + 1).cloned(),
        arg => arg.strip_prefix("--config=").map(OsString::from),
    });
    flagged.or_else(|| std::env::var_os(VARIABLE)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn read(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read the settings file {}", path.display()))?;
    // Some editors write a byte order mark, which TOML does not allow.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.parse().with_context(|| format!("the settings file {} is not valid TOML", path.display()))
}

/// Name of a flag or of a positional argument.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

fn is_setting(arg: &Arg) -> bool {
    !["help", "version", "config", "dump-config"].contains(&name(arg))
}

/// Settings of the command itself, without those of its subcommands.
fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| is_setting(arg))
}

/// True if the argument may hold a password or key: those are marked with `hide_env_values`.
fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

/// Hides the values of environment variables in the help of the command and its subcommands: even an address may hold a
/// password.
fn discreet(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| arg.hide_env_values(true));
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, discreet))
}

/// Replaces the value in a parse error with [`HIDDEN`] if the argument is a secret.
fn without_secret(mut error: Error, command: &Command) -> Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = argument.split([' ', '=']).next().unwrap_or_default().trim_start_matches("--").to_owned();
    if secrets(command).contains(&flag) {
        error.insert(ContextKind::InvalidValue, ContextValue::String(HIDDEN.to_owned()));
    }
    error
}

/// Names of all secrets of a command and its subcommands.
fn secrets(command: &Command) -> Vec<String> {
    let own = settings(command).filter(|arg| is_secret(arg)).map(|arg| name(arg).to_owned());
    own.chain(command.get_subcommands().flat_map(secrets)).collect()
}
