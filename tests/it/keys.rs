//! API keys and tenants on real hosts: the first key closes a running host, every node refuses a revoked key, no secret
//! appears in a log, an error or the store, and administrative actions are logged.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use fusebox_harness::{Answer, Client, Program, eventually, guests};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{stderr, stdout};

mod nodes;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `fusebox` with a key; each argument is a word of `line`.
fn fusebox(key: &str, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_clear().args(line.split(' ')).stdin(Stdio::null());
    if !key.is_empty() {
        command.env("FUSEBOX_API_KEY", key);
    }
    command.output().unwrap()
}

/// Returns the key printed by a command.
fn printed(output: &Output) -> String {
    let key = stdout(output).trim().to_owned();
    assert!(key.starts_with("fb_") && key.len() == 84, "a key, and nothing else");
    key
}

/// Creates the first key in a store.
fn first_key(store: &str) -> String {
    printed(&fusebox("", &format!("keys create --store {store} --scope admin --name operator")))
}

/// Starts a server whose log is written to a file.
fn logged(args: &[&str], log: &Path) -> (Program, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_clear().args(args).args(["--log-format", "json"]).stderr(File::create(log).unwrap());
    let program = Program::start(command, "http://").unwrap();
    let url = program.word("http://").unwrap();
    (program, url)
}

fn up(home: &TempDir, level: &str) -> (Program, String) {
    let store = home.path().join("store").display().to_string();
    logged(&["up", "--listen", "127.0.0.1:0", "--store", &store, "--log", level], &home.path().join("log"))
}

async fn with_key(client: &Client, method: Method, path: &str, key: &str, body: impl Into<Vec<u8>>) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    client.send(method, path, &headers, body).await.unwrap()
}

async fn status(client: &Client, key: &str) -> StatusCode {
    with_key(client, Method::GET, "/v1/functions", key, []).await.status
}

fn secret(key: &str) -> &str {
    key.rsplit('_').next().unwrap()
}

/// Returns the events of the audit log for administrative actions: action, tenant, actor, outcome.
fn audited(log: &str) -> Vec<(String, String, String, String)> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["target"] == "audit")
        .map(|event| (text(&event, "act"), text(&event, "tenant"), text(&event, "by_key"), text(&event, "outcome")))
        .collect()
}

/// A host with the operator's key, and a tenant with an admin and a deploy key.
struct House {
    home: TempDir,
    host: Program,
    url: String,
    operator: String,
    admin: String,
    deploy: String,
}

impl House {
    fn new(level: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let operator = first_key(&home.path().join("store").display().to_string());
        let (host, url) = up(&home, level);
        let mut house = Self { home, host, url, operator, admin: String::new(), deploy: String::new() };
        assert!(house.says(&house.operator, "tenants create acme").contains("acme is created"));
        house.admin = printed(&house.run(&house.operator, "keys create --tenant acme --scope admin --name owner"));
        house.deploy = printed(&house.run(&house.admin, "keys create --scope deploy --life 90d"));
        house
    }

    fn run(&self, key: &str, line: &str) -> Output {
        fusebox(key, &format!("{line} --url {}", self.url))
    }

    /// Returns the output of a command that succeeds.
    fn says(&self, key: &str, line: &str) -> String {
        stdout(&self.run(key, line))
    }

    /// Checks that a command fails with this error code.
    #[track_caller]
    fn refuses(&self, key: &str, line: &str, code: &str) {
        let said = stderr(&self.run(key, line));
        assert!(said.contains(&format!("{code}: ")), "{line}: {said}");
    }

    fn deploy_echo(&self) {
        let module = self.home.path().join("echo.wasm");
        fs::write(&module, guests::echo()).unwrap();
        self.says(&self.deploy, &format!("deploy {} --name echo", module.display()));
    }

