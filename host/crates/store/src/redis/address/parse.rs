//! Parses the URL of a store. Opens no connection, and never includes the password in a text.
//!
//! | URL | meaning |
//! |---|---|
//! | `redis://[user:password@]host[:port][/database]` | one server |
//! | `redis+unix://[user:password@]/path[?db=database]`, `unix://…` | one server, at a unix socket |
//! | `redis+sentinel://[user:password@]host[:port],…/service[/database]` | the master of a Sentinel service |
//! | `redis+cluster://[user:password@]host[:port],…` | a Cluster, entered at one of these nodes |
//! | `redis+shard://[user:password@]host[:port],…[/database]` | all of these servers, each with a share of the partitions |
//!
//! With `rediss` instead of `redis`, connections use TLS. The password ends at the last `@`, so it may contain any
//! character; only `%` starts an escape.

use super::{super::keys::PARTITIONS, Access, Address, Host, Kind};
use crate::{Error, Result};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const FORMS: &str = "redis://host:port, redis+unix:///path, redis+sentinel://host:port,host:port/service, \
                     redis+cluster://host:port,host:port or redis+shard://host:port,host:port, and rediss… for TLS";
const ESCAPES: &str = "in a password write %25 for %, or use --store-password-file";

/// Form of a URL, by its scheme.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Node,
    Unix,
    Sentinel,
    Cluster,
    Shards,
}

/// Schemes, their form, and whether they use TLS.
const SCHEMES: [(&str, Form, bool); 10] = [
    ("redis://", Form::Node, false),
    ("rediss://", Form::Node, true),
    ("redis+unix://", Form::Unix, false),
    ("unix://", Form::Unix, false),
    ("redis+sentinel://", Form::Sentinel, false),
    ("rediss+sentinel://", Form::Sentinel, true),
    ("redis+cluster://", Form::Cluster, false),
    ("rediss+cluster://", Form::Cluster, true),
    ("redis+shard://", Form::Shards, false),
    ("rediss+shard://", Form::Shards, true),
];

/// Returns true for a URL of this store.
pub(in crate::redis) fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|(scheme, ..)| text.starts_with(scheme))
}

/// Returns a URL without its credentials.
pub(in crate::redis) fn shown(url: &str) -> String {
    split(url).map_or_else(|| "redis".to_owned(), |(scheme, _, _, (_, rest))| format!("{scheme}{rest}"))
}

type Split<'a> = (&'static str, Form, bool, (&'a str, &'a str));

/// Splits a URL into scheme, form, TLS, credentials and the rest.
fn split(url: &str) -> Option<Split<'_>> {
    let (scheme, form, is_tls) = SCHEMES.into_iter().find(|(scheme, ..)| url.starts_with(scheme))?;
    let rest = url.get(scheme.len()..)?;
    let rest = match form {
        // The path may contain an @ too.
        Form::Unix if rest.starts_with('/') => ("", rest),
        Form::Unix => rest.rfind("@/").map_or(("", rest), |at| (&rest[..at], &rest[at + 1..])),
        Form::Node | Form::Sentinel | Form::Cluster | Form::Shards => rest.rsplit_once('@').unwrap_or(("", rest)),
    };
    Some((scheme, form, is_tls, rest))
}

impl Address {
    /// Parses a URL, and adds the settings beyond it.
    pub(in crate::redis) fn parse(url: &str, access: Access) -> Result<Self> {
        let Some((_, form, is_tls, (credentials, rest))) = split(url) else {
            return Err(bad("the scheme is unknown"));
        };
        let (user, password) = read_credentials(credentials, &access)?;
        let (kind, hosts, database) = match form {
            Form::Unix => read_socket(rest)?,
            form => read_hosts(form, rest)?,
        };
        if access.has_tls() && !is_tls {
            return Err(bad("certificates require TLS: use rediss://"));
        }
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| bad("the database must be a number"))?,
        };
        if kind == Kind::Cluster && database != 0 {
            return Err(bad("a Cluster has no databases"));
        }
        Ok(Self { kind, hosts, database, is_tls, user, password, access })
    }
}

