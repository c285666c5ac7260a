//! What a cached row takes: in Redis, with everything that goes with it, beside a JSON string; and in memory.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;
use sea_orm::EntityTrait;
use sea_orm_cache::prelude::*;

use super::{Plan, mixed::systems::ours::STALENESS};
use crate::{
    allocations, book, near,
    place::{POOL, Place},
    sheet::Sheet,
};

pub const SCENARIO: &str = "cost";
pub const REDIS: &str = "bytes in Redis";
pub const MEMORY: &str = "bytes in memory";
pub const OURS: &str = "ours";
pub const JSON: &str = "JSON string";
pub const MAP: &str = "quick_cache of Arc";
const METRIC: &str = "bytes/row";

const DATABASE_NAME: &str = "bench_cost";

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    const ROUNDS: usize = 3;
    place.seed(plan.rows).await?;
    place.fresh_database(DATABASE_NAME).await?;
    let database = place.connect(DATABASE_NAME, POOL).await?;
    let rows = book::Entity::find().all(&database).await?;
    let mut redis = place.redis().await?;
    let json_bytes: usize = rows.iter().map(|row| serde_json::to_vec(row).map_or(0, |json| json.len())).sum();
    sheet.note(SCENARIO, format!("{} rows of {} bytes as JSON", rows.len(), json_bytes / rows.len()));
    sheet.note(SCENARIO, "used_memory of Redis: entries, tags, keys, times to live and its own tables");

    for round in 0..ROUNDS {
        let empty = emptied(place, &mut redis).await?;
        let db = database.clone().cached_by(place.cache("bench-cost").build().await?);
        for chunk in rows.chunks(500) {
            book::Entity::cached_by_ids(chunk.iter().map(|row| row.id), &db).await?;
        }
        until_stored(&db, &mut redis, rows.len()).await?;
        let used = used(&mut redis).await?;
        sheet.add(SCENARIO, REDIS, OURS, METRIC, (used - empty) / rows.len() as f64);
        if round == 0 {
            let keys = size(&mut redis).await?;
            sheet.note(SCENARIO, format!("{keys} keys of ours for {} rows", rows.len()));
        }

        let empty = emptied(place, &mut redis).await?;
        for chunk in rows.chunks(500) {
            let mut pipeline = redis::pipe();
            for row in chunk {
                let key = format!("bench-cost:book:{}", row.id);
                pipeline.set_ex(key, serde_json::to_vec(row)?, book::LIFE.as_secs()).ignore();
            }
            pipeline.exec_async(&mut redis).await?;
        }
        let json = self::used(&mut redis).await?;
        sheet.add(SCENARIO, REDIS, JSON, METRIC, (json - empty) / rows.len() as f64);
    }
    show(sheet, REDIS, &[OURS, JSON]);

    for _ in 0..ROUNDS {
        allocations::start();
        let map = quick_cache::sync::Cache::<i64, Arc<book::Model>>::new(2 * rows.len());
        for row in &rows {
            map.insert(row.id, Arc::new(row.clone()));
        }
        let live = allocations::stop().live;
        sheet.add(SCENARIO, MEMORY, MAP, METRIC, live as f64 / rows.len() as f64);
        drop(map);
        let bytes = in_memory(place, &database, &rows).await?;
        sheet.add(SCENARIO, MEMORY, OURS, METRIC, bytes);
    }
    show(sheet, MEMORY, &[OURS, MAP]);
    Ok(database.close().await?)
}

/// What a process takes for a row in its near cache: all that is left of reading them.
async fn in_memory(
    place: &Place,
    database: &sea_orm::DatabaseConnection,
    rows: &[book::Model],
) -> Result<f64> {
    let builder = near::with_near(place.cache("bench-cost-near"), near::ROOMY, STALENESS);
    let db = database.clone().cached_by(builder.build().await?);
    // Into Redis first, so that only the second reading is counted.
    for chunk in rows.chunks(500) {
        book::Entity::cached_by_ids(chunk.iter().map(|row| row.id), &db).await?;
    }
    db.cache().ping().await?;
    let builder = near::with_near(place.cache("bench-cost-near"), near::ROOMY, STALENESS);
    let reader = database.clone().cached_by(builder.build().await?);
    near::by_id(rows[0].id, &reader).await?;
    allocations::start();
    for row in rows {
        near::by_id(row.id, &reader).await?;
    }
    Ok(allocations::stop().live as f64 / rows.len() as f64)
}

fn show(sheet: &Sheet, case: &str, systems: &[&str]) {
    for system in systems {
        let bytes = sheet.median(SCENARIO, case, system, METRIC).unwrap_or(f64::NAN);
        println!("{SCENARIO}: {case}: {system:<20} {bytes:>8.1} bytes/row");
    }
}

/// Empties Redis; what it uses then.
async fn emptied(place: &Place, redis: &mut MultiplexedConnection) -> Result<f64> {
    place.flush().await?;
    used(redis).await
}

async fn used(redis: &mut MultiplexedConnection) -> Result<f64> {
    let info: String = redis::cmd("INFO").arg("memory").query_async(redis).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.context("Redis says what it uses")?.trim().parse()?)
}

async fn size(redis: &mut MultiplexedConnection) -> Result<usize> {
    Ok(redis::cmd("DBSIZE").query_async(redis).await?)
}

/// Entries are stored behind the reader's back.
async fn until_stored(db: &CachedConnection, redis: &mut MultiplexedConnection, rows: usize) -> Result<()> {
    for _ in 0..100 {
        db.cache().ping().await?;
        if size(redis).await? >= 2 * rows {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let there = size(redis).await?;
    ensure!(there >= rows, "{there} keys for {rows} rows");
    Ok(())
}
