//! The report: one self-contained page with charts, tables and the conditions of the measurement.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use bytesize::ByteSize;
use fusebox_ui as ui;

use super::{charts::Chart, cost, draw, memory, results::Results, row::Row, stats::spread};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-size:.85rem}
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
svg{max-width:100%;height:auto}code{background:#f3f3f3;padding:.1rem .3rem}
.warning{border:2px solid #b00;background:#fee;padding:.6rem 1rem;font-weight:600}";

/// Writes the charts and the page beside `results.json`.
///
/// # Errors
/// Fails if they cannot be drawn or written.
pub(super) fn write(results: &Results, dir: &Path) -> anyhow::Result<()> {
    let mut pictures = Vec::new();
    for chart in Chart::of(&results.rows) {
        let chart = Chart { is_busy: !results.publishable, ..chart };
        let svg = draw::svg(&chart).with_context(|| format!("draw {}", chart.name))?;
        let write = |kind: &str, bytes: &[u8]| {
            let path = dir.join(format!("{}.{kind}", chart.name));
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
        };
        write("svg", svg.as_bytes())?;
        write("png", &draw::png(&chart).with_context(|| format!("draw {}", chart.name))?)?;
        pictures.push((chart, svg));
    }
    let path = dir.join("report.html");
    fs::write(&path, page(results, &pictures)).with_context(|| format!("write {}", path.display()))
}

fn page(results: &Results, pictures: &[(Chart, String)]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Fusebox bench</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Fusebox bench, {}</h1>\n",
        escaped(&results.date)
    );
    if !results.publishable {
        let told = escaped(&results.busy.tell());
        let _ = writeln!(page, "<p class=\"warning\">Not to be published: {told} while this was measured.</p>");
    }
    page += &facts(results);
    for (chart, svg) in pictures {
        let _ = writeln!(page, "<h2 id=\"{}\">{}</h2>\n{svg}", chart.name, escaped(&chart.title));
    }
    page += &extra(results).iter().map(rows_of).collect::<String>();
    page += &table(&results.rows);
    page + "</body></html>\n"
}

/// Describes the machine and the method.
fn facts(results: &Results) -> String {
    let host = &results.host;
    let redis = host.redis.clone().map(|version| format!(", Redis {version}")).unwrap_or_default();
    let facts = [
        ("Version", format!("Fusebox {}{redis}", results.version)),
        ("Command", results.command.clone()),
        ("Machine", format!("{}, {} cores, {}", host.processor, host.cores, ByteSize(host.memory_bytes))),
        ("System", format!("{}, Linux {}", host.system, host.kernel)),
        ("Shared by", "client, server, store and workers together, all on this machine".to_owned()),
        ("Others", format!("at worst {}; load before: {:.2}", results.busy.tell(), host.load)),
        ("Durability", results.durability.join("; ")),
        ("Limits", "fuel, wall time, memory, output and log: all on".to_owned()),
        (
            "Checked",
            "every task ended COMPLETED; results byte for byte, all or an evenly spread sample of 100,000".to_owned(),
        ),
    ];
    let rows = facts.iter().map(|(name, fact)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(fact)));
    format!("<table>\n{}</table>\n", rows.collect::<String>())
}

/// Title, header and rows of a table.
type Extra = (&'static str, [&'static str; 5], Vec<[String; 5]>);

/// Tables of ratios and memory, if there are any.
fn extra(results: &Results) -> Vec<Extra> {
    let ratios = cost::ratios(&results.rows).into_iter().map(|ratio| {
        let [least, middle, most] = ratio.ratio;
        let (store, mode) = (ratio.store.as_str().to_owned(), ratio.mode.as_str().to_owned());
        [ratio.what, store, mode, format!("{middle:.2}x"), format!("{least:.2} to {most:.2}")]
    });
    let (held, lines) = memory::table(&results.memory);
    let tables = [
        (
            "Cost of a task beside much / beside little",
            ["COST BESIDE", "STORE", "MODE", "RATIO", "REPEATS"],
            ratios.collect(),
        ),
        ("Memory of a host", held, lines),
    ];
    tables.into_iter().filter(|(_, _, lines): &Extra| !lines.is_empty()).collect()
}