/// Returns the error of a text that is no address, with the forms that are.
pub(super) fn bad(reason: &str) -> Error {
    Error::Address(format!("not an address of a Redis: {reason}; write {FORMS}"))
}

fn read_credentials(text: &str, access: &Access) -> Result<(Option<String>, Option<String>)> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = Some(user).filter(|user| !user.is_empty()).map(decoded).transpose()?;
    // Without a user, an empty password counts as none.
    let password = password.filter(|password| user.is_some() || !password.is_empty()).map(decoded).transpose()?;
    match (&user, password, &access.password) {
        (_, Some(_), Some(_)) => Err(bad("it and --store-password-file both have a password: leave one out")),
        (Some(_), None, None) => {
            Err(bad("the user has no password: write user:password@, or use --store-password-file"))
        }
        (_, password, file) => Ok((user, password.or_else(|| file.clone()))),
    }
}

/// Kind, servers and database.
type Place<'a> = (Kind, Vec<Host>, &'a str);

fn read_socket(text: &str) -> Result<Place<'_>> {
    let (path, parameters) = text.split_once('?').unwrap_or((text, ""));
    let database = match parameters.split_once('=') {
        None if parameters.is_empty() => "",
        Some(("db", number)) => number,
        _ => return Err(bad("a socket's only parameter is db")),
    };
    if !path.starts_with('/') {
        return Err(bad("a socket's path starts with /"));
    }
    Ok((Kind::Node, vec![Host::Unix(decoded(path)?.into())], database))
}

fn read_hosts(form: Form, text: &str) -> Result<Place<'_>> {
    if text.contains(['?', '#']) {
        return Err(bad("parameters are not known"));
    }
    let (hosts, path) = text.split_once('/').unwrap_or((text, ""));
    let port = if form == Form::Sentinel { SENTINEL_PORT } else { PORT };
    let hosts = hosts.split(',').map(|host| read_host(host, port)).collect::<Result<Vec<_>>>()?;
    match form {
        Form::Sentinel => {
            let (service, database) = path.split_once('/').unwrap_or((path, ""));
            if service.is_empty() {
                return Err(bad("the service's name is missing"));
            }
            Ok((Kind::Sentinel { service: decoded(service)? }, hosts, database))
        }
        Form::Cluster => Ok((Kind::Cluster, hosts, path)),
        Form::Shards => Ok((Kind::Shards, checked_shards(hosts)?, path)),
        Form::Node | Form::Unix if hosts.len() > 1 => Err(bad("it names one server")),
        Form::Node | Form::Unix => Ok((Kind::Node, hosts, path)),
    }
}

/// Refuses a number of shards that is impossible, and a server that is named twice.
fn checked_shards(hosts: Vec<Host>) -> Result<Vec<Host>> {
    if hosts.len() < 2 {
        return Err(bad("a store of one server has no shards: use redis://"));
    }
    if hosts.len() > PARTITIONS {
        return Err(bad(&format!("a store has {PARTITIONS} partitions, so it has at most as many shards")));
    }
    match hosts.iter().enumerate().find(|(at, host)| hosts[..*at].contains(host)) {
        Some((_, host)) => Err(bad(&format!("it names {host} twice"))),
        None => Ok(hosts),
    }
}

fn read_host(text: &str, port: u16) -> Result<Host> {
    // An IPv6 address is written in brackets.
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
        host => Ok(Host::Tcp(host.to_owned(), port)),
    }
}

