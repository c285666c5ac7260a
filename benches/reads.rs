//! What a cached read costs, by where its answer is: in memory, in the in-process store, in Redis (if
//! `SEA_ORM_CACHE_TEST_REDIS` says where one is), or nowhere; and what a purge costs. Beside them what it
//! would cost at least: a map's get of an `Arc`, the building of the select, the database's answer.
//!
//! And what it costs to write rows down and to read them back, beside postcard and `serde_json` with the same
//! rows. The codec is not public, so it is measured through what is: a thousand rows in one entry, by the
//! side of which all else is small. Where the ratios are taken, the systems take turns.
#![allow(missing_docs, clippy::print_stdout)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use sea_orm::{Database, DbBackend, QueryTrait, Schema, Set, entity::prelude::*};
use sea_orm_cache::{CacheBuilder, prelude::*};
use tokio::runtime::Runtime;

mod book {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    // Not compressed: that is another question.
    #[derive(
        Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity, serde::Serialize, serde::Deserialize,
    )]
    #[sea_orm(table_name = "book")]
    #[cache(ttl = "1h", compress_above = 1073741824)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
        pub author: String,
        pub isbn: String,
        pub pages: i32,
        pub shelf_id: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

const ROWS: i64 = 1000;
const SHELVES: i64 = 50;

async fn open(cache: CacheBuilder) -> CachedConnection {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await.unwrap().cached_by(cache.build().await.unwrap());
    db.execute(&Schema::new(DbBackend::Sqlite).create_table_from_entity(book::Entity)).await.unwrap();
    let books = (1..=ROWS).map(|id| book::ActiveModel {
        id: Set(id),
        title: Set(format!("The history of book {id}")),
        author: Set("Somebody".to_owned()),
        isbn: Set("9780441013593".to_owned()),
        pages: Set(612),
        shelf_id: Set(id % SHELVES),
    });
    book::Entity::insert_many(books).exec_without_returning(&db).await.unwrap();
    // Twice: what is stored by the first is kept in memory by the second.
    for _ in 0..2 {
        for id in 1..=ROWS {
            book::Entity::cached_by_id(id, &db).await.unwrap();
            shelf(id).cached().all(&db).await.unwrap();
        }
    }
    db
}

fn shelf(id: i64) -> sea_orm::Select<book::Entity> {
    book::Entity::find().filter(book::Column::ShelfId.eq(id % SHELVES))
}

/// One after the other, in an order that no processor guesses.
fn next(id: &mut i64) -> i64 {
    *id = (*id + 379) % ROWS;
    *id + 1
}

fn by_key(c: &mut Criterion, name: &str, runtime: &Runtime, db: &CachedConnection) {
    let mut id = 0;
    c.benchmark_group("a row by its key").bench_function(name, |bencher| {
        bencher.to_async(runtime).iter(|| book::Entity::cached_arc_by_id(next(&mut id), db));
    });
}

fn by_select(c: &mut Criterion, name: &str, runtime: &Runtime, db: &CachedConnection) {
    let mut id = 0;
    c.benchmark_group("twenty rows by a select").bench_function(name, |bencher| {
        bencher.to_async(runtime).iter(|| shelf(next(&mut id)).cached().all_arc(db));
    });
}

fn reads(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let near =
        runtime.block_on(open(Cache::builder().near(64 << 20).max_staleness(Duration::from_secs(3600))));
    let stored = runtime.block_on(open(Cache::builder()));
    let redis = std::env::var("SEA_ORM_CACHE_TEST_REDIS").ok().map(|url| {
        let namespace = format!("bench-{}", std::process::id());
        runtime.block_on(open(Cache::builder().namespace(namespace).redis(url)))
    });

    let map = quick_cache::sync::Cache::<i64, Arc<book::Model>>::new(4 * ROWS as usize);
    for id in 1..=ROWS {
        map.insert(id, runtime.block_on(book::Entity::cached_arc_by_id(id, &near)).unwrap().unwrap());
    }
    let mut id = 0;
    c.benchmark_group("a row by its key")
        .bench_function("a map", |bencher| bencher.iter(|| map.get(black_box(&next(&mut id)))));
    by_key(c, "in memory", &runtime, &near);
    by_key(c, "in the in-process store", &runtime, &stored);
    if let Some(redis) = &redis {
        by_key(c, "in Redis", &runtime, redis);
    }
    let mut group = c.benchmark_group("a row by its key");
    group.bench_function("a miss", |bencher| {
        let read = || book::Entity::find_by_id(next(&mut id)).cached().fresh().one(&stored);
        bencher.to_async(&runtime).iter(read);
    });
    group.bench_function("the database", |bencher| {
        bencher.to_async(&runtime).iter(|| book::Entity::find_by_id(next(&mut id)).one(&stored));
    });
    group.finish();

    c.benchmark_group("twenty rows by a select").bench_function("its building", |bencher| {
        bencher.iter(|| shelf(next(&mut id)).build(DbBackend::Sqlite));
    });
    by_select(c, "in memory", &runtime, &near);
    by_select(c, "in the in-process store", &runtime, &stored);
    if let Some(redis) = &redis {
        by_select(c, "in Redis", &runtime, redis);
    }
}

