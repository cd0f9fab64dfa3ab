//! Calls functions of the library: adds the common arguments, and loads the library if it is missing. Independent of
//! the functions' meaning.

use redis::{Cmd, ToRedisArgs, Value};

use super::{
    address::Address,
    answers,
    errors::Trouble,
    keys::{self, Layout, Place},
    library::Library,
    link::{Link, Patience},
    mark::Mark,
};
use crate::{Error, Options, Result};
use fusebox_system::clock::Clock;

/// Makes calls, each over the link to the server of its place.
pub(super) struct Caller {
    /// A link for each server of [`Place::server`].
    links: Vec<Link>,
    shown: String,
    library: Library,
    layout: Layout,
    options: Options,
    channels: String,
    /// Source of time instead of Redis; set by tests only.
    clock: Option<Clock>,
}

/// Call to be made.
pub(super) struct Call {
    place: Place,
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
    /// Creates a caller with a link for each server.
    pub(super) fn new(
        address: &Address,
        layout: Layout,
        patience: Patience,
        options: Options,
        clock: Option<Clock>,
    ) -> Self {
        let links = address.links().into_iter().enumerate().map(|(server, address)| {
            let first = layout.all().find(|place| place.server() == server).unwrap_or_else(|| layout.shared());
            Link::new(address, first.store(), patience)
        });
        Self {
            links: links.collect(),
            shown: address.to_string(),
            library: Library::new(address.access.prefix),
            layout,
            options,
            channels: keys::channel_suffix(address.database),
            clock,
        }
    }

    /// Returns the links, in the order of the servers.
    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    fn link(&self, place: Place) -> &Link {
        &self.links[place.server()]
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
        &self.shown
    }

    /// Returns the server of a place, for display.
    pub(super) fn shown_at(&self, place: Place) -> &str {
        self.link(place).shown()
    }

    /// Returns true if the store is known to have lost its data.
    #[cfg(test)]
    pub(super) fn is_lost(&self) -> bool {
        self.links.iter().any(|link| link.mark().is_lost())
    }

    /// Returns the calls to the first server that must fail.
    #[cfg(test)]
    pub(super) fn faults(&self) -> &super::tests::calls::Faults {
        &self.links[0].faults
    }

    /// Starts a call of a function at a place.
    pub(super) fn call(&self, place: Place, function: &str) -> Call {
        let mut command = redis::cmd("FCALL");
        command.arg(self.library.function(function)).arg(1).arg(place.route());
        let now = self.clock.as_ref().map(|clock| clock.now().0.to_string()).unwrap_or_default();
        command.arg(place.tag()).arg(now).arg(&self.channels);
        Call { place, command, again: true }
    }

    /// Makes a call. Loads the library and repeats the call once if the library is missing.
    pub(super) async fn ask(&self, call: Call) -> Result<Value> {
        let link = self.link(call.place);
        match link.send(&call.command, call.again).await {
            Err((Trouble::NoLibrary, _)) => {
                self.load(link).await?;
                link.send(&call.command, call.again).await.map_err(|(_, error)| error)
            }
            answer => answer.map_err(|(_, error)| error),
        }
    }

    /// Sends a plain command about the keys of a place.
    pub(super) async fn send(&self, place: Place, command: &Cmd) -> Result<Value> {
        self.link(place).ask(command).await
    }

    /// Sends a plain command to every server, and returns the answers in the order of the servers.
    pub(super) async fn send_all(&self, command: &Cmd) -> Result<Vec<Value>> {
        futures_util::future::try_join_all(self.links.iter().map(|link| link.ask(command))).await
    }

    /// Loads the library over a link, on every master of a Cluster. An existing library of the same name has the same content.
    async fn load(&self, link: &Link) -> Result<()> {
        let mut command = redis::cmd("FUNCTION");
        command.arg("LOAD").arg(self.library.code());
        match link.ask(&command).await {
            Ok(_) => {
                tracing::info!(redis = link.shown(), library = self.library.function(""), "loaded the library");
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
        self.links.iter().zip(ids).try_for_each(|(link, ids)| link.mark().compare(&ids))
    }

    /// Writes the store's ids where there are none, and remembers the ids.
    pub(super) async fn begin(&self) -> Result<()> {
        let fresh = Mark::fresh();
        let ids = self.ask_all(|place| self.call(place, "begin").arg(&fresh)).await?;
        self.links.iter().zip(ids).for_each(|(link, ids)| link.mark().remember(ids));
        Ok(())
    }

    /// Makes a call at every place and returns the texts of each server's answers.
    async fn ask_all(&self, call: impl Fn(Place) -> Call) -> Result<Vec<Vec<String>>> {
        let asked = self.layout.all().map(|place| self.ask(call(place)));
        let mut texts = vec![Vec::new(); self.links.len()];
        for (place, answer) in self.layout.all().zip(futures_util::future::join_all(asked).await) {
            texts[place.server()].push(answers::text(answer?)?);
        }
        Ok(texts)
    }
}
