//! One request for a component that handles HTTP, and its response: as messages, or in pieces to a client that is there.

use std::future::{pending, poll_fn};

use bytes::Bytes;
use fusebox_core::{
    http::{self, MessageError},
    limits::RESOURCES_MAX,
};
use futures_channel::oneshot;
use http_body_util::BodyExt as _;
use tokio::time::sleep_until;
use wasmtime::{
    AsContextMut as _, Result, Store,
    component::{Resource, ResourceTable},
};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::{
    Error, WasiBody, WasiHttpView as _,
    handler::{Prepared, Proxy},
    p2::body::HostOutgoingBody,
};

use super::{Desk, message, outgoing::whole};
use crate::{
    component::State,
    ending::Ending,
    exchange::{BrokenBody, Exchange, RequestBody},
    metered::OUTSIDE,
    reply::Reply,
};

/// Handles a request and returns the response, empty if it was passed on in pieces. The guest may go on after its
/// response, until its limits.
pub(in crate::component) async fn serve(store: &mut Store<State>, proxy: &Proxy, input: Bytes) -> Result<Bytes> {
    let host = &store.data().run;
    let (limit, desk, exchange) = (host.limits.output_bytes, store.data().desk.clone(), host.call.exchange.clone());
    let request = message::request(&input).map_err(|error| failed(format!("the input is no HTTP request: {error}")))?;
    let arriving = exchange.as_ref().and_then(Exchange::take_body);
    let request = request.map(|body| arriving.map_or_else(|| whole(body), wasi_body));
    let (respond, responded) = oneshot::channel();
    let prepared = Prepared::new(store.as_context_mut(), proxy, request, State::http, respond)?;
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
        let head = message::head(parts.status, &parts.headers).map_err(unsendable)?;
        let reply = Reply::new(exchange, head, limit)?;
        match answer(reply, body, &desk).await? {
            None => Ok(Bytes::new()),
            Some(response) => {
                let message = response.to_bytes().map_err(unsendable)?;
                match message.len() as u64 {
                    bytes if bytes > limit => Err(Ending::OutputTooLarge { bytes }.into()),
                    _ => Ok(message),
                }
            }
        }
    };
    // Whenever the guest waits, what it has written is looked at next.
    let ((), message) = tokio::try_join!(biased; handling, responding)?;
    Ok(message)
}

/// Returns the body of a request that is read as it arrives.
fn wasi_body(body: RequestBody) -> WasiBody {
    body.map_err(|broken| match broken {
        BrokenBody::TooLarge => Error::HttpRequestBodySize(None),
        BrokenBody::TooSlow => Error::ConnectionReadTimeout,
        BrokenBody::Incomplete => Error::ConnectionTerminated,
    })
    .boxed_unsync()
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

/// Passes a body on, and returns the response if that was not necessary.
async fn answer(mut reply: Reply, mut body: WasiBody, desk: &Desk) -> Result<Option<http::Response>> {
    let mut trailers = Vec::new();
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = due(&reply, desk) => {
                desk.owe(OUTSIDE);
                reply.pass().await?;
                continue;
            }
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| failed(format!("the function cut off its response: {error}")))?;
        match frame.into_data() {
            Ok(data) => reply.add(&data)?,
            Err(frame) => {
                trailers.extend(message::list(&frame.into_trailers().unwrap_or_default()).map_err(unsendable)?);
            }
        }
        if reply.is_full() {
            desk.owe(OUTSIDE);
            reply.pass().await?;
        }
    }
    Ok(reply.end(trailers).await?)
}

/// Waits until what is held is to be passed on: at its time, or before the slot's thread sends a request of the guest,
/// during which nothing else happens on it.
async fn due(reply: &Reply, desk: &Desk) {
    let Some(due) = reply.due() else { return pending().await };
    tokio::select! {
        biased;
        () = desk.is_asked() => {}
        () = sleep_until(due.into()) => {}
    }
}

fn unsendable(error: MessageError) -> Ending {
    failed(format!("the response cannot be sent: {error}"))
}

fn failed(reason: String) -> Ending {
    Ending::Failed(reason.into())
}
