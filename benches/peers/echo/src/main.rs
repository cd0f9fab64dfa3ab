//! A bare axum server that returns the request's body. Usage: `axum-echo ADDRESS:PORT`

use axum::{Router, body::Bytes, routing::post};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let router = Router::new().route("/", post(|body: Bytes| async { body }));
    axum::serve(TcpListener::bind(address).await?, router).await
}
