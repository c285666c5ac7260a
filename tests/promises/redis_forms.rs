//! Every form of Redis, with servers of the test's own: Sentinel, Redis Cluster, TLS, users with few
//! rights.

mod cluster;
mod rights;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::entity::prelude::*;
use sea_orm_cache::{Cache, prelude::*, stores::RedisConfig};
use tokio::task::JoinSet;

use crate::{
    support::{Backend, PrivateRedis, eventually},
    world::{StoreKind, World, is_cached, retitled, title},
};

const SOON: Duration = Duration::from_secs(60);
const ROWS: i64 = 4;
const READERS: i64 = 4;
const NAMESPACE: &str = "forms";

async fn world() -> World {
    World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap()
}

/// A process of its own in front of this Redis, with the usual time limits.
async fn process(world: &World, redis: RedisConfig) -> CachedConnection {
    let cache = Cache::builder().namespace(NAMESPACE).redis_with(redis).build().await.unwrap();
    world.plain().clone().cached_by(cache)
}

/// The replica has everything until now, and hears of nothing from now on.
async fn cut_off(primary: &PrivateRedis, replica: &PrivateRedis) {
    let size = async |server: &PrivateRedis| server.command(&["DBSIZE"]).await;
    eventually("the replica has what its primary has", SOON, async || {
        size(replica).await == size(primary).await
    })
    .await;
    replica.command(&["CONFIG", "SET", "masterauth", "wrong"]).await;
    replica.command(&["CONFIG", "SET", "masteruser", "nobody"]).await;
    primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).await;
}

/// Requests that go on while something is done to Redis: one writer, and readers that compare what they
/// read with what was committed when they began.
struct Load {
    over: Arc<AtomicBool>,
    seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    reads: AtomicU64,
    writes: AtomicU64,
    failed: AtomicU64,
    stale: AtomicU64,
    /// The last number that each row was given.
    committed: [AtomicU64; ROWS as usize + 1],
}

impl Load {
    async fn start(db: &CachedConnection) -> Self {
        let (over, seen) = (Arc::<AtomicBool>::default(), Arc::<Seen>::default());
        let mut tasks = JoinSet::new();
        for id in 1..=ROWS {
            retitled(id, "0").update(db).await.unwrap();
        }
        tasks.spawn(write(db.clone(), seen.clone(), over.clone()));
        for reader in 0..READERS {
            tasks.spawn(read(db.clone(), reader, seen.clone(), over.clone()));
        }
        let load = Self { over, seen, tasks };
        load.goes_on().await;
        load
    }

    /// Waits until some more was read and written.
    async fn goes_on(&self) {
        let count = || [&self.seen.reads, &self.seen.writes].map(|count| count.load(Ordering::SeqCst));
        let before = count();
        eventually("the load goes on", SOON, async || {
            let now = count();
            now[0] > before[0] + 200 && now[1] > before[1] + 20
        })
        .await;
    }

    /// Ends it: no request failed, and none read what was no longer so.
    async fn end(mut self, what: &str) {
        self.over.store(true, Ordering::SeqCst);
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
        let Seen { reads, writes, failed, stale, .. } = &*self.seen;
        println!("{what}: {reads:?} reads, {writes:?} writes, {failed:?} failed, {stale:?} stale");
        assert_eq!((failed.load(Ordering::SeqCst), stale.load(Ordering::SeqCst)), (0, 0), "{what}");
    }
}

async fn write(db: CachedConnection, seen: Arc<Seen>, over: Arc<AtomicBool>) {
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        number += 1;
        let id = 1 + number % ROWS;
        match retitled(id, &number.to_string()).update(&db).await {
            Ok(_) => {
                seen.committed[id as usize].store(number as u64, Ordering::SeqCst);
                seen.writes.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => {
                seen.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn read(db: CachedConnection, reader: i64, seen: Arc<Seen>, over: Arc<AtomicBool>) {
    let mut id = reader;
    while !over.load(Ordering::SeqCst) {
        id = 1 + id % ROWS;
        let least = seen.committed[id as usize].load(Ordering::SeqCst);
        let query = crate::entity::book::Entity::find_by_id(id);
        match query.cached().one(&db).await {
            Ok(book) => {
                let number: u64 = book.unwrap().title.parse().unwrap();
                if number < least {
                    seen.stale.fetch_add(1, Ordering::SeqCst);
                }
                seen.reads.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => {
                seen.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

/// What the next read says in each of these processes, and the reads after it.
async fn all_agree(world: &World, processes: &[&CachedConnection]) {
    for id in 1..=ROWS {
        let row = crate::entity::book::Entity::find_by_id(id).one(world.plain()).await.unwrap().unwrap();
        for db in processes {
            assert_eq!(title(db, id).await.as_deref(), Some(&*row.title));
            is_cached(db, id).await;
            assert_eq!(title(db, id).await.as_deref(), Some(&*row.title));
        }
    }
}
