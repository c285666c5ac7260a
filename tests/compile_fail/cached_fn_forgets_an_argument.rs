//! An argument that is not in the key: two days would share one price.
#![allow(unused)]

use sea_orm_cache::{Cache, cached_fn};

#[cached_fn(ttl = "5m", key = "price:{currency}")]
async fn price(cache: &Cache, currency: &str, day: u32) -> u32 {
    day
}

fn main() {}
