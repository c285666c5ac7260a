//! Nobody says which cache.
#![allow(unused)]

use sea_orm_cache::cached_fn;

#[cached_fn(ttl = "5m")]
async fn price(currency: &str) -> u32 {
    7
}

fn main() {}
