//! The results of a run of `bench` and the machine that produced them: `results.json`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use procfs::{CpuInfo, Current as _, LoadAverage, Meminfo};
use serde::{Deserialize, Serialize};

use super::{busy::Busy, memory::Held, plan::StoreKind, row::Row};
use fusebox_system::clock::Clock;

/// Name of the file.
const FILE: &str = "results.json";

/// Results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Results {
    /// Version of Fusebox.
    pub(super) version: String,
    /// Command line of the run.
    pub(super) command: String,
    /// Start time, in RFC 3339.
    pub(super) date: String,
    pub(super) host: Host,
    /// State on disk when a task is accepted, by store.
    pub(super) durability: Vec<String>,
    /// Busiest of all measurements.
    pub(super) busy: Busy,
    /// True if the figures may be published as Fusebox's.
    pub(super) publishable: bool,
    pub(super) rows: Vec<Row>,
    /// Memory of hosts.
    #[serde(default)]
    pub(super) memory: Vec<Held>,
}

/// The machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) system: String,
    pub(super) kernel: String,
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    /// Version of Redis, if it was used.
    pub(super) redis: Option<String>,
    /// Load average over the last minute before the start.
    pub(super) load: f64,
}

impl Results {
    /// Starts results for a run on these stores.
    pub(super) fn begin(stores: &[StoreKind]) -> Self {
        let command: Vec<String> = std::env::args().skip(1).collect();
        let said = |store: &StoreKind| match store {
            StoreKind::Redis => {
                "redis: in its log, which is synced once a second (appendonly yes, appendfsync everysec): survives \
                 kill -9 of any process; power loss may cost the last second"
            }
            StoreKind::Embedded => {
                "embedded: on disk, synced, before the answer: survives kill -9 of any process and power loss"
            }
            StoreKind::Server => "server: unknown, depends on its settings",
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: format!("fusebox {}", command.join(" ")),
            date: humantime::format_rfc3339_seconds(
                std::time::UNIX_EPOCH + std::time::Duration::from_millis(Clock::System.now().0),
            )
            .to_string(),
            host: Host::look(stores.contains(&StoreKind::Redis)),
            durability: stores.iter().map(said).map(str::to_owned).collect(),
            busy: Busy::default(),
            publishable: true,
            rows: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// Reads results from a file, or from the directory that contains it.
    ///
    /// # Errors
    /// Fails if there are none.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let file: PathBuf = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a results file", file.display()))
    }

    /// Writes the results into a directory, as JSON and as CSV.
    ///
    /// # Errors
    /// Fails if they cannot be written.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write(FILE, serde_json::to_string_pretty(self)? + "\n")?;
        if !self.memory.is_empty() {
            write("memory.csv", csv(&self.memory)?)?;
        }
        write("results.csv", csv(&self.rows)?)
    }
}

/// Formats rows as CSV, with the names and values of their JSON. No field needs quotes: all are numbers and single
/// words.
fn csv<T: Serialize>(rows: &[T]) -> anyhow::Result<String> {
    let mut text = String::new();
    for row in rows {
        let serde_json::Value::Object(fields) = serde_json::to_value(row)? else { continue };
        if text.is_empty() {
            text += &(fields.keys().cloned().collect::<Vec<_>>().join(",") + "\n");
        }
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(word) => word.clone(),
            other => other.to_string(),
        };
        text += &(fields.values().map(cell).collect::<Vec<_>>().join(",") + "\n");
    }
    Ok(text)
}

impl Host {
    fn look(with_redis: bool) -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let unknown = || "unknown".to_owned();
        let processor = CpuInfo::current().ok().and_then(|info| info.model_name(0).map(str::to_owned));
        let redis = with_redis.then(|| std::process::Command::new("redis-server").arg("--version").output().ok());
        let redis = redis.flatten().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version =
            |text: String| text.split_whitespace().find_map(|word| word.strip_prefix("v=").map(str::to_owned));
        Self {
            system: system.map_or_else(unknown, |name| name.trim_matches('"').to_owned()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            processor: processor.unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
            redis: redis.and_then(version),
            load: LoadAverage::current().map_or(0.0, |load| (f64::from(load.one) * 100.0).round() / 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row;

    #[test]
    fn what_is_written_is_read_and_the_table_has_a_line_for_each_row() {
        let home = tempfile::tempdir().unwrap();
        let mut results = Results::begin(&[StoreKind::Redis]);
        results.rows = row::samples();
        results.write(home.path()).unwrap();
        let again = Results::read(home.path()).unwrap();
        assert_eq!(again.rows, results.rows);
        let table = fs::read_to_string(home.path().join("results.csv")).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), results.rows.len() + 1);
        let columns = |line: &str| line.split(',').count();
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "{table}");
        assert!(Results::read(Path::new("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }
}