/// Decodes percent-encoded text.
fn decoded(text: &str) -> Result<String> {
    let unreadable = || bad(&format!("two hexadecimal digits must follow a % ({ESCAPES})"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(unreadable)?;
        bytes.extend(hex::decode(digits).map_err(|_| unreadable())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(url, Access::default())
    }

    fn read(url: &str) -> Address {
        parse(url).unwrap()
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
        let shards = read("redis+shard://me:p@ss@a:7001,[::1],b/2");
        assert_eq!((shards.kind.clone(), shards.database, shards.links().len()), (Kind::Shards, 2, 3));
        assert_eq!(shards.to_string(), "a:7001,::1:6379,b:6379");
        assert_eq!(shards.links()[2], read("redis://me:p@ss@b/2"));
        for plain in ["redis://a", "redis+sentinel://a/m", "redis+cluster://a", "redis+shard://a,b"] {
            let tls = read(&plain.replacen("redis", "rediss", 1));
            assert_eq!(Address { is_tls: false, ..tls.clone() }, read(plain));
            assert!(tls.is_tls && !read(plain).is_tls);
        }
        for socket in ["unix:///run/a@b%20c.sock?db=4", "redis+unix:///run/a@b%20c.sock?db=4"] {
            let socket = read(socket);
            assert_eq!((socket.database, socket.to_string().as_str()), (4, "/run/a@b c.sock"));
        }
        let socket = read("unix://me:p@/ss@/run/a@b.sock");
        assert_eq!((socket.password.as_deref(), socket.to_string().as_str()), (Some("p@/ss"), "/run/a@b.sock"));
    }

    #[test]
    fn a_password_may_hold_any_character() {
        let password = |url: &str| read(url).password.unwrap();
        assert_eq!(password("redis://me:p%40ss:word@cache:1"), "p@ss:word");
        assert_eq!(password("redis://me:a?b#c/d@e:f@cache:1/2"), "a?b#c/d@e:f");
        assert_eq!(password("redis+sentinel://:?#/@@a,b/main"), "?#/@");
        let escaped: String = (1..=127_u8).map(|byte| format!("%{byte:02X}")).collect();
        let all: String = (1..=127_u8).map(char::from).collect();
        assert_eq!(password(&format!("redis://:{escaped}@cache")), all);
        let told = parse("redis://me:secret%@cache").unwrap_err().to_string();
        assert!(told.contains("%25") && told.contains("--store-password-file"), "{told}");
        let of_file = Access { password: Some(all.clone()), ..Access::default() };
        assert_eq!(Address::parse("redis://me@cache", of_file.clone()).unwrap().password, Some(all));
        let told = Address::parse("redis://me:secret@cache", of_file).unwrap_err().to_string();
        assert!(told.contains("leave one out") && !told.contains("secret"), "{told}");
        assert!(parse("redis://me@cache").unwrap_err().to_string().contains("the user has no password"));
        assert_eq!(read("redis://me:@cache").password.as_deref(), Some(""));
    }

    #[test]
    fn credentials_are_never_shown() {
        let address = read("redis://me:p%40ss:word@cache:1");
        assert!(!format!("{address} {address:?}").contains("word"));
        for (url, expected) in [
            ("redis://me:sec@ret/@cache:1/2", "redis://cache:1/2"),
            ("rediss+cluster://:se?c#ret@a,b", "rediss+cluster://a,b"),
            ("unix://me:sec@/ret@/run/r@x.sock?db=1", "unix:///run/r@x.sock?db=1"),
            ("unix:///run/r@x.sock", "unix:///run/r@x.sock"),
        ] {
            assert_eq!(shown(url), expected);
        }
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
            "redis://a#b",
            "redis+sentinel://a",
            "redis+cluster://a/1",
            "redis+shard://",
            "redis+shard://u:secret@a",
            "redis+shard://a,",
            "redis+shard://a,b/x",
            "redis+shard://a,b?c=d",
            "redis+shard:///run/a.sock,/run/b.sock",
            "redis://u:secret%4@a",
            "unix://run/redis.sock",
            "unix:///run/redis.sock?x=secret",
            "unix:///run/redis.sock?db=x",
            "http://u:secret@a",
            "redis://[::1]x",
        ];
        for url in bad {
            let error = parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let told = |url: &str| parse(url).unwrap_err().to_string();
        assert!(told("redis+shard://a").contains("one server has no shards: use redis://"));
        assert!(told("redis+shard://a,b,a:6379").contains("it names a:6379 twice"));
        let many: Vec<_> = (0..17).map(|host| format!("h{host}")).collect();
        assert!(told(&format!("redis+shard://{}", many.join(","))).contains("16 partitions"));
        assert_eq!(read(&format!("redis+shard://{}", many[1..].join(","))).links().len(), 16);
        let with_ca = Access { ca: Some(Vec::new()), ..Access::default() };
        assert!(Address::parse("redis://a", with_ca).unwrap_err().to_string().contains("rediss://"));
    }
}
