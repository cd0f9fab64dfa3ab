//! Facts that a Python script states about itself: the versions of Python it is for, and its packages. They stand in a
//! comment of the script (PEP 723), or in a `pyproject.toml` and a `requirements.txt` beside it.

use std::path::Path;

use anyhow::Context as _;
use toml::{Table, Value};

/// Name of the list of packages beside a script.
const REQUIREMENTS: &str = "requirements.txt";
/// Name of the description of a project beside a script.
const PROJECT: &str = "pyproject.toml";

/// Facts about a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// Versions of Python, such as `>=3.11`.
    pub(super) requires_python: Option<String>,
    /// Packages, in lines of a `requirements.txt`.
    pub(super) requirements: String,
}

/// Reads what a script states.
///
/// # Errors
/// Fails if that cannot be read.
pub(super) fn of_python(path: &Path, text: &str) -> anyhow::Result<About> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let beside = |name: &str| match std::fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", dir.join(name).display())),
    };
    let within = block(text).map(|block| table(&block, "the comment `# /// script`")).transpose()?.unwrap_or_default();
    let project = beside(PROJECT)?.map(|text| table(&text, PROJECT)).transpose()?.unwrap_or_default();
    let project = project.get("project").and_then(Value::as_table).cloned().unwrap_or_default();
    let requires = |table: &Table| table.get("requires-python").and_then(Value::as_str).map(str::to_owned);
    let packages = within.get("dependencies").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut requirements: String = packages.map(|package| format!("{package}\n")).collect();
    requirements.push_str(&beside(REQUIREMENTS)?.unwrap_or_default());
    Ok(About { requires_python: requires(&within).or_else(|| requires(&project)), requirements })
}

fn table(text: &str, place: &str) -> anyhow::Result<Table> {
    text.parse().map_err(|error: toml::de::Error| anyhow::anyhow!("{place} is not valid TOML: {error}"))
}

/// Returns the content of the comment that begins with `# /// script`.
fn block(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| line.trim_end() != "# /// script").skip(1);
    let mut block = String::new();
    loop {
        let line = lines.next()?;
        match line.strip_prefix('#') {
            Some(" ///") => return Some(block),
            Some(rest) => {
                block.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                block.push('\n');
            }
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_states_its_python_and_packages() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("handler.py");
        let of = |text: &str| of_python(&path, text).map_err(|error| error.to_string());
        let script =
            "import x\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n#   \"six>1\",\n# ]\n# ///\n";
        assert_eq!(of("print(1)").unwrap(), About::default());
        let about = of(script).unwrap();
        assert_eq!((about.requires_python.as_deref(), about.requirements.as_str()), (Some(">=3.11"), "six>1\n"));
        std::fs::write(home.path().join(REQUIREMENTS), "idna\n").unwrap();
        std::fs::write(home.path().join(PROJECT), "[project]\nrequires-python = \"==3.13.*\"\n").unwrap();
        assert_eq!(of(script).unwrap().requirements, "six>1\nidna\n");
        assert_eq!(of("").unwrap().requires_python.as_deref(), Some("==3.13.*"));
        assert_eq!(
            of("# /// script\n# requires-python = 3\nprint(1)\n").unwrap().requirements,
            "idna\n",
            "it has no end"
        );
        assert!(of("# /// script\n# =\n# ///\n").unwrap_err().contains("# /// script"));
    }
}
