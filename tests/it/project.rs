//! The author's loop: `new`, `build`, `test`, `dev`, `run` and `deploy` of a project, with the real binary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use fusebox_harness::{guests, program::Program};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cli::{stderr, stdout},
    server,
};

/// Variables that toolchains need.
const KEPT: [&str; 6] = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "TMPDIR"];

/// Folder in which commands run.
struct Desk {
    home: TempDir,
    url: String,
    rustc: Option<PathBuf>,
}

impl Desk {
    fn new(url: &str) -> Self {
        Self { home: tempfile::tempdir().unwrap(), url: url.to_owned(), rustc: None }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command.env_clear().args(line.split(' ')).current_dir(self.home.path()).stdin(Stdio::null());
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("FUSEBOX_URL", &self.url).env("FUSEBOX_CACHE", self.path("cache")).env("CARGO_NET_OFFLINE", "true");
        command.envs(self.rustc.iter().map(|rustc| ("RUSTC", rustc)));
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    #[track_caller]
    fn refused(&self, line: &str, words: &str) {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{line}: {}", stderr(&output));
    }
}

/// Returns a project whose module is there already, and which lets its input pass.
fn echo(url: &str) -> Desk {
    let desk = Desk::new(url);
    desk.write("echo/built.wasm", guests::echo());
    desk.write("echo/fusebox.toml", "name = \"echo\"\n[build]\nmodule = \"built.wasm\"\n[limits]\nwall = \"2s\"\n");
    desk.write("echo/tests/ada.in", "Ada");
    desk
}

#[test]
fn samples_are_run_compared_and_written() {
    let desk = echo("");
    desk.refused("test echo", "1 of 1 samples did not end as expected");
    let wrote = stdout(&desk.run("test echo --update"));
    assert!(wrote.contains("wrote   ada  echo/tests/ada.out"), "{wrote}");
    let passed = stdout(&desk.run("test echo"));
    assert!(passed.starts_with("ok      ada  ") && passed.contains("fuel"), "{passed}");

    desk.write("echo/tests/ada.out", "Grace");
    desk.write("echo/tests/json.json", "{\"a\": 1}");
    desk.write("echo/tests/json.out.json", "{ \"a\" : 1 }");
    let output = desk.run("test echo");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("FAILED  ada") && said.contains("-Grace") && said.contains("+Ada"), "{said}");
    assert!(output.status.code() == Some(1) && said.contains("ok      json"), "{said}");
    stdout(&desk.run("test echo --only json"));
    let report = desk.run("test echo --output json");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!((&report[0]["verdict"], &report[1]["verdict"]), (&"different".into(), &"ok".into()));
    assert!(report[1]["receipt"]["fuel"].as_u64().is_some());
    fs::remove_dir_all(desk.path("echo/tests")).unwrap();
    desk.refused("test echo", "there are no samples");
}

#[test]
fn what_a_run_reads_comes_from_the_file_of_the_host() {
    let desk = Desk::new("");
    desk.write("shop/built.wasm", guests::keeper());
    let grants = "grants = [\"config\", \"secrets\", \"kv\"]\nconfig = { COLOR = \"red\" }\n";
    desk.write("shop/fusebox.toml", format!("name = \"shop\"\n{grants}[build]\nmodule = \"built.wasm\"\n"));
    desk.write("shop/tests/host.toml", "[secrets]\nKEY = \"hunter2\"\n[kv]\nk = \"kept\"\n");
    for (name, input, words) in [("config", "cCOLOR", "red"), ("secret", "sKEY", "hunter2"), ("entry", "gk", "kept")] {
        desk.write(&format!("shop/tests/{name}.in"), input);
        stdout(&desk.run(&format!("test shop --only {name} --update")));
        let golden = fs::read(desk.path(&format!("shop/tests/{name}.out"))).unwrap();
        assert!(String::from_utf8_lossy(&golden).ends_with(words), "{golden:?}");
    }
    desk.write("shop/fusebox.toml", "name = \"shop\"\ngrants = [\"kv\"]\n[build]\nmodule = \"built.wasm\"\n");
    desk.refused("build shop", "--grant config --grant secrets");
    desk.write("shop/tests/host.toml", "[secret]\n");
    desk.refused("test shop", "shop/tests/host.toml:1:2: there is no key `secret` here: did you mean `secrets`?");
}

