//! Answers each request with its path.

use spin_sdk::http::{IntoResponse, Request, Response};

#[spin_sdk::http_component]
fn hello(request: Request) -> anyhow::Result<impl IntoResponse> {
    Ok(Response::builder().status(200).body(format!("hello from Spin at {}", request.path())).build())
}