fn purges(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let stored = runtime.block_on(open(Cache::builder()));
    let mut id = 0;
    let mut group = c.benchmark_group("a purge of a row");
    group.bench_function("in the in-process store", |bencher| {
        let purge = || stored.cache().invalidate_row::<book::Entity>(next(&mut id));
        bencher.to_async(&runtime).iter(purge);
    });
    if let Ok(url) = std::env::var("SEA_ORM_CACHE_TEST_REDIS") {
        let namespace = format!("bench-{}", std::process::id());
        let redis = runtime.block_on(open(Cache::builder().namespace(namespace).redis(url)));
        group.bench_function("in Redis", |bencher| {
            let purge = || redis.cache().invalidate_row::<book::Entity>(next(&mut id));
            bencher.to_async(&runtime).iter(purge);
        });
    }
    group.finish();
}

/// Turns of each system for a ratio.
const TURNS: usize = 101;

/// The median time of each, by turns, in nanoseconds a row.
fn medians<const N: usize>(systems: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=TURNS {
        for place in 0..N {
            let which = (place + round) % N;
            let start = Instant::now();
            systems[which]();
            // The first round only warms up.
            if round > 0 {
                times[which].push(start.elapsed().as_nanos() as f64 / ROWS as f64);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[TURNS / 2]
    })
}

fn ratios(what: &str, [ours, postcard, json]: [f64; 3]) {
    println!("{what}, a row: ours {ours:.0} ns, postcard {postcard:.0} ns, serde_json {json:.0} ns");
    println!(
        "{what}: ours takes {:.2} times as long as postcard, {:.2} times as serde_json",
        ours / postcard,
        ours / json
    );
}

fn rows(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let db = runtime.block_on(open(Cache::builder().max_entry_bytes(16 << 20)));
    let all = || book::Entity::find().cached().all(&db);
    let books = runtime.block_on(all()).unwrap();
    assert_eq!(books.len() as i64, ROWS);
    let hits = db.cache().stats().total.hits;
    assert_eq!(runtime.block_on(all()).unwrap(), books);
    assert_eq!(db.cache().stats().total.hits, hits + 1, "decoded, and not loaded");
    let (packed, json) = (postcard::to_allocvec(&books).unwrap(), serde_json::to_vec(&books).unwrap());
    let stats = db.cache().stats();
    assert!(stats.stored_entries > 0, "{stats:?}");

    let mut ours = || drop(black_box(runtime.block_on(all()).unwrap()));
    let mut by_postcard = || drop(black_box(postcard::from_bytes::<Vec<book::Model>>(&packed).unwrap()));
    let mut by_json = || drop(black_box(serde_json::from_slice::<Vec<book::Model>>(&json).unwrap()));
    let mut group = c.benchmark_group("a thousand rows, read back");
    group.bench_function("ours, with all of a hit", |bencher| bencher.iter(&mut ours));
    group.bench_function("postcard", |bencher| bencher.iter(&mut by_postcard));
    group.bench_function("serde_json", |bencher| bencher.iter(&mut by_json));
    group.finish();
    ratios("read back, with all of a hit", medians([&mut ours, &mut by_postcard, &mut by_json]));

    let fresh = || book::Entity::find().cached().fresh().all(&db);
    let mut miss = || drop(black_box(runtime.block_on(fresh()).unwrap()));
    let mut database = || drop(black_box(runtime.block_on(book::Entity::find().all(&db)).unwrap()));
    let mut by_postcard = || drop(black_box(postcard::to_allocvec(black_box(&books)).unwrap()));
    let mut by_json = || drop(black_box(serde_json::to_vec(black_box(&books)).unwrap()));
    let mut group = c.benchmark_group("a thousand rows, written down");
    group.bench_function("ours, with all of a miss", |bencher| bencher.iter(&mut miss));
    group.bench_function("the database alone", |bencher| bencher.iter(&mut database));
    group.bench_function("postcard", |bencher| bencher.iter(&mut by_postcard));
    group.bench_function("serde_json", |bencher| bencher.iter(&mut by_json));
    group.finish();
    let [miss, database, postcard, json] =
        medians([&mut miss, &mut database, &mut by_postcard, &mut by_json]);
    // What the miss takes beyond the database, which includes that it is read back and compared.
    ratios("written down, with all of a miss but the database", [miss - database, postcard, json]);
}

criterion_group!(benches, reads, rows, purges);
criterion_main!(benches);
