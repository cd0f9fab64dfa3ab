//! The settings file: values for flags that neither the command line nor the environment gives. Its keys are the flags'
//! names: at the top for every command that has such a flag, in a table of a command's name for that command alone. A
//! file's value becomes the flag's default, so that a flag goes before the environment and both go before the file.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, parser::ValueSource};
use toml::{Table, Value};

use crate::cli::Cli;

/// Names the settings file where no flag does.
const VARIABLE: &str = "FUSEBOX_CONFIG";

/// Reads the command line, with what a settings file adds to it. Ends the process where the command line asks for help or
/// is wrong, as clap does.
///
/// # Errors
/// Where the settings file cannot be read, or has a setting that there is none of.
pub fn parse() -> anyhow::Result<Parsed> {
    parse_with(|command, args| Ok(command.get_matches_from(args)))
}

/// Reads the command line and its settings file once more, as a server does that was told to.
///
/// # Errors
/// As [`parse`], and where the command line and the file are wrong together.
pub fn again() -> anyhow::Result<Parsed> {
    parse_with(|command, args| Ok(command.try_get_matches_from(args)?))
}

fn parse_with(matches: impl FnOnce(Command, Vec<OsString>) -> anyhow::Result<ArgMatches>) -> anyhow::Result<Parsed> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (mut command, mut file) = (Cli::command(), Table::new());
    if let Some(path) = path(&args) {
        file = read(&path)?;
        command = apply(command, &file).with_context(|| format!("the settings file {}", path.display()))?;
    }
    let matches = matches(command.clone(), args)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let dump = matches.get_flag("dump_config").then(|| dump(&command, &matches, &file));
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

/// The values of a command's settings, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Vec<OsString>>);

impl Settings {
    fn of(command: &Command, matches: &ArgMatches) -> Self {
        let sub = matches.subcommand();
        let own = sub.and_then(|(name, own)| Some((command.find_subcommand(name)?, own)));
        let mut values = BTreeMap::new();
        for (command, matches) in own.into_iter().chain([(command, matches)]) {
            for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
                let raw = matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
                values
                    .entry(name(arg).to_owned())
                    .or_insert_with(|| raw.into_iter().flatten().map(OsString::from).collect());
            }
        }
        Self(values)
    }

    /// The names of the settings that are others in `other`.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }

    /// Takes one setting's value from `other`.
    pub fn take(&mut self, name: &str, other: &Self) {
        match other.0.get(name) {
            Some(value) => drop(self.0.insert(name.to_owned(), value.clone())),
            None => drop(self.0.remove(name)),
        }
    }
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
    text.parse().with_context(|| format!("the settings file {} is no TOML", path.display()))
}

/// Makes the file's values the defaults of the flags they name.
fn apply(mut command: Command, file: &Table) -> anyhow::Result<Command> {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for (key, value) in file {
        match value {
            Value::Table(settings) => {
                if !names.contains(key) {
                    bail!("[{key}] is no command: `fusebox help` lists them");
                }
                for (key_of, value) in settings {
                    if !has(command.find_subcommand(key), key_of) {
                        let known = command.find_subcommand(key).map(settings_of).unwrap_or_default();
                        bail!("[{key}] has no setting `{key_of}`: it has {known}");
                    }
                    command = set(command, Some(key), key_of, value)?;
                }
            }
            value => {
                let of: Vec<&String> = names.iter().filter(|name| has(command.find_subcommand(name), key)).collect();
                if of.is_empty() && !has(Some(&command), key) {
                    bail!("no command has a setting `{key}`: `fusebox help up` lists those of `up`");
                }
                if has(Some(&command), key) {
                    command = set(command, None, key, value)?;
                }
                for name in of.into_iter().filter(|name| file.get(*name).is_none_or(|own| own.get(key).is_none())) {
                    command = set(command, Some(name), key, value)?;
                }
            }
        }
    }
    Ok(command)
}

/// A flag's name, or a positional argument's.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

fn is_setting(arg: &Arg) -> bool {
    !["help", "version", "config", "dump-config"].contains(&name(arg))
}

fn has(command: Option<&Command>, key: &str) -> bool {
    command.is_some_and(|command| command.get_arguments().any(|arg| is_setting(arg) && name(arg) == key))
}

fn settings_of(command: &Command) -> String {
    let names: Vec<&str> = command.get_arguments().filter(|arg| is_setting(arg)).map(name).collect();
    names.join(", ")
}

