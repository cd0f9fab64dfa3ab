//! Grants, configuration and secrets by the command line.

use std::process::{Command, Stdio};

use fusebox_harness::{Server, guests};
use tempfile::TempDir;

use super::{BINARY, ask};
use crate::server;

/// A host, the file of the module `keeper`, and the command line.
struct Typed {
    server: Server,
    file: String,
    _home: TempDir,
}

impl Typed {
    fn new() -> Self {
        let (server, home) = server(&[]);
        let wasm = home.path().join("keeper.wasm");
        std::fs::write(&wasm, guests::keeper()).unwrap();
        Self { server, file: wasm.to_str().unwrap().to_owned(), _home: home }
    }

    /// Runs a command; returns whether it succeeded, and its output.
    fn run(&self, line: &str, stdin: &str) -> (bool, String) {
        let mut command = Command::new(BINARY);
        command.args(line.split(' ')).args(["--url", self.server.url()]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// Runs a command that must succeed; returns its output.
    fn says(&self, line: &str, stdin: &str) -> String {
        let (ended, said) = self.run(line, stdin);
        assert!(ended, "{line}: {said}");
        said
    }

    fn deploy(&self, more: &str) -> String {
        self.says(&format!("deploy {} --grant kv --grant config --grant secrets{more}", self.file), "")
    }
}

#[test]
fn deploy_shows_which_grants_are_missing_given_and_new() {
    let typed = Typed::new();
    let (ended, said) = typed.run(&format!("deploy {} --grant kv", typed.file), "");
    assert!(!ended && said.contains("--grant config --grant secrets"), "{said}");
    assert!(typed.deploy("").contains("Granted: config, secrets, kv"));
    let said = typed.deploy(" --grant http=a.example.com");
    assert!(said.contains("New since the previous version: http=a.example.com"), "{said}");
    assert!(typed.says("functions keeper", "").contains("config,secrets,kv,http=a.example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_lists_and_unsets_configuration() {
    let typed = Typed::new();
    typed.deploy("");
    typed.says("config set keeper CITY=Oslo EMPTY=", "");
    let client = typed.server.client();
    assert_eq!(ask(&client, "keeper", "cCITY").await, (4, b"Oslo".to_vec()));
    assert_eq!(ask(&client, "keeper", "cEMPTY").await, (0, Vec::new()));
    assert!(typed.says("config list keeper", "").contains("Oslo"));
    typed.says("config unset keeper CITY", "");
    assert_eq!(ask(&client, "keeper", "cCITY").await.0, -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_secrets_and_never_shows_them() {
    let typed = Typed::new();
    typed.deploy("");
    typed.says("secrets set keeper KEY", "hunter2\n");
    let client = typed.server.client();
    assert_eq!(ask(&client, "keeper", "sKEY").await, (7, b"hunter2".to_vec()));
    let listed = typed.says("secrets list keeper", "");
    assert!(listed.contains("KEY") && !listed.contains("hunter2"), "{listed}");
    typed.says("secrets unset keeper KEY", "");
    assert_eq!(ask(&client, "keeper", "sKEY").await.0, -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_last_version_of_a_function_deletes_its_data() {
    let typed = Typed::new();
    typed.deploy("");
    typed.says("config set keeper CITY=Oslo", "");
    let client = typed.server.client();
    ask(&client, "keeper", "pkvalue").await;
    typed.says("functions keeper --delete", "");
    typed.deploy("");
    assert_eq!(ask(&client, "keeper", "gk").await.0, -1);
    assert_eq!(ask(&client, "keeper", "cCITY").await.0, -1);
}
