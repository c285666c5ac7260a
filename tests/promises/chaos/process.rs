//! A reader or a writer: this binary again, which does what such a process does and writes down what
//! it saw, until its parent closes its input.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{
    ActiveValue::Set, ConnectOptions, Database, DatabaseConnection, DbErr, QuerySelect, TransactionTrait,
    entity::prelude::*,
};
use sea_orm_cache::{
    Cache, Consistency, OnOutage,
    prelude::*,
    stores::{RedisConfig, RedisStore},
};
use tokio::task::JoinSet;

use super::{
    journal::{Event, Journal, NEVER, Row, Stats, Way, now},
    plan::{feed_of, near_of},
    watched::{WRITE, Watched},
};
use crate::{
    differential::random::{Random, seed_of},
    entity::book,
    write_through::through,
};

const ROLE: &str = "CHAOS_ROLE";
const DATABASE: &str = "CHAOS_DATABASE";
const REDIS: &str = "CHAOS_REDIS";
const JOURNAL: &str = "CHAOS_JOURNAL";
const SEED: &str = "CHAOS_PROCESS_SEED";
const CONSISTENCY: &str = "CHAOS_CONSISTENCY";

/// Rows 1 to this.
pub const ROWS: i64 = 12;
/// Short, so that a run sees many of them end.
pub const BARRIER_LIFE: Duration = Duration::from_millis(1000);
/// Tasks of a reader that read, of a writer that write, and of a writer that read.
const READERS: u64 = 3;
const WRITERS: u64 = 2;
const READERS_OF_A_WRITER: u64 = 1;
const NEAR_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Reader,
    Writer,
}

/// What a process is started with.
#[derive(Clone, Debug)]
pub struct Start {
    pub role: Role,
    pub database: String,
    pub redis: String,
    pub journal: PathBuf,
    pub seed: u64,
    pub consistency: Consistency,
}

impl Start {
    pub fn spawn(&self) -> Child {
        let this_test = std::module_path!().split_once("::").unwrap().1;
        let errors = std::fs::File::create(self.journal.with_extension("log")).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{this_test}::a_process"), "--nocapture"])
            .env(ROLE, format!("{:?}", self.role))
            .env(DATABASE, &self.database)
            .env(REDIS, &self.redis)
            .env(JOURNAL, &self.journal)
            .env(SEED, self.seed.to_string())
            .env(CONSISTENCY, format!("{:?}", self.consistency))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap()
    }
}

