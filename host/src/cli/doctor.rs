//! `fusebox doctor`: reports the features of this machine, missing ones and how to get them. It tests the real thing:
//! it compiles and runs a module, binds the port, connects to the store. It leaves nothing behind.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use bytesize::ByteSize;
use clap::Args;
use fusebox_core::{function::RunLimits, limits::CONNECTIONS_MAX};
use fusebox_ui::{self as ui, table::Table};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::{
    node::{
        parts::{self, StoreAddress},
        store::RedisArgs,
    },
    scripts::{self, find::RuntimeArgs},
};
use fusebox_ui::OutputFormat;

mod store;
mod trial;
mod walls;

/// Subject of the checks.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Address that REST would listen on
    #[arg(long, env = "FUSEBOX_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Store of functions and tasks: a directory, or the address of a Redis. Nothing is created or written there
    #[arg(long, env = "FUSEBOX_STORE", hide_env_values = true, default_value = "fusebox-data", value_name = "DIR|URL")]
    pub store: StoreAddress,
    /// Options of the store.
    #[command(flatten)]
    pub redis: RedisArgs,
    /// Runtimes of scripts.
    #[command(flatten)]
    pub scripts: RuntimeArgs,
    /// Show every attempt to break out of the jails, and its result
    #[arg(long)]
    pub drill: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// A host works without it, but less well.
    Warning,
    /// A host cannot run without it.
    Missing,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// Action to take, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn bad(what: &'static str, verdict: Verdict, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, verdict, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Runs the checks and prints the report.
///
/// # Errors
/// Fails if something that a host requires is missing.
pub async fn run(args: DoctorArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut findings = vec![sandbox(), store::finding(&args.store, &args.redis).await, port(args.listen)];
    findings.extend([memory(), open_files(), kernel(), scripts(&args), rust()]);
    findings.extend(["wasm32-unknown-unknown", "wasm32-wasip1"].map(target));
    let drills = walls::INMATES.map(|(inmate, what)| (inmate, what, walls::drill(inmate)));
    findings.push(walls::kernel());
    findings.extend(drills.iter().map(|(_, what, drilled)| walls::finding(what, drilled)));
    let missing = findings.iter().filter(|finding| finding.verdict == Verdict::Missing).count();
    let drills = drills.into_iter().filter(|_| args.drill).filter_map(|(name, _, drilled)| Some((name, drilled.ok()?)));
    match format {
        OutputFormat::Json if args.drill => {
            let drills: BTreeMap<_, _> = drills.collect();
            ui::json(&serde_json::json!({ "findings": findings, "drills": drills }))?;
        }
        OutputFormat::Json => ui::json(&findings)?,
        OutputFormat::Text => {
            ui::say(report(&findings))?;
            drills.into_iter().try_for_each(|(inmate, drilled)| ui::say(walls::table(inmate, &drilled)))?;
        }
    }
    anyhow::ensure!(missing == 0, "a host cannot run here yet: fix the failed checks above");
    Ok(())
}

fn report(findings: &[Finding]) -> String {
    let mut table = Table::new(["", "CHECK", "RESULT"]);
    for Finding { what, verdict, found, remedy } in findings {
        let mark = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Missing => "missing",
        };
        table.row([mark.to_owned(), (*what).to_owned(), found.clone()]);
        if let Some(remedy) = remedy {
            table.row([String::new(), String::new(), format!("→ {remedy}")]);
        }
    }
    table.to_string()
}

/// Compiles a module in a child process and runs it: the whole sandbox, once.
fn sandbox() -> Finding {
    match trial::run() {
        Ok(found) => Finding::ok("sandbox", found),
        Err(error) => Finding::bad(
            "sandbox",
            Verdict::Missing,
            format!("{error:#}"),
            "the engine reserves address space: allow it with `ulimit -v unlimited`, and run on Linux x86-64 or arm64",
        ),
    }
}

fn port(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("port", format!("{listen} is free")),
        Err(error) => Finding::bad(
            "port",
            Verdict::Warning,
            format!("{listen}: {error}"),
            "is a host running already? Otherwise choose another with --listen",
        ),
    }
}

/// Warns only if not even functions with default limits fit: a host starts with less, and few runs reach their limit.
fn memory() -> Finding {
    let all = |each: u64| u64::from(parts::cores()) * each;
    let (usual, ceiling) = (all(RunLimits::default().memory_bytes), all(RunLimits::CEILING.memory_bytes));
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?.to_owned();
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1_024)
    });
    let Some(bytes) = available else {
        return Finding::bad("memory", Verdict::Warning, "unknown", "run on Linux, which reports it in /proc");
    };
    let found = format!("{} available", ByteSize(bytes));
    match bytes {
        bytes if bytes >= ceiling => Finding::ok("memory", found),
        bytes if bytes >= usual => {
            Finding::ok("memory", format!("{found}; {} if all slots run at their ceiling", ByteSize(ceiling)))
        }
        _ => Finding::bad(
            "memory",
            Verdict::Warning,
            format!("{found}; all slots at the default limit need {}", ByteSize(usual)),
            "fewer slots (-w) or a lower ceiling (--max-memory)",
        ),
    }
}

/// Always passes: a host with fewer files serves fewer connections at once.
fn open_files() -> Finding {
    // `up` raises the soft limit to the hard one.
    let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let need = CONNECTIONS_MAX as u64 + 256;
    Finding::ok(
        "open files",
        match allowed >= need {
            true => format!("{allowed} allowed"),
            false => {
                format!("{allowed} allowed; {need} serve {CONNECTIONS_MAX} connections at once (`ulimit -Hn`, as root)")
            }
        },
    )
}

/// Clearing a slot between runs needs the list of written pages, which Linux reports since 6.7.
fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    match version >= (6, 7) {
        true => Finding::ok("kernel", format!("Linux {release}")),
        false => Finding::bad(
            "kernel",
            Verdict::Warning,
            format!("Linux {release}"),
            "6.7 or newer clears the memory between runs faster",
        ),
    }
}

/// A host without runtimes runs modules alone.
fn scripts(args: &DoctorArgs) -> Finding {
    let data = match &args.store {
        StoreAddress::Directory(dir) => dir.as_path(),
        StoreAddress::Redis(_) => Path::new("fusebox-data"),
    };
    let what = "scripts";
    match args.scripts.find(data) {
        Ok(runtimes) if runtimes.is_empty() => {
            Finding::bad(what, Verdict::Warning, "no runtime, so that scripts cannot be deployed", scripts::REMEDY)
        }
        Ok(runtimes) => Finding::ok(what, runtimes.names()),
        Err(error) => Finding::bad(what, Verdict::Missing, format!("{error:#}"), scripts::REMEDY),
    }
}

fn rust() -> Finding {
    let output = Command::new("cargo").arg("--version").output();
    match output {
        Ok(output) if output.status.success() => {
            Finding::ok("rust", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => Finding::bad(
            "rust",
            Verdict::Warning,
            "no cargo",
            "needed only to write functions in Rust: https://rustup.rs",
        ),
    }
}

fn target(target: &'static str) -> Finding {
    let libdir = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let there = libdir.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    match there {
        true => Finding::ok(target, "installed"),
        false => Finding::bad(target, Verdict::Warning, "not installed", format!("rustup target add {target}")),
    }
}
