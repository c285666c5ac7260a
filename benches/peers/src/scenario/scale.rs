//! How it holds with more: dependents of a tag, entries, tasks, bytes.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use redis::aio::MultiplexedConnection;
use sea_orm_cache::{Cache, EntryOptions, prelude::*};

use super::{Plan, by_key};
use crate::{
    book,
    contest::Contest,
    drive::Pace,
    place::{POOL, Place},
    sheet::Sheet,
};

pub const SCENARIO: &str = "scale";
pub const PURGE: &str = "purge of a tag, by its dependents";
pub const ONE: &str = "1 dependent";
pub const SOME: &str = "some dependents (1 k in a full run)";
pub const MOST: &str = "most dependents (1 M in a full run)";
pub const SLOWLOG: &str = "Redis slowlog, 1 ms, of all purges";

const DATABASE_NAME: &str = "bench_scale";
/// Entries stored in one call.
const BATCH: usize = 1000;
/// Tags of each size, so that one filling gives as many purges to measure.
const TAGS: usize = 8;

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    purge(place, plan, sheet).await?;
    place.flush().await?;
    entries(place, plan, sheet).await?;
    place.flush().await?;
    values(place, plan, sheet).await?;
    place.flush().await?;
    place.seed(plan.rows).await?;
    place.fresh_database(DATABASE_NAME).await?;
    tasks(place, plan, sheet).await?;
    place.flush().await?;
    rows(place, plan, sheet).await
}

