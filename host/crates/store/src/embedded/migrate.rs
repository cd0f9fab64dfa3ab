//! Migration of a directory's store. Only one process has a directory open, so no other one uses it meanwhile.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{engine::Engine, open};
use crate::{
    Error, Result,
    layout::{
        DIRECTORY, LAYOUT, Layouts, Marker,
        migrate::{Migrated, Part, migrate},
    },
};

/// Store in a directory, whatever its layout.
pub(super) struct Directory {
    dir: PathBuf,
    /// For the steps of a migration.
    pub(super) engine: Engine,
}

impl Directory {
    /// Opens a directory that has a store.
    ///
    /// # Errors
    /// As [`super::EmbeddedStore::open`].
    pub(super) fn open(dir: &Path, own: u32) -> Result<Self> {
        Ok(Self { dir: dir.to_owned(), engine: open::existing(dir, own)? })
    }
}

/// Migrates the store in a directory.
pub(super) async fn run(dir: &Path) -> Result<Migrated> {
    let directory = Directory::open(dir, LAYOUT)?;
    // Files that cannot be read are reported before the marker changes.
    directory.engine.snapshot()?;
    // There are no migrations yet: this layout is the first that can be migrated.
    migrate(&directory, LAYOUT, &[]).await
}

#[async_trait]
impl Part for Directory {
    fn shown(&self) -> String {
        self.dir.display().to_string()
    }

    fn layouts(&self) -> Layouts {
        DIRECTORY
    }

    async fn marker(&self) -> Result<Option<String>> {
        open::marker(&self.dir).map_err(|reason| self.failed(reason))
    }

    async fn mark(&self, _from: &Marker, to: &Marker) -> Result<()> {
        open::write_marker(&self.dir, to).map_err(|reason| self.failed(reason))
    }

    async fn has_older(&self, _own: u32) -> Result<bool> {
        Ok(false)
    }
}

impl Directory {
    fn failed(&self, reason: String) -> Error {
        Error::Open { path: self.dir.display().to_string(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Identity as _, Options,
        conformance::migrate::{ADDED, AT_A_TIME, NEW, add_tenants, is_killed_at, with_field},
        embedded::{EmbeddedStore, engine::Space, keys},
        layout::migrate::Step,
    };
    use fusebox_system::clock::Clock;

    /// Adds a field to every tenant.
    struct Grow(&'static str);

    #[async_trait]
    impl Step<Directory> for Grow {
        async fn rewrite(&self, part: &Directory, position: &str) -> Result<Option<String>> {
            let from = if position.is_empty() { keys::tenants() } else { keys::next(&hex::decode(position).unwrap()) };
            let mut last = None;
            let environment = part.engine.writable()?;
            let mut batch = environment.batch()?;
            let snapshot = part.engine.snapshot()?;
            let entries = snapshot.entries(Space::Records, &from, &keys::past(&keys::tenants()))?;
            for entry in entries.take(AT_A_TIME) {
                let (key, record) = entry?;
                last = Some(hex::encode(&key));
                if let Some(grown) = with_field(&record, self.0) {
                    batch.put(Space::Records, &key, grown.as_ref())?;
                }
            }
            part.engine.commit(batch)?;
            Ok(last)
        }
    }

    fn open(dir: &Path, layout: u32) -> Result<EmbeddedStore> {
        EmbeddedStore::open_as(dir, Clock::System, Options::default(), layout)
    }

    #[tokio::test]
    async fn a_migration_that_is_killed_anywhere_goes_on() {
        for kill_at in 0.. {
            let home = tempfile::tempdir().unwrap();
            let store = open(home.path(), LAYOUT).unwrap();
            add_tenants(&store).await;
            let before = store.tenants().await.unwrap();
            drop(store);
            drop(open(home.path(), NEW).unwrap());
            let part = Directory::open(home.path(), NEW).unwrap();
            let [first, second] = ADDED.map(Grow);
            let was_killed = is_killed_at(&part, [&first, &second], kill_at).await;
            let tenants = keys::tenants();
            let snapshot = part.engine.snapshot().unwrap();
            for record in snapshot.entries(Space::Records, &tenants, &keys::past(&tenants)).unwrap() {
                let (_, record) = record.unwrap();
                assert!(ADDED.iter().all(|field| with_field(&record, field).is_none()));
            }
            drop(snapshot);
            drop(part);
            let told = open(home.path(), LAYOUT).err().unwrap().to_string();
            assert!(told.contains(&format!("its layout is {NEW}")), "{told}");
            assert_eq!(open(home.path(), NEW).unwrap().tenants().await.unwrap(), before, "unknown fields are ignored");
            if !was_killed {
                assert!(kill_at > 20, "there are points in every step");
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_directory_is_migrated_by_the_version_that_knows_how() {
        let home = tempfile::tempdir().unwrap();
        let told = async || EmbeddedStore::migrate(home.path()).await.map_err(|error| error.to_string());
        assert!(told().await.unwrap_err().contains("there is no store"));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is made");
        drop(open(home.path(), LAYOUT).unwrap());
        assert_eq!(told().await.unwrap().to_string(), format!("nothing to do: every record has layout {LAYOUT}"));
        drop(open(home.path(), NEW).unwrap());
        drop(open(home.path(), LAYOUT).unwrap());
        assert!(told().await.unwrap_err().contains("use the newer one"));
    }
}
