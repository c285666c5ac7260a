//! Functions that remember what they returned.
//!
//! ```text
//! cargo run --example cached_fn
//! REDIS_URL=redis://127.0.0.1/ cargo run --example cached_fn
//! ```
// feature C2
#![allow(missing_docs, clippy::print_stdout)]

use sea_orm_cache::{Cache, cached_fn};

/// Stands for a service that is asked over the network.
#[cached_fn(ttl = "5m", key = "rate:{currency}:{day}", tags("currency:{currency}"))]
async fn rate(cache: &Cache, currency: &str, day: u32) -> Result<f64, String> {
    println!("  (asking for the rate of {currency} on day {day})");
    match currency {
        "EUR" => Ok(1.0 + f64::from(day) / 100.0),
        _ => Err(format!("no rate for {currency}")),
    }
}

struct Shop {
    cache: Cache,
}

impl Shop {
    /// By all its arguments, whatever they are.
    #[cached_fn(ttl = "short", cache = "self.cache", skip("self"))]
    async fn delivery_days(&self, country: &str, weights: Vec<u32>) -> Option<u32> {
        println!("  (computing the delivery to {country} of {weights:?})");
        let total: u32 = weights.iter().sum();
        (country != "nowhere").then_some(2 + total / 10)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().namespace("cached-fn-example").from_env()?.build().await?;
    cache.invalidate_tag("currency:EUR").await; // what an earlier run left

    for _ in 0..3 {
        println!("rate: {}", rate(&cache, "EUR", 7).await?);
    }
    // An error is not stored: the next one asks again.
    for _ in 0..2 {
        println!("rate: {:?}", rate(&cache, "XYZ", 7).await);
    }
    cache.invalidate_tag("currency:EUR").await;
    println!("rate: {}", rate(&cache, "EUR", 7).await?);

    let shop = Shop { cache: cache.clone() };
    for country in ["France", "France", "nowhere", "nowhere"] {
        println!("{country}: {:?} days", shop.delivery_days(country, vec![5, 20]).await);
    }
    Ok(())
}
