//! Support of this kernel for jails: separate processes enter each kind of jail, report its layers and, on request, try
//! to break out.

use std::process::Command;

use anyhow::Context as _;
use bytesize::ByteSize;
use fusebox_jail::{drill::Verdict as Came, survey};
use fusebox_ui::table::Table;

use super::{Finding, Verdict};
use crate::{cli::drill::Drilled, node::parts};

/// Processes with a jail: the drill's name, and the name in the report.
pub(super) const INMATES: [(&str, &str); 5] = [
    ("worker", "jail of workers"),
    ("slot", "jail of runs"),
    ("compiler", "jail of compilers"),
    ("helper", "jail of workers' helpers"),
    ("proxy", "jail of egress proxies"),
];

/// Enters the jail of `inmate` in another process and tries to break out.
///
/// # Errors
/// Fails if that process fails.
pub(super) fn drill(inmate: &str) -> anyhow::Result<Drilled> {
    let home = tempfile::tempdir().context("make a directory")?;
    let program = parts::program()?;
    let output = Command::new(program).args(["drill", inmate, "--data"]).arg(home.path()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("read the drill's report")
}

/// Reports the state of a jail, and whether `--jail=require` would start.
pub(super) fn finding(what: &'static str, drilled: &anyhow::Result<Drilled>) -> Finding {
    let drilled = match drilled {
        Ok(drilled) => drilled,
        Err(error) => {
            let remedy = "find the cause first; workers start with --jail=off";
            return Finding::bad(what, Verdict::Warning, format!("{error:#}"), remedy);
        }
    };
    let line = |holds| {
        let layers = drilled.layers.iter().filter(|layer| layer.holds == holds);
        layers.map(|layer| format!("{}: {}", layer.name, layer.what)).collect::<Vec<_>>().join("; ")
    };
    let (lacks, got_out) = (line(false), drilled.rows.iter().filter(|row| !row.is_right()).count());
    match (lacks.is_empty(), got_out) {
        (true, 0) => Finding::ok(what, format!("complete, --jail=require starts; {}", line(true))),
        (_, got_out) => Finding::bad(
            what,
            Verdict::Warning,
            format!("{}; lacks {lacks}; {got_out} escape attempts succeed", line(true)),
            "--jail=auto starts without them, --jail=require does not; use a newer kernel, or one with lsm=landlock",
        ),
    }
}

/// Formats a table of the attempts to break out.
pub(super) fn table(inmate: &str, drilled: &Drilled) -> String {
    let mut table = Table::new(["", inmate.to_uppercase().as_str(), "RESULT"]);
    for row in &drilled.rows {
        let mark = if row.is_right() { "ok" } else { "wrong" };
        let came = match &row.verdict {
            Came::Refused(why) => format!("refused: {why}"),
            Came::Reached(why) => format!("allowed, and failed: {why}"),
            Came::Done => "done".to_owned(),
        };
        table.row([mark.to_owned(), row.attempt.clone(), came]);
    }
    table.to_string()
}

/// Reports the kernel's features that every jail uses.
pub(super) fn kernel() -> Finding {
    let survey = survey();
    let landlock = match survey.landlock {
        0 => "no Landlock".to_owned(),
        version => format!("Landlock version {version}"),
    };
    let seccomp = if survey.seccomp { "seccomp" } else { "no seccomp" };
    let memory = survey.memory_bytes_max.map_or_else(|| "no limit".to_owned(), |bytes| ByteSize(bytes).to_string());
    let user = if survey.uid == 0 { "root, which workers give up".to_owned() } else { format!("user {}", survey.uid) };
    let found = format!("{seccomp}, {landlock}; {user}; memory of the control group: {memory}");
    match survey.seccomp && survey.landlock >= 3 {
        true => Finding::ok("walls", found),
        false => Finding::bad("walls", Verdict::Warning, found, "Linux 6.2 or newer with seccomp and lsm=landlock,…"),
    }
}
