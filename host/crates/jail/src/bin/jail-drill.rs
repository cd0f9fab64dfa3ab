//! The drill as a program of its own, for tests: enters a jail as told, on a kernel that lacks what it is told, and prints
//! what came of it.
//!
//! `jail-drill worker DIR|slot|compiler|helper|proxy auto|require|off [landlock] [seccomp]`

use std::{io::Write as _, process::ExitCode};

use fusebox_jail::{
    Inmate, Plan, Setting, User,
    drill::{self, Scene, Verdict},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(text) => {
            let written = std::io::stdout().write_all(text.as_bytes());
            written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Err(why) => {
            let _ = std::io::stderr().write_all(why.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, String> {
    let usage = || "inmate, setting, and what the kernel lacks".to_owned();
    let (inmate, arguments) = match arguments {
        [inmate, dir, rest @ ..] if inmate == "worker" => (Inmate::Worker { cache: dir.into() }, rest),
        [inmate, rest @ ..] if inmate == "slot" => (Inmate::Slot, rest),
        [inmate, rest @ ..] if inmate == "compiler" => (Inmate::Compiler, rest),
        // A port that nobody connects to here.
        [inmate, rest @ ..] if inmate == "helper" => (Inmate::Helper { ports: vec![1] }, rest),
        [inmate, rest @ ..] if inmate == "proxy" => (Inmate::Proxy, rest),
        _ => return Err(usage()),
    };
    let (setting, lacks) = arguments.split_first().ok_or_else(usage)?;
    let setting: Setting = setting.parse()?;
    let without = |what: &str| lacks.iter().any(|lack| lack == what);
    if !lacks.is_empty() {
        drill::withhold(without("landlock"), without("seccomp"))?;
    }
    fusebox_jail::close_inherited();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let mut scene = Scene { inmate: inmate.clone(), cache: None };
    if let Inmate::Worker { cache } = &inmate {
        // Reached without a way there, which the user that it becomes may not have.
        std::env::set_current_dir(cache).map_err(|error| error.to_string())?;
        scene.cache = Some(".".into());
    }
    let plan = Plan { inmate, user: User::NOBODY, limits: Vec::new() };
    let report = plan.enter(setting).map_err(|error| error.to_string())?;
    // As a slot: on a thread that started inside.
    let rows = std::thread::spawn(move || drill::run(&scene)).join().map_err(|_| "the drill panicked".to_owned())?;
    let mut text = format!("descriptors: {descriptors}\nholds: {}\nlacks: {}\n", report.line(true), report.line(false));
    for row in rows {
        let (word, why) = match &row.verdict {
            Verdict::Refused(why) => ("refused", why.as_str()),
            Verdict::Reached(why) => ("REACHED", why.as_str()),
            Verdict::Done => ("done", ""),
        };
        let right = if row.is_right() { "right" } else { "WRONG" };
        text.push_str(&format!("{right}\t{word}\t{}\t{why}\n", row.attempt));
    }
    Ok(text)
}
