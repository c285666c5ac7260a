//! The race that leaves stale values behind in a cache that is filled by readers and emptied by
//! writers: a load takes 3 ms, and a writer commits at some moment around it. Beside this crate runs
//! what people write by hand, GET, SETEX, and DEL after COMMIT, over the same database and Redis.
//!
//! A round judges what is left behind when both are over: what Redis still holds, as a process that
//! was not there is told, and what the next read answers.

use std::{fmt, time::Duration};

use redis::{AsyncCommands, aio::MultiplexedConnection};
use sea_orm::{
    ActiveValue::Set, ConnectOptions, Database, DatabaseConnection, DbErr, TransactionTrait,
    entity::prelude::*,
};
use sea_orm_cache::{Cache, Consistency, prelude::*};
use tokio::task::JoinSet;

use crate::{
    differential::random::{Random, seed_of},
    entity::book,
    support::{Backend, Proxy, shared_redis_url, unique_namespace},
    world::{StoreKind, World, new_book, patient},
};

const ROUNDS: &str = "SEA_ORM_CACHE_RACE_ROUNDS";
const FEW_ROUNDS: u64 = 500;
/// How long a load takes after it has read the row.
const LOAD: Duration = Duration::from_millis(3);
/// Reader and writer begin within this time, in microseconds. A write takes longer than a read.
const READER: u64 = 9_000;
const WRITER: u64 = 7_000;
/// Rounds at a time, each with a row of its own.
const LANES: i64 = 24;
const FIRST: i64 = 1000;

/// Who reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    /// `get_or_load`, whose load reads the row and then takes its time.
    Load(Consistency),
    /// `.cached()`, with a database that answers late.
    Cached(Consistency),
    /// GET, SETEX, and DEL after COMMIT.
    ByHand,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(consistency) => write!(f, "get_or_load, {consistency:?}"),
            Self::Cached(consistency) => write!(f, ".cached(), {consistency:?}"),
            Self::ByHand => f.write_str("GET, SETEX, DEL by hand"),
        }
    }
}

/// What the rounds of one contender left behind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    rounds: u64,
    /// Rounds in which the reader was answered with what was there before the write.
    overtaken: u64,
    /// Rounds after which Redis holds a value, fresh or not.
    kept: u64,
    stale_in_redis: u64,
    stale_by_api: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.overtaken += other.overtaken;
        self.kept += other.kept;
        self.stale_in_redis += other.stale_in_redis;
        self.stale_by_api += other.stale_by_api;
    }
}

/// One lane of the race: a row, and a namespace of its own, for what is loaded by hand depends on the
/// whole table.
struct Course {
    contender: Contender,
    plain: DatabaseConnection,
    /// The reader's and the writer's processes, and one that was not there.
    reader: CachedConnection,
    writer: CachedConnection,
    other: CachedConnection,
    redis: MultiplexedConnection,
    prefix: String,
}

impl Course {
    async fn new(contender: Contender, plain: &DatabaseConnection, slow: &DatabaseConnection) -> Self {
        let (url, namespace) = (shared_redis_url().unwrap(), unique_namespace());
        let cache = async || {
            let builder = Cache::builder().namespace(&namespace);
            let builder = match contender {
                Contender::Load(consistency) | Contender::Cached(consistency) => {
                    builder.redis_with(patient(url.clone())).consistency(consistency)
                }
                Contender::ByHand => builder.enabled(false),
            };
            builder.build().await.unwrap()
        };
        let reads_from = if matches!(contender, Contender::Cached(_)) { slow } else { plain };
        Self {
            contender,
            plain: plain.clone(),
            reader: reads_from.clone().cached_by(cache().await),
            writer: plain.clone().cached_by(cache().await),
            other: plain.clone().cached_by(cache().await),
            redis: redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap(),
            prefix: namespace,
        }
    }

    /// The key of an entry of the application's own.
    fn key(&self, id: i64) -> String {
        match self.contender {
            Contender::ByHand => format!("{}:price:{id}", self.prefix),
            _ => format!("price:{id}"),
        }
    }

    async fn truth(&self, id: i64) -> i64 {
        price(&self.plain, id).await.unwrap()
    }

    async fn read(&self, id: i64) -> i64 {
        match self.contender {
            Contender::Load(_) => {
                let options = EntryOptions::new().entity(book::Entity);
                let load = || async {
                    let price = price(self.reader.inner(), id).await?;
                    tokio::time::sleep(LOAD).await;
                    Ok::<_, DbErr>(price)
                };
                self.reader.cache().get_or_load(&self.key(id), options, load).await.unwrap()
            }
            Contender::Cached(_) => cached_price(&self.reader, id).await,
            Contender::ByHand => {
                let (mut redis, key) = (self.redis.clone(), self.key(id));
                if let Some(price) = redis.get::<_, Option<i64>>(&key).await.unwrap() {
                    return price;
                }
                let price = price(&self.plain, id).await.unwrap();
                tokio::time::sleep(LOAD).await;
                redis.set_ex::<_, _, ()>(&key, price, 600).await.unwrap();
                price
            }
        }
    }

    async fn write(&self, id: i64, price: i64, in_transaction: bool) {
        let row = book::ActiveModel { id: Set(id), price_cents: Set(price), ..Default::default() };
        if in_transaction {
            let transaction = self.writer.begin().await.unwrap();
            row.update(&transaction).await.unwrap();
            transaction.commit().await.unwrap();
        } else {
            row.update(&self.writer).await.unwrap();
        }
        if self.contender == Contender::ByHand {
            self.redis.clone().del::<_, ()>(self.key(id)).await.unwrap();
        }
    }

