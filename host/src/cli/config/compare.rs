//! Compares two sets of settings: a server that reloads its file reports the changed ones.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{ArgMatches, Command};

use super::{name, settings};

/// Values of a command's settings, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Vec<OsString>>);

impl Settings {
    pub(super) fn of(command: &Command, matches: &ArgMatches) -> Self {
        let sub = matches.subcommand();
        let own = sub.and_then(|(name, own)| Some((command.find_subcommand(name)?, own)));
        let mut values = BTreeMap::new();
        for (command, matches) in own.into_iter().chain([(command, matches)]) {
            for arg in settings(command) {
                let raw = matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
                values
                    .entry(name(arg).to_owned())
                    .or_insert_with(|| raw.into_iter().flatten().map(OsString::from).collect());
            }
        }
        Self(values)
    }

    /// Returns the names of the settings whose values differ in `other`.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }

    /// Copies one setting's value from `other`.
    pub fn take(&mut self, name: &str, other: &Self) {
        match other.0.get(name) {
            Some(value) => drop(self.0.insert(name.to_owned(), value.clone())),
            None => drop(self.0.remove(name)),
        }
    }
}
