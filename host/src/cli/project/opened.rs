//! A project: a folder with `fusebox.toml`, read and checked as a whole before any command acts on it.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Component, Path, PathBuf},
};

use anyhow::Context as _;
use fusebox_api::setup::SetupParams;
use fusebox_core::capability::{Capability, Grant, Grants, SettingName};
use serde_json::Value;
use toml::Spanned;

use super::{manifest::Manifest, place::Misplaced};
use crate::cli::files::Mount;

/// Name of the file that makes a folder a project.
pub(crate) const MANIFEST: &str = "fusebox.toml";
/// Folder of a project for what commands write; not for version control.
pub(crate) const OUT: &str = ".fusebox";

/// An opened project.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Its file.
    pub(crate) manifest: Manifest,
    /// Grants of the function.
    pub(crate) grants: Grants,
    /// JSON Schemas of input and output.
    pub(crate) schemas: [Option<Value>; 2],
    text: String,
}

impl Project {
    /// Opens the project in a folder.
    ///
    /// # Errors
    /// Fails with file, line and column if its file is missing, is not valid, or has values that do not fit together.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let file = Self::file(dir);
        let bytes = std::fs::read(&file).with_context(|| {
            format!(
                "there is no project here: cannot read {}; `fusebox new NAME --lang LANG` makes one",
                file.display()
            )
        })?;
        let bytes = crate::text::unmarked(&bytes).with_context(|| file.display().to_string())?;
        let text = String::from_utf8(bytes.to_vec()).with_context(|| format!("{} is not UTF-8", file.display()))?;
        let manifest: Manifest = toml::from_str(&text).map_err(|error| Misplaced::of_toml(&file, &text, &error))?;
        let grants = Grants::of(manifest.grants.iter().map(|grant| grant.0.clone()));
        let grants = grants.with_context(|| file.display().to_string())?;
        let mut project = Self { dir: dir.to_owned(), manifest, grants, schemas: [None, None], text };
        project.check()?;
        let read =
            |schema: &Option<Spanned<toml::Value>>| schema.as_ref().map(|schema| project.schema(schema)).transpose();
        project.schemas = [read(&project.manifest.schema.input)?, read(&project.manifest.schema.output)?];
        Ok(project)
    }

    /// Returns the path of a folder's project file.
    pub(crate) fn file(dir: &Path) -> PathBuf {
        if dir == Path::new(".") { MANIFEST.into() } else { dir.join(MANIFEST) }
    }

    /// Returns an error at a range of the project's file.
    pub(crate) fn misplaced(&self, at: Option<Range<usize>>, message: impl Into<String>) -> Misplaced {
        Misplaced::new(&Self::file(&self.dir), &self.text, at, message)
    }

    /// Refuses values that are sound alone and do not fit together.
    fn check(&self) -> anyhow::Result<()> {
        let Manifest { build, config, env, .. } = &self.manifest;
        if let Err(error) = self.setup().read() {
            return Err(self.misplaced(None, error.to_string()).into());
        }
        if let Some(name) = env.keys().find(|name| name.contains('=')) {
            let message = format!("{name:?} cannot be the name of an environment variable: it contains =");
            return Err(self.misplaced(None, message).into());
        }
        if !config.is_empty() && !self.grants.missing(&[Capability::Config]).is_empty() {
            let message = "[config] has values, and the function is not granted config: add \"config\" to `grants`";
            return Err(self.misplaced(None, message).into());
        }
        let Some(module) = &build.module else {
            let message = "`module` is missing in [build]: add the path of the module that the build writes, such as \
                           module = \"build/hello.wasm\"";
            return Err(self.misplaced(None, message).into());
        };
        let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !module.get_ref().components().all(is_plain) {
            let message = "a path is relative to the project's folder, and does not lead out of it";
            return Err(self.misplaced(Some(module.span()), message).into());
        }
        Ok(())
    }

    /// Reads a JSON Schema: the content of a file, or the value itself.
    fn schema(&self, written: &Spanned<toml::Value>) -> anyhow::Result<Value> {
        let misplaced = |message: String| self.misplaced(Some(written.span()), message);
        let schema = match written.get_ref() {
            toml::Value::String(path) => {
                let bytes = std::fs::read(self.dir.join(path))
                    .map_err(|error| misplaced(format!("cannot read {path}: {error}")))?;
                let bytes =
                    crate::text::unmarked_json(&bytes).map_err(|error| misplaced(format!("{path}: {error}")))?;
                serde_json::from_slice(bytes).map_err(|error| misplaced(format!("{path} is not JSON: {error}")))?
            }
            value => serde_json::to_value(value).map_err(|error| misplaced(error.to_string()))?,
        };
        match schema {
            Value::Object(_) | Value::Bool(_) => Ok(schema),
            _ => Err(misplaced("a JSON Schema is an object, or true or false".to_owned()).into()),
        }
    }

    /// Returns the module that the build writes.
    pub(crate) fn module(&self) -> Option<PathBuf> {
        self.manifest.build.module.as_ref().map(|module| self.dir.join(module.get_ref()))
    }

    /// Returns the module that `build` makes of it: without custom sections, which `deploy` sends.
    pub(crate) fn built(&self) -> PathBuf {
        self.dir.join(OUT).join("module.wasm")
    }

    /// Returns the way to start the function.
    pub(crate) fn setup(&self) -> SetupParams {
        let manifest = &self.manifest;
        SetupParams {
            arg: manifest.args.clone(),
            env: manifest.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            export: manifest.export.clone(),
            public: manifest.public.then_some(true),
            content_type: manifest.content_type.as_ref().map(|kind| kind.0.0.clone()),
        }
    }

    /// Returns its configuration values.
    pub(crate) fn config(&self) -> BTreeMap<SettingName, String> {
        self.manifest.config.iter().map(|(name, value)| (name.0.clone(), value.clone())).collect()
    }

    /// Returns its grants, one by one.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.manifest.grants.iter().map(|grant| grant.0.clone()).collect()
    }

    /// Returns its directories of files, with their paths from the current folder.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        self.manifest.files.iter().map(|mount| mount.0.below(&self.dir)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(text: &str) -> anyhow::Result<Project> {
        let home = tempfile::tempdir()?;
        fs::write(home.path().join(MANIFEST), text)?;
        fs::write(home.path().join("in.json"), "{\"type\": \"string\"}")?;
        fs::write(home.path().join("bad.json"), "{")?;
        Project::open(home.path())
    }

    const WHOLE: &str = r#"