/// The other processes.
#[tokio::test]
async fn a_process() {
    let variable = |name: &str| std::env::var(name);
    let (Ok(role), Ok(journal)) = (variable(ROLE), variable(JOURNAL)) else { return };
    let over = Arc::new(AtomicBool::new(false));
    let ending = over.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        ending.store(true, Ordering::SeqCst);
    });
    let seed = variable(SEED).unwrap().parse().unwrap();
    let journal = Arc::new(Journal::create(Path::new(&journal)));
    let is_writer = role == "Writer";
    let near = near_of(seed);
    journal.note(&Event::Began { bound: near.map(|bound| bound.as_nanos() as u64) });
    let store = Watched {
        inner: RedisStore::connect(RedisConfig::new(variable(REDIS).unwrap()).feed(feed_of(seed)))
            .await
            .unwrap(),
        journal: journal.clone(),
        random: Mutex::new(Random::new(seed_of(seed, 1))),
        dies_once_in: if is_writer { 600 } else { 0 },
    };
    let consistency = match variable(CONSISTENCY).unwrap().as_str() {
        "AfterCommit" => Consistency::AfterCommit,
        _ => Consistency::Strict,
    };
    let cache = Cache::builder().namespace("chaos").store(Arc::new(store)).consistency(consistency);
    let cache = cache.entity::<through::Entity>();
    let cache = match near {
        Some(bound) => cache.near(NEAR_BYTES).max_staleness(bound),
        None => cache,
    };
    let cache = cache.on_outage(OnOutage::RefuseWrites).barrier_life(BARRIER_LIFE).build().await.unwrap();
    let mut options = ConnectOptions::new(variable(DATABASE).unwrap());
    options.max_connections(4).acquire_timeout(Duration::from_secs(20)).sqlx_logging(false);
    let db = loop {
        match Database::connect(options.clone()).await {
            Ok(db) => break db.cached_by(cache),
            // The way to the database is cut now and then. At the end nobody brings it back.
            Err(_) if over.load(Ordering::SeqCst) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let this = Arc::new(Process { db, journal, seed, reads: !is_writer, writes: AtomicU64::new(0), over });
    let mut work = JoinSet::new();
    let (writers, readers) = if is_writer { (WRITERS, READERS_OF_A_WRITER) } else { (0, READERS) };
    for task in 0..writers + readers {
        let (this, random) = (this.clone(), Random::new(seed_of(seed, 2 + task)));
        work.spawn(
            async move { if task < writers { this.write(random).await } else { this.read(random).await } },
        );
    }
    work.spawn(this.clone().count());
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
}

struct Process {
    db: CachedConnection,
    journal: Arc<Journal>,
    seed: u64,
    reads: bool,
    writes: AtomicU64,
    over: Arc<AtomicBool>,
}

fn seen(book: book::Model) -> Row {
    Row { id: book.id, version: book.price_cents, title: book.title.replace(' ', "_") }
}

impl Process {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn plain(&self) -> &DatabaseConnection {
        self.db.inner()
    }

    // ------------------------------------------------------------------------------------ to read

    async fn read(self: Arc<Self>, mut random: Random) {
        while !self.is_over() {
            let id = random.number(1, ROWS);
            let way = random.weighted(&[(2, Way::Plain), (5, Way::ById), (2, Way::List), (1, Way::Load)]);
            self.read_once(way, id).await;
            if random.once_in(4) {
                tokio::time::sleep(Duration::from_millis(random.next() % 8)).await;
            }
        }
    }

    async fn read_once(&self, way: Way, id: i64) {
        let began = now();
        let rows = self.look(way, id).await;
        let ended = now();
        match rows {
            Ok(rows) => {
                for row in rows {
                    self.journal.note(&Event::Read { way, began, ended, row });
                }
            }
            // The writers' way to the database is cut now and then.
            Err(_) if !self.reads => {}
            Err(_) => self.journal.note(&Event::Failed { began, ended }),
        }
    }

    async fn look(&self, way: Way, id: i64) -> Result<Vec<Row>, DbErr> {
        let row = book::Entity::find_by_id(id);
        let rows = match way {
            Way::Plain => row.one(self.plain()).await?.into_iter().collect(),
            // By an entity that is written through.
            Way::ById => {
                let row = through::Entity::find_by_id(id).cached().one(&self.db).await?;
                let row =
                    row.map(|it| Row { id, version: it.price_cents, title: it.title.replace(' ', "_") });
                return Ok(row.into_iter().collect());
            }
            Way::List => {
                let shelf = book::Column::ShelfId.eq(1 + id % 3);
                book::Entity::find().filter(shelf).cached().all(&self.db).await?
            }
            Way::Load => {
                let options = EntryOptions::new().entity(book::Entity);
                let load = || async {
                    let book = row.one(self.plain()).await?.expect("rows are never deleted");
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    Ok::<_, DbErr>((book.id, book.price_cents, book.title))
                };
                let (id, version, title) =
                    self.db.cache().get_or_load(&format!("book {id}"), options, load).await?;
                return Ok(vec![Row { id, version, title: title.replace(' ', "_") }]);
            }
        };
        Ok(rows.into_iter().map(seen).collect())
    }

    /// Writes down the counters, and watches for how long nothing is served from the cache.
    async fn count(self: Arc<Self>) {
        let (mut stats, mut last_hit) = (Stats::default(), Instant::now());
        let mut looks = 0_u32;
        loop {
            let over = self.is_over();
            let cache = self.db.cache().stats();
            if cache.total.hits > stats.hits || !self.reads {
                last_hit = Instant::now();
            }
            stats = Stats {
                reads: cache.total.reads,
                hits: cache.total.hits,
                near: cache.total.near,
                bypasses: cache.total.bypasses,
                away: cache.total.store_away,
                unguarded: cache.unguarded_writes,
                delayed: cache.delayed_purges,
                lapsed: cache.lapsed_barriers,
                longest_bypass: stats.longest_bypass.max(last_hit.elapsed().as_millis() as u64),
            };
            looks += 1;
            if over || looks.is_multiple_of(25) {
                self.journal.note(&Event::Stats(stats));
            }
            if over {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    // ----------------------------------------------------------------------------------- to write

    async fn write(self: Arc<Self>, mut random: Random) {
        while !self.is_over() {
            let number = self.writes.fetch_add(1, Ordering::SeqCst);
            let form = random.below(6);
            let title = format!("w{:x}-{number}-form{form}", self.seed);
            // A client that goes away in the middle of its request.
            let patience = random.once_in(6).then(|| Duration::from_micros(random.next() % 12_000));
            let work = {
                let (this, random) = (self.clone(), random.clone());
                WRITE.scope(title.clone(), async move { this.write_once(form, random, title).await })
            };
            let written = match patience {
                Some(patience) => tokio::time::timeout(patience, work).await.unwrap_or(Ok(BTreeMap::new())),
                None => work.await,
            };
            random.next();
            match written {
                Ok(rows) => {
                    let at = now();
                    let ids: Vec<_> = rows.keys().copied().collect();
                    for (_, row) in rows {
                        self.journal.note(&Event::Committed { at, row });
                    }
                    // What it has written it sees at once, whatever is in its memory.
                    for id in ids {
                        self.read_once(if random.once_in(2) { Way::ById } else { Way::List }, id).await;
                    }
                }
                Err(_) => {
                    self.journal.note(&Event::NotWritten { at: now() });
                    // A store that is away refuses at once.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(random.next() % 40)).await;
        }
    }

    /// The rows as they are once this has returned.
    async fn write_once(
        &self,
        form: usize,
        mut random: Random,
        title: String,
    ) -> Result<BTreeMap<i64, Row>, DbErr> {
        let id = random.number(1, ROWS);
        let up = |ids: Vec<i64>, title: &str| {
            book::Entity::update_many()
                .col_expr(book::Column::PriceCents, Expr::cust("price_cents + 1"))
                .col_expr(book::Column::Title, Expr::value(title))
                .filter(book::Column::Id.is_in(ids))
        };
        let rows = |books: Vec<book::Model>| books.into_iter().map(|it| (it.id, seen(it))).collect();
        match form {
            // Statements on their own: of one row, and of rows that only the database knows.
            0 => Ok(rows(up(vec![id], &title).exec_with_returning(&self.db).await?)),
            1 => {
                let sql = format!(
                    "UPDATE book SET price_cents = price_cents + 1, title = '{title}' WHERE id <= {id} AND id > {}",
                    id - 2
                );
                self.db.execute_unprepared(&sql).await?;
                Ok(BTreeMap::new())
            }
            // Transactions: of one row by its model, and of two by expression, one in a savepoint.
            2 | 3 => {
                let transaction = self.db.begin().await?;
                let row = book::Entity::find_by_id(id).lock_exclusive().one(&transaction).await?;
                let version = row.expect("rows are never deleted").price_cents + 1;
                let row = book::ActiveModel {
                    id: Set(id),
                    price_cents: Set(version),
                    title: Set(title),
                    ..Default::default()
                };
                let row = row.update(&transaction).await?;
                transaction.commit().await?;
                Ok(rows(vec![row]))
            }
            4 => {
                let transaction = self.db.begin().await?;
                let mut written = up(vec![id], &title).exec_with_returning(&transaction).await?;
                let nested = transaction.begin().await?;
                // In one order, so that writers do not wait for each other in a circle.
                let other = if id == ROWS { id } else { id + 1 };
                written.extend(up(vec![other], &title).exec_with_returning(&nested).await?);
                nested.commit().await?;
                transaction.commit().await?;
                Ok(rows(written))
            }
            // Never committed, and so never seen: a savepoint that is rolled back, or all of it.
            _ => {
                let transaction = self.db.begin().await?;
                let nested = transaction.begin().await?;
                up(vec![id], &format!("{NEVER}-{title}")).exec_with_returning(&nested).await?;
                book::Entity::find_by_id(id).cached().one(&nested).await?;
                nested.rollback().await?;
                if random.once_in(2) {
                    up(vec![id], &format!("{NEVER}-{title}")).exec(&transaction).await?;
                    transaction.rollback().await?;
                    return Ok(BTreeMap::new());
                }
                let written = up(vec![id], &title).exec_with_returning(&transaction).await?;
                transaction.commit().await?;
                Ok(rows(written))
            }
        }
    }
}
