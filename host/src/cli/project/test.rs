//! `fusebox test`: runs a project's samples in the sandbox of this process and compares their ends with golden files.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use clap::Args;
use fusebox_api::{setup::SetupParams, tasks::ReceiptView};
use fusebox_core::{outcome::Ended, setup::Start};
use fusebox_ui::{self as ui, OutputFormat, receipt};
use serde_json::{Value, json};

use super::{
    build::{self, Built},
    local::{
        self, Function, Local,
        calls::{Calls, Supplies},
    },
    opened::Project,
    samples::{FOLDER, Form, HOST, Sample, Verdict},
};
use crate::cli::files;

/// Arguments of `fusebox test`.
#[derive(Debug, Args)]
#[command(after_help = "\
A sample is an input in the project's folder tests, with a golden file of the same name that has the expected end:

  NAME.in, NAME.json, NAME.http     input: bytes, JSON, or an HTTP request (METHOD target, headers, empty line, body)
  NAME.out, NAME.out.json           output: byte for byte, or equal as JSON; of a request the response
  NAME.error                        code and first line of a failure

Each runs in the sandbox with the limits and grants of fusebox.toml. No host is involved: what a run may read comes from
tests/host.toml (tables [config], [secrets] and [kv], and [[http]] with request, status, headers and body), on top of
[config] in fusebox.toml. The key-value namespace is in memory and the same at the start of each sample.

Exit codes: 0 all ends are the expected ones; 1 some are not, or have no golden file.")]
pub struct TestArgs {
    /// The project's folder, with fusebox.toml
    #[arg(default_value = ".", hide_default_value = true, value_name = "DIR")]
    pub project: PathBuf,
    /// Run this sample alone; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Write the ends into the golden files instead of comparing them
    #[arg(long)]
    pub update: bool,
}

/// A sample that was run.
pub(super) struct Ran {
    name: String,
    verdict: Verdict,
    ended: Ended,
    /// Requests that tests/host.toml has no answer for.
    unanswered: Vec<String>,
}

/// Builds the project and runs its samples.
///
/// # Errors
/// Fails if the project cannot be built, or a sample does not end as expected.
pub fn run(args: &TestArgs, format: OutputFormat) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let (_, ran) = build_and_test(&project, &Local::open()?, &args.only, args.update)?;
    match format {
        OutputFormat::Json => ui::json(&ran.iter().map(Ran::json).collect::<Vec<_>>())?,
        OutputFormat::Text => ran.iter().try_for_each(Ran::print)?,
    }
    let failed = ran.iter().filter(|ran| ran.has_failed()).count();
    anyhow::ensure!(
        !ran.is_empty(),
        "there are no samples: add an input to {FOLDER}, such as {FOLDER}/first.in, and run --update"
    );
    anyhow::ensure!(failed == 0, "{failed} of {} samples did not end as expected", ran.len());
    Ok(())
}

/// Builds a project and runs its samples.
///
/// # Errors
/// Fails if the project cannot be built, or a file of the samples is not valid.
pub(super) fn build_and_test(
    project: &Project,
    local: &Local,
    only: &[String],
    update: bool,
) -> anyhow::Result<(Built, Vec<Ran>)> {
    let samples = Sample::all(&project.dir, only)?;
    let supplies = Supplies::new(project.config(), BTreeMap::new());
    let supplies = supplies.read(&project.dir.join(FOLDER).join(HOST))?;
    let built = build::build(project)?;
    let function = function(project, local, &built)?;
    let one = |sample: Sample| {
        let calls = Arc::new(Calls::new(&supplies, None));
        let (function, start) = started(&function, sample.form);
        let ended = local.run(&function, start, sample.input.clone().into(), calls.clone())?;
        let verdict = if update { sample.update(&ended)? } else { sample.judge(&ended) };
        anyhow::Ok(Ran { name: sample.name, verdict, ended, unanswered: calls.unanswered() })
    };
    let ran = samples.into_iter().map(one).collect::<anyhow::Result<_>>()?;
    Ok((built, ran))
}

/// Returns a project's function, ready to run.
fn function(project: &Project, local: &Local, built: &Built) -> anyhow::Result<Function> {
    let (inspected, module) = local.load(&built.wasm)?;
    let limits = local::limits(project.manifest.limits.params())?;
    let setup = SetupParams { public: None, ..project.setup() }.read()?;
    let setup = local.with_files(setup, files::pack(&project.mounts())?)?;
    let (name, grants) = (project.manifest.name.0.clone(), project.grants.clone());
    Ok(Function { name, module, inspected, limits, grants, setup })
}

/// Returns the function and its start for an input of this form.
fn started(function: &Function, form: Form) -> (Function, Start) {
    let mut function = function.clone();
    if form == Form::Json && !function.setup.env.iter().any(|(name, _)| name == CONTENT_TYPE) {
        function.setup.env.push((CONTENT_TYPE.to_owned(), "application/json".to_owned()));
    }
    (function, Start { is_http: form == Form::Http, ..Start::default() })
}

/// Variable with the type of the input.
const CONTENT_TYPE: &str = "CONTENT_TYPE";

impl Ran {
    /// Returns whether the sample did not end as expected, or nothing is expected of it.
    pub(super) const fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Different(_) | Verdict::New)
    }

    /// Prints the result: a line, and after one that differs the difference and the log.
    ///
    /// # Errors
    /// Fails if stdout is closed.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let used = receipt::line(&ReceiptView::from(&self.ended.receipt));
        let (word, rest) = match &self.verdict {
            Verdict::Same => ("ok", used),
            Verdict::Different(_) => ("FAILED", used),
            Verdict::New => ("NEW", "nothing says what to expect: `fusebox test --update` writes it down".to_owned()),
            Verdict::Written(file) => ("wrote", file.display().to_string()),
        };
        ui::say(format!("{word:<7} {}  {rest}", self.name))?;
        if let Verdict::Different(difference) = &self.verdict {
            ui::say(difference.trim_end())?;
            let log = String::from_utf8_lossy(&self.ended.log);
            if !log.trim().is_empty() {
                ui::say(format!("log:\n{}", log.trim_end()))?;
            }
        }
        let hint = |line: &String| ui::say(format!("        {line} was refused: {FOLDER}/{HOST} has no answer for it"));
        self.unanswered.iter().try_for_each(hint)
    }

    fn json(&self) -> Value {
        let (verdict, difference) = match &self.verdict {
            Verdict::Same => ("ok", None),
            Verdict::Different(difference) => ("different", Some(difference)),
            Verdict::New => ("new", None),
            Verdict::Written(_) => ("written", None),
        };
        json!({
            "sample": self.name,
            "verdict": verdict,
            "difference": difference,
            "receipt": ReceiptView::from(&self.ended.receipt),
            "log": String::from_utf8_lossy(&self.ended.log),
            "unanswered": self.unanswered,
        })
    }
}
