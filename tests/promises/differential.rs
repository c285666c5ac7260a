//! The cache against the database: random schemas, random statements, and after each step the same
//! reads through the cache and past it. No difference is allowed.
//!
//! | variable | what it does |
//! |---|---|
//! | `SEA_ORM_CACHE_DIFFERENTIAL_STEPS` | steps for each database; 20,000 unless set |
//! | `SEA_ORM_CACHE_DIFFERENTIAL_SEED` | another run; with the seed of a failure, its schema comes first |

mod executor;
mod perform;
pub mod random;
mod raw;
mod read;
mod run;
mod schema;
mod shrink;
mod step;
mod tables;
mod tally;
mod trigger;
mod values;
mod write;

use std::{env, fmt::Display, str::FromStr, time::Instant};

use random::seed_of;
use run::Plan;
use tally::Tally;

use crate::{support::Backend, world::StoreKind};

const STEPS: u64 = 20_000;
const SEED: u64 = 20_261_121;
const STEPS_PER_SCHEMA: u64 = 500;
/// Plans that are run with and without the cache.
const PAIRS: u64 = 4;

fn setting<T: FromStr<Err: Display>>(variable: &str, default: T) -> T {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
        Err(_) => default,
    }
}

/// One schema in eight is run with Redis. The seed decides, so that it comes back with it.
fn store_of(seed: u64) -> StoreKind {
    if seed % 8 == 7 && crate::support::shared_redis_url().is_some() {
        StoreKind::Redis
    } else {
        StoreKind::Memory
    }
}

async fn compare_all(backend: Backend) {
    let (started, mut tally) = (Instant::now(), Tally::default());
    let run_seed = setting("SEA_ORM_CACHE_DIFFERENTIAL_SEED", SEED);
    let steps = setting("SEA_ORM_CACHE_DIFFERENTIAL_STEPS", STEPS);
    for index in 0..steps.div_ceil(STEPS_PER_SCHEMA) {
        let seed = seed_of(run_seed, index);
        let count = STEPS_PER_SCHEMA.min(steps - index * STEPS_PER_SCHEMA);
        let plan = Plan::random(backend, store_of(seed), seed, count as usize);
        match plan.run().await {
            None => return,
            Some(Ok(outcome)) => tally.add(&outcome.tally),
            Some(Err(difference)) => {
                println!("SEA_ORM_CACHE_DIFFERENTIAL_SEED={seed} (of the run {run_seed}): {difference}");
                let smallest = shrink::shrink(plan, *difference).await;
                panic!("SEA_ORM_CACHE_DIFFERENTIAL_SEED={seed}, made smaller: {smallest}")
            }
        }
    }
    println!("{backend}, seed {run_seed}, {:.0?}\n{}", started.elapsed(), tally.report());
}

#[tokio::test]
async fn the_cache_says_what_sqlite_says() {
    compare_all(Backend::Sqlite).await;
}

#[tokio::test]
async fn the_cache_says_what_postgresql_says() {
    compare_all(Backend::Postgres).await;
}

#[tokio::test]
async fn the_cache_says_what_mariadb_says() {
    compare_all(Backend::MariaDb).await;
}

/// The comparison itself: writes of which the cache is not told must show, and soon.
#[tokio::test]
async fn writes_past_the_cache_are_found() {
    for backend in Backend::all() {
        for seed in 1..=5 {
            let mut plan = Plan::random(backend, StoreKind::Memory, seed, 200);
            plan.past_the_cache = true;
            match plan.run().await {
                None => break,
                Some(Ok(_)) => {
                    panic!("{backend}: 200 writes of which the cache was not told made no difference")
                }
                Some(Err(difference)) => println!("{backend}: found after {} steps", difference.step),
            }
        }
    }
}

/// The wrapper asks the database questions of its own around a write. None of them may change what
/// the write does, or what becomes of the transaction that it stands in.
#[tokio::test]
async fn the_database_ends_up_as_without_the_cache() {
    for backend in Backend::all() {
        for index in 0..setting("SEA_ORM_CACHE_DIFFERENTIAL_PAIRS", PAIRS) {
            let seed = seed_of(setting("SEA_ORM_CACHE_DIFFERENTIAL_SEED", SEED), index);
            let mut plan = Plan::random(backend, StoreKind::Memory, seed, 250);
            (plan.keeps_contents, plan.pool) = (true, Vec::new());
            let Some(without) = run::contents_without_the_cache(&plan).await else { break };
            let with = match plan.run().await {
                None => break,
                Some(Ok(outcome)) => outcome.history,
                Some(Err(difference)) => panic!("seed {seed}: {difference}"),
            };
            for (step, (with, without)) in with.iter().zip(&without).enumerate() {
                assert_eq!(
                    with,
                    without,
                    "{backend}, seed {seed}: with the cache (left) something else came of step {step}, {:?}\n{}",
                    plan.steps[step].step,
                    plan.schema.statements().join(";\n")
                );
            }
        }
    }
}
