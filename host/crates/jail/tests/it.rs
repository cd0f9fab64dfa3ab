//! The escape drill inside real jails: forbidden attempts are blocked, necessary operations work, and failures to block
//! are detected.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs::File,
    os::unix::fs::chown,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const DRILL: &str = env!("CARGO_BIN_EXE_jail-drill");

/// Returns a directory owned by the jailed user, whose path that user may be unable to resolve.
fn cache() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    }
    dir
}

fn drill(arguments: &[&str]) -> Output {
    Command::new(DRILL).args(arguments).env_clear().output().unwrap()
}

/// Runs the drill and returns its output.
fn done(arguments: &[&str]) -> String {
    let output = drill(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the attempts whose results differ from those of a complete jail.
fn wrong(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("WRONG\t")?.split('\t').nth(1)).collect()
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(start)).unwrap()
}

fn inmates(dir: &Path) -> [Vec<&str>; 5] {
    [vec!["worker", dir.to_str().unwrap()], vec!["slot"], vec!["compiler"], vec!["helper"], vec!["proxy"]]
}

#[test]
fn every_inmate_is_refused_what_it_must_be_and_can_work() {
    let dir = cache();
    for mut inmate in inmates(dir.path()) {
        inmate.push("require");
        let text = done(&inmate);
        assert_eq!(line(&text, "lacks: "), "", "this kernel lacks a part of the jail");
        let tried =
            |text: &str| text.lines().filter(|line| line.starts_with("right\t") || line.starts_with("WRONG\t")).count();
        assert!(tried(&text) > 80, "{text}");
        assert_eq!(wrong(&text), Vec::<&str>::new(), "{inmate:?}\n{text}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "the drill leaves nothing behind");
}

#[test]
fn without_a_jail_the_drill_gets_out() {
    let dir = cache();
    let text = done(&["worker", dir.path().to_str().unwrap(), "off"]);
    let wrong = wrong(&text);
    for attempt in ["read /etc/passwd", "socket TCP", "fork", "kill of the parent", "run a program", "list /"] {
        assert!(wrong.contains(&attempt), "{attempt} should be possible: {text}");
    }
    assert!(wrong.len() > 40, "{text}");
}

/// Verifies that a call missing from the filters would be detected: the same attempts succeed without a jail.
#[test]
fn calls_that_helpers_and_proxies_have_no_use_for_are_found_where_they_pass() {
    for inmate in ["helper", "proxy"] {
        let text = done(&[inmate, "off"]);
        let wrong = wrong(&text);
        // Attempts that are blocked neither by kernels without the feature nor by missing root privileges.
        for attempt in ["socket netlink", "advice about the parent's memory", "signal by a descriptor", "bind"] {
            assert!(wrong.contains(&attempt), "{inmate}: {attempt} should be found: {text}");
        }
    }
}

#[test]
fn a_kernel_that_lacks_a_part_gives_the_rest_where_that_will_do() {
    let dir = cache();
    let dir = dir.path().to_str().unwrap();
    let text = done(&["worker", dir, "auto", "landlock"]);
    assert!(line(&text, "lacks: ").starts_with("Landlock ("), "{text}");
    // Only files that its user can read or write anyway.
    let files = ["read /etc/passwd", "open a device", "write beside its directory"];
    assert!(wrong(&text).contains(&files[0]), "{text}");
    assert!(wrong(&text).iter().all(|attempt| files.contains(attempt)), "seccomp holds: {text}");
    let text = done(&["worker", dir, "auto", "seccomp"]);
    assert!(line(&text, "lacks: ").starts_with("seccomp ("), "{text}");
    let wrong = wrong(&text);
    assert!(wrong.contains(&"socket UDP"), "{text}");
    for held in ["read /etc/passwd", "connect to this machine", "run a program", "write a file in /tmp", "list /"] {
        assert!(!wrong.contains(&held), "Landlock holds: {held}");
    }
}

#[test]
fn a_kernel_that_lacks_a_part_is_refused_where_all_is_required() {
    for lack in ["landlock", "seccomp"] {
        let output = drill(&["slot", "require", lack]);
        let why = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success() && why.contains(lack) && why.contains("--jail=auto"), "{lack}: {why}");
    }
}

#[test]
fn a_descriptor_that_is_inherited_is_closed() {
    // A descriptor without close-on-exec, as C libraries create them.
    let file = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    // stdin, stdout, stderr, and the one used for counting.
    assert_eq!(line(&done(&["slot", "auto"]), "descriptors: "), "4");
}
