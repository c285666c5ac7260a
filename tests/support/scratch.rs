//! A directory that is gone when its owner is.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::names::unique_name;

/// A fresh directory under the system's temporary one, removed on drop.
#[derive(Debug)]
pub struct ScratchDir(PathBuf);

impl ScratchDir {
    /// Makes the directory; its name begins with `sea-orm-cache-<purpose>`.
    pub fn create(purpose: &str) -> Self {
        let path = env::temp_dir().join(unique_name(&format!("sea-orm-cache-{purpose}")));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("create {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // A leftover directory is no reason to fail a test that passed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
