//! Entries of the application's own.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use sea_orm::EntityTrait;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Cache,
    names::{bare_name, stem},
};
use crate::{
    CacheError,
    entity::{CodecError, RowReader, RowWriter, TtlSpec, same_optionals},
    freshness::{
        Bypass, Detached, Early, Grace, Loaded, Look, Outcome, Payload, PayloadKind, Question, Shape, Wrap,
    },
    watched::{self, Refusal},
};

/// Under which name the application's own entries are counted.
const OWN: &str = "(own)";

/// How one entry of the application's own is kept.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EntryOptions {
    ttl: Option<TtlSpec>,
    tags: Vec<String>,
    tables: Vec<String>,
    fresh: bool,
    stale_while_revalidate: Option<TtlSpec>,
    stale_if_error: Option<TtlSpec>,
    refresh_early: f64,
}

impl EntryOptions {
    /// The defaults: the cache's default time to live, no tags.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the entry lives; at most the cache's `max_ttl`.
    pub fn ttl(mut self, ttl: impl Into<TtlSpec>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// A tag of the application's own; [`Cache::invalidate_tag`] makes the entry a miss.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// The entry is made of this entity's rows: any write to its table purges it.
    pub fn entity<E: EntityTrait>(self, entity: E) -> Self {
        self.table(entity.table_name())
    }

    /// The entry is made of this table's rows: any write to it purges it. Of a view, the tables behind it
    /// count too, as far as a connection with this cache has learned the schema by then.
    pub fn table(mut self, table: impl AsRef<str>) -> Self {
        self.tables.push(bare_name(table.as_ref()));
        self
    }

    /// For so long after its time, an entry that no write has purged is still served, while one
    /// caller loads it anew. So nobody but that one waits. What a write has purged is never served.
    pub fn stale_while_revalidate(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.stale_while_revalidate = Some(grace.into());
        self
    }

    /// For so long after its time, an entry that no write has purged is served if the load fails.
    /// What a write has purged is never served.
    pub fn stale_if_error(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.stale_if_error = Some(grace.into());
        self
    }

    /// Load the entry anew before its time is over, the sooner the longer its load takes: when, each
    /// reader decides by lot, so that an entry that is read often does not expire under its readers.
    /// `beta` is the distance from the end, on average, in times that the load takes: 1.0 is a good
    /// choice, more is earlier; zero is not at all.
    ///
    /// With [`Cache::get_or_load_detached`] nobody waits for that load. With [`Cache::get_or_load`] the
    /// one reader who has drawn it does, and is served what is there if it fails.
    pub fn refresh_early(mut self, beta: f64) -> Self {
        self.refresh_early = beta;
        self
    }

    /// Do not look in the cache; load, and store what was loaded.
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }
}

