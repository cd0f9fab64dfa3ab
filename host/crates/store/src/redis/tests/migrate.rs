//! Migration between two layouts on a server: kills at every point, and processes of the layout before.

use async_trait::async_trait;

use super::{Access, OPTIONS, On, RedisStore, node};
use crate::{
    Error, Identity as _, Result, Store,
    conformance::{
        Subject,
        migrate::{ADDED, AT_A_TIME, add_tenants, is_killed_at, with_field},
    },
    layout::{
        REDIS,
        migrate::{Step, migrate},
    },
    redis::{answers, link::Patience, migrate::Partition},
};

/// Layout of this version, and of one that adds two fields to each tenant.
const OLD: u32 = REDIS.own;
const NEW: u32 = OLD + 1;

/// Adds a field to every tenant.
struct Grow(&'static str);

#[async_trait]
impl<'a> Step<Partition<'a>> for Grow {
    async fn rewrite(&self, part: &Partition<'a>, position: &str) -> Result<Option<String>> {
        let accounts = part.place.accounts();
        let mut records = Vec::new();
        for record in answers::list(part.caller.send(part.place, redis::cmd("HVALS").arg(&accounts)).await?)? {
            let record = answers::text(record)?;
            let json: serde_json::Value = serde_json::from_str(&record).unwrap();
            records.push((json["id"].as_str().unwrap().to_owned(), record));
        }
        records.sort();
        let rest = records.into_iter().filter(|(tenant, _)| tenant.as_str() > position);
        let mut last = None;
        for (tenant, record) in rest.take(AT_A_TIME) {
            if let Some(grown) = with_field(record.as_bytes(), self.0) {
                part.caller.send(part.place, redis::cmd("HSET").arg(&accounts).arg(&tenant).arg(grown)).await?;
            }
            last = Some(tenant);
        }
        Ok(last)
    }
}

/// Returns the marker of a store that both layouts share.
fn shared() -> String {
    format!("fusebox layout {NEW} and {OLD}")
}

fn part<S>(subject: &On<S>) -> Partition<'_> {
    let caller = &subject.store.caller;
    Partition { caller, place: caller.layout().shared() }
}

async fn connect_new<S: Send + Sync>(subject: &On<S>, url: &str) -> Result<RedisStore> {
    let clock = Some(subject.clock.clone());
    RedisStore::connect_as(url, Access::default(), OPTIONS, Patience::default(), clock, NEW).await
}

#[tokio::test]
async fn a_migration_that_is_killed_anywhere_goes_on() {
    let subject = node().await;
    add_tenants(&subject.store).await;
    let server = &subject.server;
    let records = server.command(&["HGETALL", "fusebox:accounts"]).unwrap();
    let records: Vec<_> = records.lines().collect();
    let before = subject.store.tenants().await.unwrap();
    subject.pass(30_000).await;
    for kill_at in 0.. {
        server.command(&["SET", "fusebox:layout", &shared()]).unwrap();
        records.chunks(2).for_each(|record| drop(server.command(&["HSET", "fusebox:accounts", record[0], record[1]])));
        let [first, second] = ADDED.map(Grow);
        let was_killed = is_killed_at(&part(&subject), [&first, &second], kill_at).await;
        let grown = server.command(&["HVALS", "fusebox:accounts"]).unwrap();
        assert!(grown.lines().all(|record| ADDED.iter().all(|field| record.contains(field))), "{grown}");
        assert_eq!(subject.store.tenants().await.unwrap(), before, "unknown fields are ignored");
        if !was_killed {
            assert!(kill_at > 20, "there are points in every step");
            return;
        }
    }
}

#[tokio::test]
async fn a_layout_and_the_next_share_a_store_until_it_is_migrated() {
    let subject = node().await;
    let (url, server) = (subject.server.url(), &subject.server);
    add_tenants(&subject.store).await;
    let marker = || server.command(&["GET", "fusebox:layout"]).unwrap();
    let newer = connect_new(&subject, &url).await.unwrap();
    assert_eq!(marker(), shared());
    let clock = || Some(subject.clock.clone());
    let older = || RedisStore::connect_with(&url, Access::default(), OPTIONS, Patience::default(), clock());
    older().await.unwrap();
    assert_eq!(marker(), shared());
    assert!(RedisStore::migrate(&url, Access::default()).await.unwrap_err().to_string().contains("use the newer one"));

    let migrated = async || migrate(&part(&subject), NEW, &[]).await;
    subject.store.check().await.unwrap();
    let told = migrated().await.unwrap_err();
    assert!(matches!(&told, Error::Refused(told) if told.contains("replace them first")), "{told}");
    assert_eq!(marker(), shared(), "nothing has changed");
    subject.pass(30_000).await;
    newer.check().await.unwrap();
    assert_eq!(migrated().await.unwrap().to_string(), format!("migrated from layout {OLD} to {NEW}"));
    assert_eq!(migrated().await.unwrap().to_string(), format!("nothing to do: every record has layout {NEW}"));
    assert_eq!(marker(), format!("fusebox layout {NEW}"));
    assert!(older().await.err().unwrap().to_string().contains(&format!("its layout is {NEW}")));
    connect_new(&subject, &url).await.unwrap();
}

#[tokio::test]
async fn where_there_is_no_store_nothing_is_migrated() {
    let server = fusebox_harness::redis::RedisServer::start(&[]).unwrap();
    let told = RedisStore::migrate(&server.url(), Access::default()).await.unwrap_err().to_string();
    assert!(told.contains("there is no store"), "{told}");
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
}
