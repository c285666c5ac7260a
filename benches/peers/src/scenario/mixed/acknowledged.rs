//! The versions that were acknowledged, in memory that all processes of a run share: a file that is mapped.
//!
//! A read that begins after a write was acknowledged, in whatever process, and returns an older version is
//! stale. With the versions is kept when they were acknowledged, by the machine's monotonic clock, which all
//! processes read alike; so a stale read also says how late it was.
#![allow(unsafe_code, reason = "memory that other processes write to")]

use std::{
    fs::File,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use anyhow::{Context, Result};
use memmap2::MmapMut;
use nix::time::{ClockId, clock_gettime};

/// Words of a row: its latest version, then the last ones by their number.
const WORDS: usize = 1 + REMEMBERED;
/// So many versions of a row are remembered with their times. A read that misses more of them is known to
/// be at least as old as the oldest.
const REMEMBERED: usize = 31;

/// A version, and when it was acknowledged, for each row.
pub struct Acknowledged {
    map: MmapMut,
}

/// What was acknowledged before a read began.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    id: i64,
    version: u32,
    read_at_ms: u32,
}

fn packed(version: u32, at_ms: u32) -> u64 {
    u64::from(version) << 32 | u64::from(at_ms)
}

fn unpacked(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

impl Acknowledged {
    /// A new file, nothing acknowledged.
    pub fn create(path: &Path, rows: usize) -> Result<()> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(file.set_len(((rows + 1) * WORDS * 8) as u64)?)
    }

    /// The file of a run.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        // SAFETY: the file is made for this, is never cut shorter, and is touched through atomics alone.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { map })
    }

    fn word(&self, id: i64, word: usize) -> &AtomicU64 {
        let offset = (id as usize * WORDS + word) * 8;
        assert!(offset + 8 <= self.map.len(), "row {id} has a place");
        // SAFETY: in bounds, aligned (a mapping begins at a page), and all access is atomic.
        unsafe { AtomicU64::from_ptr(self.map.as_ptr().add(offset).cast_mut().cast()) }
    }

    fn latest(&self, id: i64) -> u32 {
        unpacked(self.word(id, 0).load(SeqCst)).0
    }

    fn remembered(&self, id: i64, version: u32) -> &AtomicU64 {
        self.word(id, 1 + version as usize % REMEMBERED)
    }

    /// The next version of a row. Only its one writer of the moment asks.
    pub fn next(&self, id: i64) -> i32 {
        self.latest(id) as i32 + 1
    }

    /// The write of this version has returned.
    pub fn acknowledge(&self, id: i64, version: i32) -> Result<()> {
        let (version, now) = (version as u32, now_ms()?);
        self.remembered(id, version).store(packed(version, now), SeqCst);
        self.word(id, 0).fetch_max(packed(version, now), SeqCst);
        Ok(())
    }

    /// To be taken before a read begins.
    pub fn before_read(&self, id: i64) -> Result<Known> {
        Ok(Known { id, version: self.latest(id), read_at_ms: now_ms()? })
    }

    /// If a read that returned this version was stale: for how many milliseconds at least the first version
    /// that it missed had been acknowledged when it began.
    pub fn staleness(&self, known: Known, version: i32) -> Option<u32> {
        let version = version as u32;
        if version >= known.version {
            return None;
        }
        let missed = (version + 1..=known.version).rev().take(REMEMBERED);
        let times = missed.filter_map(|missed| {
            let (there, at_ms) = unpacked(self.remembered(known.id, missed).load(SeqCst));
            // A later one may have taken the place meanwhile.
            (there == missed).then_some(at_ms)
        });
        Some(known.read_at_ms.saturating_sub(times.min().unwrap_or(known.read_at_ms)))
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
        assert_eq!(reader.staleness(early, 0), None, "the read began before");
        let late = reader.before_read(10)?;
        assert!(reader.staleness(late, 0).is_some());
        assert_eq!(reader.staleness(late, 1), None);
        assert_eq!(reader.staleness(late, 2), None, "a newer one, not acknowledged yet");
        assert_eq!(reader.staleness(reader.before_read(9)?, 0), None, "another row");
        std::fs::remove_file(path)?;
        Ok(())
    }

    #[test]
    fn a_stale_read_is_as_late_as_the_first_version_that_it_missed_and_not_the_last() -> Result<()> {
        let path = std::env::temp_dir().join(format!("acknowledged-late-{}", std::process::id()));
        Acknowledged::create(&path, 1)?;
        let rows = Acknowledged::open(&path)?;
        let acknowledged = |version: u32, at_ms: u32| {
            rows.remembered(1, version).store(packed(version, at_ms), SeqCst);
            rows.word(1, 0).fetch_max(packed(version, at_ms), SeqCst);
        };
        (1..=3).for_each(|version| acknowledged(version, 100 * version));
        let known = Known { id: 1, version: 3, read_at_ms: 1000 };
        assert_eq!(rows.staleness(known, 0), Some(900));
        assert_eq!(rows.staleness(known, 2), Some(700));
        std::fs::remove_file(path)?;
        Ok(())
    }
}
