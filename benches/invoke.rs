//! Sync invoke of `hello` against a bare axum echo: `wrk -t1 -c32`, POST of 3 bytes, with interleaved rounds, so that a
//! noisy machine disturbs both alike. Prints requests per second, latency, and the ratio of the medians.
//!
//! Run by `cargo bench --workspace --bench invoke`; requires wrk and `make guests`.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use fusebox_harness::{Server, ServerOptions};

const ROUNDS: usize = 5;
const SECONDS_A_ROUND: &str = "4s";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if std::env::args().any(|arg| arg == "--echo") {
        return runtime.block_on(echo());
    }
    let home = tempfile::tempdir()?;
    let script = home.path().join("post.lua");
    std::fs::File::create(&script)?.write_all(b"wrk.method = \"POST\"\nwrk.body = \"Ada\"\n")?;
    let server = Server::start(ServerOptions {
        binary: env!("CARGO_BIN_EXE_fusebox").into(),
        store: home.path().join("store"),
        args: Vec::new(),
    })?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = std::fs::read(root.join("target/guests/hello.wasm")).context("run `make guests` first")?;
    runtime.block_on(server.client().register("hello", "", &module))?;
    let (mut echo, echo_url) = start_echo()?;
    let invoke_url = format!("{}/v1/functions/hello/invoke", server.url());

    let (mut echoes, mut invokes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (base, ours) = (wrk(&script, &echo_url)?, wrk(&script, &invoke_url)?);
        println!("round {round}: echo {base:>9.0} req/s   invoke {ours:>9.0} req/s   ratio {:.3}", ours / base);
        echoes.push(base);
        invokes.push(ours);
    }
    echo.kill()?;
    let (base, ours) = (median(echoes), median(invokes));
    println!("median:  echo {base:>9.0} req/s   invoke {ours:>9.0} req/s   ratio {:.3}", ours / base);
    Ok(())
}

/// Returns the requests per second counted by wrk; responses other than 2xx are errors.
fn wrk(script: &Path, url: &str) -> anyhow::Result<f64> {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "--latency", "-d", SECONDS_A_ROUND, "-s"])
        .arg(script)
        .arg(url)
        .output()
        .context("run wrk; install it with `apt-get install wrk`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(!text.contains("Non-2xx"), "{url} answered errors:\n{text}");
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk's rate")?;
    Ok(rate.trim().parse()?)
}

/// Starts a second process, like the host, that contains only axum.
fn start_echo() -> anyhow::Result<(Child, String)> {
    let program: PathBuf = std::env::current_exe()?;
    let mut child = Command::new(program).arg("--echo").stdout(Stdio::piped()).spawn()?;
    let mut url = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut url)?;
    Ok((child, url.trim().to_owned()))
}

async fn echo() -> anyhow::Result<()> {
    let router = axum::Router::new().route("/", axum::routing::post(|body: bytes::Bytes| async { body }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