    /// What Redis holds and would be served to a process that was not there.
    async fn kept(&self, id: i64) -> Option<i64> {
        match self.contender {
            Contender::Load(_) => self.other.cache().get(&self.key(id)).await.unwrap(),
            Contender::ByHand => self.redis.clone().get(self.key(id)).await.unwrap(),
            Contender::Cached(_) => {
                let before = self.other.cache().stats().total.hits;
                let price = cached_price(&self.other, id).await;
                (self.other.cache().stats().total.hits > before).then_some(price)
            }
        }
    }

    async fn round(&self, random: &mut Random, id: i64) -> Tally {
        let before = self.truth(id).await;
        let pause = |micros: u64| tokio::time::sleep(Duration::from_micros(micros));
        let (reader_waits, writer_waits) = (random.next() % READER, random.next() % WRITER);
        let in_transaction = random.once_in(2);
        let read = async {
            pause(reader_waits).await;
            self.read(id).await
        };
        let write = async {
            pause(writer_waits).await;
            self.write(id, before + 1, in_transaction).await;
        };
        let (seen, ()) = futures_util::future::join(read, write).await;
        // What was read is stored by a task that nobody waits for; what is asked on the same
        // connection afterwards is answered afterwards.
        if !matches!(self.contender, Contender::ByHand) {
            self.reader.cache().ping().await.unwrap();
        }
        let truth = self.truth(id).await;
        assert_eq!(truth, before + 1, "nobody else writes this row");
        let kept = self.kept(id).await;
        let answer = self.read(id).await;
        Tally {
            rounds: 1,
            overtaken: u64::from(seen < truth),
            kept: u64::from(kept.is_some()),
            stale_in_redis: u64::from(kept.is_some_and(|kept| kept < truth)),
            stale_by_api: u64::from(answer < truth),
        }
    }

    /// Rounds that begin with nothing cached, as after any write.
    async fn run(self, rounds: u64, lane: i64) -> Tally {
        let mut random = Random::new(seed_of(41, lane as u64));
        let (id, mut tally) = (FIRST + lane, Tally::default());
        for _ in 0..rounds {
            match self.contender {
                Contender::ByHand => self.redis.clone().del::<_, ()>(self.key(id)).await.unwrap(),
                _ => self.other.cache().clear().await,
            }
            tally.add(self.round(&mut random, id).await);
        }
        tally
    }
}

async fn price(db: &DatabaseConnection, id: i64) -> Result<i64, DbErr> {
    Ok(book::Entity::find_by_id(id).one(db).await?.expect("the row is there").price_cents)
}

async fn cached_price(db: &CachedConnection, id: i64) -> i64 {
    book::Entity::find_by_id(id).cached().one(db).await.unwrap().expect("the row is there").price_cents
}

// case B1, B2, B25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_of_a_slow_load_and_a_write_leaves_nothing_stale_behind() {
    let Some(world) = World::new(Backend::Postgres, StoreKind::Redis).await else { return };
    let rounds = std::env::var(ROUNDS).map_or(FEW_ROUNDS, |rounds| rounds.parse().unwrap());
    let books = (FIRST..FIRST + LANES).map(new_book);
    book::Entity::insert_many(books).exec_without_returning(world.plain()).await.unwrap();
    let proxy = Proxy::start(world.database.server_address().unwrap()).await;
    proxy.delay(LOAD);
    let connect = async |url: String| {
        let mut options = ConnectOptions::new(url);
        options.max_connections(2 * LANES as u32).sqlx_logging(false);
        Database::connect(options).await.unwrap()
    };
    let plain = connect(world.database.url().to_owned()).await;
    let slow = connect(world.database.url_through(&proxy.address())).await;
    let contenders = [
        Contender::Load(Consistency::Strict),
        Contender::Load(Consistency::AfterCommit),
        Contender::Cached(Consistency::Strict),
        Contender::Cached(Consistency::AfterCommit),
        Contender::ByHand,
    ];
    println!(
        "{:<28} {:>7} {:>10} {:>8} {:>15} {:>13}",
        "", "rounds", "overtaken", "kept", "stale in Redis", "stale by API"
    );
    for contender in contenders {
        let start = std::time::Instant::now();
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            let course = Course::new(contender, &plain, &slow).await;
            let mine = rounds / LANES as u64 + u64::from((lane as u64) < rounds % LANES as u64);
            lanes.spawn(course.run(mine, lane));
        }
        let mut tally = Tally::default();
        while let Some(lane) = lanes.join_next().await {
            tally.add(lane.unwrap());
        }
        let share = |count: u64| 100.0 * count as f64 / tally.rounds as f64;
        println!(
            "{:<28} {:>7} {:>10} {:>8} {:>15} {:>13}   {:.1} % of rounds left a stale value; {:.1} s",
            contender.to_string(),
            tally.rounds,
            tally.overtaken,
            tally.kept,
            tally.stale_in_redis,
            tally.stale_by_api,
            share(tally.stale_by_api),
            start.elapsed().as_secs_f64(),
        );
        assert_eq!(tally.rounds, rounds);
        assert!(
            tally.overtaken > 0,
            "{contender}: no reader was overtaken by a writer, so nothing was raced"
        );
        match contender {
            Contender::ByHand => {
                assert!(share(tally.stale_by_api) > 5.0, "the race is not one: {tally:?}");
                assert!(share(tally.stale_in_redis) > 5.0, "the race is not one: {tally:?}");
            }
            _ => {
                assert_eq!((tally.stale_in_redis, tally.stale_by_api), (0, 0), "{contender}");
                assert!(tally.kept > 0, "{contender}: nothing was ever cached");
            }
        }
    }
}
