//! Tests of connections: TLS with certificates on both sides, a unix socket, Sentinels with separate credentials, and
//! passwords with any characters.

use fusebox_harness::redis::{RedisServer, free_port};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::{Access, OPTIONS, RedisStore};
use crate::{Error, Queue as _, Result, Store, Tasks as _, conformance::tenant};

/// A certificate authority, with the files of a certificate that it issued, for a server's settings.
struct Authority {
    home: TempDir,
    ca: String,
    client: (String, String),
}

impl Authority {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A certificate with the same subject as its issuer would count as self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certified = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
            (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
        };
        let (server, key) = certified();
        for (name, text) in [("ca.pem", authority.pem()), ("server.pem", server), ("server.key", key)] {
            std::fs::write(home.path().join(name), text).unwrap();
        }
        Self { ca: authority.pem(), client: certified(), home }
    }

    fn settings(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.home.path().join(name).display().to_string();
        let names = ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"].into_iter();
        let files =
            names.zip(["server.pem", "server.key", "ca.pem"]).flat_map(|(flag, name)| [flag.to_owned(), file(name)]);
        ["--tls-port".to_owned(), port.to_string()].into_iter().chain(files).collect()
    }

    /// Settings of a side with a certificate of this authority.
    fn access(&self) -> Access {
        let (certificate, key) = &self.client;
        Access {
            ca: Some(self.ca.clone().into_bytes()),
            identity: Some((certificate.clone().into_bytes(), key.clone().into_bytes())),
            ..Access::default()
        }
    }
}

async fn works(url: &str, access: Access) -> Result<()> {
    let store = RedisStore::connect(url, access, OPTIONS).await?;
    store.check().await?;
    assert!(store.backlog().await?.is_empty());
    assert!(store.task(&tenant("acme"), fusebox_core::id::TaskId::from_bytes([1; 16])).await?.is_none());
    Ok(())
}

async fn refused(url: &str, access: Access) -> String {
    match works(url, access).await {
        Err(Error::Refused(told)) => told,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides() {
    let (authority, port) = (Authority::new(), free_port().unwrap());
    let settings = authority.settings(port);
    let mut args: Vec<_> = settings.iter().map(String::as_str).collect();
    args.extend(["--requirepass", "secret"]);
    let server = RedisServer::start(&args).unwrap();
    let url = format!("rediss://:secret@127.0.0.1:{port}");
    works(&url, authority.access()).await.unwrap();
    works(&format!("rediss://:secret@localhost:{port}/2"), authority.access()).await.unwrap();
    // Waiting resolves none of these.
    let stranger = Authority::new();
    let unknown = refused(&url, Access { ca: stranger.access().ca, ..authority.access() }).await;
    assert!(unknown.contains("certificate"), "{unknown}");
    refused(&url, Access { identity: None, ..authority.access() }).await;
    refused(&url, Access { identity: stranger.access().identity, ..authority.access() }).await;
    let system = refused(&url, Access { ca: None, ..authority.access() }).await;
    assert!(system.contains("certificate"), "{system}");
    // These two resemble a server that restarts or is busy, so they count as temporary.
    let plain = works(&format!("redis://:secret@127.0.0.1:{port}"), Access::default()).await;
    assert!(matches!(&plain, Err(Error::Unreachable { reason, .. }) if reason.contains("rediss://")), "{plain:?}");
    let onto_plain = works(&format!("rediss://:secret@127.0.0.1:{}", server.port()), authority.access()).await;
    assert!(matches!(&onto_plain, Err(Error::Unreachable { reason, .. }) if reason.contains("TLS")), "{onto_plain:?}");
    let wrong = refused(&url.replace("secret", "hunter2"), authority.access()).await;
    assert!(wrong.contains("refuses the user or the password") && !wrong.contains("hunter2"), "{wrong}");
}

#[tokio::test]
async fn a_cluster_over_tls() {
    let (authority, port, bus) = (Authority::new(), free_port().unwrap(), free_port().unwrap().to_string());
    let settings = authority.settings(port);
    let mut args: Vec<_> = settings.iter().map(String::as_str).collect();
    args.extend(["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus]);
    let server = RedisServer::start(&args).unwrap();
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    let url = format!("rediss+cluster://127.0.0.1:{port}");
    let whole = || async { works(&url, authority.access()).await.ok() };
    fusebox_harness::eventually("the cluster to be whole", super::faults::RECOVERY, whole).await.unwrap();
}

#[tokio::test]
async fn a_socket_of_the_file_system() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("a@b.sock").display().to_string();
    let server = RedisServer::start(&["--unixsocket", &socket, "--requirepass", "p@ss/word"]).unwrap();
    for scheme in ["unix", "redis+unix"] {
        works(&format!("{scheme}://:p@ss/word@{socket}?db=3"), Access::default()).await.unwrap();
    }
    let of_file = Access { password: Some("p@ss/word".to_owned()), ..Access::default() };
    let store = RedisStore::connect(&format!("unix://{socket}"), of_file, OPTIONS).await.unwrap();
    drop(server);
    let gone = store.check().await.unwrap_err();
    assert!(gone.passes() && gone.to_string().contains("a@b.sock"), "{gone}");
}

#[tokio::test]
async fn passwords_of_any_characters() {
    let password = "a?b#c/d@e:f%41 g\"h'i\\j{k}ü";
    let server = RedisServer::start(&[]).unwrap();
    server.command(&["CONFIG", "SET", "requirepass", password]).unwrap();
    let host = format!("127.0.0.1:{}", server.port());
    works(&format!("redis://:{}@{host}", password.replace('%', "%25")), Access::default()).await.unwrap();
    let escaped: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
    works(&format!("redis://default:{escaped}@{host}"), Access::default()).await.unwrap();
    works(&format!("redis://{host}"), Access { password: Some(password.to_owned()), ..Access::default() })
        .await
        .unwrap();
}

#[tokio::test]
async fn sentinels_with_tls_and_credentials_of_their_own() {
    let (authority, data, watch) = (Authority::new(), free_port().unwrap(), free_port().unwrap());
    let settings = authority.settings(data);
    let mut args: Vec<_> = settings.iter().map(String::as_str).collect();
    args.extend(["--requirepass", "secret"]);
    let _master = RedisServer::start(&args).unwrap();
    let settings = authority.settings(watch);
    let args: Vec<_> = settings.iter().map(String::as_str).chain(["--tls-replication", "yes"]).collect();
    let config = format!(
        "sentinel monitor main 127.0.0.1 {data} 1\nsentinel auth-pass main secret\n\
         user watcher on >hunter2 allchannels -@all +sentinel|get-master-addr-by-name\nuser default off\n"
    );
    let _sentinel = RedisServer::start_sentinel(&args, &config).unwrap();
    let url = format!("rediss+sentinel://:secret@127.0.0.1:{watch}/main");
    let known = |user: Option<&str>, password: &str| Access {
        sentinel_user: user.map(str::to_owned),
        sentinel_password: Some(password.to_owned()),
        ..authority.access()
    };
    works(&url, known(Some("watcher"), "hunter2")).await.unwrap();
    for access in [known(Some("watcher"), "hunter4"), known(None, "hunter2"), authority.access()] {
        let told = refused(&url, access).await;
        assert!(told.contains("Sentinel") && told.contains("password") && !told.contains("hunter"), "{told}");
    }
}
