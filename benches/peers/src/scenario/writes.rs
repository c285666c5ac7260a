//! What a write by key costs: round trips, counted by proxies; and CPU of the process, beside SeaORM with
//! the same SQL and the same Redis commands sent by hand.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::future;
use redis::aio::MultiplexedConnection;
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use sea_orm_cache::{CachedConnection, Consistency, prelude::*};

use super::{Plan, mixed::systems::update};
use crate::{
    book,
    contest::Contest,
    drive::Pace,
    place::{POOL, Place},
    proxy::{Proxy, commands},
    sheet::Sheet,
};

pub const SCENARIO: &str = "writes";
pub const STRICT: &str = "Strict, 1 task";
pub const AFTER_COMMIT: &str = "AfterCommit, 1 task";
pub const OURS: &str = "ours";
pub const ALONE: &str = "SeaORM alone";
pub const WITH_TRIPS: &str = "SeaORM alone, and the same Redis commands";
pub const SAME_BY_HAND: &str = "the same SQL and Redis commands by hand";
pub const ROUND_TRIPS: &str = "Redis round trips";
pub const SQL_ROUND_TRIPS: &str = "SQL round trips";
pub const CPU: &str = "client CPU us/op";

const DATABASE_NAME: &str = "bench_writes";
const KEYS: i64 = 500;
/// What the crate sends beside the barrier, on PostgreSQL: a COMMIT that comes too late must fail.
const LIMIT: &str = "SELECT set_config('idle_in_transaction_session_timeout', '5000ms', true) \
                     WHERE current_setting('idle_in_transaction_session_timeout', true) IS NOT NULL";

/// What a write asks of Redis: the commands of each round trip.
type Trips = Vec<redis::Pipeline>;

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    place.seed(plan.rows).await?;
    place.fresh_database(DATABASE_NAME).await?;
    for (case, consistency) in [(STRICT, Consistency::Strict), (AFTER_COMMIT, Consistency::AfterCommit)] {
        place.flush().await?;
        let trips = count(place, case, consistency, sheet).await?;
        compare(place, plan, case, consistency, trips, sheet).await?;
    }
    Ok(())
}

/// Round trips of a write, to Redis and to PostgreSQL, and what it asks of Redis.
async fn count(place: &Place, case: &str, consistency: Consistency, sheet: &mut Sheet) -> Result<Trips> {
    const WRITES: i64 = 9;
    let redis = Proxy::start(host(&place.redis_url)).await?;
    let url = place.database_url(DATABASE_NAME);
    let postgres = Proxy::start(host(&url)).await?;
    let behind = |proxy: &Proxy, url: &str| url.replace(host(url), &proxy.address);
    let cache = place.cache_at("bench-writes-counted", &behind(&redis, &place.redis_url));
    let mut options = sea_orm::ConnectOptions::new(behind(&postgres, &url));
    // One, so that no other connection's doings are counted.
    options.max_connections(1).sqlx_logging(false).test_before_acquire(false);
    let plain = sea_orm::Database::connect(options).await?;
    let db = plain.clone().cached_by(cache.consistency(consistency).build().await?);
    // The first write asks the catalogue, and sends the script.
    update(1, 1, &db).await?;
    let mut trips = Vec::new();
    for id in 2..2 + WRITES {
        // Something to purge.
        book::Entity::cached_by_id(id, &db).await?;
        let ((wrote, to_redis), to_postgres) = postgres.record(redis.record(update(id, 1, &db))).await;
        wrote?;
        sheet.add(SCENARIO, case, OURS, ROUND_TRIPS, to_redis.len() as f64);
        sheet.add(SCENARIO, case, OURS, SQL_ROUND_TRIPS, to_postgres.len() as f64);
        trips = to_redis;
    }
    let by_hand = by_hand(case, trips)?;
    // The limit has to do the same to be one.
    let connection = place.redis().await?;
    for _ in 0..WRITES {
        let (wrote, alone) = postgres.record(update(1, 1, &plain)).await;
        wrote?;
        let (wrote, same) = postgres.record(same(1, consistency, &plain, &connection, &by_hand)).await;
        wrote?;
        sheet.add(SCENARIO, case, ALONE, SQL_ROUND_TRIPS, alone.len() as f64);
        sheet.add(SCENARIO, case, SAME_BY_HAND, SQL_ROUND_TRIPS, same.len() as f64);
        sheet.add(SCENARIO, case, SAME_BY_HAND, ROUND_TRIPS, by_hand.len() as f64);
    }
    for (system, metric) in [
        (OURS, ROUND_TRIPS),
        (OURS, SQL_ROUND_TRIPS),
        (SAME_BY_HAND, SQL_ROUND_TRIPS),
        (ALONE, SQL_ROUND_TRIPS),
    ] {
        let trips = sheet.median(SCENARIO, case, system, metric).unwrap_or(f64::NAN);
        println!("{SCENARIO}: {case}: {system}: {trips} {metric}");
    }
    db.close().await?;
    Ok(by_hand)
}

