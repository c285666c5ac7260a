//! A directory for as long as it is needed.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use crate::Failure;
use crate::install::is_root;

/// A fresh directory, removed on drop.
#[derive(Debug)]
pub struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Makes one. Its path is short, because that of a Unix socket in it may have some 100 bytes.
    pub fn create() -> Result<Self, Failure> {
        // Root's servers run as other users, who must get there: TMPDIR may be root's own.
        let parent = if is_root() { PathBuf::from("/tmp") } else { env::temp_dir() };
        for attempt in 0.. {
            let path = parent.join(format!("sea-orm-cache-{}-{attempt}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                // Somebody who had our process id before us, and was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && attempt < 100 => {}
                Err(error) => return Err(format!("cannot create {}: {error}", path.display())),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
