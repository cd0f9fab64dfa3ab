//! Answers each request with its path.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::new(format!("hello from wstd at {}", request.uri().path()).into()))
}
