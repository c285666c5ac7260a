//! A limit on guesses at a password, and one on requests.
//!
//! ```text
//! cargo run --example rate_limit
//! REDIS_URL=redis://127.0.0.1/ cargo run --example rate_limit   # twice at a time: one limit
//! ```
// feature C5
#![allow(missing_docs, clippy::print_stdout)]

use std::time::Duration;

use sea_orm_cache::{Cache, LimitOutage, Quota, RateLimiter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().namespace("rate-limit-example").from_env()?.build().await?;

    // Five guesses at once, and one more every ten minutes. Without Redis, none.
    let guesses = RateLimiter::new(&cache, "password", Quota::new(6, Duration::from_secs(3600)).burst(5))
        .on_outage(LimitOutage::Deny);
    guesses.reset("ann@example.org").await?; // what an earlier run left
    for guess in 1..=7 {
        let decision = guesses.check("ann@example.org").await;
        match decision.retry_after {
            None => println!("guess {guess}: go ahead, {} left", decision.remaining),
            Some(pause) => println!("guess {guess}: come back in {} s", pause.as_secs()),
        }
        assert_eq!(decision.allowed, guess <= 5);
    }
    // She knew it after all.
    guesses.reset("ann@example.org").await?;
    assert!(guesses.check("ann@example.org").await.allowed);

    // A thousand a second, twenty at once. Some of them cost more than others.
    let requests = RateLimiter::new(&cache, "api", Quota::per_second(1000).burst(20));
    let mut passed = 0;
    while passed < 100 {
        let decision = requests.check_n("token 7", 5).await;
        match decision.retry_after {
            None => passed += 5,
            Some(pause) => tokio::time::sleep(pause).await,
        }
    }
    println!("{passed} requests, never more than 20 at once");
    Ok(())
}
