//! Claims of the servers of `redis+shard://`: each keeps its number among the servers and the id of the store, so that
//! another order, number or choice of servers is refused before anything is written.
//!
//! The first start of a store writes all claims before the first other key. So a server without a claim is a new one only
//! as long as no server has more than its claim.

use std::{fmt, str::FromStr};

use redis::{Cmd, cmd};

use super::{answers, caller::Caller, format, mark::Mark};
use crate::{Error, Result};

/// Claim of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    /// Number of the server among those of the address, from 1.
    shard: usize,
    /// Number of servers.
    of: usize,
    /// Id of the store.
    store: String,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of {} of store {}", self.shard, self.of, self.store)
    }
}

impl FromStr for Claim {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let words: Vec<_> = text.split(' ').collect();
        let ["shard", shard, "of", of, "of", "store", store] = words[..] else { return Err(()) };
        let number = |word: &str| word.parse().map_err(drop);
        Ok(Self { shard: number(shard)?, of: number(of)?, store: store.to_owned() })
    }
}

/// Refuses servers that do not belong together in this order. Writes nothing.
///
/// # Errors
/// Returns [`Error::Refused`] with what to do, and the errors of every call.
pub(super) async fn check(caller: &Caller) -> Result<()> {
    if caller.layout().is_cluster() {
        return Ok(());
    }
    let claims = read(caller).await?;
    if !caller.layout().is_partitioned() {
        return match claims.into_iter().flatten().next() {
            Some(claim) => Err(refused(caller, 0, &format!("it is {claim}: use redis+shard:// with all its servers"))),
            None => Ok(()),
        };
    }
    let shown: Vec<_> = caller.links().iter().map(|link| link.shown()).collect();
    if let Some((server, reason)) = misplaced(&shown, &claims) {
        return Err(refused(caller, server, &reason));
    }
    refuse_unclaimed(caller, &claims).await
}

/// Writes the claims of a new store.
///
/// # Errors
/// As [`check`].
pub(super) async fn begin(caller: &Caller) -> Result<()> {
    if caller.layout().servers() == 1 {
        return Ok(());
    }
    let claims = read(caller).await?;
    let of = claims.len();
    let mut store = claims.into_iter().flatten().next().map_or_else(Mark::fresh, |claim| claim.store);
    for (server, link) in caller.links().iter().enumerate() {
        let claim = Claim { shard: server + 1, of, store: store.clone() };
        let mut set = cmd("SET");
        set.arg(caller.layout().claim()).arg(claim.to_string()).arg("NX");
        link.ask(&set).await?;
        // Another process may be the first at the same time: the first server decides about the id.
        if let Some(claim) = read_one(caller, server).await? {
            store = claim.store;
        }
    }
    check(caller).await
}

/// Returns the claim of each server.
async fn read(caller: &Caller) -> Result<Vec<Option<Claim>>> {
    futures_util::future::try_join_all((0..caller.links().len()).map(|server| read_one(caller, server))).await
}

async fn read_one(caller: &Caller, server: usize) -> Result<Option<Claim>> {
    let text = answers::optional_text(caller.links()[server].ask(&get(&caller.layout().claim())).await?)?;
    let read = text.map(|text| text.parse().map_err(|()| text)).transpose();
    read.map_err(|text| {
        let key = caller.layout().claim();
        refused(caller, server, &format!("its {key} is {text:?}, which this version of Fusebox does not know"))
    })
}

fn get(key: &str) -> Cmd {
    let mut command = cmd("GET");
    command.arg(key);
    command
}

