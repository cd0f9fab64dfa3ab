//! Tests of a migration between two layouts that differ in an added field of each tenant, with a kill at every point.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use crate::{
    Acting, Error, Identity, Result,
    layout::{
        LAYOUT, Layouts, Marker,
        migrate::{Migrated, Part, Step, migrate},
    },
};

/// Layout of a directory of this version.
pub(crate) const OLD: u32 = LAYOUT;
/// Layout of a version that adds two fields to each tenant.
pub(crate) const NEW: u32 = OLD + 1;
/// Fields that the new layout adds.
pub(crate) const ADDED: [&str; 2] = ["named_at", "form"];
/// Number of records that a step rewrites at a time.
pub(crate) const AT_A_TIME: usize = 2;

/// Adds the tenants whose records are migrated.
pub(crate) async fn add_tenants(store: &dyn Identity) {
    for number in 0..5 {
        let tenant: TenantId = format!("tenant-{number}").parse().unwrap();
        store.add_tenant(Acting::Store, tenant).await.unwrap().unwrap();
    }
}

/// Returns a tenant's record with a field that it lacks; `None` if it has the field.
pub(crate) fn with_field(record: &[u8], field: &str) -> Option<Vec<u8>> {
    let mut record: serde_json::Value = serde_json::from_slice(record).unwrap();
    let fields = record.as_object_mut().unwrap();
    match fields.contains_key(field) {
        true => None,
        false => {
            fields.insert(field.to_owned(), NEW.into());
            Some(serde_json::to_vec(&record).unwrap())
        }
    }
}

/// Part whose process is killed before or after one of its operations.
struct Killed<'a, P> {
    part: &'a P,
    left: AtomicUsize,
}

impl<P> Killed<'_, P> {
    fn point(&self) -> Result<()> {
        match self.left.load(Ordering::Relaxed) {
            0 => Err(Error::Unavailable("killed".to_owned())),
            left => {
                self.left.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl<P: Part> Part for Killed<'_, P> {
    fn shown(&self) -> String {
        self.part.shown()
    }

    fn layouts(&self) -> Layouts {
        self.part.layouts()
    }

    async fn marker(&self) -> Result<Option<String>> {
        self.point()?;
        self.part.marker().await
    }

    async fn mark(&self, from: &Marker, to: &Marker) -> Result<()> {
        self.point()?;
        self.part.mark(from, to).await?;
        self.point()
    }

    async fn has_older(&self, own: u32) -> Result<bool> {
        self.point()?;
        self.part.has_older(own).await
    }
}

struct KilledStep<'a, P>(&'a dyn Step<P>);

#[async_trait]
impl<'a, P: Part> Step<Killed<'a, P>> for KilledStep<'_, P> {
    async fn rewrite(&self, part: &Killed<'a, P>, position: &str) -> Result<Option<String>> {
        part.point()?;
        let next = self.0.rewrite(part.part, position).await?;
        part.point()?;
        Ok(next)
    }
}

/// Migrates a part with these steps and a kill after `kill_at` operations, and then without one. Returns false if the
/// first migration ended before the kill.
pub(crate) async fn is_killed_at<P: Part>(part: &P, steps: [&dyn Step<P>; 2], kill_at: usize) -> bool {
    let killed = Killed { part, left: AtomicUsize::new(kill_at) };
    let [first, second] = steps.map(KilledStep);
    let killed_steps: [&dyn Step<Killed<'_, P>>; 2] = [&first, &second];
    let Layouts { own: old, first } = part.layouts();
    let new = old + 1;
    let was_killed = migrate(&killed, new, &[(new, &killed_steps[..])]).await.is_err();
    let marker = Marker::read(&part.marker().await.unwrap().unwrap()).unwrap();
    assert!(marker.oldest == old || marker == Marker::of(new), "{marker}");
    assert!(marker.join(first, old).is_ok() == (marker.migrating.is_none() && marker.oldest == old), "{marker}");
    let ended = migrate(part, new, &[(new, &steps[..])]).await.unwrap();
    assert!(was_killed || ended == Migrated { from: new, to: new }, "{ended:?}");
    assert_eq!(part.marker().await.unwrap().unwrap().trim_end(), Marker::of(new).to_string());
    was_killed
}
