//! The versions that were acknowledged, in memory that all processes of a run share: a file that is mapped.
//!
//! A read that begins after a write was acknowledged, in whatever process, and returns an older version is
//! stale. Each slot holds the version and when it was acknowledged, by the machine's monotonic clock, which
//! all processes read alike; so a stale read also says how old what it missed was.
#![allow(unsafe_code, reason = "memory that other processes write to")]

use std::{
    fs::File,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use anyhow::{Context, Result};
use memmap2::MmapMut;
use nix::time::{ClockId, clock_gettime};

/// A slot for each row.
pub struct Acknowledged {
    map: MmapMut,
}

/// What was acknowledged before a read began.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    version: u32,
    at_ms: u32,
    read_at_ms: u32,
}

impl Acknowledged {
    /// A new file, nothing acknowledged.
    pub fn create(path: &Path, rows: usize) -> Result<()> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(file.set_len((rows as u64 + 1) * 8)?)
    }

    /// The file of a run.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        // SAFETY: the file is made for this, is never cut shorter, and is touched through atomics alone.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { map })
    }

    fn slot(&self, id: i64) -> &AtomicU64 {
        let offset = id as usize * 8;
        assert!(offset + 8 <= self.map.len(), "row {id} has a slot");
        // SAFETY: in bounds, aligned (a mapping begins at a page), and all access is atomic.
        unsafe { AtomicU64::from_ptr(self.map.as_ptr().add(offset).cast_mut().cast()) }
    }

    /// The next version of a row. Only its one writer of the moment asks.
    pub fn next(&self, id: i64) -> i32 {
        (self.slot(id).load(SeqCst) >> 32) as i32 + 1
    }

    /// The write of this version has returned.
    pub fn acknowledge(&self, id: i64, version: i32) -> Result<()> {
        let at = u64::from(now_ms()?);
        self.slot(id).fetch_max(u64::from(version as u32) << 32 | at, SeqCst);
        Ok(())
    }

    /// To be taken before a read begins.
    pub fn before_read(&self, id: i64) -> Result<Known> {
        let slot = self.slot(id).load(SeqCst);
        Ok(Known { version: (slot >> 32) as u32, at_ms: slot as u32, read_at_ms: now_ms()? })
    }
}

impl Known {
    /// If a read that returned this version was stale: for how many milliseconds at least the version that
    /// it should have seen had been acknowledged when it began.
    pub fn staleness(self, version: i32) -> Option<u32> {
        ((version as u32) < self.version).then(|| self.read_at_ms.saturating_sub(self.at_ms))
    }
}

/// Enough for 49 days from the start of the machine; then differences of one run may be wrong, versions not.
fn now_ms() -> Result<u32> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok((now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_than_was_acknowledged_before_the_read_is_stale_and_no_other() -> Result<()> {
        let path = std::env::temp_dir().join(format!("acknowledged-{}", std::process::id()));
        Acknowledged::create(&path, 10)?;
        let (writer, reader) = (Acknowledged::open(&path)?, Acknowledged::open(&path)?);
        let early = reader.before_read(10)?;
        assert_eq!(writer.next(10), 1);
        writer.acknowledge(10, 1)?;
        assert_eq!(early.staleness(0), None, "the read began before");
        let late = reader.before_read(10)?;
        assert!(late.staleness(0).is_some());
        assert_eq!(late.staleness(1), None);
        assert_eq!(late.staleness(2), None, "a newer one, not acknowledged yet");
        std::fs::remove_file(path)?;
        Ok(())
    }
}
