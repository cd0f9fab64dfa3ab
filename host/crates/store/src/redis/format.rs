//! Check of the store's layout at each connection: every place has a marker, written when the place is first used.
//! Nothing is written before every place was found to be of a known layout, or empty.

use super::{answers, caller::Caller, keys::Place};
use crate::{
    Error, Result,
    layout::{Marker, REDIS},
};

/// Time for which a process counts as using the store after it was last seen, in milliseconds; every server checks the
/// store each 5 s.
const SEEN_MS: u64 = 20_000;
/// Number of keys per call of the search for keys of another program.
const KEYS: u64 = 1_000;

/// Refuses a store of an unknown layout, and one that has no marker but keys.
///
/// # Errors
/// Returns [`Error::Refused`] with what to do, and the errors of every call.
pub(super) async fn check(caller: &Caller, own: u32) -> Result<()> {
    futures_util::future::try_join_all(caller.layout().all().map(|place| check_one(caller, place, own))).await?;
    Ok(())
}

async fn check_one(caller: &Caller, place: Place, own: u32) -> Result<()> {
    if has_marker(caller, place).await? {
        return joined(caller, place, own).await.map(drop);
    }
    match foreign_key(caller, place).await? {
        None => Ok(()),
        // Another process has just used the store for the first time, and the key is of its making.
        Some(_) if has_marker(caller, place).await? => joined(caller, place, own).await.map(drop),
        Some(key) => Err(refused(
            caller.shown_at(place),
            &format!(
                "it has no layout, but keys of an older version of Fusebox or of another program, such as {key:?}: use an \
                 empty Redis, another database, or --store-prefix"
            ),
        )),
    }
}

async fn has_marker(caller: &Caller, place: Place) -> Result<bool> {
    Ok(marker(caller, place).await?.is_some_and(|text| !text.is_empty()))
}

/// Announces a process of layout `own`, which a migration that would exclude it then sees.
pub(super) async fn announce(caller: &Caller, own: u32) -> Result<()> {
    caller.ask(caller.call(caller.layout().shared(), "use").arg(own)).await.map(drop)
}

/// Returns true if a process of an older layout than `own` was announced in the last [`SEEN_MS`].
pub(super) async fn has_older(caller: &Caller, own: u32) -> Result<bool> {
    let call = caller.call(caller.layout().shared(), "older").arg(own).arg(SEEN_MS);
    Ok(answers::number(caller.ask(call).await?)? > 0)
}

/// Writes the marker of each place that has none, and raises those of the layout before.
///
/// # Errors
/// As [`check`].
pub(super) async fn begin(caller: &Caller, own: u32) -> Result<()> {
    for place in caller.layout().all() {
        write(caller, place, "", &Marker::of(own)).await?;
        if let Some((found, raised)) = joined(caller, place, own).await? {
            write(caller, place, &found, &raised).await?;
        }
    }
    announce(caller, own).await?;
    // A migration that has begun before the announcement excludes this process now; a later one sees it.
    for place in caller.layout().all() {
        joined(caller, place, own).await?;
    }
    Ok(())
}

/// Returns the layout for display, after a comma; nothing for a Redis without a store.
///
/// # Errors
/// As [`check`].
pub(super) async fn shown(caller: &Caller, own: u32) -> Result<String> {
    let shared = caller.layout().shared();
    match marker(caller, shared).await? {
        None => Ok(String::new()),
        Some(text) => {
            joined(caller, shared, own).await?;
            Ok(format!(", {text}"))
        }
    }
}

/// Returns the text of a place's marker, and the marker that must replace it, if any.
async fn joined(caller: &Caller, place: Place, own: u32) -> Result<Option<(String, Marker)>> {
    let text = marker(caller, place).await?.unwrap_or_default();
    let joined = Marker::read(&text).and_then(|marker| marker.join(REDIS.first, own));
    let joined = joined.map_err(|reason| refused(caller.shown_at(place), &reason))?;
    Ok(joined.map(|raised| (text, raised)))
}

/// Returns the text of a place's marker; `None` if it has none.
pub(super) async fn marker(caller: &Caller, place: Place) -> Result<Option<String>> {
    let mut command = redis::cmd("GET");
    command.arg(place.marker());
    answers::optional_text(caller.send(place, &command).await?)
}

/// Replaces the marker of a place; has no effect if it is not `from`, which is empty for none.
pub(super) async fn write(caller: &Caller, place: Place, from: &str, to: &Marker) -> Result<()> {
    caller.ask(caller.call(place, "mark").arg(from).arg(to.to_string())).await.map(drop)
}

/// Returns a key with a name of this store's.
async fn foreign_key(caller: &Caller, place: Place) -> Result<Option<String>> {
    let mut cursor = "0".to_owned();
    loop {
        let [next, key] = answers::tuple(caller.ask(caller.call(place, "search").arg(&cursor).arg(KEYS)).await?)?;
        let key = answers::bytes(key)?.filter(|key| !key.is_empty());
        if let Some(key) = key {
            return Ok(Some(String::from_utf8_lossy(&key).into_owned()));
        }
        cursor = answers::text(next)?;
        if cursor == "0" {
            return Ok(None);
        }
    }
}

/// Returns the error of a store that cannot be used, with what to do.
pub(super) fn refused(shown: &str, reason: &str) -> Error {
    Error::Refused(format!("cannot use the store in Redis at {shown}: {reason}"))
}
