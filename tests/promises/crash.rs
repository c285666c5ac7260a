//! A writer that is killed (SIGKILL), or frozen (SIGSTOP) for longer than its barrier lives and then
//! thawed, at each step between the statement and the acknowledged purge. Another process asks the
//! database and then the cache, over and over: what it has seen in the database, no cached read that
//! begins later may be behind.

mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::stream::{self, StreamExt};
use sea_orm::entity::prelude::*;
use sea_orm_cache::{Consistency, prelude::*};

use crate::{
    entity::book,
    support::{Backend, Proxy, eventually, shared_redis_url, unique_namespace},
    world::{StoreKind, World, builder, new_book},
};

use writer::{Order, Stop, Writer};

/// Half of it is what PostgreSQL allows between barrier and COMMIT: enough on a busy machine.
const LIFE: Duration = Duration::from_millis(1600);
const SOON: Duration = Duration::from_secs(20);
/// Cells of the table at a time.
const AT_A_TIME: usize = 16;
const FIRST: i64 = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The statement was executed; nothing is said to the store.
    BeforeArm,
    /// The barrier stands, the writer does not know it yet.
    ArmSent,
    /// The barrier stands.
    Armed,
    /// COMMIT was sent and has not reached the database.
    CommitSent,
    /// COMMIT was executed; the writer does not know it yet.
    CommitExecuted,
    /// COMMIT was acknowledged; the purge was not sent.
    Committed,
    /// The purge is done; the writer does not know it yet.
    PurgeSent,
    Purged,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::BeforeArm,
        Self::ArmSent,
        Self::Armed,
        Self::CommitSent,
        Self::CommitExecuted,
        Self::Committed,
        Self::PurgeSent,
        Self::Purged,
    ];

    fn exists(self, consistency: Consistency, form: &str) -> bool {
        match self {
            _ if consistency == Consistency::Strict => true,
            Self::BeforeArm | Self::ArmSent | Self::Armed => false,
            // Without a barrier a statement on its own is sent on its own.
            Self::CommitSent | Self::CommitExecuted => form == "Transaction",
            _ => true,
        }
    }

    /// Killed here, has the writer committed?
    fn is_durable(self) -> bool {
        matches!(self, Self::CommitExecuted | Self::Committed | Self::PurgeSent | Self::Purged)
    }

    fn what(self) -> &'static str {
        match self {
            Self::BeforeArm => "statement executed, before arm",
            Self::ArmSent => "arm sent, not acknowledged",
            Self::Armed => "armed, before COMMIT",
            Self::CommitSent => "COMMIT sent, not executed",
            Self::CommitExecuted => "COMMIT executed, not acknowledged",
            Self::Committed => "committed, before purge",
            Self::PurgeSent => "purge sent, not acknowledged",
            Self::Purged => "purge acknowledged",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    /// For longer than the barrier lives.
    Freeze,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    consistency: Consistency,
    form: &'static str,
    step: Step,
    fault: Fault,
}

/// What the reader saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    reads: u64,
    hits: u64,
    stale: u64,
    /// The longest time without a hit.
    longest_bypass: Duration,
}

struct Outcome {
    cell: Cell,
    seen: Seen,
    committed: bool,
    /// Whether the row's entry is served again, and fresh.
    recovered: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell, seen, committed, recovered } = self;
        write!(
            f,
            "| {:<11} | {:<33} | {:<6} | {:<11} | {:>9} | {:>6} | {:>5} | {:>13} | {}",
            cell.form,
            cell.step.what(),
            format!("{:?}", cell.fault),
            if *committed { "committed" } else { "rolled back" },
            seen.reads,
            seen.hits,
            seen.stale,
            format!("{:.1} s", seen.longest_bypass.as_secs_f64()),
            if *recovered { "cached, fresh |" } else { "STALE to its TTL |" },
        )
    }
}

async fn price(db: &impl ConnectionTrait, id: i64) -> i64 {
    book::Entity::find_by_id(id).one(db).await.unwrap().unwrap().price_cents
}

async fn cached_price(db: &CachedConnection, id: i64) -> i64 {
    book::Entity::find_by_id(id).cached().one(db).await.unwrap().unwrap().price_cents
}

/// A reader in a process of its own, as far as the cache knows.
struct Watch {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Seen>,
}

