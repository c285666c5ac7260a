//! What all clones of a cache share.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, RwLock, atomic::AtomicU64},
};

use super::names::{stem, stem_of_pattern};
use crate::{
    CacheConfig,
    entity::{EntityDescriptor, Registry},
    freshness::{Freshness, PurgeSet, Shape},
    keys::{Keyspace, RowKeys},
    observe::{Counters, Observer},
    schema::Schema,
    statement::Memo,
    store::TagKey,
};

pub(crate) struct Inner {
    pub(crate) config: CacheConfig,
    pub(crate) keys: Keyspace,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) memo: Memo,
    pub(crate) observer: Observer,
    pub(crate) loaders: crate::warmup::Loaders,
    /// As a connection learned it last; for explanations only.
    // A std lock: held for a clone of an Arc, never across an await.
    pub(crate) schema: RwLock<Arc<Schema>>,
    /// Counts what may have changed the schema, through whichever connection.
    pub(crate) schema_changes: Arc<AtomicU64>,
    // A std lock: held for a map look-up, never across an await.
    pub(super) rows: RwLock<HashMap<TypeId, Arc<Rows>, quick_cache::DefaultHashBuilder>>,
}

/// What the questions for an entity's rows have in common.
pub(crate) struct Rows {
    pub(crate) keys: RowKeys,
    /// Of a row with a tag of its own, and of no view.
    pub(crate) shape: Shape,
    /// The same where that says its key to the letter.
    pub(crate) shape_to_the_letter: Shape,
}

impl std::fmt::Debug for Inner {
    /// Without keys and payloads: a handler that records its arguments must not log rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("namespace", &self.config.namespace)
            .field("store", &self.freshness.store().name())
            .field("enabled", &self.config.enabled)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The schema, as a connection learned it last.
    pub(crate) fn schema(&self) -> Arc<Schema> {
        self.schema.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// What the questions for an entity's rows have in common.
    pub(crate) fn rows(&self, entity: &EntityDescriptor) -> Arc<Rows> {
        let known = self.rows.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(rows) = known.get(&entity.type_id) {
            return rows.clone();
        }
        drop(known);
        let EntityDescriptor { policy, schema, table, folded, fingerprint, .. } = entity;
        let names = (*table, &**folded);
        let has_tags = !policy.tags.is_empty();
        let keys = self.keys.rows(policy.namespace, schema.as_deref(), names, *fingerprint, has_tags);
        let (shape, shape_to_the_letter) = (Shape::of(&keys.asked(false)), Shape::of(&keys.asked(true)));
        let rows = Rows { shape, shape_to_the_letter, keys };
        let mut known = self.rows.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.entry(entity.type_id).or_insert_with(|| Arc::new(rows)).clone()
    }

    /// Everything that depends on a table.
    pub(crate) fn purge_table(&self, set: &mut PurgeSet, folded: &str) {
        set.tags.insert(self.keys.table(folded));
        set.tags.insert(self.keys.any_row(folded));
        set.tags.insert(self.keys.index(folded));
    }

    /// A tag of the application's own, or all of a stem (`report:*`); and the tag that stands for
    /// "some tag was invalidated".
    pub(crate) fn purge_user_tag(&self, set: &mut PurgeSet, tag: &str) {
        set.tags.insert(match stem_of_pattern(tag) {
            Some(stem) => self.keys.stem(stem),
            None => self.keys.user_tag(tag),
        });
        set.tags.insert(self.keys.any_user_tag());
    }

    /// The tags that an entry with a tag of the application's own depends on.
    pub(crate) fn user_tags<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = TagKey> + 'a {
        std::iter::once(self.keys.user_tag(tag)).chain(stem(tag).map(|stem| self.keys.stem(stem)))
    }
}
