//! The store of a process of a run: Redis, which writes down when a writer leaves and takes away its
//! marks, and now and then kills the process at one of these steps.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use sea_orm_cache::stores::{
    Arm, EntryKey, EntryWrite, Found, RedisStore, Release, Store, StoreError, StoreState, TagKey,
    TagListener, TagProbe, Watch,
};

use super::journal::{Event, Journal, now};
use crate::differential::random::Random;

tokio::task_local! {
    /// The title that the write of this task gives.
    pub static WRITE: String;
}

#[derive(Debug)]
pub struct Watched {
    pub inner: RedisStore,
    pub journal: Arc<Journal>,
    pub random: Mutex<Random>,
    /// Once in so many steps; never, if zero.
    pub dies_once_in: usize,
}

impl Watched {
    fn step(&self) {
        if self.dies_once_in > 0 && self.random.lock().unwrap().once_in(self.dies_once_in) {
            let pid = std::process::id().to_string();
            let _ = Command::new("sh").args(["-c", &format!("kill -s KILL {pid}")]).status();
            // The only thread of the runtime: nothing in this process moves any more.
            loop {
                std::thread::park();
            }
        }
    }
}

/// The rows that these tags are of; none if they are of all.
fn rows<'a>(tags: impl Iterator<Item = &'a TagKey>) -> Vec<i64> {
    let mut rows = Vec::new();
    for tag in tags {
        let Some((_, name)) = tag.as_str().split_once(":t:book:") else { continue };
        match name.parse() {
            Ok(row) => rows.push(row),
            Err(_) => return Vec::new(),
        }
    }
    rows
}

#[async_trait::async_trait]
impl Store for Watched {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        self.inner.read(entries, tags).await
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        self.inner.write(entries, keep).await
    }

    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError> {
        self.step();
        let writer = arm.writer.to_string();
        let rows = rows(arm.tags.iter().map(|(tag, _)| tag));
        let write = WRITE.try_with(String::clone).ok();
        self.journal.note(&Event::Arming { at: now(), writer: writer.clone(), rows, write });
        let result = self.inner.arm(arm).await;
        if result.is_ok() {
            self.journal.note(&Event::Armed { at: now(), writer });
        }
        self.step();
        result
    }

    async fn release(&self, release: &Release) -> Result<usize, StoreError> {
        self.step();
        let result = self.inner.release(release).await;
        if result.is_ok() {
            let rows = rows(release.tags.iter().map(|(tag, _)| tag));
            self.journal.note(&Event::Purged { at: now(), writer: release.writer.to_string(), rows });
        }
        self.step();
        result
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        self.inner.delete(entries).await
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.scan(prefix, limit).await
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        self.inner.lease(key, ttl).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn recovered(&self) {
        self.inner.recovered().await;
    }

    async fn watch(&self, watch: &Watch, listener: Arc<dyn TagListener>) -> StoreError {
        self.inner.watch(watch, listener).await
    }

    fn state(&self) -> StoreState {
        self.inner.state()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
