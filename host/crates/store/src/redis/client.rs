//! Builds clients from an address: socket, TLS, credentials and database. Opens no connection.

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisResult,
    cluster::{ClusterClient, ClusterClientBuilder},
};

use super::{
    address::{Address, Host},
    errors,
};
use crate::{Error, Result};

impl Address {
    /// Returns a client for a server with the store's data.
    pub(super) fn server(&self, host: Host) -> Result<Client> {
        self.client(host, self.database, self.user.as_deref(), self.password.as_deref())
    }

    /// Returns a client for a Sentinel.
    pub(super) fn sentinel(&self, host: Host) -> Result<Client> {
        self.client(host, 0, self.access.sentinel_user.as_deref(), self.access.sentinel_password.as_deref())
    }

    /// Returns a builder of a client for the Cluster.
    pub(super) fn cluster(&self) -> Result<ClusterClientBuilder> {
        let info = |host: &Host| self.info(host.clone(), 0, self.user.as_deref(), self.password.as_deref());
        let nodes = self.hosts.iter().map(info).collect::<RedisResult<Vec<_>>>();
        let builder = ClusterClient::builder(nodes.map_err(|error| self.unusable(&error))?);
        Ok(if self.is_tls { builder.certs(self.access.certificates()) } else { builder })
    }

    fn client(&self, host: Host, database: i64, user: Option<&str>, password: Option<&str>) -> Result<Client> {
        let made = self.info(host, database, user, password).and_then(|info| match self.is_tls {
            true => Client::build_with_tls(info, self.access.certificates()),
            false => Client::open(info),
        });
        made.map_err(|error| self.unusable(&error))
    }

    fn info(
        &self,
        host: Host,
        database: i64,
        user: Option<&str>,
        password: Option<&str>,
    ) -> RedisResult<ConnectionInfo> {
        // A connection is established once its first command, the client library's name, was sent; a refusal of it is
        // ignored.
        let mut settings = RedisConnectionInfo::default().set_db(database).set_protocol(ProtocolVersion::RESP2);
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let address = match host {
            Host::Unix(path) => ConnectionAddr::Unix(path),
            Host::Tcp(host, port) if self.is_tls => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
            Host::Tcp(host, port) => ConnectionAddr::Tcp(host, port),
        };
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }

    fn unusable(&self, error: &redis::RedisError) -> Error {
        Error::Refused(format!("Redis at {self} {}", errors::reason(error)))
    }
}
