//! The escape drill as a program for tests: enters the given jail, optionally simulating a kernel without Landlock or
//! seccomp, and prints the results.
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
        // An arbitrary port; nothing connects to it here.
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
        // The directory is entered first, since the user that the process becomes may be unable to resolve its path.
        std::env::set_current_dir(cache).map_err(|error| error.to_string())?;
        scene.cache = Some(".".into());
    }
    let plan = Plan { inmate, user: User::NOBODY, limits: Vec::new() };
    let report = plan.enter(setting).map_err(|error| error.to_string())?;
    // On a thread started inside the jail, like a slot.
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
