//! What learning the schema needs to know of the cache.

use std::sync::Arc;

use sea_orm::DbBackend;

use crate::{
    cache::Inner,
    schema::{Schema, Surroundings},
    statement::Analysis,
};

impl Surroundings for Inner {
    fn analyse(&self, backend: DbBackend, sql: &str) -> Arc<Analysis> {
        Inner::analyse(self, backend, sql)
    }

    fn learned(&self, schema: &Arc<Schema>) {
        *self.schema.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = schema.clone();
    }

    fn declares_triggers(&self, folded: &str) -> bool {
        self.registry.table(folded).is_some_and(|policy| policy.rule.also_writes.is_some())
    }
}
