//! What the bench uses of the near cache. Without the feature `near` there is none, and what needs it is
//! left out and said to be.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sea_orm_cache::{CacheBuilder, CachedConnection, prelude::*};

use crate::book;

/// Whether this build has a near cache.
pub const BUILT: bool = cfg!(feature = "near");
/// What is said where it has none.
pub const MISSING: &str = "the near cache is not in this build (feature `near`)";

/// Room for every row of a run.
pub const ROOMY: usize = 512 << 20;

/// A near cache of so many bytes; none where this build has none.
#[cfg(feature = "near")]
pub fn with_near(builder: CacheBuilder, bytes: usize, max_staleness: Duration) -> CacheBuilder {
    builder.near(bytes).max_staleness(max_staleness)
}

/// A near cache of so many bytes; none where this build has none.
#[cfg(not(feature = "near"))]
pub fn with_near(builder: CacheBuilder, _: usize, _: Duration) -> CacheBuilder {
    builder
}

/// A row as a near hit hands it out without a copy.
#[cfg(feature = "near")]
pub async fn by_id(id: i64, db: &CachedConnection) -> Result<Option<Arc<book::Model>>> {
    Ok(book::Entity::cached_arc_by_id(id, db).await?)
}

/// A row, as an `Arc`.
#[cfg(not(feature = "near"))]
pub async fn by_id(id: i64, db: &CachedConnection) -> Result<Option<Arc<book::Model>>> {
    Ok(book::Entity::cached_by_id(id, db).await?.map(Arc::new))
}

/// The same through a select.
#[cfg(feature = "near")]
pub async fn by_select(id: i64, db: &CachedConnection) -> Result<Option<Arc<book::Model>>> {
    use sea_orm::EntityTrait;
    Ok(book::Entity::find_by_id(id).cached().one_arc(db).await?)
}

/// The same through a select.
#[cfg(not(feature = "near"))]
pub async fn by_select(id: i64, db: &CachedConnection) -> Result<Option<Arc<book::Model>>> {
    use sea_orm::EntityTrait;
    Ok(book::Entity::find_by_id(id).cached().one(db).await?.map(Arc::new))
}
