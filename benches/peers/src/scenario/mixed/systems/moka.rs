//! moka: `try_get_with` on a read, `invalidate` after the commit.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use moka::future::Cache;
use sea_orm::DatabaseConnection;

use super::{Site, System, load, update};
use crate::book;

pub struct Moka {
    database: DatabaseConnection,
    cache: Cache<i64, Arc<book::Model>>,
}

impl System for Moka {
    async fn open(site: &Site) -> Result<Self> {
        let cache = Cache::builder().max_capacity(1_000_000).time_to_live(book::LIFE).build();
        Ok(Self { database: site.connect().await?, cache })
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let fill = async { load(id, &self.database).await.map(Arc::new) };
        let row = self.cache.try_get_with(id, fill).await.map_err(|error| anyhow!("{error}"))?;
        Ok(std::hint::black_box(row).version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.database).await?;
        self.cache.invalidate(&id).await;
        Ok(())
    }
}
