//! Writes the effective settings as a file, each with its source. Secrets are named, not shown.

use std::{ffi::OsStr, fmt::Write as _};

use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use toml::{Table, Value};

use super::{apply::takes_many, is_secret, name, settings};

/// Renders the settings of the command that `matches` names: first the global ones, then its own.
pub(super) fn dump(command: &Command, matches: &ArgMatches, file: &Table) -> String {
    let (mut leaf, mut found, mut path, mut tables) = (command, matches, Vec::new(), vec![file]);
    while let Some((sub, matches)) = found.subcommand() {
        let Some(command) = leaf.find_subcommand(sub) else { break };
        tables.extend(tables.last().and_then(|table| table.get(sub)?.as_table()));
        path.push(sub);
        (leaf, found) = (command, matches);
    }
    let mut text = format!(
        "# Settings of `fusebox {}`: flags take precedence over the environment, and both over this file.\n",
        path.join(" ")
    );
    settings(command).for_each(|arg| line(&mut text, arg, matches, &tables));
    let _ = writeln!(text, "[{}]", path.join("."));
    settings(leaf).for_each(|arg| line(&mut text, arg, found, &tables));
    text
}

fn line(text: &mut String, arg: &Arg, matches: &ArgMatches, tables: &[&Table]) {
    let (key, id) = (name(arg), arg.get_id().as_str());
    let from = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "the command line",
        Some(ValueSource::EnvVariable) => "the environment",
        _ if tables.iter().any(|table| table.get(key).is_some_and(|value| !value.is_table())) => "the file",
        _ => "default",
    };
    let values: Vec<&OsStr> = matches.get_raw(id).into_iter().flatten().collect();
    let _ = match toml(arg, &values) {
        _ if values.is_empty() => writeln!(text, "# {key} is not set"),
        _ if is_secret(arg) && from != "default" => writeln!(text, "# {key} is set by {from}"),
        Some(value) => writeln!(text, "{key} = {value}  # {from}"),
        None => writeln!(text, "# {key} is set by {from} to bytes that are not UTF-8"),
    };
}

/// Returns `None` if a value is not Unicode, as a file name may be: TOML cannot represent it.
fn toml(arg: &Arg, values: &[&OsStr]) -> Option<Value> {
    let mut values = values.iter().map(|value| value.to_str().map(typed)).collect::<Option<Vec<_>>>()?;
    if takes_many(arg) { Some(Value::Array(values)) } else { values.pop() }
}

/// Returns a number or a boolean if it reads back as the same text, else a string.
fn typed(text: &str) -> Value {
    match (text.parse::<i64>(), text) {
        (Ok(number), _) if number.to_string() == text => Value::Integer(number),
        (_, "true") => Value::Boolean(true),
        (_, "false") => Value::Boolean(false),
        _ => Value::String(text.to_owned()),
    }
}
