//! Invalidation by hand.

use sea_orm::EntityTrait;

use super::{
    Cache,
    names::{bare_name, is_no_entry, matches_pattern},
};
use crate::{CacheError, freshness::PurgeSet};

/// Keys that [`Cache::invalidate_pattern`] looks at, at most.
const PATTERN_LIMIT: usize = 100_000;

impl Cache {
    /// Makes every entry with this tag a miss, however many there are. One round trip.
    ///
    /// `report:*` stands for every tag, and every entry of [`set`](Self::set) and
    /// [`get_or_load`](Self::get_or_load), whose name begins with `report:`. Only the part before the
    /// first colon counts: `report:2024:*` is the same as `report:*`.
    ///
    /// If the store is away the invalidation is queued and delivered before this process trusts
    /// the store again; so are all the `invalidate` methods. Cancel safe.
    pub async fn invalidate_tag(&self, tag: &str) {
        self.invalidate_tags(&[tag]).await;
    }

    /// Makes every entry with any of these tags a miss. One round trip.
    pub async fn invalidate_tags(&self, tags: &[&str]) {
        let mut set = PurgeSet::default();
        for tag in tags {
            self.inner.purge_user_tag(&mut set, tag);
        }
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes everything that was read from this entity's table a miss. One round trip.
    pub async fn invalidate_entity<E: EntityTrait>(&self) {
        self.invalidate_table(E::default().table_name()).await;
    }

    /// Makes everything that was read from this table a miss. One round trip.
    pub async fn invalidate_table(&self, table: &str) {
        let mut set = PurgeSet::default();
        self.inner.purge_table(&mut set, &bare_name(table));
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes one row a miss, and the lists that may hold it. One round trip.
    pub async fn invalidate_row<E: EntityTrait>(&self, key: impl sea_orm::sea_query::IntoValueTuple) {
        let descriptor = self.inner.registry.entity::<E>();
        let values: Vec<_> = key.into_value_tuple().into_iter().collect();
        let mut set = PurgeSet::default();
        self.inner.purge_row(&mut set, &descriptor, &values);
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes the entries of all entities with `#[cache(namespace = "...")]` a miss. One round trip.
    pub async fn invalidate_group(&self, group: &str) {
        let mut set = PurgeSet::default();
        set.tags.insert(self.inner.keys.group(group));
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes everything in the namespace a miss. One round trip, however much there is; the memory
    /// comes back as entries expire.
    pub async fn clear(&self) {
        let mut set = PurgeSet::default();
        set.tags.insert(self.inner.keys.everything());
        self.inner.freshness.invalidate(set).await;
    }

    /// Drops entries whose key, without the namespace, matches `pattern` (`*` stands for any text:
    /// `row:book:*`, `e:dashboard*`). Says how many were dropped.
    ///
    /// An operator's tool: it scans the namespace in bounded steps, many round trips, and looks at
    /// no more than 100,000 keys. It drops entries, not tags: a load that is under way may still
    /// store what it brings, and what other processes have in memory stays there. For anything that
    /// runs more than now and then, use tags.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn invalidate_pattern(&self, pattern: &str) -> Result<u64, CacheError> {
        let prefix = self.inner.keys.prefix();
        let store = self.inner.freshness.store();
        let keys: Vec<_> = store
            .scan(&prefix, PATTERN_LIMIT)
            .await?
            .into_iter()
            .filter(|key| {
                key.strip_prefix(&prefix)
                    .is_some_and(|rest| !is_no_entry(rest) && matches_pattern(pattern, rest))
            })
            .map(crate::store::EntryKey::from_full)
            .collect();
        let mut dropped = 0;
        for chunk in keys.chunks(1000) {
            dropped += store.delete(chunk).await?;
            self.inner.freshness.forget(chunk);
        }
        // Which of them are in memory cannot be told by their keys.
        if let Some(near) = self.inner.freshness.near() {
            near.clear();
        }
        Ok(dropped)
    }
}
