//! Tests with a user who has exactly the needed permissions: the conformance suite passes, and with any permission less
//! the start fails with an error that names all of them.

use fusebox_harness::redis::RedisServer;

use super::{Access, Borrowed, OPTIONS, On, RedisStore, reached};
use crate::{
    Error, Store,
    conformance::conformance,
    redis::permissions::{COMMANDS, rules},
};

/// A server whose default user may do nothing, with one user that has these rules.
fn server(rules: &str, args: &[&str]) -> RedisServer {
    let server = RedisServer::start(args).unwrap();
    permit(&server, rules);
    server
}

fn permit(server: &RedisServer, rules: &str) {
    let words: Vec<_> =
        ["ACL", "SETUSER", "fusebox", "reset", "on", ">secret"].into_iter().chain(rules.split(' ')).collect();
    server.command(&words).unwrap();
}

fn url(server: &RedisServer, database: &str) -> String {
    format!("redis://fusebox:secret@127.0.0.1:{}{database}", server.port())
}

/// A store of such a user, with a prefix.
async fn guarded() -> On<RedisServer> {
    let server = server(&rules("acme:", COMMANDS.into_iter()), &[]);
    let url = url(&server, "");
    let access = Access { prefix: "acme".parse().unwrap(), ..Access::default() };
    reached(server, &url, access).await
}

conformance!(guarded);

async fn refusal(url: &str) -> String {
    match RedisStore::connect(url, Access::default(), OPTIONS).await {
        Err(Error::Refused(told)) => told,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is not permitted"),
    }
}

#[tokio::test]
async fn each_permission_that_is_missing_is_told_at_the_start_with_all_that_are_needed() {
    let all = rules("", COMMANDS.into_iter());
    let server = server(&all, &[]);
    let url = url(&server, "");
    RedisStore::connect(&url, Access::default(), OPTIONS).await.unwrap();
    for command in COMMANDS {
        let fewer = rules("", COMMANDS.into_iter().filter(|other| *other != command));
        permit(&server, &fewer);
        // Removes the library, so that each start must load it.
        server.command(&["FUNCTION", "FLUSH"]).unwrap();
        let told = refusal(&url).await;
        assert!(told.contains(&format!("+{command}")) && told.contains(&all), "{command}: {told}");
    }
    for narrow in [all.replace("~*", "~other:*"), all.replace("&*", "&other:*")] {
        permit(&server, &narrow);
        let told = refusal(&url).await;
        assert!(told.contains(&all), "{told}");
    }
    // Several missing permissions are reported together.
    permit(&server, &rules("", COMMANDS.into_iter().filter(|other| !["hset", "zadd", "publish"].contains(other))));
    let told = refusal(&url).await;
    assert!(told.contains("its user +publish +hset +zadd on"), "{told}");
}

#[tokio::test]
async fn another_database_takes_one_permission_more() {
    let server = server(&rules("", COMMANDS.into_iter()), &[]);
    let told = refusal(&url(&server, "/3")).await;
    assert!(told.contains("+select"), "{told}");
    permit(&server, &rules("", COMMANDS.into_iter().chain(["select"])));
    RedisStore::connect(&url(&server, "/3"), Access::default(), OPTIONS).await.unwrap();
}

#[tokio::test]
async fn a_cluster_takes_one_permission_more() {
    let mut servers = Borrowed::take();
    let url = servers.cluster().url().replace("://", "://fusebox:secret@");
    let permit_all = |servers: &mut Borrowed, rules: &str| {
        servers.cluster().nodes().iter().for_each(|node| permit(node, rules));
    };
    permit_all(&mut servers, &rules("", COMMANDS.into_iter()));
    let told = RedisStore::connect(&url, Access::default(), OPTIONS).await.err().unwrap().to_string();
    assert!(told.contains("+cluster|slots"), "{told}");
    permit_all(&mut servers, &rules("", COMMANDS.into_iter().chain(["cluster|slots"])));
    let store = RedisStore::connect(&url, Access::default(), OPTIONS).await.unwrap();
    store.check().await.unwrap();
    permit_all(&mut servers, "-@all");
}
