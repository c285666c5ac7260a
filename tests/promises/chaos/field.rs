//! The Redis servers of a run and the ways to them, and what is done to them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::{
    journal::now,
    judge::Loss,
    plan::{Fault, Side},
};
use crate::support::{PrivateRedis, Proxy, Restart, eventually};

const SOON: Duration = Duration::from_secs(20);
/// What is sent on feeds of changes, and nowhere else.
const FEEDS: [&[u8]; 2] = [b"TRACKING", b"SUBSCRIBE"];
const FILLERS: usize = 2000;

pub struct Field {
    /// The primary, and one that becomes its replica before a failover.
    primary: PrivateRedis,
    spare: PrivateRedis,
    /// What replicas see of the primary.
    link: Proxy,
    pub readers: Proxy,
    pub writers: Proxy,
    has_snapshot: bool,
    pub losses: Vec<Loss>,
    pub evicted: u64,
    pub killed_feeds: AtomicU64,
}

impl Field {
    pub async fn new() -> Option<Self> {
        let (primary, spare) = (PrivateRedis::start().await?, PrivateRedis::start().await?);
        let link = Proxy::for_redis(&primary.url()).await;
        let (readers, writers) =
            (Proxy::for_redis(&primary.url()).await, Proxy::for_redis(&primary.url()).await);
        for way in [&readers, &writers] {
            FEEDS.iter().for_each(|feed| way.mark(feed));
        }
        let (has_snapshot, losses) = (false, Vec::new());
        let (evicted, killed_feeds) = (0, AtomicU64::new(0));
        Some(Self { primary, spare, link, readers, writers, has_snapshot, losses, evicted, killed_feeds })
    }

    fn way(&self, side: Side) -> &Proxy {
        match side {
            Side::Readers => &self.readers,
            Side::Writers => &self.writers,
        }
    }

    fn lost_everything(&mut self, from: u64) {
        self.losses.push(Loss { from, to: now(), row: None });
    }

    /// Does one thing, and undoes what has to be undone.
    pub async fn inflict(&mut self, fault: Fault) {
        let began = now();
        match fault {
            Fault::PauseRedis(time) => {
                self.primary.pause();
                sleep(time).await;
                self.primary.resume();
            }
            Fault::RedisRestartsEmpty => {
                self.primary.kill().await;
                self.primary.restart(Restart::Forget).await;
                self.has_snapshot = false;
                self.lost_everything(began);
            }
            Fault::RedisRestartsOld => {
                if !self.has_snapshot {
                    self.primary.save().await;
                }
                self.primary.kill().await;
                self.primary.restart(Restart::Keep).await;
                self.has_snapshot = true;
                self.lost_everything(began);
            }
            Fault::Snapshot => {
                self.primary.save().await;
                self.has_snapshot = true;
            }
            Fault::FlushAll => {
                self.primary.command(&["FLUSHALL"]).await;
                self.lost_everything(began);
            }
            Fault::KillFeeds => self.kill_feeds().await,
            Fault::SilenceFeeds(side) => self.way(side).black_hole_marked(),
            Fault::Evict(time) => self.evict(time).await,
            Fault::Failover(lag) => self.fail_over(lag).await,
            Fault::Cut(side) => self.way(side).cut().await,
            Fault::Silence(side, time) => {
                self.way(side).black_hole();
                sleep(time).await;
                self.way(side).cut().await;
            }
            Fault::Delay(side, delay, time) => {
                self.way(side).delay(delay);
                self.way(side).delay_requests(delay / 2);
                sleep(time).await;
                self.way(side).delay(Duration::ZERO);
                self.way(side).delay_requests(Duration::ZERO);
            }
            Fault::SlowFeeds(side, delay, time) => {
                self.way(side).delay_marked(delay);
                sleep(time).await;
                self.way(side).delay_marked(Duration::ZERO);
            }
            Fault::Away(side, time) => {
                self.way(side).refuse().await;
                self.way(side).cut().await;
                sleep(time).await;
                self.way(side).accept().await;
            }
            Fault::KillWriter(_)
            | Fault::FreezeWriter(..)
            | Fault::KillReader(_)
            | Fault::FreezeReader(..)
            | Fault::CutDatabase => unreachable!("what is done to processes is not done here"),
        }
    }

