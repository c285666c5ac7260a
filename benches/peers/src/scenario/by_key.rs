//! A row by its key: from Redis, with the stamps known, from memory, and from PostgreSQL, beside what the
//! Redis client itself takes for the keys that a hit of ours asks for.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;
use sea_orm::{ConnectionTrait, EntityTrait};
use sea_orm_cache::{CachedConnection, prelude::*};

use super::Plan;
use crate::{
    book,
    contest::Contest,
    drive::Pace,
    monitor::{Command, Monitor},
    near,
    place::{POOL, Place},
    sheet::Sheet,
};

pub const SCENARIO: &str = "by-key";
/// Who runs, as the bounds name them.
pub const GET: &str = "redis-rs GET of the entry";
pub const MGET: &str = "redis-rs, the command of our hit";
pub const REDIS_HIT: &str = "ours: Redis hit";
pub const STAMPS: &str = "ours: Redis hit, stamps in memory";
pub const NEAR: &str = "ours: near hit";
pub const DATABASE: &str = "SeaORM + PostgreSQL";

const DATABASE_NAME: &str = "bench_by_key";
/// Rows that are read: few enough for every processor cache to be of the same use to everybody.
const KEYS: i64 = 1000;
/// A near cache with no room for a fraction of the rows.
const HARDLY_ANY: usize = 4096;
const STALENESS: Duration = Duration::from_millis(100);

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    place.seed(plan.rows).await?;
    place.fresh_database(DATABASE_NAME).await?;
    let ids: Arc<[i64]> = (1..=KEYS.min(plan.rows as i64)).collect();
    // Leaked, so that no operation pays for a count of references that its limit does not have.
    let database = &*Box::leak(Box::new(place.connect(DATABASE_NAME, POOL).await?));
    let ours = open(place, database, "hit", None).await?;
    let commands = hits(place, ours, &ids).await?;
    sheet.note(SCENARIO, format!("a Redis hit of ours asks {}", shape(&commands[&1])));
    let stamps = open(place, database, "stamps", Some(HARDLY_ANY)).await?;
    let nearby = open(place, database, "near", Some(near::ROOMY)).await?;
    for (what, db) in [("with the stamps in memory and the rows not", stamps), ("near", nearby)] {
        asked(place, db, &ids).await?;
        let asked = asked(place, db, &ids).await?;
        sheet.note(SCENARIO, format!("{what}: {} reads asked Redis {asked}", ids.len()));
    }
    let connection = &*Box::leak(Box::new(place.redis().await?));
    let commands = &*Box::leak(Box::new(commands));
    for tasks in [1, 64] {
        let pace = Pace { tasks, time: plan.turn, timed: 1 };
        let mut contest = Contest::new(SCENARIO, case(tasks));
        contest.enter(GET, pace, &ids, move |id| raw(connection, b"GET", entry(&commands[&id])));
        contest.enter(MGET, pace, &ids, move |id| raw(connection, &commands[&id][0], &commands[&id][1..]));
        contest.enter(REDIS_HIT, pace, &ids, move |id| by_id(id, ours));
        contest.enter(STAMPS, pace, &ids, move |id| by_id(id, stamps));
        contest.enter(NEAR, Pace { timed: 16, ..pace }, &ids, move |id| nearly(id, nearby));
        contest.enter(DATABASE, pace, &ids, move |id| select(id, database));
        contest.run(plan.rounds, sheet).await?;
    }
    Ok(())
}

/// The case of so many tasks.
pub fn case(tasks: usize) -> String {
    if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") }
}

/// A cache with the rows in it, and in its near cache what fits there.
pub async fn open(
    place: &Place,
    database: &sea_orm::DatabaseConnection,
    namespace: &str,
    near_bytes: Option<usize>,
) -> Result<&'static CachedConnection> {
    let builder = place.cache(&format!("bench-{namespace}"));
    let builder = match near_bytes {
        Some(bytes) => near::with_near(builder, bytes, STALENESS),
        None => builder,
    };
    let db = database.clone().cached_by(builder.build().await?);
    for start in (1..=KEYS).step_by(100) {
        book::Entity::cached_by_ids(start..start + 100, &db).await?;
    }
    db.cache().ping().await?;
    Ok(Box::leak(Box::new(db)))
}

/// The command that a hit sends, for each row. Seen from Redis, so that the limit asks for what ours does,
/// whatever that is.
pub async fn hits(place: &Place, db: &CachedConnection, ids: &[i64]) -> Result<HashMap<i64, Command>> {
    let before = db.cache().stats().total.hits;
    let mut monitor = Monitor::start(place).await?;
    for &id in ids {
        book::Entity::cached_by_id(id, db).await?;
    }
    let hits = db.cache().stats().total.hits - before;
    ensure!(hits == ids.len() as u64, "{hits} of {} reads were hits", ids.len());
    // One after the other, so the commands are in the order of the rows.
    let mut seen =
        monitor.look().await?.into_iter().filter(|it| matches!(it[0].as_slice(), b"GET" | b"MGET"));
    let mut commands = HashMap::new();
    for &id in ids {
        let row = format!(":row:book:{id}@").into_bytes();
        let of_this = seen.find(|it| is_row(it, &row));
        commands.insert(id, of_this.with_context(|| format!("a hit of row {id} asks Redis for nothing"))?);
    }
    Ok(commands)
}

fn is_row(command: &Command, row: &[u8]) -> bool {
    command.iter().any(|key| key.windows(row.len()).any(|window| window == row))
}

/// The key of the entry, of the keys of a hit.
fn entry(command: &Command) -> &[Vec<u8>] {
    let place = command.iter().position(|key| is_row(&vec![key.clone()], b":row:book:")).unwrap_or(1);
    &command[place..=place]
}

fn shape(command: &Command) -> String {
    let words: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    words.join(" ")
}

/// Which commands Redis got for one read of each row.
async fn asked(place: &Place, db: &CachedConnection, ids: &[i64]) -> Result<String> {
    let mut monitor = Monitor::start(place).await?;
    for &id in ids {
        book::Entity::cached_by_id(id, db).await?;
    }
    let mut counts = BTreeMap::<String, u64>::new();
    for command in monitor.look().await? {
        *counts.entry(String::from_utf8_lossy(&command[0]).into_owned()).or_default() += 1;
    }
    Ok(format!("{counts:?}"))
}

pub async fn raw(
    connection: &MultiplexedConnection,
    name: &'static [u8],
    keys: &'static [Vec<u8>],
) -> Result<()> {
    let mut command = redis::Cmd::new();
    command.arg(name);
    for key in keys {
        command.arg(key);
    }
    std::hint::black_box(command.query_async::<redis::Value>(&mut connection.clone()).await?);
    Ok(())
}

pub async fn by_id(id: i64, db: &CachedConnection) -> Result<()> {
    std::hint::black_box(book::Entity::cached_by_id(id, db).await?);
    Ok(())
}

async fn nearly(id: i64, db: &CachedConnection) -> Result<()> {
    std::hint::black_box(near::by_id(id, db).await?);
    Ok(())
}

async fn select(id: i64, db: &impl ConnectionTrait) -> Result<()> {
    std::hint::black_box(book::Entity::find_by_id(id).one(db).await?);
    Ok(())
}