fn by_hand(case: &str, bursts: Vec<Vec<u8>>) -> Result<Trips> {
    let mut trips = Vec::new();
    for burst in bursts {
        let commands = commands(&burst)
            .with_context(|| format!("{case}: what a write asks of Redis is not commands"))?;
        let mut pipeline = redis::pipe();
        for command in commands {
            let mut built = redis::Cmd::new();
            for argument in command {
                built.arg(argument);
            }
            pipeline.add_command(built);
        }
        trips.push(pipeline);
    }
    Ok(trips)
}

/// SeaORM with what the crate does of SQL, and its Redis commands where it sends them.
async fn same(
    id: i64,
    consistency: Consistency,
    db: &DatabaseConnection,
    redis: &MultiplexedConnection,
    trips: &[redis::Pipeline],
) -> Result<()> {
    match (consistency, trips) {
        (Consistency::Strict, [arm, purge @ ..]) => {
            let transaction = db.begin().await?;
            update(id, 1, &transaction).await?;
            let (armed, limited) = future::join(ask(redis, arm), transaction.execute_unprepared(LIMIT)).await;
            armed?;
            limited?;
            transaction.commit().await?;
            ask_all(redis, purge).await
        }
        _ => {
            update(id, 1, db).await?;
            ask_all(redis, trips).await
        }
    }
}

async fn ask(redis: &MultiplexedConnection, trip: &redis::Pipeline) -> Result<()> {
    std::hint::black_box(trip.query_async::<Vec<redis::Value>>(&mut redis.clone()).await?);
    Ok(())
}

async fn ask_all(redis: &MultiplexedConnection, trips: &[redis::Pipeline]) -> Result<()> {
    for trip in trips {
        ask(redis, trip).await?;
    }
    Ok(())
}

async fn compare(
    place: &Place,
    plan: &Plan,
    case: &str,
    consistency: Consistency,
    trips: Trips,
    sheet: &mut Sheet,
) -> Result<()> {
    let trips: &'static [redis::Pipeline] = Box::leak(trips.into_boxed_slice());
    let plain = &*Box::leak(Box::new(place.connect(DATABASE_NAME, POOL).await?));
    let redis = &*Box::leak(Box::new(place.redis().await?));
    let cache = place.cache("bench-writes").consistency(consistency).build().await?;
    let db: &'static CachedConnection = Box::leak(Box::new(plain.clone().cached_by(cache)));
    let ids: Arc<[i64]> = (1..=KEYS).collect();
    book::Entity::cached_by_ids(ids.iter().copied(), db).await?;

    let pace = Pace { tasks: 1, time: plan.turn * 2, timed: 1 };
    let mut contest = Contest::new(SCENARIO, case);
    contest.enter(OURS, pace, &ids, move |id| update(id, 1, db));
    contest.enter(ALONE, pace, &ids, move |id| update(id, 1, plain));
    contest.enter(WITH_TRIPS, pace, &ids, move |id| async move {
        update(id, 1, plain).await?;
        ask_all(redis, trips).await
    });
    contest.enter(SAME_BY_HAND, pace, &ids, move |id| same(id, consistency, plain, redis, trips));
    contest.run(plan.rounds, sheet).await?;
    Ok(plain.clone().close().await?)
}

/// `host:port` of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority)
}