/// Tags that one, some and very many entries depend on, purged by turns.
async fn purge(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let sizes = [(ONE, 1), (SOME, plan.size(1000, 100)), (MOST, plan.size(1_000_000, 10_000))];
    sheet.note(
        SCENARIO,
        format!("dependents: {}, {} and {}; {TAGS} tags of each", sizes[0].1, sizes[1].1, sizes[2].1),
    );
    println!("{SCENARIO}: {PURGE}");
    let cache = place.cache("bench-scale").build().await?;
    let mut redis = place.redis().await?;
    redis::cmd("CONFIG").arg("SET").arg("slowlog-log-slower-than").arg(1000).exec_async(&mut redis).await?;
    let mut slow = 0;
    for round in 0..plan.rounds {
        for (name, size) in sizes {
            let options = (0..TAGS).fold(options(), |options, tag| options.tag(tag_name(name, tag)));
            store(&cache, name, size, 32, options).await?;
        }
        cache.ping().await?;
        ensure!(cache.exists(&key(MOST, 0)).await?, "the entries are there");
        redis::cmd("SLOWLOG").arg("RESET").exec_async(&mut redis).await?;
        let mut times = [const { Vec::new() }; 3];
        for tag in 0..TAGS {
            for place in 0..sizes.len() {
                let which = (place + round + tag) % sizes.len();
                let name = tag_name(sizes[which].0, tag);
                let start = Instant::now();
                cache.invalidate_tag(&name).await;
                times[which].push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        let logged: usize = redis::cmd("SLOWLOG").arg("LEN").query_async(&mut redis).await?;
        slow += logged;
        ensure!(!cache.exists(&key(MOST, 0)).await?, "the purge reached the entries");
        for (times, (name, _)) in times.iter_mut().zip(sizes) {
            times.sort_by(f64::total_cmp);
            sheet.add(SCENARIO, PURGE, name, "p50 us", times[times.len() / 2]);
        }
        sheet.add(SCENARIO, PURGE, SLOWLOG, "entries", logged as f64);
    }
    redis::cmd("CONFIG").arg("SET").arg("slowlog-log-slower-than").arg(10_000).exec_async(&mut redis).await?;
    for (name, _) in sizes {
        let time = sheet.median(SCENARIO, PURGE, name, "p50 us").unwrap_or(f64::NAN);
        println!("  {name:<44} p50 {time:>9.2} us");
    }
    println!("  {SLOWLOG:<44} {slow} entries");
    Ok(())
}

/// Hits of entries of the application's own, of which there are more and more.
async fn entries(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let sizes = plan.size([10_000, 100_000, 1_000_000], [1000, 5000, 10_000]);
    let cache = &*Box::leak(Box::new(place.cache("bench-scale").build().await?));
    let redis = &*Box::leak(Box::new(place.redis().await?));
    let pace = Pace { tasks: 64, time: plan.turn, timed: 1 };
    for size in sizes {
        store(cache, "entry", size, 100, options()).await?;
        for batch in (0..size).step_by(BATCH) {
            let mut pipeline = redis::pipe();
            for entry in batch..size.min(batch + BATCH) {
                pipeline.set_ex(key("raw", entry), text(100, entry), book::LIFE.as_secs()).ignore();
            }
            pipeline.exec_async(&mut redis.clone()).await?;
        }
        let mut random = StdRng::seed_from_u64(1);
        let keys: Arc<[i64]> = (0..100_000).map(|_| random.random_range(0..size as i64)).collect();
        let mut contest = Contest::new(SCENARIO, format!("{size} entries, 64 tasks"));
        contest.enter("ours: hit of an own entry", pace, &keys, move |id| get(cache, "entry", id));
        contest.enter("redis-rs GET", pace, &keys, move |id| raw_get(redis, id));
        contest.run(plan.rounds, sheet).await?;
    }
    Ok(())
}

/// Hits of larger and larger values, of random letters and digits.
async fn values(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    const ENTRIES: usize = 20;
    let builder = place.cache("bench-scale").max_entry_bytes(4 << 20);
    let cache = &*Box::leak(Box::new(builder.build().await?));
    let redis = &*Box::leak(Box::new(place.redis().await?));
    let keys: Arc<[i64]> = (0..ENTRIES as i64).collect();
    let pace = Pace { tasks: 8, time: plan.turn, timed: 1 };
    for bytes in [100, 1000, 10_000, 100_000, 1_000_000] {
        store(cache, "value", ENTRIES, bytes, options()).await?;
        for entry in 0..ENTRIES {
            let command = redis::Cmd::set_ex(key("raw", entry), text(bytes, entry), book::LIFE.as_secs());
            command.exec_async(&mut redis.clone()).await?;
        }
        let mut contest = Contest::new(SCENARIO, format!("values of {bytes} bytes, 8 tasks"));
        contest.enter("ours: hit of an own entry", pace, &keys, move |id| get(cache, "value", id));
        contest.enter("redis-rs GET", pace, &keys, move |id| raw_get(redis, id));
        contest.run(plan.rounds, sheet).await?;
    }
    Ok(())
}

/// Hits of rows by more and more tasks.
async fn tasks(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let ids: Arc<[i64]> = (1..=1000).collect();
    let database = place.connect(DATABASE_NAME, POOL).await?;
    let db = by_key::open(place, &database, "tasks", None).await?;
    let commands = &*Box::leak(Box::new(by_key::hits(place, db, &ids).await?));
    let redis = &*Box::leak(Box::new(place.redis().await?));
    for tasks in [1, 4, 16, 64, 256] {
        let pace = Pace { tasks, time: plan.turn, timed: 1 };
        let mut contest = Contest::new(SCENARIO, format!("rows by key, {}", by_key::case(tasks)));
        contest.enter(by_key::REDIS_HIT, pace, &ids, move |id| by_key::by_id(id, db));
        contest.enter(by_key::MGET, pace, &ids, move |id| {
            by_key::raw(redis, &commands[&id][0], &commands[&id][1..])
        });
        contest.run(plan.rounds, sheet).await?;
    }
    Ok(database.close().await?)
}

/// Hits of few rows and of all, in no order.
async fn rows(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let database = place.connect(DATABASE_NAME, POOL).await?;
    let redis = &*Box::leak(Box::new(place.redis().await?));
    let pace = Pace { tasks: 64, time: plan.turn, timed: 1 };
    for rows in [plan.rows / 100, plan.rows / 10, plan.rows] {
        place.flush().await?;
        let db = by_key::open(place, &database, &format!("rows-{rows}"), None).await?;
        let all: Vec<i64> = (1..=rows as i64).collect();
        for chunk in all.chunks(500) {
            book::Entity::cached_by_ids(chunk.iter().copied(), db).await?;
        }
        db.cache().ping().await?;
        let mut random = StdRng::seed_from_u64(1);
        let ids: Arc<[i64]> = (0..100_000).map(|_| random.random_range(1..=rows as i64)).collect();
        let commands = &*Box::leak(Box::new(by_key::hits(place, db, &all).await?));
        let mut contest = Contest::new(SCENARIO, format!("rows by key, {rows} rows, 64 tasks"));
        contest.enter(by_key::REDIS_HIT, pace, &ids, move |id| by_key::by_id(id, db));
        contest.enter(by_key::MGET, pace, &ids, move |id| {
            by_key::raw(redis, &commands[&id][0], &commands[&id][1..])
        });
        contest.run(plan.rounds, sheet).await?;
    }
    Ok(database.close().await?)
}

fn options() -> EntryOptions {
    EntryOptions::new().ttl(book::LIFE)
}

fn tag_name(size: &str, tag: usize) -> String {
    format!("{}-{tag}", size.split(' ').next().unwrap_or(size))
}

fn key(kind: &str, entry: usize) -> String {
    format!("{kind}:{entry}")
}

/// As long as asked, another one for each entry, and no gift to a compressor.
fn text(bytes: usize, entry: usize) -> String {
    let mut random = StdRng::seed_from_u64(entry as u64);
    (0..bytes).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect()
}

/// Stores so many entries, a thousand a call.
async fn store(cache: &Cache, kind: &str, count: usize, bytes: usize, options: EntryOptions) -> Result<()> {
    for batch in (0..count).step_by(BATCH) {
        let entries: Vec<_> =
            (batch..count.min(batch + BATCH)).map(|entry| (key(kind, entry), text(bytes, entry))).collect();
        let entries: Vec<_> = entries.iter().map(|(key, text)| (key.as_str(), text)).collect();
        cache.set_many(&entries, options.clone()).await?;
    }
    Ok(())
}

async fn get(cache: &Cache, kind: &'static str, id: i64) -> Result<()> {
    let value = cache.get::<String>(&key(kind, id as usize)).await?;
    ensure!(value.is_some(), "entry {id} is there");
    std::hint::black_box(value);
    Ok(())
}

async fn raw_get(redis: &MultiplexedConnection, id: i64) -> Result<()> {
    let mut command = redis::cmd("GET");
    command.arg(key("raw", id as usize));
    let value: Option<String> = command.query_async(&mut redis.clone()).await?;
    ensure!(value.is_some(), "value {id} is there");
    std::hint::black_box(value);
    Ok(())
}