/// Renders one of these tables for the page.
fn rows_of((title, head, lines): &Extra) -> String {
    let row = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = row("th", &head.map(str::to_lowercase));
    let lines: String = lines.iter().map(|line| row("td", line)).collect();
    format!("<h2>{}</h2>\n<table>\n{head}{lines}</table>\n", escaped(title))
}

/// Renders a row for each case: the median of its repeats, with minimum and maximum.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "<h2>All figures</h2>\n<p>Median of the repeats, least to most in brackets. Milliseconds are of answers: a burst's \
         or a batch's tell that tasks are durable, the others' wait for the result; at a fixed rate they count from the \
         intended start.</p>\n<table>\n<tr><th>case</th><th class=\"n\">connections</th><th class=\"n\">repeats</th>\
         <th class=\"n\">seconds</th><th class=\"n\">tasks per second</th><th class=\"n\">p50 ms</th>\
         <th class=\"n\">p99 ms</th></tr>\n",
    );
    for of_one in rows.chunk_by(|one, next| one.kind() == next.kind()) {
        let Some(first) = of_one.first() else { continue };
        let cell = |value: fn(&Row) -> Option<f64>, digits: usize| {
            let values: Vec<f64> = of_one.iter().filter_map(value).collect();
            match spread(&values) {
                Some([least, middle, most]) => format!("{middle:.digits$} ({least:.digits$}–{most:.digits$})"),
                None => String::new(),
            }
        };
        let cells = [
            first.connections.to_string(),
            of_one.len().to_string(),
            cell(|row| Some(row.seconds), 3),
            cell(|row| Some(row.per_second), 0),
            cell(|row| row.p50_ms, 2),
            cell(|row| row.p99_ms, 2),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
        let _ = writeln!(text, "<tr><td>{}</td>{cells}</tr>", escaped(&first.kind().to_string()));
    }
    text + "</table>\n"
}

/// Renders the same table for a terminal.
pub(super) fn lines(results: &Results) -> String {
    let header = ["CASE", "SECONDS", "PER SECOND", "P50 MS", "P99 MS"];
    let mut table = ui::table::Table::new(header);
    for of_one in results.rows.chunk_by(|one, next| one.kind() == next.kind()) {
        let Some(first) = of_one.first() else { continue };
        let middle = |value: fn(&Row) -> Option<f64>, digits: usize| {
            let values: Vec<f64> = of_one.iter().filter_map(value).collect();
            spread(&values).map(|[_, middle, _]| format!("{middle:.digits$}")).unwrap_or_default()
        };
        table.row([
            first.kind().to_string(),
            middle(|row| Some(row.seconds), 3),
            middle(|row| Some(row.per_second), 0),
            middle(|row| row.p50_ms, 2),
            middle(|row| row.p99_ms, 2),
        ]);
    }
    let mut tables = Vec::new();
    if !results.rows.is_empty() {
        tables.push(table.to_string());
    }
    for (_, head, lines) in extra(results) {
        let mut table = ui::table::Table::new(head);
        lines.into_iter().for_each(|line| table.row(line));
        tables.push(table.to_string());
    }
    tables.join("\n\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{plan::StoreKind, row};

    #[test]
    fn the_page_needs_nothing_beside_itself_and_says_when_it_is_not_for_others() {
        let home = tempfile::tempdir().unwrap();
        let mut results = Results::begin(&[StoreKind::Redis]);
        results.rows = row::samples();
        results.command = "fusebox bench <burst>".to_owned();
        write(&results, home.path()).unwrap();
        let page = fs::read_to_string(home.path().join("report.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("&lt;burst&gt;") && page.contains("everysec"));
        for reference in ["src=", "href=", "<link", "<script", "@import", "url("] {
            assert!(!page.contains(reference), "the page refers to something with {reference}");
        }
        assert!(!page.contains("Not to be published"));
        results.publishable = false;
        write(&results, home.path()).unwrap();
        assert!(fs::read_to_string(home.path().join("report.html")).unwrap().contains("Not to be published"));
        assert!(home.path().join("burst.png").exists() && home.path().join("burst.svg").exists());
    }
}
