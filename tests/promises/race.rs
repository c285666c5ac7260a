//! The race that leaves stale values behind in a cache that is filled by readers and emptied by
//! writers: a load takes 3 ms, and a writer commits at some moment around it. Beside this crate runs
//! what people write by hand, GET, SETEX, and DEL after COMMIT, over the same database and Redis.
//!
//! A round judges what is left behind when both are over: what Redis still holds, as a process that
//! was not there is told, and what the next reads answer. With answers in the reader's memory that may
//! be behind, only a read that began within the bound after another process' write may answer what is old.

use std::{
    fmt,
    time::{Duration, Instant},
};

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
/// Where readers and writers keep missing each other, as they may on a busy machine: as many rounds again, so
/// many times at most.
const MOST_HEATS: u64 = 20;
/// How long a load takes after it has read the row.
const LOAD: Duration = Duration::from_millis(3);
/// Reader and writer begin within this time, in microseconds. A write takes longer than a read.
const READER: u64 = 9_000;
const WRITER: u64 = 7_000;
/// How much the reader keeps in its memory, and by how much that may be behind, where it may be.
const NEAR_BYTES: usize = 1 << 20;
const BOUND: Duration = Duration::from_millis(250);
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
    /// The same, with answers in the reader's memory that may be behind by so much.
    Near(Consistency, Duration),
    /// GET, SETEX, and DEL after COMMIT.
    ByHand,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(consistency) => write!(f, "get_or_load, {consistency:?}"),
            Self::Cached(consistency) => write!(f, ".cached(), {consistency:?}"),
            Self::Near(consistency, bound) => write!(f, "near {bound:?}, {consistency:?}"),
            Self::ByHand => f.write_str("GET, SETEX, DEL by hand"),
        }
    }
}

impl Contender {
    /// By how much the reader's memory may be behind, if it has one.
    fn bound(self) -> Option<Duration> {
        if let Self::Near(_, bound) = self { Some(bound) } else { None }
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
    /// Answered from memory with what was old, within the bound.
    behind: u64,
    /// Answered from memory.
    near: u64,
}

impl Tally {
    /// Was there a race? Some reader was overtaken, and what can be lost was there; by hand, more than one round
    /// in twenty was.
    fn is_a_race(&self, contender: Contender) -> bool {
        let seen = match contender {
            Contender::ByHand => self.share(self.stale_by_api) > 5.0 && self.share(self.stale_in_redis) > 5.0,
            _ => self.kept > 0 && (self.near > 0 || contender.bound().is_none()),
        };
        self.overtaken > 0 && seen
    }

