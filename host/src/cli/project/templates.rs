//! Templates of projects, and the sources of the SDKs, which this program carries. A template's files are in
//! `host/templates/LANGUAGE`: those of every project in `base`, and those of one kind in `function` or `http`.

use std::{fs, path::Path};

use anyhow::Context as _;
use include_dir::{Dir, DirEntry, include_dir};

use super::{language::Language, schema};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/src");
static GO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/go");
static C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/c");
static MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/macros/src");

/// File of a project with the JSON Schema of `fusebox.toml`, for editors.
const SCHEMA: &str = ".fusebox.schema.json";
/// Start of the names of files that are hidden in a project, and are not in this program's own folders.
const HIDDEN: &str = "dot-";

/// Values for the places of a template that differ between projects.
pub(super) struct Blanks<'a> {
    /// Name of the project.
    pub(super) name: &'a str,
    /// Sentence that says what it does.
    pub(super) description: &'a str,
    /// True if it answers HTTP requests.
    pub(super) is_http: bool,
}

impl Blanks<'_> {
    /// Returns a text with its places filled.
    pub(super) fn filled(&self, text: &str) -> String {
        text.replace("{{name}}", self.name)
            .replace("{{ident}}", &self.name.replace('-', "_"))
            .replace("{{description}}", self.description)
            .replace("{{http}}", if self.is_http { "http = true\n" } else { "" })
    }
}

/// Writes a project in this language into an empty folder.
///
/// # Errors
/// Fails if a file cannot be written.
pub(super) fn write(language: Language, blanks: &Blanks<'_>, to: &Path) -> anyhow::Result<()> {
    let own = TEMPLATES.get_dir(language.as_str()).context("this program has no template of this language")?;
    let kind = if blanks.is_http { "http" } else { "function" };
    let part = |of: &'static Dir<'static>, name: &str| of.get_dir(of.path().join(name));
    let (table, setup) = readme(language);
    let filled = |text: &str| blanks.filled(&text.replace("{{table}}", table).replace("{{setup}}", setup));
    for dir in [part(&TEMPLATES, "common"), part(own, "base"), part(own, kind)].into_iter().flatten() {
        extract(dir, dir.path(), to, &filled)?;
    }
    for (dir, place) in sdk(language) {
        extract(dir, dir.path(), &to.join(place), &str::to_owned)?;
    }
    let schema = serde_json::to_string_pretty(&schema::schema()?)?;
    Ok(fs::write(to.join(SCHEMA), schema + "\n")?)
}

/// Returns the sources of the SDK that a project in this language gets, and their places in it.
fn sdk(language: Language) -> Vec<(&'static Dir<'static>, &'static str)> {
    match language {
        Language::Rust => vec![(&SDK, "vendor/fusebox-guest/src"), (&MACROS, "vendor/fusebox-guest-macros/src")],
        Language::Go => vec![(&GO, "fusebox")],
        Language::C => vec![(&C, "")],
        Language::Zig | Language::AssemblyScript => Vec::new(),
    }
}