    /// Uses every kind of key for every kind of administrative action; returns the key that replaced the deploy key.
    fn is_administered(&self) -> String {
        self.deploy_echo();
        self.says(&self.deploy, "config set echo MODE=canary-of-config");
        self.says(&self.deploy, "config unset echo MODE");
        self.says(&self.deploy, "secrets set echo TOKEN");
        self.refuses(&self.deploy, "secrets unset echo OTHER", "setting-not-found");
        self.refuses(&self.deploy, "keys list", "forbidden");
        let id = id_of(&self.deploy);
        let rotated = printed(&self.run(&self.admin, &format!("keys rotate {id} --grace 1h")));
        self.says(&self.admin, &format!("keys revoke {id}"));
        self.refuses(&self.admin, &format!("keys rotate {id}"), "key-ended");
        self.says(&self.operator, "tenants delete acme --yes");
        self.refuses(&self.operator, "tenants create acme", "tenant-exists");
        rotated
    }

    /// Ends the host and returns its log.
    fn log(self) -> (String, TempDir) {
        drop(self.host);
        (fs::read_to_string(self.home.path().join("log")).unwrap(), self.home)
    }
}

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

#[test]
fn a_host_for_everyone_needs_a_key_first() {
    let home = tempfile::tempdir().unwrap();
    let refused = fusebox("", &format!("up --listen 0.0.0.0:0 --store {}", home.path().join("store").display()));
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("fusebox keys create --store"), "{}", stderr(&refused));
}

#[test]
fn keys_of_a_running_host_are_not_read_from_its_store() {
    let house = House::new("warn");
    let store = house.home.path().join("store").display().to_string();
    let locked = fusebox(&house.operator, &format!("keys list --store {store}"));
    assert!(stderr(&locked).contains("leave --store out"), "{}", stderr(&locked));
}

