//! The cache is asked over a network: that takes an async function.
#![allow(unused)]

use sea_orm_cache::{Cache, cached_fn};

#[cached_fn]
fn price(cache: &Cache, currency: &str) -> u32 {
    7
}

fn main() {}