fn set(command: Command, of: Option<&str>, key: &str, value: &Value) -> anyhow::Result<Command> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        _ => bail!("`{key}` is to be a text, a number, true or false"),
    };
    // clap keeps defaults for as long as the process lives.
    let text: &'static str = Box::leak(text.into_boxed_str());
    let with = |command: Command| {
        let id = command.get_arguments().find(|arg| name(arg) == key).map(|arg| arg.get_id().clone());
        match id {
            Some(id) => command.mut_arg(id, |arg| arg.default_value(text).required(false)),
            None => command,
        }
    };
    Ok(match of {
        Some(sub) => command.mut_subcommand(sub, with),
        None => with(command),
    })
}

/// The settings of a command as a file, each with where it comes from. Secrets are named, not shown.
fn dump(command: &Command, matches: &ArgMatches, file: &Table) -> String {
    let Some((sub, matches)) = matches.subcommand() else { return String::new() };
    let mut text = format!(
        "# Settings of `fusebox {sub}`: a flag goes before the environment, and both before this file.\n[{sub}]\n"
    );
    let args = command.find_subcommand(sub).into_iter().flat_map(Command::get_arguments).filter(|arg| is_setting(arg));
    for arg in args {
        let key = name(arg);
        let value = matches.get_raw(arg.get_id().as_str()).and_then(|mut values| values.next());
        let from = match matches.value_source(arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => "the command line",
            Some(ValueSource::EnvVariable) => "the environment",
            _ if file.contains_key(key) || file.get(sub).is_some_and(|own| own.get(key).is_some()) => "the file",
            _ => "default",
        };
        let _ = match value {
            Some(_) if arg.is_hide_env_values_set() && from != "default" => writeln!(text, "# {key} is set by {from}"),
            Some(value) => writeln!(text, "{key} = {}  # {from}", toml_value(value)),
            None => writeln!(text, "# {key} is not set"),
        };
    }
    text
}

fn toml_value(value: &OsStr) -> String {
    let text = value.to_string_lossy();
    let plain = text.parse::<i64>().is_ok() || matches!(&*text, "true" | "false");
    if plain { text.into_owned() } else { Value::String(text.into_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, args: &[&str]) -> anyhow::Result<String> {
        let file: Table = file.parse()?;
        let command = apply(Cli::command(), &file)?;
        let matches = command.clone().try_get_matches_from([&["fusebox"], args].concat())?;
        Ok(dump(&command, &matches, &file))
    }

    #[test]
    fn a_flag_goes_before_the_file_and_a_command_before_all() {
        let file = "port = 7000\nstore = \"redis://a:1\"\n[dispatcher]\nmode = \"push\"\nport = 7001\n";
        let dumped = with(file, &["dispatcher", "--task-timeout", "9"]).unwrap();
        for line in ["port = 7001  # the file", "mode = \"push\"  # the file", "task-timeout = 9  # the command line"] {
            assert!(dumped.lines().any(|dumped| dumped == line), "{line} in {dumped}");
        }
        assert!(dumped.contains("# store is set by the file"), "an address may hold a password: {dumped}");
        assert!(with(file, &["up"]).unwrap().contains("port = 7000  # the file"));
        let flagged = with(file, &["dispatcher", "-p", "7002"]).unwrap();
        assert!(flagged.contains("port = 7002  # the command line"));
    }

    #[test]
    fn settings_that_have_changed_are_named_also_those_of_every_command() {
        let settings = |file: &str| {
            let command = apply(Cli::command(), &file.parse().unwrap()).unwrap();
            let matches = command.clone().try_get_matches_from(["fusebox", "serve"]).unwrap();
            Settings::of(&command, &matches)
        };
        let before = settings("log = \"info\"\nlisten = \"127.0.0.1:1\"\n");
        let mut after = settings("log = \"debug\"\nlisten = \"127.0.0.1:2\"\nmax-fuel = 7\n");
        assert_eq!(before.changed(&after), ["listen", "log", "max-fuel"]);
        after.take("log", &before);
        assert_eq!(before.changed(&after), ["listen", "max-fuel"]);
        assert!(before.changed(&before).is_empty());
    }

    #[test]
    fn a_dumped_file_is_a_settings_file() {
        let dumped = with("", &["dispatcher", "-m", "pull", "-p", "0"]).unwrap();
        let again = with(&dumped, &["dispatcher"]).unwrap();
        assert!(again.contains("mode = \"pull\"  # the file") && again.contains("port = 0  # the file"), "{again}");
    }

    #[test]
    fn a_setting_that_there_is_none_of_is_named() {
        let refused = |file: &str| format!("{:#}", with(file, &["dispatcher", "-m", "push"]).unwrap_err());
        assert!(refused("[dispatcher]\nprot = 1").contains("`prot`: it has mode, slots, port"));
        assert!(refused("[dispatch]\nport = 1").contains("[dispatch] is no command"));
        assert!(refused("prot = 1").contains("no command has a setting `prot`"));
        assert!(refused("port = [1]").contains("`port` is to be a text"));
        assert!(refused("port = \"many\"").contains("many"));
    }
}