#[test]
fn a_file_is_run_once_without_a_host() {
    let desk = echo("");
    desk.write("fail.wasm", guests::fail());
    let output = desk.run("run echo/built.wasm --data Ada");
    assert_eq!(stdout(&output), "Ada");
    assert!(stderr(&output).contains("fuel") && stderr(&output).contains("3 B out"), "{}", stderr(&output));
    desk.write("input", "from a file");
    assert_eq!(stdout(&desk.run("run echo/built.wasm --input input")), "from a file");
    let json: Value = serde_json::from_str(&stdout(&desk.run("run echo/built.wasm --data x --output json"))).unwrap();
    assert_eq!((&json["output"], &json["receipt"]["output_bytes"]), (&"eA==".into(), &1.into()));
    let failed = desk.run("run fail.wasm --data boom");
    assert_eq!((failed.status.code(), failed.stdout.as_slice()), (Some(3), &b""[..]));
    assert!(stderr(&failed).contains("guest-error: boom"), "{}", stderr(&failed));
    desk.write("spin.wasm", guests::spin());
    let ended = desk.run("run spin.wasm --data x --fuel 1000");
    assert!(ended.status.code() == Some(3) && stderr(&ended).contains("out-of-fuel"), "{}", stderr(&ended));
    desk.write("settings.wasm", guests::keeper());
    desk.refused("run settings.wasm --data x", "--grant config");
    let granted = "run settings.wasm --grant config --grant secrets --grant kv --set COLOR=red --data cCOLOR";
    assert!(stdout(&desk.run(granted)).ends_with("red"));
    desk.refused(&format!("{granted} --secret NOT_SET"), "set the environment variable NOT_SET");
    desk.refused("run input", "00 61 73 6d");
}

#[test]
fn a_project_that_cannot_be_built_says_what_to_change() {
    let desk = echo("");
    desk.refused("build nowhere", "fusebox new");
    let toml = |rest: &str| format!("name = \"echo\"\n[build]\nmodule = \"built.wasm\"\n{rest}");
    desk.write("echo/fusebox.toml", toml("comand = \"make\"\n"));
    desk.refused("build echo", "echo/fusebox.toml:4:1: there is no key `comand` here: did you mean `command`?");
    desk.write("echo/fusebox.toml", toml("command = \"echo seen; exit 7\"\n"));
    desk.refused("build echo", "echo/fusebox.toml:4:11: the build command failed (exit status: 7)");
    assert!(stderr(&desk.run("build echo")).contains("seen"), "what a build prints is shown");
    desk.write("echo/fusebox.toml", toml("command = \"rm built.wasm\"\n"));
    desk.refused("build echo", "did not write it");
    desk.write("echo/fusebox.toml", toml("command = \"echo nonsense > built.wasm\"\n"));
    desk.refused("build echo", "invalid-module: ");
    let section = [&b"\0"[..], &[9], b"\x08producer"].concat();
    desk.write("echo/whole.wasm", [guests::echo(), section].concat());
    desk.write("echo/fusebox.toml", toml("command = \"cp whole.wasm built.wasm\"\n"));
    let built = stdout(&desk.run("build echo"));
    assert!(built.contains("core ABI") && built.contains("before custom sections were removed"), "{built}");
    assert_eq!(fs::read(desk.path("echo/.fusebox/module.wasm")).unwrap(), guests::echo());
    let schema: Value = serde_json::from_str(&stdout(&desk.run("schema"))).unwrap();
    assert_eq!(schema["title"], "fusebox.toml");
}

#[tokio::test]
async fn a_project_is_deployed_and_its_differences_are_shown() {
    let (server, _home) = server(&[]);
    let desk = echo(server.url());
    let first = stdout(&desk.run("deploy echo"));
    assert!(first.contains("echo version 1") && !first.contains("Differences"), "{first}");
    assert_eq!(stdout(&desk.run("invoke echo --data hello")), "hello");
    let toml = "name = \"echo\"\ngrants = [\"config\"]\nconfig = { COLOR = \"red\" }\n[build]\nmodule = \"built.wasm\"\n\
                [limits]\nwall = \"3s\"\n";
    desk.write("echo/fusebox.toml", toml);
    let second = desk.command("deploy").current_dir(desk.path("echo")).output().unwrap();
    let second = stdout(&second);
    for line in ["Differences from version 1:", "wall          2s -> 3s", "grants        +config"] {
        assert!(second.contains(line), "{second}");
    }
    assert!(stdout(&desk.run("config list echo")).contains("COLOR"));
    let flagged = stdout(&desk.run("deploy echo --wall 1s --name other"));
    assert!(flagged.contains("other version 1"), "{flagged}");
    let other: Value = serde_json::from_str(&stdout(&desk.run("functions other --output json"))).unwrap();
    assert!(other.to_string().contains("\"wall_ms\":1000"), "{other}");
}

#[tokio::test]
async fn changes_are_built_tested_and_deployed() {
    let (server, _home) = server(&[]);
    let desk = echo(server.url());
    desk.write("echo/tests/ada.out", "Ada");
    desk.write("echo/source.wasm", guests::echo());
    let toml = |wall: &str| {
        let build = "[build]\nmodule = \"built.wasm\"\ncommand = \"cp source.wasm built.wasm\"\n";
        format!("name = \"echo\"\n{build}[limits]\nwall = {wall:?}\n")
    };
    desk.write("echo/fusebox.toml", toml("2s"));
    let mut dev = desk.command("dev echo");
    dev.args(["--url", server.url()]).stderr(Stdio::null());
    let dev = Program::start(dev, "ok      ada").unwrap();
    dev.said("echo version 1").unwrap();
    dev.said("waiting for a change").unwrap();
    desk.write("echo/fusebox.toml", toml("much"));
    dev.said("waiting for a change").unwrap();
    desk.write("echo/fusebox.toml", toml("3s"));
    dev.said("echo version 2").unwrap();
    dev.said("waiting for a change").unwrap();
    desk.write("echo/tests/ada.out", "Grace");
    dev.said("FAILED  ada").unwrap();
    dev.said("waiting for a change").unwrap();
    desk.write("echo/fusebox.toml", toml("4s"));
    dev.said("FAILED  ada").unwrap();
    dev.said("waiting for a change").unwrap();
    let versions = server.client().get("/v1/functions/echo/versions").await.unwrap().json().unwrap();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2, "what fails is not deployed");
}

