//! SeaORM and PostgreSQL.

use anyhow::Result;
use sea_orm::DatabaseConnection;

use super::{Site, System, load, update};

pub struct Plain(DatabaseConnection);

impl System for Plain {
    async fn open(site: &Site) -> Result<Self> {
        Ok(Self(site.connect().await?))
    }

    async fn read(&self, id: i64) -> Result<i32> {
        Ok(load(id, &self.0).await?.version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        update(id, version, &self.0).await
    }
}
