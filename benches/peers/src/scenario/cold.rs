//! A cold start: the warm-up of the table, beside reading its rows one by one through the cache.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use sea_orm::DatabaseConnection;
use sea_orm_cache::{CachedConnection, prelude::*};

use super::Plan;
use crate::{
    book,
    place::{POOL, Place},
    sheet::Sheet,
};

pub const SCENARIO: &str = "cold";
pub const CASE: &str = "an empty Redis";
pub const WARM_UP: &str = "ours: warm-up";
pub const SINGLY: &str = "ours: read singly, 1 task";
pub const SINGLY_64: &str = "ours: read singly, 64 tasks";
const METRIC: &str = "rows/s";

const DATABASE_NAME: &str = "bench_cold";

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    place.seed(plan.rows).await?;
    place.fresh_database(DATABASE_NAME).await?;
    let database = place.connect(DATABASE_NAME, POOL).await?;
    let rows = plan.rows as i64;
    // Reading all of them singly would take minutes and show the same.
    let (few, some) = (rows.min(5000), rows.min(50_000));
    sheet.note(SCENARIO, format!("warm-up of {rows} rows; {few} read singly by 1 task, {some} by 64"));
    for _ in 0..plan.rounds {
        let db = fresh(place, &database).await?;
        let start = Instant::now();
        let report = db.warm_up().only(["book"]).await;
        // Answered in order: what was handed to Redis before is there.
        db.cache().ping().await?;
        let seconds = start.elapsed().as_secs_f64();
        ensure!(report.entries() == rows as u64, "the warm-up loaded {} rows: {report:?}", report.entries());
        sheet.add(SCENARIO, CASE, WARM_UP, METRIC, rows as f64 / seconds);
        ensure_warm(&db, rows).await?;

        for (system, tasks, rows) in [(SINGLY, 1, few), (SINGLY_64, 64, some)] {
            let db = Arc::new(fresh(place, &database).await?);
            let start = Instant::now();
            read_singly(&db, tasks, rows).await?;
            db.cache().ping().await?;
            sheet.add(SCENARIO, CASE, system, METRIC, rows as f64 / start.elapsed().as_secs_f64());
        }
    }
    for system in [WARM_UP, SINGLY, SINGLY_64] {
        let rate = sheet.median(SCENARIO, CASE, system, METRIC).unwrap_or(f64::NAN);
        println!("{SCENARIO}: {system:<30} {rate:>10.0} rows/s");
    }
    Ok(database.close().await?)
}

/// A process that has just started, and a Redis with nothing in it.
async fn fresh(place: &Place, database: &DatabaseConnection) -> Result<CachedConnection> {
    place.flush().await?;
    let db = database.clone().cached_by(place.cache("bench-cold").build().await?);
    db.cache().ping().await?;
    // Asked once in a process' life, whoever comes first.
    db.learn_schema().await?;
    Ok(db)
}

/// A warm-up after which reads are misses would have shown nothing.
async fn ensure_warm(db: &CachedConnection, rows: i64) -> Result<()> {
    let before = db.cache().stats().total.hits;
    for id in [1, rows / 2, rows] {
        book::Entity::cached_by_id(id, db).await?;
    }
    let hits = db.cache().stats().total.hits - before;
    ensure!(hits == 3, "after the warm-up {hits} of 3 reads were hits");
    Ok(())
}

async fn read_singly(db: &Arc<CachedConnection>, tasks: i64, rows: i64) -> Result<()> {
    let mut reading = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let db = db.clone();
        reading.spawn(async move {
            for id in (1 + task..=rows).step_by(tasks as usize) {
                book::Entity::cached_by_id(id, &*db).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(task) = reading.join_next().await {
        task??;
    }
    Ok(())
}
