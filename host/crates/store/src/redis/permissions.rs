//! Permissions that the store needs from its user in Redis.

use super::address::{Address, Kind};

/// Commands in the form of `ACL SETUSER`, needed with every kind of Redis.
pub(super) const COMMANDS: [&str; 50] = [
    "info",
    "ping",
    "fcall",
    "function|load",
    "subscribe",
    "publish",
    "time",
    "scan",
    "get",
    "set",
    "append",
    "del",
    "unlink",
    "exists",
    "persist",
    "pexpire",
    "pttl",
    "rename",
    "hget",
    "hset",
    "hdel",
    "hexists",
    "hgetall",
    "hincrby",
    "hlen",
    "hmget",
    "hscan",
    "hvals",
    "lindex",
    "llen",
    "lrange",
    "ltrim",
    "rpush",
    "sadd",
    "scard",
    "sismember",
    "smembers",
    "smismember",
    "srem",
    "sscan",
    "zadd",
    "zcard",
    "zrange",
    "zrem",
    "zremrangebyrank",
    "zremrangebyscore",
    "zscan",
    "zscore",
    "pubsub|numsub",
    "pubsub|numpat",
];
/// Additional command for a Cluster.
const CLUSTER: &str = "cluster|slots";
/// Additional command for a database other than 0.
const DATABASE: &str = "select";

/// Returns the commands that a store at this address needs.
pub(super) fn commands(address: &Address) -> impl Iterator<Item = &'static str> {
    let cluster = (address.kind == Kind::Cluster).then_some(CLUSTER);
    COMMANDS.into_iter().chain(cluster).chain((address.database != 0).then_some(DATABASE))
}

/// Returns the rules for `ACL SETUSER` that permit exactly these commands on the keys and channels with a prefix.
pub(super) fn rules<'a>(prefix: &str, commands: impl Iterator<Item = &'a str>) -> String {
    let commands: Vec<_> = commands.map(|command| format!("+{command}")).collect();
    format!("~{prefix}* &{prefix}* -@all {}", commands.join(" "))
}

/// Returns a clause that lists every permission.
pub(super) fn all() -> String {
    let rules = rules("", COMMANDS.into_iter());
    format!(
        "it needs the permissions of: ACL SETUSER name {rules}, with +{DATABASE} for a database other than 0, and with \
             +{CLUSTER} on a Cluster"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::library;

    /// Commands that the host sends itself, rather than functions.
    const OURS: [&str; 8] = ["info", "ping", "fcall", "function|load", "subscribe", "hgetall", "hvals", "exists"];

    #[test]
    fn each_command_is_named_once_and_used() {
        let mut used: Vec<String> = OURS.map(str::to_owned).into();
        for text in library::SOURCES.concat() {
            for call in ["call('", "call(\"", "_chunks('"] {
                used.extend(text.split(call).skip(1).filter_map(|rest| {
                    let command = rest.split(['\'', '"']).next()?.to_lowercase();
                    let after = rest.get(command.len()..)?.strip_prefix("', '").filter(|_| command == "pubsub");
                    let sub =
                        after.and_then(|rest| rest.split('\'').next()).map(|sub| format!("|{}", sub.to_lowercase()));
                    Some(command + &sub.unwrap_or_default())
                }));
            }
        }
        used.sort_unstable();
        used.dedup();
        let mut named = COMMANDS.to_vec();
        named.sort_unstable();
        assert_eq!(named, used);
    }

    #[test]
    fn the_readme_has_the_line() {
        let line = format!("ACL SETUSER fusebox on >PASSWORD {}", rules("", COMMANDS.into_iter()));
        let readme = include_str!("../../../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(readme.contains(&line), "the README is to have: {line}");
    }
}
