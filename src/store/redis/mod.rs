//! The Redis store.

mod address;
mod backoff;
mod breaker;
mod cluster;
mod command;
mod config;
mod dial;
mod facts;
mod feed;
mod introduction;
mod moving;
mod published;
mod rate;
mod rehearsal;
mod reply;
mod sentinel;
mod span;
mod supervisor;
#[cfg(all(test, unix))]
mod tests;
mod tls;
mod together;
mod topology;
pub(crate) mod variables;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::Pipeline;

pub use config::{RedisConfig, RedisFeed};

use self::{
    command::Naming,
    dial::Dialer,
    introduction::{Introduction, Setting},
    moving::{Outcome, Taker},
    reply::{Extension, Fault, Scripted},
    supervisor::Supervisor,
    together::{Asks, Together},
};
use super::{
    Arm, EntryKey, EntryWrite, Found, RateAnswer, RateAsk, Release, ServerFacts, Store, StoreError,
    StoreState, TagKey, TagListener, TagProbe, Watch,
};

/// A step through the key space may take longer than a query would wait: it is an operator's tool.
const SCAN_STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// Entries and tags in a Redis server, or one that speaks like it (Valkey, KeyDB, Dragonfly).
///
/// Shared by all tasks; make one per process. Every call is one round trip with a time limit of its
/// own, and fails at once while the server is known to be away; reads that come while others are under
/// way wait for these, and go together. The connection repairs itself.
pub struct RedisStore {
    supervisor: Arc<Supervisor>,
    reads: Together<Reads>,
    /// For the feed of changes, which has a connection of its own.
    dialer: Dialer,
    feed: RedisFeed,
    clustered: bool,
    taker: Taker,
    read_timeout: Duration,
    write_timeout: Duration,
    /// The server knows `PEXPIRE ... GT` (Redis 7, Valkey), as far as we know.
    extends: AtomicBool,
}

/// Reads, one at a time.
struct Reads {
    supervisor: Arc<Supervisor>,
    timeout: Duration,
}

impl Asks for Reads {
    async fn ask(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        let commands = command::read(entries, tags);
        let read = |values, server: Introduction| {
            reply::found(values, entries.len(), tags.len(), server.incarnation)
        };
        self.supervisor.ask("a read", self.timeout, &commands, read).await
    }
}

impl RedisStore {
    /// Makes a store and a first attempt to connect, which takes the connect timeout at most.
    ///
    /// A server that is away is not an error: the store starts unreachable and recovers by itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Config`] if the configuration cannot work, or if there is no tokio runtime.
    pub async fn connect(config: RedisConfig) -> Result<Self, StoreError> {
        let plan = config.plan()?;
        let supervisor = Arc::new(Supervisor::start(&plan).await?);
        let reads = Reads { supervisor: supervisor.clone(), timeout: plan.read_timeout };
        Ok(Self {
            supervisor,
            reads: Together::new(reads),
            read_timeout: plan.read_timeout,
            dialer: Dialer::new(&plan),
            feed: plan.feed,
            taker: Taker::new(plan.topology.clone()),
            clustered: plan.topology.setting() == Setting::Clustered,
            write_timeout: plan.write_timeout,
            extends: AtomicBool::new(true),
        })
    }

    /// A connection of its own to the server that holds the namespace now, and that server's address: for
    /// commands that the store has none for. It has no time limits, and repairs itself no more than any other.
    ///
    /// # Errors
    ///
    /// Nobody says where the server is, or it cannot be reached.
    #[cfg(feature = "cli")]
    pub async fn connection(&self) -> Result<(redis::aio::MultiplexedConnection, String), StoreError> {
        let dialed = self.dialer.dial(|| ()).await.map_err(|reason| StoreError::Unreachable { reason })?;
        Ok((dialed.connection, dialed.at.addr().to_string()))
    }

    async fn remove(&self, operation: &'static str, commands: Pipeline) -> Result<u64, StoreError> {
        if commands.is_empty() {
            return Ok(0);
        }
        let limit = self.patience(&commands);
        self.supervisor.ask(operation, limit, &commands, |values, _| reply::removed(&values)).await
    }

    /// Calls the script on so many tags, and stores so many entries. A server that does not have it is sent it: one round trip
    /// more, the first time and after `SCRIPT FLUSH`.
    async fn run(
        &self,
        operation: &'static str,
        (first, tags, stored): (Option<&TagKey>, usize, usize),
        commands_of: impl Fn(Naming) -> Pipeline,
    ) -> Result<usize, StoreError> {
        let calls = tags.div_ceil(command::TAGS_PER_CALL);
        for naming in [Naming::Hash, Naming::Text] {
            let commands = commands_of(naming);
            if commands.is_empty() {
                return Ok(0);
            }
            let read = |values: Vec<redis::Value>, _| reply::scripted(&values, calls, stored);
            match self.supervisor.ask(operation, self.patience(&commands), &commands, read).await? {
                Scripted::Sum(stood) => return Ok(stood),
                Scripted::Unknown => {}
                Scripted::Moving => {
                    let stood = self.run_apart(operation, &commands_of(Naming::Apart)).await?;
                    // Nobody was told. That is said last: who asks how far the feed is, in between, is
                    // told less than the truth, but not by anybody who has done his work.
                    if let Some(first) = first {
                        self.run_apart(operation, &command::silence(first)).await?;
                    }
                    return Ok(stood);
                }
            }
        }
        Err(StoreError::Refused { operation, reason: "NOSCRIPT".to_owned() })
    }

