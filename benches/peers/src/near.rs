//! What the bench uses of the near cache.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sea_orm::EntityTrait;
use sea_orm_cache::{CacheBuilder, CachedConnection, prelude::*};

use crate::book;

/// Room for every row of a run.
pub const ROOMY: usize = 512 << 20;

/// A near cache of so many bytes.
pub fn with_near(builder: CacheBuilder, bytes: usize, max_staleness: Duration) -> CacheBuilder {
    builder.near(bytes).max_staleness(max_staleness)
}

/// A row as a near hit hands it out, without a copy.
pub async fn by_id(id: i64, db: &CachedConnection) -> Result<Option<Arc<book::Model>>> {
    Ok(book::Entity::cached_arc_by_id(id, db).await?)
}

/// The same through a select.
pub async fn by_select(id: i64, db: &CachedConnection) -> Result<Option<Arc<book::Model>>> {
    Ok(book::Entity::find_by_id(id).cached().one_arc(db).await?)
}
