//! A small disk that can be filled: a file system of its own in memory, with a folder of the caller's as its root.
//! Requires the right to mount; creating one fails with a message if it is missing.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

/// Name of the file that fills the disk.
const FILL: &str = "fill";
/// Size of a write to that file, in bytes; ends in ever smaller ones.
const PIECE: usize = 1 << 20;

/// Mounted file system. Dropping it unmounts it, and its files are gone.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of `bytes` bytes at a folder.
    ///
    /// # Errors
    /// Fails, with the reason, if this machine does not allow it.
    pub fn mount(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        let options = format!("size={bytes},mode=700");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "fusebox"]).arg(path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes a file until the disk has no room left.
    ///
    /// # Errors
    /// Fails if the disk cannot be written for another reason.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::options().create(true).append(true).open(self.path.join(FILL))?;
        let mut piece = PIECE;
        while piece > 0 {
            match file.write(&vec![0; piece]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => piece /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Deletes the file that fills the disk.
    ///
    /// # Errors
    /// Fails if the file cannot be deleted.
    pub fn free(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.path.join(FILL)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once for new uses, and for good after the last file is closed.
        drop(run(Command::new("umount").arg("-l").arg(&self.path)));
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("there is no `{program}`: install util-linux and mount"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "a small disk cannot be mounted here: {}", error.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_full_until_it_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(dir.path(), 1 << 20).unwrap();
        let write = || std::fs::write(dir.path().join("file"), [1; 4096]);
        write().unwrap();
        disk.fill().unwrap();
        std::fs::remove_file(dir.path().join("file")).unwrap();
        disk.fill().unwrap();
        assert_eq!(write().unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.free().unwrap();
        disk.free().unwrap();
        write().unwrap();
        drop(disk);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
