//! Asks Sentinels which server is the master of a service. Knows nothing else of Redis.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisResult};

use super::{
    address::{Address, Host},
    errors,
};
use crate::store::{Error, Result};

/// The master of a service, as the first Sentinel that knows it says.
///
/// # Errors
/// The last Sentinel's reason; one that may pass goes before one that does not.
pub(super) async fn master(sentinels: &[Host], service: &str, patience: Duration) -> Result<Host> {
    let mut told = None;
    for host in sentinels {
        let shown = format!("{}:{}", host.0, host.1);
        // A part of the whole patience, so that a silent Sentinel leaves time for the next one.
        let error = match tokio::time::timeout(patience / 2, ask(host.clone(), service, patience)).await {
            Ok(Ok(Some(master))) => return Ok(master),
            Ok(Ok(None)) => Error::Unavailable(format!("the Sentinel at {shown} knows no service {service:?}")),
            Ok(Err(error)) => errors::of_sentinel(&shown, &error),
            Err(_) => Error::Unavailable(format!("the Sentinel at {shown} does not answer in time")),
        };
        if error.passes() || told.is_none() {
            told = Some(error);
        }
    }
    Err(told.unwrap_or_else(|| Error::Address("no Sentinel is named".to_owned())))
}

async fn ask(host: Host, service: &str, patience: Duration) -> RedisResult<Option<Host>> {
    let info = Address::sentinel(host).map_err(|error| std::io::Error::other(error.to_string()))?;
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let mut connection = Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).query_async(&mut connection).await
}
