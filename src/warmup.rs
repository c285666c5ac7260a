//! Warm-up: load what will be asked for, before it is asked for.
//!
//! A fill during warm-up follows the same rule as one by a read, so a warm-up that races a write
//! stores nothing old: the table's stamp is taken before a batch is read and must still stand when
//! the rows are stored.

use std::{
    collections::BTreeSet,
    fmt,
    future::{Future, IntoFuture},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use sea_orm::{
    DbErr, EntityTrait, IdenStatic, Iterable, ModelTrait, Order, PrimaryKeyToColumn, QueryOrder, QuerySelect,
    TryIntoModel,
};

use crate::{
    CachedConnection,
    connection::Sealed as _,
    entity::{EntityDescriptor, WarmUpPolicy},
    freshness::{Look, Payload},
    read::{Reader, payload},
};

type Work = Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send>>;

/// A loader with its type erased.
pub(crate) type WarmUpLoader = Arc<dyn Fn(CachedConnection, WarmUpProgress) -> Work + Send + Sync>;

/// Loaders registered in code.
#[derive(Default)]
pub(crate) struct Loaders {
    // A std lock: held for a push or a copy, never across an await.
    own: Mutex<Vec<(String, WarmUpLoader)>>,
}

impl fmt::Debug for Loaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaders").finish_non_exhaustive()
    }
}

/// What a loader has done so far. Clones count together.
#[derive(Clone)]
pub struct WarmUpProgress {
    loader: Arc<str>,
    counts: Arc<Mutex<(u64, u64)>>,
    callback: Option<ProgressCallback>,
}

type ProgressCallback = Arc<dyn Fn(&WarmUpStep) + Send + Sync>;

/// One step of a warm-up, as the callback sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WarmUpStep {
    /// The table, or the name that the loader was registered under.
    pub loader: String,
    /// Entries that this loader has handed to the store so far.
    pub entries: u64,
    /// Payload bytes that it has handed to the store so far.
    pub bytes: u64,
}

/// What a warm-up did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WarmUpReport {
    /// One line per loader, in the order in which they ended.
    pub loaders: Vec<LoaderReport>,
    /// How long it all took.
    pub took: Duration,
    /// Why nothing was loaded, if so: switched off, or another process is at it.
    pub skipped: Option<&'static str>,
}

/// What one loader did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoaderReport {
    /// The table, or the name that the loader was registered under.
    pub loader: String,
    /// Entries handed to the store.
    pub entries: u64,
    /// Payload bytes handed to the store.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// Why it ended early, if it did: the database's error text, which may hold values.
    pub error: Option<String>,
}

impl WarmUpReport {
    /// Entries over all loaders.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.loaders.iter().map(|loader| loader.entries).sum()
    }

    /// Payload bytes over all loaders.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.loaders.iter().map(|loader| loader.bytes).sum()
    }

    /// Loaders that ended with an error.
    pub fn failures(&self) -> impl Iterator<Item = &LoaderReport> {
        self.loaders.iter().filter(|loader| loader.error.is_some())
    }
}

impl WarmUpProgress {
    fn new(loader: &str, callback: Option<ProgressCallback>) -> Self {
        Self { loader: loader.into(), counts: Arc::default(), callback }
    }

    /// Says that entries were handed to the store. Loaders registered in code may call it.
    pub fn add(&self, entries: u64, bytes: u64) {
        let (entries, bytes) = {
            let mut counts = self.counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            counts.0 += entries;
            counts.1 += bytes;
            *counts
        };
        if let Some(callback) = &self.callback {
            callback(&WarmUpStep { loader: self.loader.to_string(), entries, bytes });
        }
    }

    fn counts(&self) -> (u64, u64) {
        *self.counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for WarmUpProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmUpProgress")
            .field("loader", &self.loader)
            .field("counts", &self.counts())
            .finish()
    }
}

/// A warm-up about to run. Await it; or say more first.
#[must_use = "a warm-up does nothing until it is awaited"]
pub struct WarmUp {
    db: CachedConnection,
    concurrency: usize,
    only: Option<BTreeSet<String>>,
    callback: Option<ProgressCallback>,
    alone_for: Option<Duration>,
}

impl fmt::Debug for WarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmUp")
            .field("concurrency", &self.concurrency)
            .field("only", &self.only)
            .field("alone_for", &self.alone_for)
            .finish_non_exhaustive()
    }
}

