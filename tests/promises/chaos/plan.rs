//! What is done to the processes and to Redis, and when: the same for the same seed.

use std::{collections::BTreeMap, time::Duration};

use sea_orm_cache::stores::RedisFeed;

use crate::differential::random::{Random, seed_of};

pub const WRITERS: usize = 2;
pub const READERS: usize = 2;

/// Whose way to Redis it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Readers,
    Writers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillWriter(usize),
    FreezeWriter(usize, Duration),
    KillReader(usize),
    FreezeReader(usize, Duration),
    /// The writers' connections to the database are cut.
    CutDatabase,
    /// The connections on which processes are told of changes are closed, by the server.
    KillFeeds,
    /// These connections alone fall silent: nothing comes through, nothing is closed.
    SilenceFeeds(Side),
    /// What they tell comes so much later, for some time.
    SlowFeeds(Side, Duration, Duration),
    PauseRedis(Duration),
    RedisRestartsEmpty,
    /// From the last snapshot there is.
    RedisRestartsOld,
    Snapshot,
    FlushAll,
    /// So little memory that it evicts all the time.
    Evict(Duration),
    /// To a replica that is so far behind.
    Failover(Duration),
    Cut(Side),
    /// Silence: nothing comes through, nothing is closed.
    Silence(Side, Duration),
    /// Every byte comes so much later, for some time.
    Delay(Side, Duration, Duration),
    /// New connections are refused as well, for some time.
    Away(Side, Duration),
}

impl Fault {
    pub fn name(self) -> String {
        match self {
            Self::KillWriter(_) => "SIGKILL of a writer".to_owned(),
            Self::FreezeWriter(..) => "SIGSTOP and SIGCONT of a writer".to_owned(),
            Self::KillReader(_) => "SIGKILL of a reader".to_owned(),
            Self::FreezeReader(..) => "SIGSTOP and SIGCONT of a reader".to_owned(),
            Self::CutDatabase => "database connections of the writers cut".to_owned(),
            Self::KillFeeds => "feeds of changes closed by Redis".to_owned(),
            Self::SilenceFeeds(side) => format!("{side:?}' feeds of changes silent"),
            Self::SlowFeeds(side, ..) => format!("{side:?}' feeds of changes slow"),
            Self::PauseRedis(_) => "Redis frozen".to_owned(),
            Self::RedisRestartsEmpty => "Redis killed, back empty".to_owned(),
            Self::RedisRestartsOld => "Redis killed, back from an old snapshot".to_owned(),
            Self::Snapshot => "snapshot of Redis taken".to_owned(),
            Self::FlushAll => "FLUSHALL".to_owned(),
            Self::Evict(_) => "maxmemory reached, evictions".to_owned(),
            Self::Failover(_) => "failover to a replica that lags".to_owned(),
            Self::Cut(side) => format!("{side:?}' connections to Redis cut"),
            Self::Silence(side, _) => format!("{side:?}' connections to Redis silent"),
            Self::Delay(side, ..) => format!("{side:?}' connections to Redis slow"),
            Self::Away(side, _) => {
                format!("Redis refuses connections of {}", format!("{side:?}").to_lowercase())
            }
        }
    }

    /// About how long it takes.
    fn takes(self) -> Duration {
        match self {
            Self::FreezeWriter(_, time)
            | Self::FreezeReader(_, time)
            | Self::PauseRedis(time)
            | Self::Evict(time)
            | Self::Silence(_, time)
            | Self::Delay(_, _, time)
            | Self::SlowFeeds(_, _, time)
            | Self::Away(_, time) => time,
            Self::Failover(_) => Duration::from_secs(2),
            Self::RedisRestartsEmpty | Self::RedisRestartsOld => Duration::from_millis(200),
            _ => Duration::ZERO,
        }
    }
}

/// What a process keeps in its memory: nothing, or answers that may be behind by so much (zero: not at
/// all). It follows from its seed.
pub fn near_of(seed: u64) -> Option<Duration> {
    let mut random = Random::new(seed_of(seed, 99));
    match random.below(5) {
        0 => None,
        1 => Some(Duration::ZERO),
        _ => Some(millis(&mut random, 50, 300)),
    }
}

/// How a process is told of changes: the ways meet.
pub fn feed_of(seed: u64) -> RedisFeed {
    if Random::new(seed_of(seed, 98)).once_in(2) { RedisFeed::Publish } else { RedisFeed::Automatic }
}

/// A fault, and how long nothing happens before it.
pub type Planned = (Duration, Fault);

/// Two lanes of faults, which overlap: on processes, and on Redis and the ways to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub processes: Vec<Planned>,
    pub redis: Vec<Planned>,
}

impl Plan {
    pub fn new(seed: u64, time: Duration) -> Self {
        Self {
            processes: lane(seed_of(seed, 1), time, process_fault),
            redis: lane(seed_of(seed, 2), time, redis_fault),
        }
    }
}

/// How often each was injected, a line for each.
pub fn counted(faults: &[Fault]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for fault in faults {
        *counts.entry(fault.name()).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| format!("  {count:>8}  {name}\n")).collect()
}

fn lane(seed: u64, time: Duration, fault: fn(&mut Random) -> Fault) -> Vec<Planned> {
    let (mut random, mut at, mut lane) = (Random::new(seed), Duration::ZERO, Vec::new());
    loop {
        let (pause, fault) = (millis(&mut random, 50, 700), fault(&mut random));
        at += pause + fault.takes();
        if at > time {
            return lane;
        }
        lane.push((pause, fault));
    }
}

fn millis(random: &mut Random, first: i64, last: i64) -> Duration {
    Duration::from_millis(random.number(first, last) as u64)
}

/// Often short, now and then longer than a barrier lives.
fn freeze(random: &mut Random) -> Duration {
    if random.once_in(4) { millis(random, 1100, 3000) } else { millis(random, 5, 400) }
}

fn process_fault(random: &mut Random) -> Fault {
    match random.below(12) {
        0..=2 => Fault::KillWriter(random.below(WRITERS)),
        3..=6 => Fault::FreezeWriter(random.below(WRITERS), freeze(random)),
        7 => Fault::KillReader(random.below(READERS)),
        8..=10 => Fault::FreezeReader(random.below(READERS), freeze(random)),
        _ => Fault::CutDatabase,
    }
}

fn redis_fault(random: &mut Random) -> Fault {
    let side = if random.once_in(2) { Side::Readers } else { Side::Writers };
    match random.below(21) {
        0 | 1 => Fault::PauseRedis(freeze(random)),
        2 => Fault::RedisRestartsEmpty,
        3 | 4 => Fault::RedisRestartsOld,
        5 | 6 => Fault::Snapshot,
        7 => Fault::FlushAll,
        8 => Fault::Evict(millis(random, 200, 1000)),
        9 => Fault::Failover(millis(random, 50, 500)),
        10 => Fault::Cut(side),
        11 => Fault::Silence(side, millis(random, 100, 1500)),
        12 => Fault::Delay(side, millis(random, 1, 60), millis(random, 200, 1000)),
        13 => Fault::KillFeeds,
        14..=16 => Fault::SilenceFeeds(side),
        17..=19 => Fault::SlowFeeds(side, millis(random, 5, 400), millis(random, 200, 1500)),
        _ => Fault::Away(side, millis(random, 100, 1000)),
    }
}

#[test]
fn a_plan_is_the_same_for_the_same_seed_and_another_for_another() {
    let time = Duration::from_secs(60);
    assert_eq!(Plan::new(7, time), Plan::new(7, time));
    assert_ne!(Plan::new(7, time), Plan::new(8, time));
}
