//! Migration of a store to the layout of this version: rewrites the records that have only the form of the layout before.
//! Independent of any store.
//!
//! The marker changes before and after each step, and each step may be performed again: a migration that is killed
//! anywhere continues when it is run again, at the first step that is not finished.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use super::{Layouts, Marker};
use crate::{Error, Result};

/// Part of a store that has a marker of its own.
#[async_trait]
pub(crate) trait Part: Send + Sync {
    /// Returns the part's address, for errors.
    fn shown(&self) -> String;
    /// Returns the layouts of this kind of store.
    fn layouts(&self) -> Layouts;
    /// Returns the marker's text; `None` if the part has none.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or read.
    async fn marker(&self) -> Result<Option<String>>;
    /// Replaces the marker; durable when this returns.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or written.
    async fn mark(&self, from: &Marker, to: &Marker) -> Result<()>;
    /// Returns true if a process of a layout before `own` has used the store in the last seconds.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or read.
    async fn has_older(&self, own: u32) -> Result<bool>;
}

/// Step of a migration.
#[async_trait]
pub(crate) trait Step<P>: Sync {
    /// Rewrites a bounded number of records from a position on, which is empty at first. Returns the position for the
    /// next call, or `None` after the last record. Performing it again changes nothing.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read. Some records may have been rewritten.
    async fn rewrite(&self, part: &P, position: &str) -> Result<Option<String>>;
}

/// Migration from the layout before to the given one: its steps, in their order.
pub(crate) type Migration<'a, P> = (u32, &'a [&'a dyn Step<P>]);

/// Outcome of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// Oldest layout of the records before.
    pub from: u32,
    /// Layout of all records now.
    pub to: u32,
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { from, to } if from == to => write!(f, "nothing to do: every record has layout {to}"),
            Self { from, to } => write!(f, "migrated from layout {from} to {to}"),
        }
    }
}

/// Migrates a part to layout `own`. A layout without a migration in the list differs by fields that need no rewriting.
///
/// # Errors
/// [`Error::Refused`] with what to do if the part has no marker or an unknown one, or a process of an older layout uses
/// the store; nothing has changed then. Also the errors of every step; the next call continues.
pub(crate) async fn migrate<P: Part>(part: &P, own: u32, migrations: &[Migration<'_, P>]) -> Result<Migrated> {
    let refused = |reason: &str| Error::Refused(format!("cannot migrate the store in {}: {reason}", part.shown()));
    let Some(text) = part.marker().await? else {
        return Err(refused("there is no store: check the address, and --store-prefix"));
    };
    let known = Marker::read(&text).map_err(|reason| refused(&reason))?;
    let mut marker = match known {
        // Only the version that began a migration knows its steps.
        Marker { newest, migrating: Some(_), .. } if newest == own => known.clone(),
        _ => known.join(part.layouts().first, own).map_err(|reason| refused(&reason))?.unwrap_or_else(|| known.clone()),
    };
    let Marker { newest, oldest: from, .. } = marker;
    if newest > own {
        return Err(refused(&format!(
            "it is used by layout {newest}, and this version of Fusebox has {own}: use the newer one"
        )));
    }
    if from == own {
        return Ok(Migrated { from, to: own });
    }
    let mut done = marker.migrating.unwrap_or(0);
    let mut to = Marker { migrating: Some(done), ..marker.clone() };
    // From here on no process of the layout before can connect; those that are connected have announced themselves.
    part.mark(&known, &to).await?;
    if part.has_older(own).await? {
        if known.migrating.is_none() {
            part.mark(&to, &known).await?;
        }
        return Err(refused(&format!(
            "processes of a version of Fusebox with layout {from} use it: replace them first, and try again after 30 s"
        )));
    }
    marker = to;
    let steps = migrations.iter().find(|(to, _)| *to == own).map_or(&[][..], |(_, steps)| steps);
    for step in steps.iter().skip(done) {
        let mut position = String::new();
        while let Some(next) = step.rewrite(part, &position).await? {
            position = next;
        }
        done += 1;
        to = Marker { migrating: Some(done), ..marker.clone() };
        part.mark(&marker, &to).await?;
        marker = to;
    }
    part.mark(&marker, &Marker::of(own)).await?;
    Ok(Migrated { from, to: own })
}
