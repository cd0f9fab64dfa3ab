//! A host with keys: the operator, a tenant with a function, a task and a key, and another tenant that must not see
//! them.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use fusebox::tenancy::ApiKey;
use fusebox_core::{
    error::ErrorCode,
    id::DispatcherId,
    name::TenantId,
    outcome::{Ended, Failure, Receipt},
};
use fusebox_store::{Acting, KeyAdded, LeaseRequest, NewKey, Scope, Verdict};
use fusebox_system::{clock::Clock, random};

use crate::support::{Answer, Rest, Slots};

/// Contained in everything the tenant has, and in no response to another tenant.
pub(crate) const CANARY: &str = "canary-of-acme";

/// Keys, and the items of the tenant `acme`.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) operator: String,
    pub(crate) operators_deploy: String,
    pub(crate) invoke: String,
    pub(crate) deploy: String,
    pub(crate) admin: String,
    pub(crate) others: String,
    pub(crate) revoked: String,
    pub(crate) expired: String,
    /// Id of a function version.
    pub(crate) function: String,
    /// Id of a failed task.
    pub(crate) task: String,
    /// Id of a job that was stopped.
    job: String,
    /// Id of a key.
    key: String,
    tenant: String,
}

impl World {
    pub(crate) async fn new() -> (Rest, Self) {
        let rest = Rest::new(Slots::Echo);
        for name in ["acme", "other"] {
            rest.store.add_tenant(Acting::Store, name.parse().unwrap()).await.unwrap().unwrap();
        }
        let make = async |tenant: &str, scope| rest.key(tenant, scope, None).await;
        let target = make("acme", Scope::Invoke).await;
        let mut world = Self {
            operator: make("default", Scope::Admin).await,
            operators_deploy: make("default", Scope::Deploy).await,
            invoke: make("acme", Scope::Invoke).await,
            deploy: make("acme", Scope::Deploy).await,
            admin: make("acme", Scope::Admin).await,
            others: make("other", Scope::Admin).await,
            revoked: make("acme", Scope::Admin).await,
            expired: rest.key("acme", Scope::Admin, Some(0)).await,
            function: String::new(),
            task: String::new(),
            job: String::new(),
            key: ApiKey::read(&target).unwrap().id().to_string(),
            tenant: "acme".to_owned(),
        };
        rest.revoke(&world.revoked).await;
        let registered = world.owner(&rest, Method::POST, &format!("/v1/functions?name={CANARY}"), wasm()).await;
        assert_eq!(registered.status, StatusCode::CREATED, "{:?}", registered.body);
        world.function = registered.json()["id"].as_str().unwrap().to_owned();
        let submitted = world.owner(&rest, Method::POST, &world.fill("/v1/functions/{function}/tasks"), CANARY).await;
        world.task = submitted.json()["id"].as_str().unwrap().to_owned();
        world.fail(&rest).await;
        let filter = format!(r#"{{"function":"{CANARY}","status":"QUEUED"}}"#);
        let job = world.owner(&rest, Method::POST, "/v1/tasks/cancel", filter).await;
        world.job = job.json()["id"].as_str().unwrap().to_owned();
        rest.jobs.work().await;
        (rest, world)
    }

    /// Ends the task as FAILED, so that every route of a task has a response.
    async fn fail(&self, rest: &Rest) {
        let worker = random::worker_id(Clock::System.now());
        let tenant = "acme".parse().unwrap();
        let request = LeaseRequest {
            tenant,
            worker,
            dispatcher: DispatcherId::from_bytes([8; 16]),
            lease_ms: 60_000,
            tokens: vec![random::lease_token()],
            again: false,
        };
        let leased = rest.store.lease(request).await.unwrap();
        let failure = Some(Failure::new(ErrorCode::Trap, CANARY));
        let (output, log) = (Bytes::from_static(CANARY.as_bytes()), Bytes::from_static(CANARY.as_bytes()));
        rest.report(&leased[0], Verdict::End(Ended { failure, output, log, receipt: Receipt::default() })).await;
    }

    /// Sends a request of the tenant's own admin.
    async fn owner(&self, rest: &Rest, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        rest.send(method, path, &[("authorization", &format!("Bearer {}", self.admin))], body).await
    }

    /// Returns a path with ids of the tenant's items.
    pub(crate) fn fill(&self, path: &str) -> String {
        let path = path.replace("{function}", &self.function).replace("{task}", &self.task);
        let path = path.replace("{key}", &self.key).replace("{tenant}", &self.tenant);
        let path = path.replace("{job}", &self.job);
        let path = path.replace("{setting}", "NAME").replace("{*path}", "a");
        assert!(!path.contains('{'), "put in a value for the parameter of {path}");
        path
    }

    /// Returns the same keys with ids of absent items.
    pub(crate) fn absent(&self) -> Self {
        let now = Clock::System.now();
        let (function, task) = (random::function_id(now).to_string(), random::task_id(now).to_string());
        let job = random::task_id(now).to_string();
        Self {
            function,
            task,
            job,
            key: hex::encode(random::bytes::<8>()),
            tenant: "nobody".to_owned(),
            ..self.clone()
        }
    }

    /// Returns a response's body without the requested ids.
    pub(crate) fn blank(&self, answer: &Answer) -> String {
        [&self.function, &self.task, &self.job, &self.key]
            .iter()
            .fold(answer.text().to_owned(), |text, id| text.replace(*id, "ID"))
    }

    /// Returns the id of a valid key with the secret of another.
    pub(crate) fn mixed(&self) -> String {
        let id = ApiKey::read(&self.admin).unwrap().id();
        format!("fb_{id}_{}", self.others.rsplit('_').next().unwrap())
    }

    /// Returns the credentials of the other tenant's admin.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.others)
    }

