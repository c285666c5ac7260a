//! What learning the schema needs to know of the cache.

use std::sync::Arc;

use sea_orm::DbBackend;

use crate::{
    cache::Inner,
    freshness::PurgeSet,
    schema::{Schema, Surroundings},
    statement::Analysis,
};

impl Surroundings for Inner {
    fn analyse(&self, backend: DbBackend, sql: &str) -> Arc<Analysis> {
        Inner::analyse(self, backend, sql)
    }

    fn learned(&self, schema: &Arc<Schema>, is_other: bool) {
        *self.schema.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = schema.clone();
        if is_other {
            tracing::info!("the database's schema has changed: purging the whole namespace");
            let mut set = PurgeSet::default();
            set.tags.insert(self.keys.everything());
            // A ticket that is dropped is delivered in the background; until then this process
            // does not trust the cache.
            drop(self.freshness.ticket(set));
        }
    }

    fn loads_from_replica(&self, is_so: bool) {
        self.observer.loads_from_replica(is_so);
    }

    fn declares_triggers(&self, folded: &str) -> bool {
        self.registry.table(folded).is_some_and(|policy| policy.rule.also_writes.is_some())
    }
}
