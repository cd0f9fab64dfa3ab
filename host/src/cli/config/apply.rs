//! Turns a file's values into defaults of the flags they name.

use anyhow::bail;
use clap::{
    Arg, ArgAction, Command,
    error::{ContextKind, ContextValue},
};
use toml::{Table, Value};

use super::{HIDDEN, is_secret, name, settings};

/// Returns the command line with the file's values as defaults.
///
/// # Errors
/// Fails if the file names an unknown setting or command, or has a value of the wrong kind.
pub(super) fn apply(command: Command, file: &Table) -> anyhow::Result<Command> {
    check(&command, &[], file)?;
    Ok(set(command, &[], Some(file)))
}

/// Refuses tables that name no command, and the values that [`check_value`] refuses.
fn check(command: &Command, path: &[&str], table: &Table) -> anyhow::Result<()> {
    for (key, value) in table {
        match (value, command.find_subcommand(key)) {
            (Value::Table(table), Some(sub)) => check(sub, &[path, &[key]].concat(), table)?,
            (Value::Table(_), None) => {
                let (name, help) = ([path, &[key]].concat().join("."), [&["help"], path].concat().join(" "));
                bail!("[{name}] is not a command: `fusebox {help}` lists them");
            }
            (value, _) => check_value(command, path, key, value)?,
        }
    }
    Ok(())
}

/// Refuses a setting that no command has, and a value that every command with it refuses. A value that only some accept
/// applies to those: `store` is an address for most commands, and a kind of store for those that measure.
fn check_value(command: &Command, path: &[&str], key: &str, value: &Value) -> anyhow::Result<()> {
    let tries = named(command, key).into_iter().map(|arg| texts(arg, value).and_then(|texts| taken(arg, &texts)));
    let mut refusal = None;
    for tried in tries {
        match tried {
            Ok(()) => return Ok(()),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match (refusal, path) {
        (Some(refusal), _) => Err(refusal),
        (None, []) => bail!("no command has a setting `{key}`: `fusebox help up` lists those of `up`"),
        (None, path) => bail!("[{}] has no setting `{key}`: it has {}", path.join("."), all(command).join(", ")),
    }
}

/// Refuses values that the argument does not accept; does not repeat those of a secret.
fn taken(arg: &Arg, values: &[String]) -> anyhow::Result<()> {
    let parser = arg.get_value_parser().clone();
    let mut alone = Arg::new("value").long("value").action(ArgAction::Append).value_parser(parser);
    if let Some(delimiter) = arg.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    let words = values.iter().map(|value| format!("--value={value}"));
    let tried = Command::new("fusebox").no_binary_name(true).arg(alone).try_get_matches_from(words);
    tried.map(drop).map_err(|mut error| {
        error.insert(ContextKind::InvalidArg, ContextValue::String(name(arg).to_owned()));
        if is_secret(arg) {
            error.insert(ContextKind::InvalidValue, ContextValue::String(HIDDEN.to_owned()));
        }
        anyhow::anyhow!("{}", error.to_string().lines().next().unwrap_or_default())
    })
}

/// Settings of this name, of the command and its subcommands.
fn named<'a>(command: &'a Command, key: &str) -> Vec<&'a Arg> {
    let own = settings(command).filter(|arg| name(arg) == key);
    own.chain(command.get_subcommands().flat_map(|sub| named(sub, key))).collect()
}

/// Names of the settings of a command and its subcommands, each once.
fn all(command: &Command) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for found in settings(command).map(name).chain(command.get_subcommands().flat_map(all)) {
        if !names.contains(&found) {
            names.push(found);
        }
    }
    names
}

/// Sets a command's defaults: from its own table, else from the innermost enclosing table with a value that it accepts.
fn set(mut command: Command, around: &[&Table], own: Option<&Table>) -> Command {
    let args: Vec<Arg> = settings(&command).cloned().collect();
    for arg in args {
        let fits = |value: &&Value| texts(&arg, value).and_then(|values| taken(&arg, &values)).is_ok();
        let inherited = || around.iter().rev().filter_map(|table| value(table, &arg)).find(fits);
        let found = own.and_then(|own| value(own, &arg)).or_else(inherited);
        if let Some(values) = found.and_then(|found| texts(&arg, found).ok()).filter(|values| !values.is_empty()) {
            command = command.mut_arg(arg.get_id(), |arg| with_default(arg, values));
        }
    }
    let around: Vec<&Table> = around.iter().copied().chain(own).collect();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        let own = own.and_then(|own| own.get(&name)?.as_table());
        command.mut_subcommand(name, |sub| set(sub, &around, own))
    })
}

/// A table's value for an argument. A nested table of that name belongs to a subcommand.
fn value<'a>(table: &'a Table, arg: &Arg) -> Option<&'a Value> {
    table.get(name(arg)).filter(|value| !value.is_table())
}

/// Converts a setting's values to text as on the command line.
fn texts(arg: &Arg, value: &Value) -> anyhow::Result<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        _ => bail!("`{}` must be a string, a number, true or false", name(arg)),
    };
    match value {
        Value::Array(values) if takes_many(arg) => values.iter().map(text).collect(),
        Value::Array(_) => bail!("`{}` must be a single value, not a list", name(arg)),
        value => Ok(vec![text(value)?]),
    }
}

fn with_default(arg: Arg, values: Vec<String>) -> Arg {
    // clap keeps defaults for the life of the process.
    let values: Vec<&'static str> = values.into_iter().map(|value| &*value.leak()).collect();
    // Help shows defaults, so those of secrets are hidden.
    let hidden = arg.is_hide_default_value_set() || is_secret(&arg);
    arg.default_values(values).required(false).hide_default_value(hidden)
}

/// True if a flag may be given several times, or a positional argument takes many values.
pub(super) fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}
