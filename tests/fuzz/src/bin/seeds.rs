//! Writes the seeds of each target into a folder of its name: `fuzz-seeds DIR`.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let dir = env::args().nth(1).map(PathBuf::from).ok_or_else(|| io::Error::other("usage: fuzz-seeds DIR"))?;
    for (name, _, seeds) in fusebox_fuzz::TARGETS {
        let dir = dir.join(name);
        fs::create_dir_all(&dir)?;
        for (number, seed) in (0..).zip(seeds()) {
            fs::write(dir.join(format!("seed-{number:04}")), seed)?;
        }
    }
    Ok(())
}