    /// The same, tag by tag, each at the node of a cluster where it is now.
    async fn run_apart(&self, operation: &'static str, commands: &Pipeline) -> Result<usize, StoreError> {
        let limit = self.patience(commands);
        let read =
            |values: Vec<redis::Value>, _| values.iter().map(moving::outcome).collect::<Result<Vec<_>, _>>();
        let outcomes = self.supervisor.ask(operation, limit, commands, read).await?;
        let (mut sum, mut taker, mut elsewhere) = (0, None, Vec::new());
        for (outcome, command) in outcomes.into_iter().zip(commands.cmd_iter()) {
            match outcome {
                Outcome::Number(number) => sum += number,
                Outcome::Elsewhere(host) => {
                    taker = Some(host);
                    elsewhere.push(command.clone());
                }
            }
        }
        let Some(taker) = taker else { return Ok(sum) };
        let refused = |reason| StoreError::Refused { operation, reason };
        let values = self.taker.ask(taker, elsewhere.into_iter(), limit).await.map_err(refused)?;
        for value in &values {
            match moving::outcome(value) {
                Ok(Outcome::Number(number)) => sum += number,
                Ok(Outcome::Elsewhere(_)) => return Err(refused("ASK".to_owned())),
                Err(Fault::Refused(reason)) => return Err(refused(reason)),
                Err(Fault::Misshapen) => {
                    return Err(refused("the server's reply does not fit the question".to_owned()));
                }
            }
        }
        Ok(sum)
    }

    /// The time limit is meant for one command; the server works through a large purge in order.
    fn patience(&self, commands: &Pipeline) -> Duration {
        self.write_timeout.saturating_mul(u32::try_from(commands.len()).unwrap_or(u32::MAX))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("supervisor", &self.supervisor).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        if entries.is_empty() && tags.is_empty() {
            return Ok(Found::default());
        }
        self.reads.read(entries, tags).await
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        // A server that cannot extend a life without the danger of shortening it leaves the tag
        // with the life that it was proposed with.
        let keep = if self.extends.load(Ordering::Relaxed) { keep } else { &[] };
        let commands = command::write(entries, keep);
        if commands.is_empty() {
            return Ok(());
        }
        let read = |values, _| reply::stored(values, entries.len());
        let extension = self.supervisor.ask("a write", self.write_timeout, &commands, read).await?;
        if extension == Extension::Unknown && self.extends.swap(false, Ordering::Relaxed) {
            tracing::info!("the cache store cannot extend the life of a tag (PEXPIRE with GT, Redis 7)");
        }
        Ok(())
    }

    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError> {
        let counts = (arm.tags.first().map(|(tag, _)| tag), arm.tags.len(), 0);
        self.run("a barrier", counts, |naming| command::arm(arm, naming)).await
    }

    async fn release(&self, release: &Release) -> Result<usize, StoreError> {
        let first = release.tags.first().map(|(tag, _)| tag);
        let counts = (first, release.tags.len(), release.store.len());
        self.run("a purge", counts, |naming| command::release(release, naming)).await
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        self.remove("a delete", command::remove(entries.iter().map(EntryKey::as_str))).await
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        // The server may name a key more than once.
        let mut keys = BTreeSet::new();
        let mut cursor = 0;
        while keys.len() < limit {
            let step = command::scan(cursor, prefix);
            let (next, page) = self
                .supervisor
                .ask("a scan", SCAN_STEP_TIMEOUT, &step, |values, _| reply::page(values))
                .await?;
            keys.extend(page.into_iter().filter(|key| key.starts_with(prefix)));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        self.supervisor
            .ask("a lease", self.write_timeout, &command::lease(key, ttl), |values, _| reply::taken(values))
            .await
    }

    async fn rate(&self, ask: &RateAsk) -> Result<RateAnswer, StoreError> {
        rate::ask(&self.supervisor, self.read_timeout, ask).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.supervisor
            .ask("a ping", self.write_timeout, &command::ping(), |values, _| reply::pong(values))
            .await
    }

    async fn server(&self) -> Result<ServerFacts, StoreError> {
        self.supervisor
            .ask("INFO", self.write_timeout, &facts::question(), |values, _| facts::facts(values))
            .await
    }

    async fn watch(&self, watch: &Watch, listener: Arc<dyn TagListener>) -> StoreError {
        feed::watch(&self.dialer, &self.supervisor, self.feed, watch, listener).await
    }

    async fn recovered(&self) {
        self.supervisor.recovered().await;
    }

    fn uses_hash_tags(&self) -> bool {
        self.clustered
    }

    fn state(&self) -> StoreState {
        if self.supervisor.is_ready() { StoreState::Ready } else { StoreState::Unreachable }
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}
