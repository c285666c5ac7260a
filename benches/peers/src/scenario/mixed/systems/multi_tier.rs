//! multi-tier-cache: moka in front of Redis, `get_or_compute_typed` on a read, and after the commit
//! `invalidate`, which tells other processes.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use multi_tier_cache::{
    CacheError, CacheManager, CacheStrategy, InvalidationConfig, L1Cache, L2Cache, MokaCacheConfig,
};
use sea_orm::DatabaseConnection;

use super::{Site, System, load, update};
use crate::book;

pub struct MultiTier {
    database: DatabaseConnection,
    cache: CacheManager,
    prefix: String,
}

impl System for MultiTier {
    async fn open(site: &Site) -> Result<Self> {
        // Room for all rows; its default is 5000.
        let config =
            MokaCacheConfig { max_capacity: 1_000_000, time_to_live: book::LIFE, time_to_idle: book::LIFE };
        let memory = Arc::new(L1Cache::new(config).map_err(told)?);
        let redis = Arc::new(L2Cache::with_url(&site.place.redis_url).await.map_err(told)?);
        let channel = format!("{}:invalidate", site.namespace);
        let config = InvalidationConfig { channel, ..Default::default() };
        let cache = CacheManager::new_with_invalidation(memory, redis, &site.place.redis_url, config)
            .await
            .map_err(told)?;
        Ok(Self { database: site.connect().await?, cache, prefix: format!("{}:book:", site.namespace) })
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let load = || async {
            load(id, &self.database).await.map_err(|error| CacheError::InternalError(error.to_string()))
        };
        let key = format!("{}{id}", self.prefix);
        let strategy = CacheStrategy::Custom(book::LIFE);
        let row: book::Model = self.cache.get_or_compute_typed(&key, strategy, load).await.map_err(told)?;
        Ok(std::hint::black_box(row).version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.database).await?;
        self.cache.invalidate(&format!("{}{id}", self.prefix)).await.map_err(told)
    }
}

fn told(error: CacheError) -> anyhow::Error {
    anyhow!("{error}")
}
