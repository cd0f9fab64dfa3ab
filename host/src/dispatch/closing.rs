//! Closes the workers' port to peers without a join token once the host has an API key. From then on, not everyone on
//! this machine is trusted with inputs and secrets.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use fusebox_link::TOKEN_NEEDED;
use fusebox_store::Store;

/// Interval of checks for the first key, since reports of changes can be lost: the port stays open for at most this
/// long after the first key.
const LOOK: Duration = Duration::from_secs(1);

/// Cancels `closed` once there is a key: before this returns if there is one, otherwise when the first one appears,
/// until `stop`.
///
/// # Errors
/// Fails if the store does not answer at first: it is then unknown whether the port may be open.
pub async fn watch(
    store: Arc<dyn Store>,
    closed: CancellationToken,
    stop: CancellationToken,
) -> fusebox_store::Result<()> {
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
            Err(error) => tracing::warn!(%error, "cannot check whether there is a key; retrying"),
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn close(closed: &CancellationToken) {
    tracing::error!("workers' port closed: {TOKEN_NEEDED}");
    closed.cancel();
}
