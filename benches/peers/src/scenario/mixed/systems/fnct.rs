//! fnct: `cached_result` on a read, `pop_key` after the commit. By key, not by tag: that is its faster way.

use anyhow::{Result, anyhow};
use fnct::{AsyncCache, backend::AsyncRedisBackend, format::PostcardFormatter};
use redis_for_fnct::{Client, aio::MultiplexedConnection};
use sea_orm::DatabaseConnection;

use super::{Site, System, load, update};
use crate::book;

pub struct Fnct {
    database: DatabaseConnection,
    cache: AsyncCache<AsyncRedisBackend<MultiplexedConnection>, PostcardFormatter>,
}

impl System for Fnct {
    async fn open(site: &Site) -> Result<Self> {
        let client = Client::open(site.place.redis_url.as_str())?;
        let connection = client.get_multiplexed_async_connection().await?;
        let backend = AsyncRedisBackend::new(connection, site.namespace.clone());
        let cache = AsyncCache::new(backend, PostcardFormatter, book::LIFE);
        Ok(Self { database: site.connect().await?, cache })
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let row = self
            .cache
            .cached_result(("book", id), &[], None, || load(id, &self.database))
            .await
            .map_err(|error| anyhow!("{error}"))??;
        Ok(std::hint::black_box(row).version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.database).await?;
        self.cache.pop_key(("book", id)).await.map_err(|error| anyhow!("{error}"))
    }
}
