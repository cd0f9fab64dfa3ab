//! Reads a URL into what is to be connected to. Knows no connection. Never shows the password.
//!
//! | URL | is |
//! |---|---|
//! | `redis://[user:password@]host[:port][/database]` | one server |
//! | `redis+sentinel://[user:password@]host[:port],…/service[/database]` | the service's master, as Sentinels name it |
//! | `redis+cluster://[user:password@]host[:port],…` | a Cluster, entered at one of these nodes |

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo};

use crate::store::{Error, Result};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const FORMS: &str =
    "redis://host:port, redis+sentinel://host:port,host:port/service or redis+cluster://host:port,host:port";

/// A server.
pub(super) type Host = (String, u16);

/// What kind of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One server.
    Node,
    /// Whichever server the Sentinels name the master of this service.
    Sentinel {
        /// The service.
        service: String,
    },
    /// A Cluster.
    Cluster,
}

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// What kind of Redis.
    pub(super) kind: Kind,
    /// The servers named, at least one: Sentinels where there are any.
    pub(super) hosts: Vec<Host>,
    /// Which database.
    pub(super) database: i64,
    user: Option<String>,
    password: Option<String>,
}

/// The schemes, TLS included so that it can be refused with the reason.
pub(super) const SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+sentinel://", "redis+cluster://"];

impl Address {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let scheme = SCHEMES.into_iter().find(|scheme| url.starts_with(scheme));
        let rest = scheme.map_or("", |scheme| &url[scheme.len()..]);
        let (kind, port) = match scheme {
            Some("redis://") => (Kind::Node, PORT),
            Some("redis+sentinel://") => (Kind::Sentinel { service: String::new() }, SENTINEL_PORT),
            Some("redis+cluster://") => (Kind::Cluster, PORT),
            Some(_) => {
                let reason = "TLS to Redis is not built in: use redis:// over a private network or a TLS tunnel";
                return Err(Error::Address(reason.to_owned()));
            }
            None => return Err(bad("the scheme is another one")),
        };
        if rest.contains(['?', '#']) {
            return Err(bad("parameters are not known"));
        }
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = read_credentials(credentials)?;
        let hosts = hosts.split(',').map(|host| read_host(host, port)).collect::<Result<Vec<_>>>()?;
        let (kind, database) = match kind {
            Kind::Node if hosts.len() > 1 => return Err(bad("redis:// names one server")),
            Kind::Sentinel { .. } => {
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                if service.is_empty() {
                    return Err(bad("the service's name is missing"));
                }
                (Kind::Sentinel { service: decoded(service)? }, database)
            }
            kind => (kind, path),
        };
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| bad("the database must be a number"))?,
        };
        if kind == Kind::Cluster && database != 0 {
            return Err(bad("a Cluster has no databases"));
        }
        Ok(Self { kind, hosts, database, user, password })
    }

    /// The first server named.
    pub(super) fn first(&self) -> Result<Host> {
        self.hosts.first().cloned().ok_or_else(|| bad("a host is missing"))
    }

    /// How to connect to a server that has the store's data.
    pub(super) fn server(&self, (host, port): Host) -> Result<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(self.database).set_protocol(ProtocolVersion::RESP2);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        Ok(plain((host, port))?.set_redis_settings(settings))
    }

    /// How to connect to a Sentinel.
    pub(super) fn sentinel(host: Host) -> Result<ConnectionInfo> {
        Ok(plain(host)?.set_redis_settings(RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2)))
    }
}

/// The servers, without credentials.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        match &self.kind {
            Kind::Sentinel { service } => write!(f, "{} ({service})", hosts.join(",")),
            Kind::Node | Kind::Cluster => f.write_str(&hosts.join(",")),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn bad(reason: &str) -> Error {
    Error::Address(format!("this is no address of a Redis: {reason}; write {FORMS}"))
}

fn plain(host: Host) -> Result<ConnectionInfo> {
    host.into_connection_info().map_err(|_| bad("the host cannot be one"))
}

fn read_credentials(text: &str) -> Result<(Option<String>, Option<String>)> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let part = |text: &str| match text {
        "" => Ok(None),
        text => decoded(text).map(Some),
    };
    Ok((part(user)?, part(password)?))
}

fn read_host(text: &str, port: u16) -> Result<Host> {
    // An IPv6 address stands in brackets.
    let (host, rest) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (host, rest),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => port,
        Some(port) => port.parse().map_err(|_| bad("a port must be a number"))?,
        None => return Err(bad("the host cannot be one")),
    };
    match host {
        "" => Err(bad("a host is missing")),
        host => Ok((host.to_owned(), port)),
    }
}

/// Percent-decoded text.
fn decoded(text: &str) -> Result<String> {
    let unreadable = || bad("what follows a % must be two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(unreadable)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(unreadable)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Address {
        Address::parse(url).unwrap()
    }

    #[test]
    fn each_form_is_read() {
        let node = read("redis://cache/3");
        assert_eq!((node.kind.clone(), node.database, node.to_string().as_str()), (Kind::Node, 3, "cache:6379"));
        let sentinel = read("redis+sentinel://a,b:7000/main/2");
        assert_eq!((sentinel.database, sentinel.to_string().as_str()), (2, "a:26379,b:7000 (main)"));
        assert_eq!(sentinel.kind, Kind::Sentinel { service: "main".to_owned() });
        let cluster = read("redis+cluster://[::1]:7001,b");
        assert_eq!((cluster.kind.clone(), cluster.to_string().as_str()), (Kind::Cluster, "::1:7001,b:6379"));
    }

    #[test]
    fn credentials_are_used_and_never_shown() {
        let address = read("redis://me:p%40ss:word@cache:1");
        let info = address.server(address.hosts[0].clone()).unwrap();
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("p@ss:word")));
        assert!(!format!("{address} {address:?}").contains("word"));
        let address = read("redis://:secret@cache");
        assert_eq!((address.user, address.password.as_deref()), (None, Some("secret")));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_shown() {
        let bad = [
            "redis://",
            "redis://:1",
            "redis://a:b",
            "redis://a,b",
            "redis://a/x",
            "redis://a?b=c",
            "redis+sentinel://a",
            "redis+cluster://a/1",
            "redis://u:secret%4@a",
            "rediss://u:secret@a",
            "http://u:secret@a",
            "redis://[::1]x",
        ];
        for url in bad {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Address::parse("rediss://a").unwrap_err().to_string().contains("TLS"));
    }
}
