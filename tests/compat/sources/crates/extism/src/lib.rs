//! Counts the letters "a" of its input, and keeps the total in a variable.

use extism_pdk::*;

#[plugin_fn]
pub fn count_a(text: String) -> FnResult<String> {
    let count = text.matches('a').count();
    let total: u64 = var::get("total")?.unwrap_or_default();
    var::set("total", (total + count as u64).to_string())?;
    info!("counted {count}");
    Ok(format!("{{\"count\":{count}}}"))
}
