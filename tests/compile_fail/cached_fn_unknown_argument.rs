//! A misspelt argument in a tag would be a purge that never happens.
#![allow(unused)]

use sea_orm_cache::{Cache, cached_fn};

#[cached_fn(tags("currency:{curency}"), skip("dya"))]
async fn price(cache: &Cache, currency: &str, day: u32) -> u32 {
    day
}

fn main() {}