impl Cache {
    /// Reads an entry. One round trip; two the first time this process sees an entry with tags.
    ///
    /// A value that cannot be read as `T` is `None`, as is any trouble with the store: a cache
    /// that is away is an empty cache.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CacheError> {
        Ok(self.get_many(&[key]).await?.pop().flatten())
    }

    /// Reads many entries in one round trip; answers in the order of the keys.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<Vec<Option<T>>, CacheError> {
        let counters = self.inner.counters.table(OWN);
        if !self.inner.config.enabled {
            keys.iter().for_each(|_| counters.count(Outcome::Bypass(Bypass::Disabled)));
            return Ok(keys.iter().map(|_| None).collect());
        }
        // What the entries depend on is not known here.
        watched::refuse(Refusal::Unknown);
        let options = EntryOptions::default();
        let questions: Vec<_> = keys.iter().map(|key| self.question(key, &options)).collect();
        let looks = self.inner.freshness.look_many(&questions).await;
        let values = looks.into_iter().map(|look| match look {
            Look::Hit { kind, payload, .. } => {
                let value = self.decode_own(kind, &payload);
                counters.count(if value.is_some() { Outcome::Hit } else { Outcome::Miss });
                value
            }
            Look::Miss(_) | Look::Late { .. } => {
                counters.count(Outcome::Miss);
                None
            }
            Look::Bypass(reason) => {
                counters.count(Outcome::Bypass(reason));
                None
            }
        });
        Ok(values.collect())
    }

    /// Stores an entry, whatever was there. Two round trips.
    ///
    /// A [`get_or_load`](Self::get_or_load) of the same key that is loading meanwhile may store its
    /// own answer afterwards.
    ///
    /// The value counts as made *now*: if it was computed from data that has changed since, prefer
    /// [`get_or_load`](Self::get_or_load), which takes its stamps before it computes.
    ///
    /// # Errors
    /// The value cannot be written, or the store did not take it.
    pub async fn set<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        options: EntryOptions,
    ) -> Result<(), CacheError> {
        self.set_many(&[(key, value)], options).await
    }

    /// Stores many entries with the same options. Two round trips, however many.
    ///
    /// # Errors
    /// A value cannot be written (nothing is stored then), or the store did not take them.
    pub async fn set_many<T: Serialize>(
        &self,
        entries: &[(&str, &T)],
        options: EntryOptions,
    ) -> Result<(), CacheError> {
        if !self.inner.config.enabled || entries.is_empty() {
            return Ok(());
        }
        let options = options.fresh();
        let mut questions = Vec::with_capacity(entries.len());
        let mut payloads = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let bytes = encode_own(*value).map_err(|error| CacheError::Unwritable {
                key: (*key).to_owned(),
                reason: match error {
                    CodecError::Unwritable(reason) => reason,
                    other => other.to_string(),
                },
            })?;
            let limit = self.inner.config.max_entry_bytes;
            if bytes.len() > limit {
                return Err(CacheError::Unwritable {
                    key: (*key).to_owned(),
                    reason: format!("{} bytes, more than max_entry_bytes = {limit}", bytes.len()),
                });
            }
            questions.push(self.question(key, &options));
            payloads.push(own_payload(bytes));
        }
        self.inner.freshness.put(&questions, payloads).await?;
        Ok(())
    }

    /// Reads an entry or computes and stores it ("remember"). Not for what `load` reads inside a
    /// transaction: that may never be committed, and would be stored all the same.
    ///
    /// One round trip on a hit; two and the
    /// load on a miss. One load per key in this process, however many tasks ask at a time.
    ///
    /// The tags are stamped before `load` begins: an invalidation during the load makes what it
    /// brings a miss. Do not ask for the same key inside `load`; it would wait for itself.
    ///
    /// Cancel safe: if the loading caller goes away, another waiting one takes over.
    ///
    /// # Errors
    /// Those of `load`. Trouble with the store means that `load` runs.
    pub async fn get_or_load<T, E, L, F>(&self, key: &str, options: EntryOptions, load: L) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        self.own(key, options, load, || None).await
    }

    /// [`get_or_load`](Self::get_or_load) with a load that borrows nothing: under
    /// [`refresh_early`](EntryOptions::refresh_early) it runs in the background, and whoever has found
    /// that it is time is served what is there. So is who comes within
    /// [`stale_while_revalidate`](EntryOptions::stale_while_revalidate) then.
    ///
    /// # Errors
    /// Those of `load`, for which somebody waited. One in the background is counted
    /// ([`refreshes_failed`](crate::CacheStats::refreshes_failed)), and the entry stays as it is.
    pub async fn get_or_load_detached<T, E, L, F>(
        &self,
        key: &str,
        options: EntryOptions,
        load: L,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        L: FnOnce() -> F + Clone + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (cache, again) = (self.clone(), load.clone());
        let detached = move || -> Option<Detached> {
            Some(Box::pin(async move {
                let loaded = again().await.map(|value| cache.own_loaded(&value));
                if loaded.is_err() {
                    tracing::debug!("a load in the background failed");
                }
                loaded.ok()
            }))
        };
        self.own(key, options, load, detached).await
    }

    async fn own<T, E, L, F>(
        &self,
        key: &str,
        options: EntryOptions,
        load: L,
        detached: impl FnOnce() -> Option<Detached>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let counters = self.inner.counters.table(OWN);
        if !self.inner.config.enabled {
            counters.count(Outcome::Bypass(Bypass::Disabled));
            return load().await;
        }
        let question = self.question(key, &options);
        watched::depends(&self.inner.freshness, question.tags.iter().chain(&question.also));
        let decode = |kind, payload: &Bytes| self.decode_own(kind, payload);
        let load = || async {
            let value = load().await?;
            let payload = self.own_loaded(&value);
            Ok(Loaded { value, payload })
        };
        match self.inner.freshness.fetch(&question, decode, load, detached).await {
            Ok(fetched) => {
                counters.count(fetched.outcome);
                Ok(fetched.value)
            }
            // It was asked for, and the cache had nothing.
            Err(error) => {
                counters.count(Outcome::Miss);
                Err(error)
            }
        }
    }

    /// The value, counted if it cannot be read.
    fn decode_own<T: DeserializeOwned>(&self, kind: PayloadKind, payload: &Bytes) -> Option<T> {
        let value = decode_own(kind, payload);
        if value.is_none() {
            self.inner.freshness.traffic.unreadable();
        }
        value
    }

    /// What is stored of a loaded value, if it may be.
    fn own_loaded<T: Serialize + DeserializeOwned>(&self, value: &T) -> Option<Payload> {
        match encode_own(value).and_then(|bytes| comes_back(value, bytes)) {
            Ok(bytes) => self.storable(own_payload(bytes)),
            Err(error) => {
                tracing::warn!(%error, "a loaded value cannot be stored");
                None
            }
        }
    }

    /// Is there a valid entry? One round trip.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub async fn exists(&self, key: &str) -> Result<bool, CacheError> {
        let question = self.question(key, &EntryOptions::default());
        watched::refuse(Refusal::Unknown);
        Ok(self.inner.config.enabled
            && matches!(self.inner.freshness.look(&question).await, Look::Hit { .. }))
    }

    /// Drops an entry; true if one was there. One round trip.
    ///
    /// # Errors
    /// The store did not answer; the entry may still be there.
    pub async fn delete(&self, key: &str) -> Result<bool, CacheError> {
        Ok(self.delete_many(&[key]).await? > 0)
    }

    /// Drops entries; says how many were there. One round trip.
    ///
    /// # Errors
    /// The store did not answer; the entries may still be there.
    pub async fn delete_many(&self, keys: &[&str]) -> Result<u64, CacheError> {
        let keys: Vec<_> = keys.iter().map(|key| self.inner.keys.user_entry(key)).collect();
        // Before and after: a load that landed a moment ago must not answer who asks from now on.
        self.inner.freshness.forget(&keys);
        let deleted = self.inner.freshness.store().delete(&keys).await;
        self.inner.freshness.forget(&keys);
        Ok(deleted?)
    }
    pub(crate) fn question(&self, key: &str, options: &EntryOptions) -> Question {
        let keys = &self.inner.keys;
        let config = &self.inner.config;
        let ttl = config.ttl(options.ttl.unwrap_or(TtlSpec::For(config.default_ttl)));
        let mut also: Vec<_> = Vec::new();
        for tag in options.tags.iter().flat_map(|tag| self.inner.user_tags(tag)) {
            if !also.contains(&tag) {
                also.push(tag);
            }
        }
        let schema = self.inner.schema();
        for table in &options.tables {
            also.push(keys.table(table));
            let behind = schema.behind(table).into_iter().flat_map(|view| view.reads);
            also.extend(behind.map(|table| keys.table(&table)));
        }
        let stem = stem(key).map(|stem| keys.stem(stem));
        also.retain(|tag| Some(tag) != stem.as_ref());
        let tags: Vec<_> = std::iter::once(keys.everything()).chain(stem).collect();
        Question {
            key: keys.user_entry(key),
            shape: Shape::of(&tags),
            tags,
            only_if_missing: Vec::new(),
            family: None,
            also,
            expected: None,
            ttl: ttl.max(Duration::from_millis(1)),
            negative_ttl: config.negative_ttl,
            grace: Grace {
                revalidate: options.stale_while_revalidate.map_or(Duration::ZERO, |spec| config.ttl(spec)),
                on_error: options.stale_if_error.map_or(Duration::ZERO, |spec| config.ttl(spec)),
            },
            early: Early::drawn(options.refresh_early),
            fresh: options.fresh,
            wrap: Wrap {
                compress_above: config.compress_above,
                encrypt: options.tables.iter().any(|table| self.inner.registry.encrypts(table)),
            },
            terms: None,
        }
    }

    /// The payload if it may be stored, by its size.
    pub(crate) fn storable(&self, payload: Payload) -> Option<Payload> {
        if payload.bytes.len() <= self.inner.config.max_entry_bytes {
            return Some(payload);
        }
        self.inner.counters.not_stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tracing::debug!(bytes = payload.bytes.len(), "larger than max_entry_bytes: not stored");
        None
    }
}

pub(crate) fn encode_own<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut writer = RowWriter::default();
    writer.custom(value)?;
    Ok(writer.finish())
}

/// The bytes, if the value that they are read back as is the same.
pub(crate) fn comes_back<T: Serialize + DeserializeOwned>(
    value: &T,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, CodecError> {
    let mut reader = RowReader::new(&bytes);
    let back: T = reader.custom()?;
    if same_optionals(value, &back) { Ok(bytes) } else { Err(CodecError::NotFaithful) }
}

fn own_payload(bytes: Vec<u8>) -> Payload {
    Payload {
        kind: PayloadKind::Custom,
        bytes,
        more: Vec::new(),
        depends_on_family: false,
        at_most: None,
        took: Duration::ZERO,
    }
}

fn decode_own<T: DeserializeOwned>(kind: PayloadKind, payload: &Bytes) -> Option<T> {
    if kind != PayloadKind::Custom {
        return None;
    }
    let mut reader = RowReader::new(payload);
    let value = reader.custom().ok()?;
    reader.finish().ok()?;
    Some(value)
}
