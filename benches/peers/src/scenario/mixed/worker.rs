//! One process of one system: it reads orders from its input and answers them on its output, a line of JSON
//! each, until its input ends.

use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{
    acknowledged::Acknowledged,
    systems::{
        self, Counts, Site, System,
        by_hand::ByHand,
        cached::Cached,
        fnct::Fnct,
        moka::Moka,
        multi_tier::MultiTier,
        ours::{Ours, OursAfter, OursNear, STALENESS},
        plain::Plain,
        tide::Tide,
    },
    zipf,
};
use crate::{drive::histogram, place::Place};

/// Which process this is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// A name of [`systems::ALL`].
    pub system: String,
    pub database: String,
    pub namespace: String,
    /// This one's number, from 0, and how many there are: each writes the rows whose key leaves its number.
    pub index: usize,
    pub processes: usize,
    pub rows: usize,
    /// The file of [`Acknowledged`].
    pub acknowledged: PathBuf,
}

/// What a process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Read every row once.
    Warm,
    /// Read and write for a while.
    Load { tasks: usize, time_ms: u64, reads_percent: u32, seed: u64 },
}

/// What it answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub reads: u64,
    pub writes: u64,
    pub seconds: f64,
    /// Reads that returned an older version than was acknowledged before they began.
    pub stale: u64,
    /// Of these, by more than the staleness that our near cache is allowed.
    pub too_stale: u64,
    /// The worst of them, at least.
    pub oldest_stale_ms: u32,
    pub selects: u64,
    pub statements: u64,
    /// By name.
    pub counters: Vec<(String, u64)>,
    /// Nanoseconds and how often, of reads and of writes.
    pub read_latency: Vec<(u64, u64)>,
    pub write_latency: Vec<(u64, u64)>,
}

/// The whole life of a process.
pub async fn serve(role: &str) -> Result<()> {
    let role: Role = serde_json::from_str(role)?;
    match role.system.as_str() {
        systems::OURS => serve_as::<Ours>(role).await,
        systems::OURS_NEAR => serve_as::<OursNear>(role).await,
        systems::OURS_AFTER => serve_as::<OursAfter>(role).await,
        systems::PLAIN => serve_as::<Plain>(role).await,
        systems::BY_HAND => serve_as::<ByHand>(role).await,
        systems::TIDE => serve_as::<Tide>(role).await,
        systems::FNCT => serve_as::<Fnct>(role).await,
        systems::MULTI_TIER => serve_as::<MultiTier>(role).await,
        systems::MOKA => serve_as::<Moka>(role).await,
        systems::CACHED => serve_as::<Cached>(role).await,
        other => bail!("no such system: {other}"),
    }
}

/// What the tasks of a process share.
struct Shared<S> {
    system: S,
    role: Role,
    acknowledged: Acknowledged,
    /// One write to a row at a time in a process, and each row has one process that writes it: so the next
    /// version is known without asking.
    writers: Vec<Mutex<()>>,
    keys: Vec<i64>,
}

async fn serve_as<S: System>(role: Role) -> Result<()> {
    let counts = Arc::new(Counts::default());
    let site = Site {
        place: Place::from_env()?,
        database: role.database.clone(),
        namespace: role.namespace.clone(),
        counts: counts.clone(),
    };
    let system = S::open(&site).await?;
    let shared = Arc::new(Shared {
        system,
        acknowledged: Acknowledged::open(&role.acknowledged)?,
        writers: (0..=role.rows).map(|_| Mutex::new(())).collect(),
        keys: zipf::keys(role.rows),
        role,
    });
    answer(&Outcome::default())?;
    loop {
        // Nothing else goes on in this process while it waits for an order.
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map(|_| line)
        })
        .await??;
        if line.is_empty() {
            return Ok(());
        }
        let (selects, counters) = (shared.system.selects(), shared.system.counters());
        let before = (counts.selects.load(Relaxed), counts.statements.load(Relaxed));
        let mut outcome = match serde_json::from_str(&line)? {
            Order::Warm => warm(&shared).await?,
            Order::Load { tasks, time_ms, reads_percent, seed } => {
                load(&shared, tasks, Duration::from_millis(time_ms), reads_percent, seed).await?
            }
        };
        outcome.selects = counts.selects.load(Relaxed) - before.0;
        outcome.statements = counts.statements.load(Relaxed) - before.1;
        if let (Some(before), Some(after)) = (selects, shared.system.selects()) {
            outcome.selects = after - before;
            outcome.statements = outcome.selects + outcome.writes;
        }
        let counted = shared.system.counters().into_iter().zip(counters);
        outcome.counters =
            counted.map(|((name, after), (_, before))| (name.to_owned(), after - before)).collect();
        answer(&outcome)?;
    }
}

