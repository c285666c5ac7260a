//! A plain connection has no cache.
#![allow(unused)]

use sea_orm::DatabaseConnection;
use sea_orm_cache::cached_fn;

#[cached_fn(cache = "db")]
async fn price(db: &DatabaseConnection, currency: &str) -> u32 {
    7
}

fn main() {}
