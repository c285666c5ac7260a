//! Answers of a language model that are paid for once.
//!
//! ```text
//! cargo run --example answers --features answers
//! REDIS_URL=redis://127.0.0.1/ cargo run --example answers --features answers
//! ```
// feature C4
#![allow(missing_docs, clippy::print_stdout)]

use std::{convert::Infallible, time::Duration};

use sea_orm_cache::{Answers, Asked, Cache, EntryOptions};

/// Stands for a call of a service that takes its time, and money.
async fn complete(prompt: &str) -> Result<String, Infallible> {
    println!("  (the model thinks about: {prompt})");
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(format!("That is a good question: {prompt}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().namespace("answers-example").from_env()?.build().await?;
    let answers = Answers::new(&cache, "support");
    answers.forget_all().await; // what an earlier run left

    let options = || EntryOptions::new().ttl(Duration::from_secs(3600)).tag("opening hours");
    let question = "When do you open?";
    let first = Asked::new("acme/large-3", question).option("temperature", 0).option("seed", 7);
    // The same, said in another way.
    let again = Asked::new("acme/large-3", question).option("seed", 7.0).option("temperature", 0.0);
    // Not the same: something was said before.
    let later = first.clone().said("user", "I live in Lisbon.").said("assistant", "How nice.");

    for (who, asked) in [("ann", &first), ("bob", &again), ("eve", &later), ("ann", &later)] {
        println!("{who} asks {}", &asked.fingerprint()[..8]);
        let answer: String = answers.get_or_generate(asked, options(), || complete(question)).await?;
        println!("  {answer}");
    }
    let stats = answers.stats();
    println!("{} asked, {} hits, {:?} saved", stats.asked, stats.hits, stats.time_saved);
    assert_eq!((stats.hits, stats.generated), (2, 2));

    // The hours have changed.
    cache.invalidate_tag("opening hours").await;
    assert_eq!(answers.get::<String>(&first).await?, None);
    Ok(())
}