    /// Per cent of the rounds.
    fn share(&self, count: u64) -> f64 {
        100.0 * count as f64 / self.rounds as f64
    }

    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.overtaken += other.overtaken;
        self.kept += other.kept;
        self.stale_in_redis += other.stale_in_redis;
        self.stale_by_api += other.stale_by_api;
        self.behind += other.behind;
        self.near += other.near;
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
    /// The reader's process again, for what it writes itself.
    own: CachedConnection,
    other: CachedConnection,
    redis: MultiplexedConnection,
    prefix: String,
}

impl Course {
    async fn new(contender: Contender, plain: &DatabaseConnection, slow: &DatabaseConnection) -> Self {
        let (url, namespace) = (shared_redis_url().unwrap(), unique_namespace());
        let cache = async |near: Option<Duration>| {
            let builder = Cache::builder().namespace(&namespace);
            let builder = match contender {
                Contender::Load(consistency)
                | Contender::Cached(consistency)
                | Contender::Near(consistency, _) => {
                    builder.redis_with(patient(url.clone())).consistency(consistency)
                }
                Contender::ByHand => builder.enabled(false),
            };
            let builder = match near {
                Some(bound) => builder.near(NEAR_BYTES).max_staleness(bound),
                None => builder,
            };
            builder.build().await.unwrap()
        };
        let is_slow = matches!(contender, Contender::Cached(_) | Contender::Near(..));
        let reads_from = if is_slow { slow } else { plain };
        let readers = cache(contender.bound()).await;
        Self {
            contender,
            plain: plain.clone(),
            reader: reads_from.clone().cached_by(readers.clone()),
            writer: plain.clone().cached_by(cache(None).await),
            own: plain.clone().cached_by(readers),
            other: plain.clone().cached_by(cache(None).await),
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
            Contender::Cached(_) | Contender::Near(..) => cached_price(&self.reader, id).await,
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

    /// Writes, in the reader's process or in the writer's. When that was acknowledged.
    async fn write(&self, id: i64, price: i64, by: &CachedConnection, in_transaction: bool) -> Instant {
        let row = book::ActiveModel { id: Set(id), price_cents: Set(price), ..Default::default() };
        if in_transaction {
            let transaction = by.begin().await.unwrap();
            row.update(&transaction).await.unwrap();
            transaction.commit().await.unwrap();
        } else {
            row.update(by).await.unwrap();
        }
        if self.contender == Contender::ByHand {
            self.redis.clone().del::<_, ()>(self.key(id)).await.unwrap();
        }
        Instant::now()
    }

    /// What Redis holds and would be served to a process that was not there.
    async fn kept(&self, id: i64) -> Option<i64> {
        match self.contender {
            Contender::Load(_) => self.other.cache().get(&self.key(id)).await.unwrap(),
            Contender::ByHand => self.redis.clone().get(self.key(id)).await.unwrap(),
            Contender::Cached(_) | Contender::Near(..) => {
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
        let has_near = self.contender.bound().is_some();
        // With a memory: something in it or nothing, written by its own process or by another, and read
        // again at once or when all is over.
        let [is_warm, is_own, at_once] = [(); 3].map(|()| has_near && random.once_in(2));
        let writer = if is_own { &self.own } else { &self.writer };
        for _ in 0..if is_warm { 2 } else { 0 } {
            self.read(id).await;
        }
        let read = async {
            pause(reader_waits).await;
            self.read(id).await
        };
        let mut tally = Tally { rounds: 1, ..Tally::default() };
        let write = async {
            pause(writer_waits).await;
            let done = self.write(id, before + 1, writer, in_transaction).await;
            let done = (done, is_own);
            if at_once {
                self.judged(id, before + 1, done, &mut tally).await;
            }
            done
        };
        let (seen, done) = futures_util::future::join(read, write).await;
        // What was read is stored by a task that nobody waits for; what is asked on the same
        // connection afterwards is answered afterwards.
        if !matches!(self.contender, Contender::ByHand) {
            self.reader.cache().ping().await.unwrap();
        }
        let truth = self.truth(id).await;
        assert_eq!(truth, before + 1, "nobody else writes this row");
        let kept = self.kept(id).await;
        tally.overtaken = u64::from(seen < truth);
        tally.kept = u64::from(kept.is_some());
        tally.stale_in_redis = u64::from(kept.is_some_and(|kept| kept < truth));
        // What the first answer leaves in memory is what the next are answered with.
        for _ in 0..if has_near { 3 } else { 1 } {
            self.judged(id, truth, done, &mut tally).await;
        }
        tally
    }

    /// Reads, and again for as long as the answer may be old.
    async fn judged(&self, id: i64, truth: i64, (done, is_own): (Instant, bool), tally: &mut Tally) {
        let bound = self.contender.bound().filter(|_| !is_own).unwrap_or_default();
        loop {
            let began = Instant::now();
            if self.read(id).await >= truth {
                return;
            }
            if began >= done + bound {
                tally.stale_by_api += 1;
                return;
            }
            tally.behind += 1;
            tokio::task::yield_now().await;
        }
    }

    /// Rounds that begin with nothing cached, as after any write.
    async fn run(self, rounds: u64, lane: i64) -> Tally {
        let mut random = Random::new(seed_of(41, lane as u64));
        let (id, mut tally) = (FIRST + lane, Tally::default());
        for _ in 0..rounds {
            match self.contender {
                Contender::ByHand => self.redis.clone().del::<_, ()>(self.key(id)).await.unwrap(),
                // Its memory too.
                Contender::Near(..) => self.reader.cache().clear().await,
                _ => self.other.cache().clear().await,
            }
            tally.add(self.round(&mut random, id).await);
        }
        tally.near = self.reader.cache().stats().total.near;
        tally
    }
}

async fn price(db: &DatabaseConnection, id: i64) -> Result<i64, DbErr> {
    Ok(book::Entity::find_by_id(id).one(db).await?.expect("the row is there").price_cents)
}

async fn cached_price(db: &CachedConnection, id: i64) -> i64 {
    book::Entity::find_by_id(id).cached().one(db).await.unwrap().expect("the row is there").price_cents
}

// case B1, B2, B10, B25
// feature B12
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
        Contender::Near(Consistency::Strict, Duration::ZERO),
        Contender::Near(Consistency::AfterCommit, Duration::ZERO),
        Contender::Near(Consistency::Strict, BOUND),
        Contender::Near(Consistency::AfterCommit, BOUND),
        Contender::ByHand,
    ];
    println!(
        "{:<28} {:>7} {:>10} {:>8} {:>15} {:>13} {:>10} {:>8}",
        "", "rounds", "overtaken", "kept", "stale in Redis", "stale by API", "in bound", "near"
    );
    for contender in contenders {
        let start = Instant::now();
        let (mut tally, mut heats) = (Tally::default(), 0);
        while heats < MOST_HEATS && !tally.is_a_race(contender) {
            heats += 1;
            let mut lanes = JoinSet::new();
            for lane in 0..LANES {
                let course = Course::new(contender, &plain, &slow).await;
                let mine = rounds / LANES as u64 + u64::from((lane as u64) < rounds % LANES as u64);
                lanes.spawn(course.run(mine, lane));
            }
            while let Some(lane) = lanes.join_next().await {
                tally.add(lane.unwrap());
            }
        }
        println!(
            "{:<28} {:>7} {:>10} {:>8} {:>15} {:>13} {:>10} {:>8}   {:.1} % of rounds left a stale value; {:.1} s",
            contender.to_string(),
            tally.rounds,
            tally.overtaken,
            tally.kept,
            tally.stale_in_redis,
            tally.stale_by_api,
            tally.behind,
            tally.near,
            tally.share(tally.stale_by_api),
            start.elapsed().as_secs_f64(),
        );
        assert_eq!(tally.rounds, heats * rounds);
        assert!(tally.is_a_race(contender), "{contender}: nothing was raced, or nothing cached: {tally:?}");
        if contender != Contender::ByHand {
            assert_eq!((tally.stale_in_redis, tally.stale_by_api), (0, 0), "{contender}");
            assert!(contender.bound().is_some() || tally.near == 0, "{contender}: memory that it has not");
        }
    }
}