    /// Checks that all items of the tenant are unchanged.
    pub(crate) async fn is_untouched(&self, rest: &Rest) {
        let tasks = self.owner(rest, Method::GET, "/v1/tasks", Body::empty()).await.json();
        assert_eq!(tasks["items"].as_array().unwrap().len(), 1, "{tasks}");
        assert_eq!(
            (&tasks["items"][0]["id"], &tasks["items"][0]["status"]),
            (&self.task.clone().into(), &"FAILED".into())
        );
        let functions = self.owner(rest, Method::GET, "/v1/functions", Body::empty()).await.json();
        assert_eq!(functions["items"].as_array().unwrap().len(), 1, "{functions}");
        let keys = self.owner(rest, Method::GET, "/v1/keys", Body::empty()).await.json();
        let keys = keys["items"].as_array().unwrap();
        let good = keys.iter().filter(|key| key["status"] == "good").count();
        assert_eq!((keys.len(), good), (6, 4), "{keys:?}");
        let tenants = rest.store.tenants().await.unwrap();
        let tenants: Vec<_> = tenants.iter().map(|tenant| (tenant.id.as_str(), tenant.deleted_at)).collect();
        assert_eq!(tenants, [("acme", None), ("default", None), ("other", None)]);
    }
}

impl Rest {
    /// Creates a key directly in the store; returns its text.
    pub(crate) async fn key(&self, tenant: &str, scope: Scope, life_ms: Option<u64>) -> String {
        let secret = ApiKey::random();
        let tenant: TenantId = tenant.parse().unwrap();
        let (id, digest, name) = (secret.id(), secret.digest(), format!("canary-of-{tenant}"));
        let new = NewKey { id, tenant, scope, name, digest, life_ms, replaces: None };
        let added = self.store.add_key(Acting::Store, new).await.unwrap();
        assert!(matches!(added, Ok(KeyAdded::Added(_))), "{added:?}");
        secret.reveal()
    }

    /// Revokes a key by its text, directly in the store.
    pub(crate) async fn revoke(&self, key: &str) {
        let id = ApiKey::read(key).unwrap().id();
        let known = self.store.key(id).await.unwrap().unwrap().key;
        self.store.revoke_key(Acting::Store, &known.tenant, id).await.unwrap().unwrap();
    }
}

fn wasm() -> Vec<u8> {
    fusebox_harness::guests::echo()
}
