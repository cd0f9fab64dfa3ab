//! Queries Sentinels for the master of a service. Independent of the rest of the store.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisResult};

use super::{
    address::{Address, Host},
    errors,
};
use crate::{Error, Result};

/// Returns the master of a service, from the first Sentinel that knows it.
///
/// # Errors
/// The last temporary error of a Sentinel, or the first permanent one if there is none.
pub(super) async fn master(address: &Address, service: &str, patience: Duration) -> Result<Host> {
    let mut told = None;
    for host in &address.hosts {
        let shown = host.to_string();
        // Half of the timeout, so that a silent Sentinel leaves time for the next one.
        let error =
            match tokio::time::timeout(patience / 2, ask(address.sentinel(host.clone())?, service, patience)).await {
                Ok(Ok(Some((host, port)))) => return Ok(Host::Tcp(host, port)),
                Ok(Ok(None)) => {
                    Error::Unavailable(format!("the Sentinel at {shown} does not know the service {service:?}"))
                }
                Ok(Err(error)) => errors::of_sentinel(&shown, &error),
                Err(_) => Error::Unavailable(format!("the Sentinel at {shown} does not answer in time")),
            };
        if error.passes() || told.is_none() {
            told = Some(error);
        }
    }
    Err(told.unwrap_or_else(|| Error::Address("no Sentinel is named".to_owned())))
}

async fn ask(client: Client, service: &str, patience: Duration) -> RedisResult<Option<(String, u16)>> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).query_async(&mut connection).await
}
