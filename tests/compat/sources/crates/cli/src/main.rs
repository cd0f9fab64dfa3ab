//! Adds its arguments and a variable to the JSON on its stdin, as a command of WASI 0.2.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut value: serde_json::Value = serde_json::from_reader(std::io::stdin())?;
    value["args"] = std::env::args().skip(1).collect();
    value["mood"] = std::env::var("MOOD")?.into();
    println!("{value}");
    Ok(())
}
