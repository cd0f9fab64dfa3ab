//! Content of a project's deploy: its built module and the values of its file, unless flags state others.

use std::path::{Path, PathBuf};

use fusebox_api::functions::LimitParams;

use super::{build, opened::Project};
use crate::cli::deploy::{DeployArgs, Sending};

/// Returns the project that a deploy names: that of the current folder, or of the folder that is named instead of a
/// module; `None` for a module.
///
/// # Errors
/// Fails if the folder has no valid project.
pub(crate) fn project(file: Option<&PathBuf>) -> anyhow::Result<Option<Project>> {
    match file {
        None => Project::open(Path::new(".")).map(Some),
        Some(file) if file.is_dir() => Project::open(file).map(Some),
        Some(_) => Ok(None),
    }
}

impl Sending {
    /// Builds a project and returns the content of its deploy. Flags win over the file; a flag that may be given several
    /// times replaces all values of its key.
    ///
    /// # Errors
    /// Fails if the project cannot be built.
    pub(crate) fn of(project: &Project, flags: DeployArgs) -> anyhow::Result<Self> {
        Ok(Self::built(project, build::build(project)?.wasm).with(flags))
    }

    /// Returns what a deploy of a built project sends, as its file says.
    pub(super) fn built(project: &Project, wasm: Vec<u8>) -> Self {
        Self {
            name: project.manifest.name.0.as_str().to_owned(),
            wasm,
            mounts: project.mounts(),
            limits: project.manifest.limits.params(),
            grants: project.grants(),
            setup: project.setup(),
            config: project.config(),
            is_http: project.manifest.http,
        }
    }

    /// Replaces the values that flags state.
    fn with(mut self, flags: DeployArgs) -> Self {
        let DeployArgs { name, grants, args, env, files, export, content_type, public, limits, .. } = flags;
        self.name = name.unwrap_or(self.name);
        self.limits = over(limits.params(), self.limits);
        for (own, flags) in [(&mut self.setup.arg, args), (&mut self.setup.env, env)] {
            if !flags.is_empty() {
                *own = flags;
            }
        }
        self.setup.export = export.or(self.setup.export);
        self.setup.content_type = content_type.or(self.setup.content_type);
        self.setup.public = public.then_some(true).or(self.setup.public);
        if !grants.is_empty() {
            self.grants = grants;
        }
        if !files.is_empty() {
            self.mounts = files;
        }
        self
    }
}

/// Returns the limits of flags, completed from those of the file. CPU time and fuel bound the same resource: a flag for
/// one of them replaces both.
fn over(flags: LimitParams, file: LimitParams) -> LimitParams {
    let (fuel, cpu_ms) = match (flags.fuel, flags.cpu_ms) {
        (None, None) => (file.fuel, file.cpu_ms),
        chosen => chosen,
    };
    LimitParams {
        fuel,
        cpu_ms,
        wall_ms: flags.wall_ms.or(file.wall_ms),
        memory_bytes: flags.memory_bytes.or(file.memory_bytes),
        output_bytes: flags.output_bytes.or(file.output_bytes),
        log_bytes: flags.log_bytes.or(file.log_bytes),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn sending(flags: &str) -> Sending {
        let home = tempfile::tempdir().unwrap();
        let text = "name = \"shop\"\ngrants = [\"kv\"]\nargs = [\"a\"]\npublic = true\nenv = { A = \"1\" }\n\
                    [build]\nmodule = \"a.wasm\"\n[limits]\nfuel = 7\nwall = \"2s\"\n";
        std::fs::write(home.path().join("fusebox.toml"), text).unwrap();
        std::fs::write(
            home.path().join("a.wasm"),
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b",
        )
        .unwrap();
        let words = ["fusebox", "deploy"].into_iter().chain(flags.split_whitespace());
        let Command::Deploy(args) = Cli::parse_from(words).command else { panic!("a deploy") };
        Sending::of(&Project::open(home.path()).unwrap(), args).unwrap()
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = sending("");
        assert_eq!((file.name.as_str(), file.limits.fuel, file.limits.wall_ms), ("shop", Some(7), Some(2_000)));
        assert_eq!(
            (file.grants.len(), file.setup.arg.as_slice(), file.setup.public),
            (1, &["a".to_owned()][..], Some(true))
        );
        let flags = sending("--name other --cpu 1s --memory 1MiB --grant config --grant secrets --arg=b --env B=2");
        assert_eq!((flags.name.as_str(), flags.limits.fuel, flags.limits.cpu_ms), ("other", None, Some(1_000)));
        assert_eq!((flags.limits.wall_ms, flags.limits.memory_bytes), (Some(2_000), Some(1 << 20)));
        assert_eq!(
            (flags.grants.len(), flags.setup.arg, flags.setup.env),
            (2, vec!["b".to_owned()], vec!["B=2".to_owned()])
        );
    }

    #[test]
    fn a_deploy_names_a_project_or_a_module() {
        let home = tempfile::tempdir().unwrap();
        assert!(project(Some(&home.path().join("a.wasm"))).unwrap().is_none());
        assert!(project(Some(&home.path().to_owned())).unwrap_err().to_string().contains("fusebox new"));
    }
}
