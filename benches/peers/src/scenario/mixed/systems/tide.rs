//! tideorm: an ORM of its own, on SeaORM, with a cache of query answers in the process that its own writes
//! invalidate by themselves.

use anyhow::{Context, Result, anyhow};
use tideorm::{
    TideConfig,
    cache::{CacheConfig, CacheStrategy, QueryCache},
    prelude::*,
};

use super::{Site, System};
use crate::{book, place::POOL};

#[tideorm::model(table = "book")]
struct Book {
    #[tideorm(primary_key)]
    id: i64,
    isbn: String,
    title: String,
    author: String,
    blurb: String,
    shelf_id: i64,
    price_cents: i64,
    stock: i32,
    version: i32,
}

pub struct Tide;

impl System for Tide {
    async fn open(site: &Site) -> Result<Self> {
        TideConfig::init()
            .database(&site.place.database_url(&site.database))
            .max_connections(POOL)
            .min_connections(POOL)
            .connect()
            .await
            .map_err(|error| anyhow!("{error}"))?;
        QueryCache::init_global(CacheConfig {
            enabled: true,
            // Room for all rows; the default is 1000. Then nothing is evicted, and of its strategies this is
            // the one whose hits do not take the lock for writing.
            max_entries: 1_000_000,
            strategy: CacheStrategy::TTL,
            default_ttl: book::LIFE,
            ..CacheConfig::default()
        });
        Ok(Self)
    }

    async fn read(&self, id: i64) -> Result<i32> {
        let row = Book::query().where_eq(Book::ID, id).cache(book::LIFE).first().await;
        let row =
            row.map_err(|error| anyhow!("{error}"))?.with_context(|| format!("there is no row {id}"))?;
        Ok(std::hint::black_box(row).version)
    }

    async fn write(&self, id: i64, version: i32) -> Result<()> {
        let update = Book::update_all().where_eq(Book::ID, id).set(Book::VERSION, version);
        let touched = update.execute().await.map_err(|error| anyhow!("{error}"))?;
        (touched == 1).then_some(()).with_context(|| format!("there is no row {id}"))
    }

    /// Each read that its cache does not answer is one.
    fn selects(&self) -> Option<u64> {
        Some(QueryCache::global().stats().misses)
    }
}