fn extract(dir: &Dir<'_>, root: &Path, to: &Path, filled: &impl Fn(&str) -> String) -> anyhow::Result<()> {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => extract(dir, root, to, filled)?,
            DirEntry::File(file) => {
                let path = file.path().strip_prefix(root)?.to_str().context("a name of a template is text")?;
                let path = to.join(path.replace(HIDDEN, "."));
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                match file.contents_utf8() {
                    Some(text) => fs::write(&path, filled(text)),
                    None => fs::write(&path, file.contents()),
                }
                .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Returns the rows of the README's table about a language's own files, and what its toolchain requires.
const fn readme(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::Rust => (
            "| `src/lib.rs` | the function, and tests that `cargo test` runs natively |\n| `vendor/` | the SDK, with documentation: `cargo doc --open` |\n",
            "It requires Rust 1.95 or newer, from <https://rustup.rs>, and `rustup target add wasm32-unknown-unknown`.",
        ),
        Language::Go => (
            "| `main.go`, `main_test.go` | the function, and tests that `go test` runs natively |\n| `fusebox/` | the host's calls, for functions with grants, and a fake host for tests: `import fusebox \"github.com/fusebox/fusebox/guest-sdk/go\"` |\n",
            "It requires Go 1.21 or newer, from <https://go.dev/dl>.",
        ),
        Language::C => (
            "| `main.c` | the function |\n| `fusebox.h` | the host's calls, for functions with grants |\n",
            "It requires clang, lld and wasi-libc, of the system's packages or of the [WASI SDK](https://github.com/WebAssembly/wasi-sdk/releases); `fusebox build` names the packages.",
        ),
        Language::Zig => {
            ("| `src/main.zig` | the function |\n", "It requires Zig, such as that of `pip install ziglang`.")
        }
        Language::AssemblyScript => (
            "| `assembly/index.ts` | the function |\n| `assembly/fusebox.ts` | the host's interface |\n",
            "It requires Node.js with npm; `npm install` fetches the compiler.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::project::opened::Project;

    /// Collects the paths of a folder's files, relative to it.
    fn on_disk(dir: &Path, root: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                on_disk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }

    fn carried(dir: &Dir<'_>, found: &mut Vec<PathBuf>) {
        found.extend(dir.files().map(|file| file.path().to_owned()));
        dir.dirs().for_each(|dir| carried(dir, found));
    }

    /// The compiler does not notice files that are added to a folder after it has read it.
    #[test]
    fn the_program_carries_the_files_that_there_are() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = [
            (&TEMPLATES, "templates"),
            (&SDK, "../guest-sdk/src"),
            (&MACROS, "../guest-sdk/macros/src"),
            (&GO, "../guest-sdk/go"),
            (&C, "../guest-sdk/c"),
        ];
        for (dir, path) in folders {
            let (mut there, mut here) = (Vec::new(), Vec::new());
            on_disk(&home.join(path), &home.join(path), &mut there);
            carried(dir, &mut here);
            there.sort();
            here.sort();
            assert_eq!(here, there, "{path} has changed: touch host/src/cli/project/templates.rs");
        }
    }

    #[test]
    fn each_template_is_a_project_without_blanks() {
        for language in Language::ALL {
            for is_http in [false, true] {
                let home = tempfile::tempdir().unwrap();
                let blanks = Blanks { name: "my-app", description: "Greets", is_http };
                write(language, &blanks, home.path()).unwrap();
                let project = Project::open(home.path()).unwrap();
                let manifest = &project.manifest;
                assert_eq!(
                    (manifest.name.0.as_str(), manifest.language, manifest.http),
                    ("my-app", Some(language), is_http)
                );
                let mut files = Vec::new();
                on_disk(home.path(), home.path(), &mut files);
                let has = |path: &str| files.contains(&PathBuf::from(path));
                assert!([".gitignore", ".vscode/settings.json", "README.md", SCHEMA].into_iter().all(has), "{files:?}");
                assert!(files.iter().any(|file| file.starts_with("tests")), "{language:?} has samples");
                for file in files.iter().filter(|file| !file.starts_with("vendor") && !file.starts_with("fusebox")) {
                    let text = fs::read_to_string(home.path().join(file)).unwrap();
                    let blank = ["{{name", "{{ident", "{{http", "{{desc", "{{table", "{{setup"];
                    assert!(!blank.iter().any(|blank| text.contains(blank)), "{language:?}: {}", file.display());
                }
            }
        }
    }

    /// The SDK's copy has a file of its own for Cargo, without the workspace's values.
    #[test]
    fn the_carried_sdk_depends_on_what_the_sdk_depends_on() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: &str| -> toml::Table { fs::read_to_string(home.join(path)).unwrap().parse().unwrap() };
        let all = read("../Cargo.toml")["workspace"]["dependencies"].as_table().unwrap().clone();
        let field = |dependency: &toml::Value, key: &str| dependency.get(key).cloned();
        for (own, copy) in [("../guest-sdk", "fusebox-guest"), ("../guest-sdk/macros", "fusebox-guest-macros")] {
            let own = read(&format!("{own}/Cargo.toml"));
            let copy = read(&format!("templates/rust/base/vendor/{copy}/Cargo.toml"));
            let names =
                |table: &toml::Table| table["dependencies"].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&own), names(&copy));
            assert_eq!(own.get("features"), copy.get("features"));
            let dependencies = copy["dependencies"].as_table().unwrap();
            for (name, dependency) in dependencies.iter().filter(|(name, _)| !name.starts_with("fusebox")) {
                let version =
                    |dependency: &toml::Value| field(dependency, "version").unwrap_or_else(|| dependency.clone());
                let ours = all.get(name).unwrap();
                assert_eq!(version(dependency), version(ours), "{name}");
                assert_eq!(field(dependency, "default-features"), field(ours, "default-features"), "{name}");
                assert_eq!(field(dependency, "features"), field(ours, "features"), "{name}");
            }
        }
    }
}
