//! One request for a component that handles HTTP, and its response, both as messages.

use std::future::{pending, poll_fn};

use bytes::{Bytes, BytesMut};
use fusebox_core::limits::RESOURCES_MAX;
use futures_channel::oneshot;
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use wasmtime::{
    AsContextMut as _, Result, Store,
    component::{Resource, ResourceTable},
};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView as _,
    handler::{Prepared, Proxy},
    p2::body::HostOutgoingBody,
};

use super::{message, outgoing::whole};
use crate::{component::State, ending::Ending};

/// Handles a request and returns the response. The guest may go on after its response, until its limits.
pub(in crate::component) async fn serve(store: &mut Store<State>, proxy: &Proxy, input: Bytes) -> Result<Bytes> {
    let limit = store.data().run.limits.output_bytes;
    let request = message::request(&input).map_err(|error| failed(format!("the input is no HTTP request: {error}")))?;
    let (respond, responded) = oneshot::channel();
    let prepared = Prepared::new(store.as_context_mut(), proxy, request.map(whole), State::http, respond)?;
    let handling = async {
        store
            .run_concurrent(async |accessor| {
                prepared.run(accessor, pending()).await?;
                poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
                wasmtime::error::Ok(())
            })
            .await??;
        abort_bodies(&mut store.data_mut().table);
        wasmtime::error::Ok(())
    };
    let responding = async {
        let response = responded.await.map_err(|_| Ending::BadModule("the component ended without a response"))??;
        let (parts, body) = response.into_parts();
        let (body, trailers) = collect(body, limit).await?;
        let message = message::response(parts.status, &parts.headers, body, &trailers);
        let message = message.map_err(|error| failed(format!("the response cannot be sent: {error}")))?;
        match message.len() as u64 {
            bytes if bytes > limit => Err(Ending::OutputTooLarge { bytes }.into()),
            _ => Ok(message),
        }
    };
    let ((), message) = tokio::try_join!(handling, responding)?;
    Ok(message)
}

/// Ends bodies that the guest has neither finished nor dropped: they are incomplete.
fn abort_bodies(table: &mut ResourceTable) {
    if !table.iter_mut().any(|entry| entry.is::<HostOutgoingBody>()) {
        return;
    }
    let places = 0..u32::try_from(RESOURCES_MAX).unwrap_or(u32::MAX);
    // A stream is a child of its body, which cannot be removed before it.
    places.clone().for_each(|place| drop(removed::<DynOutputStream>(table, place)));
    places.filter_map(|place| removed(table, place)).for_each(HostOutgoingBody::abort);
}

/// Removes the entry at a place if it has this type; `delete` alone would drop one of another type.
fn removed<T: Send + 'static>(table: &mut ResourceTable, place: u32) -> Option<T> {
    let entry = Resource::<T>::new_own(place);
    table.get(&entry).ok()?;
    table.delete(entry).ok()
}

/// Collects a body and its trailers; ends the run above the limit, without waiting for the rest.
async fn collect(mut body: WasiBody, limit: u64) -> Result<(Bytes, HeaderMap)> {
    let (mut whole, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(format!("the function cut off its response: {error}")))?;
        match frame.into_data() {
            Ok(data) => {
                let bytes = whole.len() as u64 + data.len() as u64;
                if bytes > limit {
                    return Err(Ending::OutputTooLarge { bytes }.into());
                }
                whole.extend_from_slice(&data);
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok((whole.freeze(), trailers))
}

fn failed(reason: String) -> Ending {
    Ending::Failed(reason.into())
}
