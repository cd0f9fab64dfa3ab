//! Checks that a server can be the store, from the information it reports, and that its user may do what the store needs.
//! Reads no keys.

use redis::Value;

use super::{
    address::Address,
    answers,
    caller::Caller,
    format,
    keys::{Layout, SEED_CHANNEL},
    permissions,
};
use crate::{Error, Result};

/// Oldest version with functions.
const VERSION_MIN: (u32, u32) = (7, 0);

/// Facts about a server that can be the store.
pub struct Examined {
    /// Product, version and address.
    pub summary: String,
    /// Advice on settings that can lose tasks; each once, even if several nodes of a Cluster have it.
    pub advice: Vec<&'static str>,
}

/// Refuses servers that cannot be the store, and logs a warning for settings that can lose tasks.
pub(super) async fn check(caller: &Caller) -> Result<()> {
    for advice in examine(caller).await?.advice {
        tracing::warn!(redis = caller.shown(), "{advice}");
    }
    Ok(())
}

/// Checks that the user has every permission.
///
/// # Errors
/// Returns [`Error::Refused`] if one is missing. The error names the missing ones and all that are needed.
pub(super) async fn check_permissions(caller: &Caller, address: &Address) -> Result<()> {
    let prefix = address.access.prefix.as_str();
    for place in caller.layout().all() {
        let call = caller.call(place, "permissions").arg(place.store()).arg(format!("{prefix}{SEED_CHANNEL}"));
        let missing = answers::list(caller.ask(call.args(permissions::commands(address))).await?)?;
        let missing = missing.into_iter().map(answers::text).collect::<Result<Vec<_>>>()?;
        if !missing.is_empty() {
            let missing: Vec<_> = missing.iter().map(|command| format!("+{command}")).collect();
            return Err(Error::Refused(format!(
                "Redis at {address} does not permit its user {} on the store's keys and channels; it needs the permissions \
                 of: ACL SETUSER {} {}",
                missing.join(" "),
                address.user.as_deref().unwrap_or("default"),
                permissions::rules(prefix, permissions::commands(address)),
            )));
        }
    }
    Ok(())
}

/// Reads the servers' information. Writes nothing.
pub(super) async fn examine(caller: &Caller) -> Result<Examined> {
    let (mut summary, mut advice, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for (shown, infos) in infos(caller, None).await? {
        for info in &infos {
            judge(shown, caller.layout(), info)?;
            if field(info, "aof_enabled") == Some("0") {
                advice.push("Redis may lose accepted tasks when it is killed: set appendonly to yes");
            }
            if field(info, "maxmemory") == Some("0") {
                advice.push("Redis has no bound of its memory, and may take all of its machine's: set maxmemory");
            }
            runs.extend(field(info, "run_id").map(|run| (run.to_owned(), shown)));
        }
        let name = infos.first().map(|info| name(info)).unwrap_or_default();
        summary.push(format!("{name} at {shown}"));
    }
    refuse_twins(&runs)?;
    advice.sort_unstable();
    advice.dedup();
    Ok(Examined { summary: summary.join(", "), advice })
}

/// Refuses a server that is named twice, by two of its addresses.
fn refuse_twins(runs: &[(String, &str)]) -> Result<()> {
    for (at, (run, shown)) in runs.iter().enumerate() {
        if let Some((_, twin)) = runs[..at].iter().find(|(other, _)| other == run) {
            return Err(format::refused(shown, &format!("it is the same server as {twin}: name each server once")));
        }
    }
    Ok(())
}

/// Returns the information of each master, or one section of it, by the address of its link.
pub(super) async fn infos<'a>(caller: &'a Caller, section: Option<&str>) -> Result<Vec<(&'a str, Vec<String>)>> {
    let mut command = redis::cmd("INFO");
    section.iter().for_each(|section| {
        command.arg(section);
    });
    let answers = caller.send_all(&command).await?;
    let infos = |info| match info {
        // A Cluster returns one text per master.
        Value::Map(nodes) => nodes.into_iter().map(|(_, info)| text(info)).collect(),
        info => vec![text(info)],
    };
    Ok(caller.links().iter().map(|link| link.shown()).zip(answers.into_iter().map(infos)).collect())
}

/// Returns the product and its version. Valkey also reports the version of Redis that it is compatible with.
fn name(info: &str) -> String {
    match field(info, "valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {}", field(info, "redis_version").unwrap_or_default()),
    }
}

fn judge(shown: &str, layout: Layout, info: &str) -> Result<()> {
    let version = field(info, "redis_version").unwrap_or("of an unknown version");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let known = (numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0));
    if known < VERSION_MIN {
        return Err(Error::WrongVersion { address: shown.to_owned(), version: version.to_owned() });
    }
    if !layout.is_cluster() && field(info, "redis_mode") == Some("cluster") {
        return Err(Error::Refused(format!("Redis at {shown} is part of a Cluster: use redis+cluster://")));
    }
    if let Some(policy) = field(info, "maxmemory_policy").filter(|policy| *policy != "noeviction") {
        return Err(Error::Refused(format!(
            "Redis at {shown} may evict tasks when its memory is full, by its policy {policy}: set maxmemory-policy to \
             noeviction"
        )));
    }
    Ok(())
}

/// Returns a value in the information of a server.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn text(info: Value) -> String {
    match info {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Prefix;

    #[test]
    fn redis_without_functions_is_refused() {
        let judge = |version: &str| {
            judge(
                "cache:6379",
                Layout::whole(Prefix::default()),
                &format!("# Server\r\nredis_version:{version}\r\nx:1\r\n"),
            )
        };
        for good in ["7.0.0", "7.2.4", "8.0", "10.1.1"] {
            judge(good).unwrap();
        }
        for old in ["6.2.14", "5.0.7", "unknown"] {
            let error = judge(old).unwrap_err().to_string();
            assert_eq!(error, format!("Redis 7.0 or newer is required, and cache:6379 is {old}"));
        }
        assert!(super::judge("cache:6379", Layout::whole(Prefix::default()), "").is_err());
    }

    #[test]
    fn redis_that_evicts_is_refused() {
        let told = |policy: &str| {
            let info = format!("redis_version:7.0.15\r\nmaxmemory_policy:{policy}\r\n");
            judge("cache:6379", Layout::whole(Prefix::default()), &info).map_err(|error| error.to_string())
        };
        told("noeviction").unwrap();
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let told = told(policy).unwrap_err();
            assert!(told.contains(policy) && told.contains("set maxmemory-policy to noeviction"), "{told}");
        }
    }

    #[test]
    fn valkey_is_as_good_as_the_redis_that_it_names() {
        let info = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n";
        judge("cache:6379", Layout::whole(Prefix::default()), info).unwrap();
        assert_eq!((name(info), name("redis_version:8.0.3\r\n")), ("Valkey 8.0.1".into(), "Redis 8.0.3".into()));
    }

    #[test]
    fn a_node_of_a_cluster_is_no_whole_server() {
        let info = "redis_version:7.0.15\r\nredis_mode:cluster\r\n";
        let error = judge("cache:6379", Layout::whole(Prefix::default()), info).unwrap_err().to_string();
        assert!(error.contains("redis+cluster://"), "{error}");
        judge("cache:6379", Layout::partitioned(Prefix::default()), info).unwrap();
    }
}