/// Returns the first server that has another claim than its place in the address, and the reason.
fn misplaced(shown: &[&str], claims: &[Option<Claim>]) -> Option<(usize, String)> {
    let known: Vec<_> =
        claims.iter().enumerate().filter_map(|(server, claim)| Some((server, claim.as_ref()?))).collect();
    let (reference, first) = known.first()?;
    let of = claims.len();
    for (server, claim) in &known {
        let reason = if claim.store != first.store {
            format!("it is {claim}, and {} is {first}: name the servers of one store", shown[*reference])
        } else if claim.of != of {
            format!("it is {claim}, and the address names {of} servers: name all {} in their order", claim.of)
        } else if claim.shard != server + 1 {
            let mut order = known.clone();
            order.sort_by_key(|(_, claim)| claim.shard);
            let order: Vec<_> = order.into_iter().map(|(server, _)| shown[server]).collect();
            let order = order.join(",");
            format!("it is {claim}, and the address names it as number {}: their order is {order}", server + 1)
        } else {
            continue;
        };
        return Some((*server, reason));
    }
    None
}

/// Refuses a server without a claim that has a store of its own, or stands in for one that had a claim.
async fn refuse_unclaimed(caller: &Caller, claims: &[Option<Claim>]) -> Result<()> {
    let Some(server) = claims.iter().position(Option::is_none) else { return Ok(()) };
    let whole = caller.layout().whole_marker();
    for (server, link) in caller.links().iter().enumerate().filter(|(server, _)| claims[*server].is_none()) {
        if answers::optional_text(link.ask(&get(&whole)).await?)?.is_some() {
            let reason = "it has a store of its own: use redis:// for it, and an empty server here, another database \
                          or --store-prefix";
            return Err(refused(caller, server, reason));
        }
    }
    let Some(claim) = claims.iter().flatten().next() else { return Ok(()) };
    let markers = caller.layout().all().map(|place| format::marker(caller, place));
    if futures_util::future::try_join_all(markers).await?.iter().all(Option::is_none) {
        // The first start of the store did not end.
        return Ok(());
    }
    let missing = Claim { shard: server + 1, ..claim.clone() };
    let key = caller.layout().claim();
    Err(refused(
        caller,
        server,
        &format!(
            "the other servers are shards of store {}, and this one is not, or has lost its data: name the right server, \
             or go on without the data by SET {key} \"{missing}\" there",
            claim.store
        ),
    ))
}

fn refused(caller: &Caller, server: usize, reason: &str) -> Error {
    format::refused(caller.links()[server].shown(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_as_it_is_written() {
        let claim = Claim { shard: 2, of: 3, store: "abc".to_owned() };
        assert_eq!(claim.to_string(), "shard 2 of 3 of store abc");
        assert_eq!(claim.to_string().parse(), Ok(claim));
        for other in ["", "shard 2 of 3", "shard x of 3 of store abc", "shard 1 of 3 of store a b", "their own"] {
            assert_eq!(other.parse::<Claim>(), Err(()));
        }
    }

    #[test]
    fn servers_in_another_place_are_told_their_own() {
        let told = |claims: &[&str]| {
            let claims: Vec<_> = claims.iter().map(|claim| claim.parse().ok()).collect();
            misplaced(&["a:1", "b:1", "c:1"], &claims)
        };
        let [one, two, three] = [1, 2, 3].map(|shard| format!("shard {shard} of 3 of store x"));
        let none = "";
        assert_eq!(told(&[&one, &two, &three]), None);
        assert_eq!(told(&[none, none, none]), None);
        assert_eq!(told(&[none, &two, none]), None);
        let (server, reason) = told(&[&three, &one, &two]).unwrap();
        assert!(server == 0 && reason.ends_with("as number 1: their order is b:1,c:1,a:1"), "{reason}");
        let (server, reason) = told(&[&one, "shard 2 of 4 of store x", &three]).unwrap();
        assert!(server == 1 && reason.ends_with("names 3 servers: name all 4 in their order"), "{reason}");
        let (server, reason) = told(&[&one, &two, "shard 3 of 3 of store y"]).unwrap();
        assert!(server == 2 && reason.contains("and a:1 is shard 1 of 3 of store x: name"), "{reason}");
    }
}