impl CachedConnection {
    /// Loads what the declared entities (`#[cache(warmup(...))]`) and the loaders registered in
    /// code say. Call it once in `main`, before serving.
    ///
    /// Loaders run a few at a time; one that fails does not stop the others, and is in the report.
    /// Cancel safe: what was loaded stays.
    ///
    /// ```no_run
    /// # async fn run(db: sea_orm_cache::CachedConnection) {
    /// let report = db.warm_up().await;
    /// println!("{} entries in {:?}", report.entries(), report.took);
    /// # }
    /// ```
    pub fn warm_up(&self) -> WarmUp {
        let concurrency = self.cache().config().warm_up_concurrency;
        WarmUp { db: self.clone(), concurrency, only: None, callback: None, alone_for: None }
    }

    /// Registers a loader of the application's own, for [`warm_up`](Self::warm_up) to run. What it
    /// reads with `.cached()` is stored.
    pub fn register_warm_up<L, F>(&self, name: impl Into<String>, loader: L)
    where
        L: Fn(CachedConnection, WarmUpProgress) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), DbErr>> + Send + 'static,
    {
        let loader: WarmUpLoader = Arc::new(move |db, progress| loader(db, progress).boxed());
        let loaders = &self.cache().inner.loaders.own;
        loaders.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((name.into(), loader));
    }
}

impl WarmUp {
    /// How many loaders run at a time; at least one.
    pub fn concurrency(mut self, loaders: usize) -> Self {
        self.concurrency = loaders.max(1);
        self
    }

    /// Only these tables and registered names.
    pub fn only<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Calls back after every batch. Keep it short: the loader waits for it.
    pub fn on_progress(mut self, callback: impl Fn(&WarmUpStep) + Send + Sync + 'static) -> Self {
        self.callback = Some(Arc::new(callback));
        self
    }

    /// Of all processes of the namespace, only the first to ask within this time warms up; the
    /// others skip. One round trip.
    pub fn alone_for(mut self, time: Duration) -> Self {
        self.alone_for = Some(time);
        self
    }

    /// Warms up now and then again and again, in the background, until what is returned is dropped.
    /// Every run is reported in tracing.
    pub fn every(self, period: Duration) -> PeriodicWarmUp {
        let runtime = self.db.cache().inner.freshness.runtime().clone();
        let task = runtime.spawn(async move {
            loop {
                self.run().await;
                tokio::time::sleep(period).await;
            }
        });
        PeriodicWarmUp { task: task.abort_handle() }
    }

    async fn run(&self) -> WarmUpReport {
        let start = Instant::now();
        let cache = self.db.cache();
        if !cache.config().enabled || !cache.config().warm_up {
            return WarmUpReport { skipped: Some("switched off"), ..WarmUpReport::default() };
        }
        if let Some(time) = self.alone_for {
            let lease = cache.inner.keys.lease("warmup");
            match cache.inner.freshness.store().lease(&lease, time).await {
                Ok(true) => {}
                Ok(false) => {
                    return WarmUpReport {
                        skipped: Some("another process is at it"),
                        ..WarmUpReport::default()
                    };
                }
                // Without the store there is nothing to warm.
                Err(error) => {
                    tracing::warn!(%error, "warm-up skipped");
                    return WarmUpReport {
                        skipped: Some("the cache store is away"),
                        ..WarmUpReport::default()
                    };
                }
            }
        }
        let runs: Vec<_> =
            self.loaders().into_iter().map(|(name, loader)| self.run_loader(name, loader).boxed()).collect();
        let loaders = stream::iter(runs).buffer_unordered(self.concurrency).collect().await;
        let report = WarmUpReport { loaders, took: start.elapsed(), skipped: None };
        tracing::info!(
            entries = report.entries(),
            bytes = report.bytes(),
            failures = report.failures().count(),
            took = ?report.took,
            "warm-up done"
        );
        report
    }

    fn loaders(&self) -> Vec<(String, WarmUpLoader)> {
        let inner = &self.db.cache().inner;
        let declared = inner
            .registry
            .entities()
            .into_iter()
            .filter(|entity| !entity.policy.skip)
            .filter_map(|entity| Some((entity.table.to_owned(), entity.warm_up.clone()?)));
        let own = inner.loaders.own.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        declared
            .chain(own)
            .filter(|(name, _)| self.only.as_ref().is_none_or(|only| only.contains(name)))
            .collect()
    }