#[test]
fn without_a_key_every_command_is_refused_and_says_how_to_create_one() {
    let house = House::new("warn");
    for line in ["functions", "tasks", "workers", "keys list", "tenants list", "invoke echo --data x"] {
        let output = house.run("", line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let said = stderr(&output);
        assert!(said.contains("unauthorized: ") && said.contains("fusebox keys create"), "{line}: {said}");
    }
}

#[test]
fn a_deploy_key_deploys_and_invokes() {
    let house = House::new("warn");
    house.deploy_echo();
    assert_eq!(house.says(&house.deploy, "invoke echo --data mine"), "mine");
    assert_eq!(house.says(&house.deploy, "invoke echo --data mine --task"), "mine");
}

#[test]
fn a_key_reaches_neither_another_tenant_nor_beyond_its_scope() {
    let house = House::new("warn");
    house.deploy_echo();
    house.refuses(&house.operator, "invoke echo --data x", "function-not-found");
    house.refuses(&house.deploy, "keys list", "forbidden");
    house.refuses(&house.admin, "tenants list", "forbidden");
    house.refuses(&house.admin, "keys list --tenant default", "tenant-not-found");
}

#[test]
fn keys_are_listed_with_their_names_scopes_and_states() {
    let house = House::new("warn");
    let keys: Value = serde_json::from_str(&house.says(&house.admin, "keys list --output json")).unwrap();
    assert_eq!((&keys[0]["name"], &keys[0]["status"]), (&json!("owner"), &json!("good")));
    assert_eq!(keys[1]["scope"], "deploy");
}

#[test]
fn a_rotated_key_is_good_beside_the_new_one_until_it_is_revoked() {
    let house = House::new("warn");
    house.deploy_echo();
    let id = id_of(&house.deploy);
    let rotated = printed(&house.run(&house.admin, &format!("keys rotate {id} --grace 1h")));
    for key in [&house.deploy, &rotated] {
        assert_eq!(house.says(key, "invoke echo --data both"), "both");
    }
    assert!(house.says(&house.admin, &format!("keys revoke {id}")).contains("revoked"));
    house.refuses(&house.deploy, "functions", "unauthorized");
    house.refuses(&house.admin, &format!("keys rotate {id}"), "key-ended");
    assert_eq!(house.says(&rotated, "invoke echo --data new"), "new");
}

#[test]
fn a_deleted_tenants_keys_end_and_its_name_stays_taken() {
    let house = House::new("warn");
    let asked = house.run(&house.operator, "tenants delete acme");
    assert!(stderr(&asked).contains("add --yes"), "{asked:?}");
    house.deploy_echo();
    assert_eq!(house.says(&house.deploy, "invoke echo --data kept"), "kept", "nothing was deleted");
    let deleted = house.says(&house.operator, "tenants delete acme --yes");
    assert!(
        deleted.contains("acme is deleted: 0 tasks, 1 function versions, 0 values, 0 settings, 2 keys"),
        "{deleted}"
    );
    house.refuses(&house.deploy, "functions", "unauthorized");
    house.refuses(&house.operator, "tenants create acme", "tenant-exists");
}

#[test]
fn no_secret_is_in_the_most_detailed_log_or_in_the_store() {
    let house = House::new("trace");
    let keys = [house.is_administered(), house.admin.clone(), house.deploy.clone()];
    let (log, home) = house.log();
    let database = fs::read(home.path().join("store").join("db").join("1").join("data.mdb")).unwrap();
    for key in &keys {
        assert!(!log.contains(secret(key)), "a secret is in the log");
        assert!(!database.windows(64).any(|bytes| bytes == secret(key).as_bytes()), "a secret is in the store");
    }
    assert!(!log.contains("canary-of-config"), "a configuration value is in the log");
}

#[test]
fn administrative_actions_are_logged_with_their_keys() {
    let house = House::new("info");
    house.is_administered();
    let [operator, admin, deploy] = [&house.operator, &house.admin, &house.deploy].map(|key| id_of(key).to_owned());
    let acts = audited(&house.log().0);
    for (act, by, outcome) in [
        ("tenant-created", &operator, "ok"),
        ("key-created", &operator, "ok"),
        ("function-registered", &deploy, "ok"),
        ("config-set", &deploy, "ok"),
        ("config-unset", &deploy, "ok"),
        ("secret-set", &deploy, "ok"),
        ("secret-unset", &deploy, "setting-not-found"),
        ("key-rotated", &admin, "ok"),
        ("key-rotated", &admin, "key-ended"),
        ("key-revoked", &admin, "ok"),
        // One denial of each tenant is logged per second: the first, whichever key it concerns.
        ("denied", &deploy, "forbidden"),
        ("tenant-deleted", &operator, "ok"),
        ("tenant-created", &operator, "tenant-exists"),
    ] {
        assert!(acts.iter().any(|(was, _, who, came)| was == act && who == by && came == outcome), "{act}: {acts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_host_was_given_is_in_no_log() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store").display().to_string();
    let key = first_key(&store);
    let (host, url) = up(&home, "trace");
    let client = Client::new(&url);
    assert_eq!(status(&client, &key).await, StatusCode::OK);
    assert_eq!(status(&client, &key.replace("fb_", "fb_0")).await, StatusCode::UNAUTHORIZED);
    let made = with_key(&client, Method::POST, "/v1/tenants", &key, r#"{"name":"acme"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let path = home.path().join("log");
    let is_written = || async { fs::read_to_string(&path).ok().filter(|log| log.contains("tenant-created")) };
    let log = eventually("the log", PATIENCE, is_written).await.unwrap();
    drop(host);
    assert!(!log.contains(secret(&key)), "a secret is in the log");
}

#[test]
fn a_key_of_the_environment_is_in_no_output_of_the_command_line() {
    let home = tempfile::tempdir().unwrap();
    let key = first_key(&home.path().join("store").display().to_string());
    for line in
        ["functions --dump-config", "invoke echo --data x --log trace", "invoke --help", "keys list --log trace"]
    {
        let output = fusebox(&key, &format!("{line} --url http://127.0.0.1:1"));
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert!(!told.contains(secret(&key)), "{line}");
    }
    let dump = stdout(&fusebox(&key, "functions --dump-config"));
    assert!(dump.contains("# api-key is set by the environment"), "{dump}");
}
