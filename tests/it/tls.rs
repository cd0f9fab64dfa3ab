//! https with a custom certificate: the command line trusts the configured authority, and a renewed certificate is used
//! after SIGHUP without a restart.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use fusebox_harness::{Client, Program, eventually, guests};

use crate::cli::{fusebox, stderr, stdout};

/// Writes a new certificate for 127.0.0.1 to `dir`; returns it in PEM.
fn renew(dir: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn up(dir: &Path, certificate: &str, key: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(["up", "--listen", "127.0.0.1:0", "--log", "error", "--store"]).arg(dir.join("store"));
    command.arg("--tls-cert").arg(dir.join(certificate)).arg("--tls-key").arg(dir.join(key));
    command
}

#[tokio::test]
async fn the_command_line_speaks_https_and_believes_whom_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    renew(home.path());
    let server = Program::start(up(home.path(), "cert.pem", "key.pem"), "https://").unwrap();
    let url = server.word("https://").unwrap();
    std::fs::write(home.path().join("echo.wasm"), guests::echo()).unwrap();
    let ca = home.path().join("cert.pem");
    let trusting = |line: &str| fusebox(&url, &format!("{line} --ca {}", ca.display()));
    stdout(&trusting(&format!("deploy {}", home.path().join("echo.wasm").display())));
    assert_eq!(stdout(&trusting("invoke echo --data secured")), "secured");
    let refused = fusebox(&url, "functions");
    assert!(!refused.status.success() && stderr(&refused).contains("--ca FILE"), "{}", stderr(&refused));
    let wrong = fusebox(&url, &format!("functions --ca {}", home.path().join("key.pem").display()));
    assert!(stderr(&wrong).contains("holds no certificate"), "{}", stderr(&wrong));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_at_sighup() {
    let home = tempfile::tempdir().unwrap();
    let old = renew(home.path());
    let server = Program::start(up(home.path(), "cert.pem", "key.pem"), "https://").unwrap();
    let url = server.word("https://").unwrap();
    let open = Client::with_ca(&url, &old).unwrap();
    let answer = open.get("/healthz").await.unwrap();
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    let new = renew(home.path());
    server.hang_up().unwrap();
    let fresh = Client::with_ca(&url, &new).unwrap();
    let shown = eventually("the new certificate", Duration::from_secs(30), || async {
        fresh.get("/healthz").await.is_ok().then_some(())
    });
    shown.await.unwrap();
    assert!(Client::with_ca(&url, &old).unwrap().get("/healthz").await.is_err(), "the old one is shown no longer");
}

#[test]
fn a_start_with_a_wrong_file_says_which_and_why() {
    let home = tempfile::tempdir().unwrap();
    renew(home.path());
    for (certificate, key, said) in [
        ("absent.pem", "key.pem", "the certificate (--tls-cert)"),
        ("key.pem", "cert.pem", "holds no certificate"),
        ("cert.pem", "cert.pem", "holds no private key"),
    ] {
        let output = up(home.path(), certificate, key).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(said), "{}", stderr(&output));
    }
}
