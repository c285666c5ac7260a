//! Cache-aside as it is written by hand: GET, serde_json, SET EX on a miss, DEL after the commit.

use anyhow::Result;
use redis::{AsyncCommands, aio::MultiplexedConnection};
use sea_orm::DatabaseConnection;

use super::{Site, System, load, update};
use crate::book;

pub struct ByHand {
    database: DatabaseConnection,
    redis: MultiplexedConnection,
    prefix: String,
}

impl System for ByHand {
    async fn open(site: &Site) -> Result<Self> {
        let redis = site.place.redis().await?;
        Ok(Self { database: site.connect().await?, redis, prefix: format!("{}:book:", site.namespace) })
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let key = format!("{}{id}", self.prefix);
        let mut redis = self.redis.clone();
        let row: book::Model = match redis.get::<_, Option<Vec<u8>>>(&key).await? {
            Some(json) => serde_json::from_slice(&json)?,
            None => {
                let row = load(id, &self.database).await?;
                let json = serde_json::to_vec(&row)?;
                redis.set_ex::<_, _, ()>(&key, json, book::LIFE.as_secs()).await?;
                row
            }
        };
        Ok(std::hint::black_box(row).version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.database).await?;
        Ok(self.redis.clone().del(format!("{}{id}", self.prefix)).await?)
    }
}
