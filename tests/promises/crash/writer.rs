//! The process that is killed: this binary again, told to write one row. At the step of its write
//! that it is told it says so, and does nothing until it is told to go on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{ActiveValue::Set, ConnectOptions, Database, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{
    Cache, Consistency, OnOutage,
    prelude::*,
    stores::{
        Arm, EntryKey, EntryWrite, Found, RedisStore, Release, Store, StoreError, StoreState, TagKey,
        TagProbe,
    },
};

use tokio::sync::mpsc;

use crate::{entity::book, world::patient};

/// How long the writer may take for a step; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(30);

const DATABASE: &str = "PROMISES_WRITER_DATABASE";
const REDIS: &str = "PROMISES_WRITER_REDIS";
const NAMESPACE: &str = "PROMISES_WRITER_NAMESPACE";
const CONSISTENCY: &str = "PROMISES_WRITER_CONSISTENCY";
const LIFE: &str = "PROMISES_WRITER_LIFE";
const ROW: &str = "PROMISES_WRITER_ROW";
const FORM: &str = "PROMISES_WRITER_FORM";
const STOPS: &str = "PROMISES_WRITER_STOPS";

/// Where the driver of the protocol meets the store: the places at which a writer can be stopped
/// without a word from anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    BeforeArm,
    Armed,
    BeforePurge,
    Purged,
}

impl Stop {
    const ALL: [Self; 4] = [Self::BeforeArm, Self::Armed, Self::BeforePurge, Self::Purged];

    fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Redis, for a process that stops where it is told to.
#[derive(Debug)]
struct Stopping {
    inner: RedisStore,
    /// Each once: a barrier is armed again when it wears off.
    stops: Mutex<Vec<Stop>>,
    writes: AtomicBool,
}

impl Stopping {
    /// Blocks the thread, which is the only one: nothing in this process moves.
    fn reach(&self, stop: Stop) {
        let mut stops = self.stops.lock().unwrap();
        if self.writes.load(Ordering::SeqCst) && stops.contains(&stop) {
            stops.retain(|other| *other != stop);
            eprintln!("{}", stop.name());
            wait_for_a_line();
        }
    }
}

#[async_trait::async_trait]
impl Store for Stopping {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        self.inner.read(entries, tags).await
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        self.inner.write(entries, keep).await
    }

    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError> {
        self.reach(Stop::BeforeArm);
        let result = self.inner.arm(arm).await;
        self.reach(Stop::Armed);
        result
    }

    async fn release(&self, release: &Release) -> Result<usize, StoreError> {
        self.reach(Stop::BeforePurge);
        let result = self.inner.release(release).await;
        self.reach(Stop::Purged);
        result
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        self.inner.delete(entries).await
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.scan(prefix, limit).await
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        self.inner.lease(key, ttl).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn recovered(&self) {
        self.inner.recovered().await;
    }

    fn state(&self) -> StoreState {
        self.inner.state()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

fn wait_for_a_line() {
    let mut line = [0];
    // One byte: what is meant for the next stop stays where it is. None at all: the parent is gone.
    while std::io::stdin().lock().read(&mut line).unwrap_or(0) == 1 && line != *b"\n" {}
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The other process.
#[tokio::test]
async fn the_writer_process() {
    let Some(url) = variable(DATABASE) else { return };
    let number = |name| variable(name).unwrap().parse::<u64>().unwrap();
    let stops = variable(STOPS).unwrap();
    let stops = Stop::ALL.into_iter().filter(|stop| stops.split(' ').any(|word| word == stop.name()));
    let inner = RedisStore::connect(patient(variable(REDIS).unwrap())).await.unwrap();
    let store =
        Arc::new(Stopping { inner, stops: Mutex::new(stops.collect()), writes: AtomicBool::new(false) });
    let consistency = match variable(CONSISTENCY).unwrap().as_str() {
        "Strict" => Consistency::Strict,
        _ => Consistency::AfterCommit,
    };
    let cache = Cache::builder().namespace(variable(NAMESPACE).unwrap()).store(store.clone());
    let cache = cache.consistency(consistency).on_outage(OnOutage::RefuseWrites);
    let cache = cache.barrier_life(Duration::from_millis(number(LIFE))).build().await.unwrap();
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await.unwrap().cached_by(cache);
    db.learn_schema().await.unwrap();
    let id = number(ROW) as i64;
    let price = book::Entity::find_by_id(id).one(&db).await.unwrap().unwrap().price_cents;
    let row = book::ActiveModel { id: Set(id), price_cents: Set(price + 1), ..Default::default() };
    eprintln!("ready");
    wait_for_a_line();
    store.writes.store(true, Ordering::SeqCst);
    let written = match variable(FORM).unwrap().as_str() {
        "Transaction" => {
            let transaction = db.begin().await.unwrap();
            row.update(&transaction).await.unwrap();
            transaction.commit().await
        }
        _ => row.update(&db).await.map(drop),
    };
    eprintln!("{}", if written.is_ok() { "written" } else { "failed" });
    wait_for_a_line();
}

/// What the writer is to do.
pub struct Order<'a> {
    pub database: String,
    pub redis: String,
    pub namespace: &'a str,
    pub consistency: Consistency,
    pub life: Duration,
    pub row: i64,
    pub form: &'static str,
    pub stops: &'a [Stop],
}

/// The writer, as its parent sees it.
pub struct Writer {
    child: Child,
    orders: ChildStdin,
    words: mpsc::UnboundedReceiver<String>,
}

impl Writer {
    pub async fn start(order: Order<'_>) -> Self {
        let stops: Vec<_> = order.stops.iter().map(|stop| stop.name()).collect();
        let this_test = std::module_path!().split_once("::").unwrap().1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{this_test}::the_writer_process"), "--nocapture"])
            .env(DATABASE, order.database)
            .env(REDIS, order.redis)
            .env(NAMESPACE, order.namespace)
            .env(CONSISTENCY, format!("{:?}", order.consistency))
            .env(LIFE, order.life.as_millis().to_string())
            .env(ROW, order.row.to_string())
            .env(FORM, order.form)
            .env(STOPS, stops.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (say, words) = mpsc::unbounded_channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        let mut writer = Self { child, orders, words };
        writer.says("ready").await;
        writer
    }

    /// Waits until it says this.
    pub async fn says(&mut self, word: &str) {
        let heard = self.word().await;
        assert_eq!(heard.as_deref(), Some(word), "the writer says something else");
    }

    /// What it says next; `None` if it has ended.
    pub async fn word(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.words.recv()).await.expect("the writer says something")
    }

    pub async fn stops_at(&mut self, stop: Stop) {
        self.says(&stop.name()).await;
    }

    pub fn go_on(&mut self) {
        self.orders.write_all(b"\n").and_then(|()| self.orders.flush()).unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let script = format!("kill -s {signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SIGKILL also ends a frozen process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
