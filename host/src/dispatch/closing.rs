//! Closes the workers' port to those without a join token once the host has a key: from then on not all who are on this
//! machine are trusted with inputs and secrets.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    store::{self, Store},
    transport::TOKEN_NEEDED,
};

/// Interval of the look for a first key, since the store's news of changes is a hint that may be lost: the port stays open
/// for at most so long after the first key.
const LOOK: Duration = Duration::from_secs(1);

/// Cancels `closed` once there is a key: before this returns, or whenever the first one appears until `stop`.
///
/// # Errors
/// Where the store does not answer the first time: nobody knows then whether the port may be open.
pub async fn watch(store: Arc<dyn Store>, closed: CancellationToken, stop: CancellationToken) -> store::Result<()> {
    if store.has_keys().await? {
        close(&closed);
    } else {
        tokio::spawn(async move { stop.run_until_cancelled(until_first_key(store, closed)).await });
    }
    Ok(())
}

async fn until_first_key(store: Arc<dyn Store>, closed: CancellationToken) {
    let mut changes = store.identity_changes();
    loop {
        match store.has_keys().await {
            Ok(true) => return close(&closed),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "cannot see whether there is a key; trying again"),
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn close(closed: &CancellationToken) {
    tracing::error!("no worker is let in here: {TOKEN_NEEDED}");
    closed.cancel();
}