impl Watch {
    fn start(db: CachedConnection, id: i64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let (mut seen, mut last_hit) = (Seen::default(), Instant::now());
            while !stopped.load(Ordering::SeqCst) {
                let truth = price(db.inner(), id).await;
                let before = db.cache().stats().total.hits;
                let cached = cached_price(&db, id).await;
                seen.reads += 1;
                seen.stale += u64::from(cached < truth);
                if db.cache().stats().total.hits > before {
                    seen.hits += 1;
                    last_hit = Instant::now();
                }
                seen.longest_bypass = seen.longest_bypass.max(last_hit.elapsed());
                // For the sake of the others, who are measured at the same time.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            seen
        });
        Self { stop, task }
    }

    async fn end(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

impl Cell {
    async fn run(self, world: Arc<World>, id: i64) -> Outcome {
        let redis = Proxy::for_redis(&shared_redis_url().unwrap()).await;
        let database = Proxy::start(world.database.server_address().unwrap()).await;
        // Of its own, for the barriers of others may stand on what all rows share.
        let namespace = unique_namespace();
        let cache = builder(StoreKind::Redis, &namespace).unwrap().build().await.unwrap();
        let reader = world.plain().clone().cached_by(cache);
        let before = price(world.plain(), id).await;
        is_cached(&reader, id).await;
        let stops: &[Stop] = match self.step {
            Step::BeforeArm | Step::ArmSent => &[Stop::BeforeArm],
            Step::Armed => &[Stop::Armed],
            Step::CommitSent | Step::CommitExecuted => &[],
            Step::Committed | Step::PurgeSent => &[Stop::BeforePurge],
            Step::Purged => &[Stop::Purged],
        };
        let mut writer = Writer::start(Order {
            database: world.database.url_through(&database.address()),
            redis: redis.redis_url(),
            namespace: &namespace,
            consistency: self.consistency,
            life: LIFE,
            row: id,
            form: self.form,
            stops,
        })
        .await;
        let watch = Watch::start(reader.clone(), id);
        if stops.is_empty() {
            database.hold_requests(b"COMMIT");
        }
        writer.go_on();
        if let Some(stop) = stops.first() {
            writer.stops_at(*stop).await;
        }
        match self.step {
            Step::ArmSent | Step::PurgeSent => {
                redis.hold_replies(0);
                writer.go_on();
                redis.until_holding().await;
            }
            Step::CommitSent => database.until_holding_request().await,
            Step::CommitExecuted => {
                database.until_holding_request().await;
                database.hold_replies(0);
                database.release_requests();
                database.until_holding().await;
            }
            _ => {}
        }
        match self.fault {
            Fault::Kill => writer.kill(),
            Fault::Freeze => {
                writer.freeze();
                // The subject: a process that stands still for longer than its barrier lives.
                tokio::time::sleep(LIFE * 5 / 2).await;
                database.release_requests();
                database.release();
                redis.release();
                // Where it waits for leave to go on, it gets it; where it does not, nothing reads this.
                writer.go_on();
                writer.thaw();
                let word = writer.word().await;
                assert!(matches!(word.as_deref(), Some("written" | "failed")), "{self:?}: {word:?}");
            }
        }
        let recovered = self.recovers(&reader, id).await;
        let seen = watch.end().await;
        let after = price(world.plain(), id).await;
        Outcome { cell: self, seen, committed: after > before, recovered }
    }

    /// Waits until the entry is served again, and says whether it is fresh.
    async fn recovers(self, reader: &CachedConnection, id: i64) -> bool {
        // A barrier that nobody renews is gone by then.
        tokio::time::sleep(LIFE * 3 / 2).await;
        is_cached(reader, id).await;
        let truth = price(reader.inner(), id).await;
        cached_price(reader, id).await == truth
    }
}

async fn is_cached(reader: &CachedConnection, id: i64) {
    eventually("the row is served from the cache", SOON, async || {
        let before = reader.cache().stats().total.hits;
        cached_price(reader, id).await;
        reader.cache().stats().total.hits > before
    })
    .await;
}

/// The table of one database: every step, as a transaction and as a statement on its own.
async fn table(backend: Backend, consistency: Consistency, faults: &[Fault]) -> Vec<Outcome> {
    let Some(world) = World::new(backend, StoreKind::Redis).await else { return Vec::new() };
    let world = Arc::new(world);
    let mut cells = Vec::new();
    for &fault in faults {
        for form in ["Transaction", "Statement"] {
            let steps = Step::ALL.into_iter().filter(|step| step.exists(consistency, form));
            cells.extend(steps.map(|step| Cell { consistency, form, step, fault }));
        }
    }
    let rows = (FIRST..).take(cells.len()).map(new_book);
    book::Entity::insert_many(rows).exec_without_returning(world.plain()).await.unwrap();
    let cells = cells.into_iter().zip(FIRST..).map(|(cell, id)| cell.run(world.clone(), id));
    let outcomes: Vec<_> = stream::iter(cells).buffered(AT_A_TIME).collect().await;
    println!("\n{backend}, {consistency:?}, barriers live {LIFE:?}");
    println!(
        "| {:<11} | {:<33} | {:<6} | {:<11} | {:>9} | {:>6} | {:>5} | {:>13} | afterwards    |",
        "write", "step", "fault", "database", "reads", "hits", "stale", "without a hit"
    );
    outcomes.into_iter().inspect(|outcome| println!("{outcome}")).collect()
}

fn is_clean(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.seen.stale, 0, "{outcome}");
        assert!(outcome.recovered && outcome.seen.reads > 0, "{outcome}");
        if outcome.cell.fault == Fault::Kill {
            assert_eq!(outcome.committed, outcome.cell.step.is_durable(), "{outcome}");
        }
    }
}

// case C1, C2, A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_step_causes_no_stale_read() {
    for backend in [Backend::Postgres, Backend::MariaDb] {
        is_clean(&table(backend, Consistency::Strict, &[Fault::Kill]).await);
    }
}

// case A9, A16, C2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_frozen_at_any_step_causes_no_stale_read() {
    is_clean(&table(Backend::Postgres, Consistency::Strict, &[Fault::Freeze]).await);
    table(Backend::MariaDb, Consistency::Strict, &[Fault::Freeze]).await;
}

// case C1: what the mode without barriers gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_barriers_a_writer_killed_between_commit_and_purge_leaves_its_entry() {
    let outcomes = table(Backend::Postgres, Consistency::AfterCommit, &[Fault::Kill]).await;
    for outcome in outcomes {
        let left_behind = matches!(outcome.cell.step, Step::CommitExecuted | Step::Committed);
        assert_eq!(outcome.recovered, !left_behind, "{outcome}");
    }
}