    async fn kill_feeds(&self) {
        let list = self.primary.command(&["CLIENT", "LIST"]).await;
        let list: String = redis::from_redis_value(list).unwrap();
        for client in list.lines() {
            let word = |name| client.split(' ').find_map(|word| word.strip_prefix(name));
            // "B": is told of changes by prefix. "P": has subscribed.
            if let (Some(id), Some(flags)) = (word("id="), word("flags="))
                && flags.contains(['B', 'P'])
            {
                self.primary.command(&["CLIENT", "KILL", "ID", id]).await;
                self.killed_feeds.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Fills the memory with what nobody asks for, and lets the server evict what it likes. It says
    /// which keys go: a barrier may be among them.
    async fn evict(&mut self, time: Duration) {
        let redis = &self.primary;
        redis.command(&["CONFIG", "SET", "notify-keyspace-events", "Ee"]).await;
        let client = redis::Client::open(redis.url()).unwrap();
        let mut told = client.get_async_pubsub().await.unwrap();
        told.subscribe("__keyevent@0__:evicted").await.unwrap();
        let (losses, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let heard = {
            let (losses, count) = (losses.clone(), count.clone());
            tokio::spawn(async move {
                let mut keys = told.on_message();
                while let Some(message) = keys.next().await {
                    let (key, at) = (message.get_payload::<String>().unwrap_or_default(), now());
                    *count.lock().unwrap() += 1;
                    // It was told a moment after it went.
                    let from = at - Duration::from_millis(200).as_nanos() as u64;
                    if let Some(row) = guarded_row(&key) {
                        losses.lock().unwrap().push(Loss { from, to: at, row });
                    }
                }
            })
        };
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let value = "x".repeat(500);
        let fill = |from: usize, count: usize| {
            let mut pipeline = redis::pipe();
            for number in from..from + count {
                pipeline.cmd("SET").arg(format!("filler:{number}")).arg(&value).arg("EX").arg(60).ignore();
            }
            pipeline
        };
        let _: redis::RedisResult<()> = fill(0, FILLERS).query_async(&mut connection).await;
        let info: String = redis::from_redis_value(redis.command(&["INFO", "memory"]).await).unwrap();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim();
        redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
        redis.command(&["CONFIG", "SET", "maxmemory", used]).await;
        let pressure = async {
            for round in 1.. {
                // Refused, when there is nothing left to evict.
                let _: redis::RedisResult<()> =
                    fill(FILLERS + round * 20, 20).query_async(&mut connection).await;
                sleep(Duration::from_millis(2)).await;
            }
        };
        let _ = timeout(time, pressure).await;
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        // What was said before this is heard by now, or very soon.
        sleep(Duration::from_millis(50)).await;
        heard.abort();
        self.evicted += *count.lock().unwrap();
        self.losses.append(&mut losses.lock().unwrap());
    }

    /// The primary dies; a replica that has not heard the last of it takes its place.
    async fn fail_over(&mut self, lag: Duration) {
        self.link.redirect(self.primary.address());
        let link = self.link.address();
        let (host, port) = link.split_once(':').unwrap();
        self.spare.command(&["REPLICAOF", host, port]).await;
        eventually("the replica is in step", SOON, async || {
            let info = self.spare.command(&["INFO", "replication"]).await;
            redis::from_redis_value::<String>(info).unwrap().contains("master_link_status:up")
        })
        .await;
        self.link.delay(lag);
        sleep(lag * 2).await;
        let began = now();
        self.primary.kill().await;
        self.link.cut().await;
        self.link.delay(Duration::ZERO);
        self.spare.command(&["REPLICAOF", "NO", "ONE"]).await;
        for way in [&self.readers, &self.writers] {
            way.redirect(self.spare.address());
            way.cut().await;
        }
        self.lost_everything(began);
        std::mem::swap(&mut self.primary, &mut self.spare);
        self.spare.restart(Restart::Forget).await;
        self.has_snapshot = false;
    }
}

/// The row that a tag is of: `None` if it is no tag, and none in it if it is of all.
fn guarded_row(key: &str) -> Option<Option<i64>> {
    let rest = key.strip_prefix("chaos:")?;
    let tag = ["t", "i", "u"].iter().any(|kind| rest == *kind || rest.starts_with(&format!("{kind}:")));
    tag.then(|| rest.strip_prefix("t:book:").and_then(|row| row.parse().ok()))
}
