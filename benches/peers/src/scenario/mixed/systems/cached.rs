//! `cached` with its asynchronous Redis store: get, set on a miss, delete after the commit.

use anyhow::{Result, anyhow};
use cached::{AsyncRedisCache, ConcurrentCachedAsync};
use sea_orm::DatabaseConnection;

use super::{Site, System, load, update};
use crate::book;

pub struct Cached {
    database: DatabaseConnection,
    cache: AsyncRedisCache<i64, book::Model>,
}

impl System for Cached {
    async fn open(site: &Site) -> Result<Self> {
        let cache = AsyncRedisCache::builder("book")
            .namespace(&site.namespace)
            .connection_string(&site.place.redis_url)
            .ttl(book::LIFE)
            .build()
            .await
            .map_err(|error| anyhow!("{error}"))?;
        Ok(Self { database: site.connect().await?, cache })
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let found = self.cache.async_cache_get(&id).await.map_err(|error| anyhow!("{error}"))?;
        let row = match found {
            Some(row) => row,
            None => {
                let row = load(id, &self.database).await?;
                self.cache.async_cache_set(id, row.clone()).await.map_err(|error| anyhow!("{error}"))?;
                row
            }
        };
        Ok(std::hint::black_box(row).version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.database).await?;
        self.cache.async_cache_delete(&id).await.map_err(|error| anyhow!("{error}"))?;
        Ok(())
    }
}