    async fn run_loader(&self, name: String, loader: WarmUpLoader) -> LoaderReport {
        let start = Instant::now();
        let progress = WarmUpProgress::new(&name, self.callback.clone());
        // One loader that panics must not take the others with it.
        let run = AssertUnwindSafe(loader(self.db.clone(), progress.clone())).catch_unwind().await;
        let error = match run {
            Ok(result) => result.err().map(|error| error.to_string()),
            Err(_) => Some("the loader panicked".to_owned()),
        };
        let (entries, bytes) = progress.counts();
        let report = LoaderReport { loader: name, entries, bytes, took: start.elapsed(), error };
        match &report.error {
            None => tracing::info!(loader = %report.loader, entries, bytes, took = ?report.took, "warmed up"),
            Some(_) => tracing::warn!(loader = %report.loader, entries, "a warm-up loader failed"),
        }
        report
    }
}

impl IntoFuture for WarmUp {
    type Output = WarmUpReport;
    type IntoFuture = Pin<Box<dyn Future<Output = WarmUpReport> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await })
    }
}

/// A warm-up that repeats in the background until this is dropped.
#[derive(Debug)]
#[must_use = "dropped, the warm-up stops"]
pub struct PeriodicWarmUp {
    task: tokio::task::AbortHandle,
}

impl Drop for PeriodicWarmUp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The loader of a declared entity.
pub(crate) fn entity_loader<E>(policy: WarmUpPolicy) -> WarmUpLoader
where
    E: EntityTrait,
    E::ActiveModel: TryIntoModel<E::Model>,
    E::Model: Send + Sync,
{
    Arc::new(move |db, progress| load_entity::<E>(db, progress, policy.clone()).boxed())
}

async fn load_entity<E>(
    db: CachedConnection,
    progress: WarmUpProgress,
    policy: WarmUpPolicy,
) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::ActiveModel: TryIntoModel<E::Model>,
    E::Model: Send + Sync,
{
    let entity = db.cache().inner.registry.entity::<E>();
    let mut offset = 0;
    loop {
        let left = policy.limit.map_or(u64::MAX, |limit| limit.saturating_sub(offset));
        let size = policy.batch.max(1).min(left);
        if size == 0 {
            return Ok(());
        }
        let read = load_batch::<E>(&db, &entity, &progress, &policy, offset, size).await?;
        if read < size {
            return Ok(());
        }
        offset += read;
    }
}

async fn load_batch<E>(
    db: &CachedConnection,
    entity: &Arc<EntityDescriptor>,
    progress: &WarmUpProgress,
    policy: &WarmUpPolicy,
    offset: u64,
    size: u64,
) -> Result<u64, DbErr>
where
    E: EntityTrait,
    E::ActiveModel: TryIntoModel<E::Model>,
    E::Model: Send + Sync,
{
    let cache = db.cache();
    let freshness = &cache.inner.freshness;
    // The keys of the rows are not known before they are read, so their stamps are taken after. A
    // write to any of them in between would purge the table's tag too, and an invalidation by hand
    // one of the others: those are taken now, and must still be the same then.
    let reader = Reader::of(db).await.ok();
    let tags = reader.as_ref().and_then(|reader| reader.table_tags(entity).ok());
    let before = match tags {
        Some(tags) => freshness.guard(tags).await,
        None => None,
    };
    let mut select = E::find();
    if let Some((column, descending)) = policy.order
        && let Some(column) = E::Column::iter().find(|c| c.as_str() == column)
    {
        select = select.order_by(column, if descending { Order::Desc } else { Order::Asc });
    }
    for key in E::PrimaryKey::iter() {
        select = select.order_by_asc(key.into_column());
    }
    let began = Instant::now();
    let rows = select.offset(offset).limit(size).all(db.source()).await?;
    let took = began.elapsed();
    let read = rows.len() as u64;
    let Some((reader, before)) = reader.zip(before) else { return Ok(read) };

    let mut questions = Vec::with_capacity(rows.len());
    let mut payloads = Vec::with_capacity(rows.len());
    for row in rows {
        let key: Vec<_> = E::PrimaryKey::iter().map(|key| row.get(key.into_column())).collect();
        let question = reader.row(entity, &key).ok().flatten();
        let payload = payload::<E>(cache, entity, &Some(row));
        if let (Some(mut question), Some(payload)) = (question, payload) {
            question.fresh = true;
            questions.push(question);
            payloads.push(Payload { took, ..payload });
        }
    }
    let looks = freshness.look_many(&questions).await;
    let (mut entries, mut bytes) = (0, 0);
    let mut fills = Vec::with_capacity(looks.len());
    for ((question, look), payload) in questions.into_iter().zip(looks).zip(payloads) {
        let Look::Miss(mut stamps) = look else { continue };
        if before.admits(&question, &mut stamps) {
            entries += 1;
            bytes += payload.bytes.len() as u64;
            fills.push((question, stamps, payload));
        }
    }
    freshness.fill_many(fills).await;
    progress.add(entries, bytes);
    Ok(read)
}
