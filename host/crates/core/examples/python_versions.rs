//! Reads pickles, each behind its length as 4 bytes (little-endian), and prints the versions of Python whose bytecode
//! each can hold, or its fault, one a line. For `scripts/python_study.py`.

use std::io::{self, Read as _, Write as _};

fn main() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let mut output = io::stdout().lock();
    let mut rest = input.as_slice();
    while let Some((len, tail)) = rest.split_first_chunk() {
        let (pickle, tail) = tail.split_at((u32::from_le_bytes(*len) as usize).min(tail.len()));
        match fusebox_core::pickle::inspect(pickle) {
            Ok(inspected) => writeln!(output, "{}", inspected.versions.unwrap_or_default())?,
            Err(error) => writeln!(output, "{error}")?,
        }
        rest = tail;
    }
    Ok(())
}
