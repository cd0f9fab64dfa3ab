//! Asks Sentinels which server is the master of a service. Knows nothing else of Redis.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisResult};

use super::{
    address::{Address, Host},
    errors,
};

/// The master of a service, as the first Sentinel that knows it says; else a sentence.
pub(super) async fn master(sentinels: &[Host], service: &str, patience: Duration) -> std::result::Result<Host, String> {
    let mut last = "no Sentinel is named".to_owned();
    for host in sentinels {
        let shown = format!("{}:{}", host.0, host.1);
        // A part of the whole patience, so that a silent Sentinel leaves time for the next one.
        last = match tokio::time::timeout(patience / 2, ask(host.clone(), service, patience)).await {
            Ok(Ok(Some(master))) => return Ok(master),
            Ok(Ok(None)) => format!("the Sentinel at {shown} knows no service {service:?}"),
            Ok(Err(error)) => format!("the Sentinel at {shown} {}", errors::reason(&error)),
            Err(_) => format!("the Sentinel at {shown} does not answer in time"),
        };
    }
    Err(last)
}

async fn ask(host: Host, service: &str, patience: Duration) -> RedisResult<Option<Host>> {
    let info = Address::sentinel(host).map_err(|error| std::io::Error::other(error.to_string()))?;
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let mut connection = Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).query_async(&mut connection).await
}
