//! This crate, with its defaults (`Consistency::Strict`), with and without a near cache; and with one,
//! without barriers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sea_orm_cache::{CachedConnection, Consistency, prelude::*};

use super::{Site, System, update};
use crate::{book, near};

/// How far behind a hit in memory may be.
pub const STALENESS: Duration = Duration::from_millis(100);

/// Redis alone: rows handed out by value.
pub struct Ours(CachedConnection);

/// With a near cache: rows handed out behind an `Arc`.
pub struct OursNear(CachedConnection);

/// The same with `Consistency::AfterCommit`, which promises what the others try to: that a read which
/// begins after a write has returned sees it.
pub struct OursAfter(OursNear);

impl System for Ours {
    async fn open(site: &Site) -> Result<Self> {
        let cache = site.place.cache(&site.namespace).build().await?;
        Ok(Self(site.connect().await?.cached_by(cache)))
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let row = book::Entity::cached_by_id(id, &self.0).await?;
        Ok(row.with_context(|| format!("there is no row {id}"))?.version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.0).await
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        counters(&self.0)
    }
}

impl System for OursNear {
    async fn open(site: &Site) -> Result<Self> {
        let builder = near::with_near(site.place.cache(&site.namespace), near::ROOMY, STALENESS);
        Ok(Self(site.connect().await?.cached_by(builder.build().await?)))
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let row: Option<Arc<book::Model>> = near::by_id(id, &self.0).await?;
        Ok(row.with_context(|| format!("there is no row {id}"))?.version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.0).await
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        counters(&self.0)
    }
}

impl System for OursAfter {
    async fn open(site: &Site) -> Result<Self> {
        let builder = near::with_near(site.place.cache(&site.namespace), near::ROOMY, STALENESS);
        let cache = builder.consistency(Consistency::AfterCommit).build().await?;
        Ok(Self(OursNear(site.connect().await?.cached_by(cache))))
    }

    async fn read(&self, id: i64) -> Result<i32> {
        self.0.read(id).await
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        self.0.write(id, version).await
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.counters()
    }
}

/// Reads that asked the database because a write was under way, and because there was no valid entry.
fn counters(db: &CachedConnection) -> Vec<(&'static str, u64)> {
    let total = db.cache().stats().total;
    vec![("bypasses/1000 reads", total.bypasses), ("misses/1000 reads", total.misses)]
}