/// Returns a compiler of Rust with the target, as `make guests` finds it, without downloading one.
fn rustc() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    [PathBuf::from("rustc"), root.join("target/wasm-toolchain/bin/rustc")].into_iter().find(|rustc| {
        let asked = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
        let printed = Command::new(rustc).args(asked).output();
        printed.is_ok_and(|printed| Path::new(String::from_utf8_lossy(&printed.stdout).trim()).is_dir())
    })
}

/// Builds and tests a new project; false if this machine lacks its toolchain, which is then printed.
fn is_built(desk: &Desk, name: &str, language: &str) -> bool {
    let output = desk.run(&format!("test {name}"));
    let said = stderr(&output);
    if let Some(why) = said.split("error: cannot build: ").nth(1) {
        println!("NOT BUILT: the template of {language}: {why}");
        return false;
    }
    let ran = stdout(&output);
    assert!(ran.lines().all(|line| line.starts_with("ok ")) && ran.lines().count() >= 2, "{language}: {ran}");
    true
}

#[tokio::test]
async fn new_projects_build_test_and_deploy() {
    let (server, _home) = server(&[]);
    let mut desk = Desk::new(server.url());
    desk.rustc = rustc();
    for language in ["rust", "go", "c", "zig", "assemblyscript"] {
        let (plain, site) = (format!("my-{language}"), format!("{language}-site"));
        stdout(&desk.run(&format!("new {plain} --lang {language}")));
        stdout(&desk.run(&format!("new {site} --lang {language} --http")));
        if language == "rust" {
            // The crates that both need are compiled once.
            std::os::unix::fs::symlink(desk.path(&plain).join("target"), desk.path(&site).join("target")).unwrap();
        }
        if !is_built(&desk, &plain, language) || !is_built(&desk, &site, language) {
            continue;
        }
        stdout(&desk.run(&format!("deploy {plain}")));
        assert_eq!(stdout(&desk.run(&format!("invoke {plain} --data Grace"))), "Hello, Grace!", "{language}");
        let deployed = stdout(&desk.run(&format!("deploy {site} --public")));
        assert!(deployed.contains(&format!("/fn/{site}/")), "{deployed}");
        let page = server.client().get(&format!("/fn/{site}/?name=Grace")).await.unwrap();
        assert_eq!((page.status.as_u16(), page.body.as_slice()), (200, &b"Hello, Grace!"[..]), "{language}");
    }
}

#[test]
fn a_project_is_made_whole_or_not_at_all() {
    let desk = Desk::new("");
    desk.write("taken/file", "");
    desk.refused("new taken --lang c", "taken exists already");
    desk.refused("new My.App --lang c", "such as my-app");
    let unknown = desk.run("new app --lang ruust");
    assert!(unknown.status.code() == Some(2) && stderr(&unknown).contains("'rust'"), "{}", stderr(&unknown));
    assert_eq!(desk.run("new app").status.code(), Some(2));

    desk.write("repository/one/fusebox.toml", "name = \"{{name}}\"\n[build]\nmodule = \"{{ident}}.wasm\"\n");
    desk.write("repository/two/file", "");
    let git = |line: &str| {
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
        let git =
            Command::new("git").args(identity).args(line.split(' ')).current_dir(desk.path("repository")).output();
        assert!(git.unwrap().status.success(), "git {line}");
    };
    git("init --quiet");
    git("add .");
    git("commit --quiet -m Templates");
    let url = format!("file://{}", desk.path("repository").display());
    stdout(&desk.run(&format!("new my-app --template {url}#one")));
    let made = fs::read_to_string(desk.path("my-app/fusebox.toml")).unwrap();
    assert_eq!(made, "name = \"my-app\"\n[build]\nmodule = \"my_app.wasm\"\n");
    assert!(!desk.path("my-app/.git").exists());
    desk.refused(&format!("new none --template {url}#two"), "has no two/fusebox.toml");
    desk.refused(&format!("new none --template {url}#../x"), "leads out of the repository");
    desk.refused(&format!("new none --template {url}/gone"), "git cannot fetch");
    std::os::unix::fs::symlink("/etc/hosts", desk.path("repository/one/link")).unwrap();
    git("add .");
    git("commit --quiet -m Link");
    desk.refused(&format!("new none --template {url}#one"), "is a link");
    let left: Vec<_> = fs::read_dir(desk.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".fusebox-new")), "{left:?}");
}