name = "shop"
language = "rust"
description = "Sells"
http = true
public = true
content_type = "text/html"
export = "run"
grants = ["config", "http=api.example.com"]
args = ["--fast"]
files = ["data:/srv"]
env = { LEVEL = "3" }
config = { CURRENCY = "EUR" }
[build]
command = "make"
module = "build/shop.wasm"
[limits]
cpu = "500ms"
fuel = 7
memory = "16MiB"
wall = "2s"
output = "1KiB"
log = "2KiB"
[schema]
input = "in.json"
output = { type = "object" }
"#;

    #[test]
    fn every_key_is_read() {
        let project = open(WHOLE).unwrap();
        let limits = project.manifest.limits.params();
        assert_eq!((limits.cpu_ms, limits.fuel, limits.memory_bytes), (Some(500), Some(7), Some(16 << 20)));
        assert_eq!(
            (limits.wall_ms, limits.output_bytes, limits.log_bytes),
            (Some(2_000), Some(1 << 10), Some(2 << 10))
        );
        assert_eq!(project.grants.to_list(), "config,http=api.example.com");
        let setup = project.setup();
        assert_eq!((setup.arg, setup.env), (vec!["--fast".to_owned()], vec!["LEVEL=3".to_owned()]));
        assert_eq!(
            (setup.export.as_deref(), setup.public, setup.content_type.as_deref()),
            (Some("run"), Some(true), Some("text/html"))
        );
        assert_eq!(project.schemas.map(|schema| schema.unwrap()["type"].clone()), ["string", "object"]);
        assert!(project.manifest.http && project.manifest.description.as_deref() == Some("Sells"));
    }

    #[test]
    fn a_mistake_has_its_line_its_column_and_a_remedy() {
        let minimal = "name = \"a\"\nbuild = { module = \"a.wasm\" }\n";
        open(minimal).unwrap();
        for (text, place, words) in [
            ("nam = \"a\"", ":1:1: ", "there is no key `nam` here: did you mean `name`?"),
            ("language = \"c\"", ": ", "the key `name` is missing: add it"),
            ("name = \"a\"\nlanguage = \"rst\"", ":2:12: ", "did you mean `rust`?"),
            ("name = \"\"", ":1:8: ", "must not be empty"),
            (&format!("{minimal}[limits]\nwal = \"1s\""), ":4:1: ", "did you mean `wall`?"),
            (&format!("{minimal}[limits]\nmemory = \"much\""), ":4:10: ", "a size such as 16MiB"),
            (&format!("{minimal}[limits]\nwall = 5"), ":4:8: ", "expected a string"),
            (&format!("{minimal}grants = [\"kv\", \"root\"]"), ":3:10: ", "\"root\" is not a grant"),
            (&format!("{minimal}files = [\"data:/../x\"]"), ":3:9: ", "DIR:/at"),
            (&format!("{minimal}content_type = \"png\""), ":3:16: ", "image/png"),
            (&format!("{minimal}config = {{ A = \"1\" }}"), ": ", "not granted config"),
            (&format!("{minimal}[config]\n\"a b\" = \"1\""), ":4:1: ", "1 to 128"),
            (&format!("{minimal}env = {{ \"A=B\" = \"1\" }}"), ": ", "it contains ="),
            (&format!("{minimal}[schema]\ninput = \"bad.json\""), ":4:9: ", "bad.json is not JSON"),
            (&format!("{minimal}[schema]\ninput = \"none.json\""), ":4:9: ", "cannot read none.json"),
            (&format!("{minimal}[schema]\noutput = 7"), ":4:10: ", "a JSON Schema is an object"),
            ("name = \"a\"", ": ", "`module` is missing"),
            ("name = \"a\"\n[build]\nmodule = \"../a.wasm\"", ":3:10: ", "does not lead out"),
            ("name = \"a\nb", ":2:", "expected `=`"),
        ] {
            let error = format!("{:#}", open(text).unwrap_err());
            let end = error.split(MANIFEST).nth(1).unwrap_or_default();
            assert!(end.starts_with(place) && error.contains(words), "{text}: {error}");
        }
        let missing = format!("{:#}", Project::open(Path::new("nowhere")).unwrap_err());
        assert!(missing.contains("nowhere/fusebox.toml") && missing.contains("fusebox new"), "{missing}");
    }
}