fn answer(outcome: &Outcome) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(outcome)?)?;
    Ok(output.flush()?)
}

/// Reads every row once.
async fn warm<S: System>(shared: &Arc<Shared<S>>) -> Result<Outcome> {
    const TASKS: usize = 64;
    let next = Arc::new(AtomicI64::new(1));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (shared, next) = (shared.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let id = next.fetch_add(1, Relaxed);
                if id > shared.role.rows as i64 {
                    return Ok::<_, anyhow::Error>(());
                }
                shared.system.read(id).await?;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(Outcome { reads: shared.role.rows as u64, ..Outcome::default() })
}

async fn load<S: System>(
    shared: &Arc<Shared<S>>,
    tasks: usize,
    time: Duration,
    reads_percent: u32,
    seed: u64,
) -> Result<Outcome> {
    let (stale, too_stale) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let end = start + time;
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let (shared, stale, too_stale) = (shared.clone(), stale.clone(), too_stale.clone());
        let mut random = StdRng::seed_from_u64(seed ^ ((task as u64 + 1) << 32) ^ shared.role.index as u64);
        running.spawn(async move {
            let (mut reads, mut writes, mut oldest) = (histogram(), histogram(), 0_u32);
            let mut at = random.random_range(0..shared.keys.len());
            for done in 1_u64.. {
                let id = shared.keys[at];
                at = (at + 1) % shared.keys.len();
                let before = Instant::now();
                if random.random_range(0..100) < reads_percent {
                    let known = shared.acknowledged.before_read(id)?;
                    let version = shared.system.read(id).await?;
                    if let Some(staleness) = shared.acknowledged.staleness(known, version) {
                        stale.fetch_add(1, Relaxed);
                        too_stale
                            .fetch_add(u64::from(u128::from(staleness) > STALENESS.as_millis()), Relaxed);
                        oldest = oldest.max(staleness);
                    }
                    reads.saturating_record(before.elapsed().as_nanos() as u64);
                } else {
                    shared.write(id).await?;
                    writes.saturating_record(before.elapsed().as_nanos() as u64);
                }
                if Instant::now() >= end {
                    break;
                }
                if done % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok::<_, anyhow::Error>((reads, writes, oldest))
        });
    }
    let (mut reads, mut writes, mut oldest) = (histogram(), histogram(), 0);
    while let Some(task) = running.join_next().await {
        let (read, write, old) = task??;
        reads.add(read)?;
        writes.add(write)?;
        oldest = oldest.max(old);
    }
    let listed = |latency: &hdrhistogram::Histogram<u64>| {
        latency.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
    };
    Ok(Outcome {
        reads: reads.len(),
        writes: writes.len(),
        seconds: start.elapsed().as_secs_f64(),
        stale: stale.load(Relaxed),
        too_stale: too_stale.load(Relaxed),
        oldest_stale_ms: oldest,
        read_latency: listed(&reads),
        write_latency: listed(&writes),
        ..Outcome::default()
    })
}

impl<S: System> Shared<S> {
    async fn write(&self, id: i64) -> Result<()> {
        // The nearest row that is this process' to write.
        let (index, processes, rows) =
            (self.role.index as i64, self.role.processes as i64, self.role.rows as i64);
        let own = id - id.rem_euclid(processes) + index;
        let own = if own < 1 { own + processes } else { own };
        let own = if own > rows { own - processes } else { own };
        ensure!(own >= 1 && own <= rows, "more rows than processes");
        let place = usize::try_from(own).context("a row's place")?;
        let _alone = self.writers[place].lock().await;
        let version = self.acknowledged.next(own);
        self.system.write(own, version).await?;
        self.acknowledged.acknowledge(own, version)
    }
}
