//! Calls functions of the library: adds the common arguments, and loads the library if it is missing. Independent of
//! the functions' meaning.

use redis::{Cmd, ToRedisArgs, Value};

use super::{
    address::Address,
    answers,
    errors::Trouble,
    keys::{self, Layout, Place},
    library::Library,
    link::Link,
    mark::Mark,
};
use crate::{Error, Options, Result};
use fusebox_system::clock::Clock;

/// Makes calls over a link.
pub(super) struct Caller {
    link: Link,
    library: Library,
    layout: Layout,
    options: Options,
    channels: String,
    /// Source of time instead of Redis; set by tests only.
    clock: Option<Clock>,
}

/// Call to be made.
pub(super) struct Call {
    command: Cmd,
    again: bool,
}

impl Call {
    /// Adds an argument.
    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(super) fn args(mut self, arguments: impl IntoIterator<Item = impl ToRedisArgs>) -> Self {
        for argument in arguments {
            self.command.arg(argument);
        }
        self
    }

    /// Marks a call that must be sent at most once, because performing it twice would give another answer.
    pub(super) fn once(mut self) -> Self {
        self.again = false;
        self
    }
}

impl Caller {
    /// Creates a caller over a link.
    pub(super) fn new(link: Link, layout: Layout, address: &Address, options: Options, clock: Option<Clock>) -> Self {
        let channels = keys::channel_suffix(address.database);
        Self { link, library: Library::new(address.access.prefix), layout, options, channels, clock }
    }

    /// Returns the distribution of keys.
    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the store's bounds.
    pub(super) const fn options(&self) -> Options {
        self.options
    }

    /// Returns the servers, for display.
    pub(super) fn shown(&self) -> &str {
        self.link.shown()
    }

    /// Returns true if the store is known to have lost its data.
    #[cfg(test)]
    pub(super) fn is_lost(&self) -> bool {
        self.link.mark().is_lost()
    }

    /// Returns the calls that must fail.
    #[cfg(test)]
    pub(super) const fn faults(&self) -> &super::tests::calls::Faults {
        &self.link.faults
    }

    /// Starts a call of a function at a place.
    pub(super) fn call(&self, place: Place, function: &str) -> Call {
        let mut command = redis::cmd("FCALL");
        command.arg(self.library.function(function)).arg(1).arg(place.route());
        let now = self.clock.as_ref().map(|clock| clock.now().0.to_string()).unwrap_or_default();
        command.arg(place.tag()).arg(now).arg(&self.channels).arg(self.options.ended_ttl_ms);
        Call { command, again: true }
    }

    /// Makes a call. Loads the library and repeats the call once if the library is missing.
    pub(super) async fn ask(&self, call: Call) -> Result<Value> {
        match self.link.send(&call.command, call.again).await {
            Err((Trouble::NoLibrary, _)) => {
                self.load().await?;
                self.link.send(&call.command, call.again).await.map_err(|(_, error)| error)
            }
            answer => answer.map_err(|(_, error)| error),
        }
    }

    /// Sends a plain command.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value> {
        self.link.send(command, true).await.map_err(|(_, error)| error)
    }

    /// Loads the library, on every master of a Cluster. An existing library of the same name has the same content.
    async fn load(&self) -> Result<()> {
        let mut command = redis::cmd("FUNCTION");
        command.arg("LOAD").arg(self.library.code());
        match self.send(&command).await {
            Ok(_) => {
                tracing::info!(redis = self.shown(), library = self.library.function(""), "loaded the library");
                Ok(())
            }
            Err(Error::Unavailable(reason)) if reason.contains("already exists") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Checks that every place answers, has the library, and belongs to the store of this process's start; loads the
    /// library if it is missing.
    ///
    /// # Errors
    /// [`Error::Emptied`] if the store has lost its data, and the errors of every call.
    pub(super) async fn check(&self) -> Result<()> {
        let ids = self.ask_all(|place| self.call(place, "ping")).await?;
        self.link.mark().compare(&ids)
    }

    /// Writes the store's ids where there are none, and remembers the ids.
    pub(super) async fn begin(&self) -> Result<()> {
        let fresh = Mark::fresh();
        let ids = self.ask_all(|place| self.call(place, "begin").arg(&fresh)).await?;
        self.link.mark().remember(ids);
        Ok(())
    }

    /// Makes a call at every place and returns the texts of the answers.
    async fn ask_all(&self, call: impl Fn(Place) -> Call) -> Result<Vec<String>> {
        let asked = self.layout.all().map(|place| self.ask(call(place)));
        futures_util::future::join_all(asked).await.into_iter().map(|answer| answers::text(answer?)).collect()
    }
}
