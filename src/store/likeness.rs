//! The three that keep the protocol of a tag do the same: the pure [`Cell`], the in-process store, and
//! the script of the Redis store. Random sequences of operations get the same answers from each.
//!
//! Lives last an hour, or are over before the next operation. So nothing depends on how busy the
//! machine is.

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::{
    Arm, Cell, EntryKey, Fate, MemoryStore, Release, Stamp, Store, TagKey, TagProbe, TagState, WriterId,
    whole_millis,
};

const HOUR: Duration = Duration::from_secs(3600);
const BRIEF: Duration = Duration::from_millis(1);
/// After which what is brief is over.
const PAUSE: Duration = Duration::from_millis(3);
const TAGS: u8 = 2;
const WRITERS: u64 = 3;

/// One operation, and how long what it puts down lives.
#[derive(Clone, Debug)]
struct Step {
    what: What,
    life: Duration,
}

#[derive(Clone, Debug)]
enum What {
    Propose { tag: u8, stamp: u64, label: u64 },
    Extend { tag: u8 },
    Arm { writer: u64, tags: Vec<(u8, u64)> },
    Release { writer: u64, tags: Vec<(u8, Fate)>, settles: bool },
    Lose { tag: u8 },
}

fn label() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(5), Just(u64::MAX)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Purge),
        label().prop_map(Fate::PurgeUnless),
        Just(Fate::Spare),
        (1..u64::MAX).prop_map(|number| Fate::Renew(stamp(number, 0), 0)),
    ]
}

/// Some tags, each once and with something, in any order.
fn tags<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<(u8, T)>> {
    let each = prop::collection::btree_map(0..TAGS, of, 1..=usize::from(TAGS));
    (each, any::<bool>()).prop_map(|(each, backwards)| {
        let mut tags: Vec<_> = each.into_iter().collect();
        if backwards {
            tags.reverse();
        }
        tags
    })
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        3 => (0..TAGS, 1..u64::MAX, label())
            .prop_map(|(tag, stamp, label)| What::Propose { tag, stamp, label }),
        1 => (0..TAGS).prop_map(|tag| What::Extend { tag }),
        4 => (1..=WRITERS, tags(label())).prop_map(|(writer, tags)| What::Arm { writer, tags }),
        4 => (1..=WRITERS, tags(fate()), prop::bool::weighted(0.2))
            .prop_map(|(writer, tags, settles)| What::Release { writer, tags, settles }),
        1 => (0..TAGS).prop_map(|tag| What::Lose { tag }),
    ];
    let life = prop_oneof![4 => Just(HOUR), 1 => Just(BRIEF)];
    (what, life).prop_map(|(what, life)| Step { what, life })
}

/// What one operation came to: how many marks stood, and what every tag shows afterwards.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    stood: usize,
    tags: Vec<TagState>,
}

fn stamp(number: u64, label: u64) -> Stamp {
    Stamp::from_number(number).unwrap_or_else(Stamp::fresh).labelled(label)
}

/// A new stamp lives as long as everything else that the step puts down.
fn living(fate: Fate, life: u64) -> Fate {
    match fate {
        Fate::Renew(stamp, _) => Fate::Renew(stamp, life),
        other => other,
    }
}

/// The answers of the cells alone.
fn by_cells(steps: &[Step]) -> Vec<Answer> {
    let (mut cells, mut now) = (vec![Cell::default(); usize::from(TAGS)], 0);
    let mut answers = Vec::new();
    for Step { what, life } in steps {
        let life = whole_millis(*life);
        let mut stood = 0;
        match what {
            What::Propose { tag, stamp: number, label } => {
                cells[usize::from(*tag)].propose(stamp(*number, *label), life, now);
            }
            What::Extend { tag } => cells[usize::from(*tag)].extend(2 * life, now),
            What::Arm { writer, tags } => {
                let writer = WriterId::from_number(*writer);
                for (tag, unless) in tags {
                    stood += usize::from(cells[usize::from(*tag)].arm(writer, *unless, life, now));
                }
            }
            What::Release { writer, tags, settles } => {
                let (writer, settle) = (WriterId::from_number(*writer), if *settles { life } else { 0 });
                for (tag, fate) in tags {
                    let fate = living(*fate, life);
                    stood += usize::from(cells[usize::from(*tag)].release(writer, fate, settle, now));
                }
            }
            What::Lose { tag } => cells[usize::from(*tag)] = Cell::default(),
        }
        now += whole_millis(PAUSE);
        answers.push(Answer { stood, tags: cells.iter().map(|cell| cell.look(now)).collect() });
    }
    answers
}

/// A store, and how it loses a tag.
struct Subject<'a> {
    store: &'a dyn Store,
    memory: Option<&'a MemoryStore>,
}

impl Subject<'_> {
    /// The answers of a store, under keys that nobody has used.
    async fn answers(&self, prefix: &str, steps: &[Step]) -> Vec<Answer> {
        let key = |tag: &u8| TagKey::from_full(format!("{prefix}:{tag}"));
        let mut answers = Vec::new();
        for Step { what, life } in steps {
            let mut stood = 0;
            match what {
                What::Propose { tag, stamp: number, label } => {
                    let probe = TagProbe { key: key(tag), propose: Some((stamp(*number, *label), *life)) };
                    self.store.read(&[], &[probe]).await.unwrap();
                }
                What::Extend { tag } => self.store.write(&[], &[(key(tag), 2 * *life)]).await.unwrap(),
                What::Arm { writer, tags } => {
                    let tags = tags.iter().map(|(tag, unless)| (key(tag), *unless)).collect();
                    let arm = Arm { writer: WriterId::from_number(*writer), tags, life: *life };
                    stood = self.store.arm(&arm).await.unwrap();
                }
                What::Release { writer, tags, settles } => {
                    let release = Release {
                        writer: WriterId::from_number(*writer),
                        tags: tags
                            .iter()
                            .map(|(tag, fate)| (key(tag), living(*fate, whole_millis(*life))))
                            .collect(),
                        entries: Vec::new(),
                        store: Vec::new(),
                        settle: if *settles { *life } else { Duration::ZERO },
                    };
                    stood = self.store.release(&release).await.unwrap();
                }
                What::Lose { tag } => match self.memory {
                    Some(memory) => memory.evict(&key(tag)),
                    None => {
                        self.store.delete(&[EntryKey::from_full(key(tag).as_str())]).await.unwrap();
                    }
                },
            }
            if *life == BRIEF {
                tokio::time::sleep(PAUSE).await;
            }
            let probes: Vec<_> = (0..TAGS).map(|tag| TagProbe { key: key(&tag), propose: None }).collect();
            answers.push(Answer { stood, tags: self.store.read(&[], &probes).await.unwrap().tags });
        }
        answers
    }
}

/// Random sequences, the shortest of them if one gets another answer than from the cells.
fn the_same_as_the_cells(cases: u32, subject: &Subject<'_>, runtime: &tokio::runtime::Runtime) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let number = std::cell::Cell::new(0_u64);
    let sequences = prop::collection::vec(step(), 1..24);
    let outcome = TestRunner::new(config).run(&sequences, |steps| {
        number.set(number.get() + 1);
        let answers = runtime.block_on(subject.answers(&format!("like:{}", number.get()), &steps));
        for (position, (one, other)) in by_cells(&steps).iter().zip(&answers).enumerate() {
            if one != other {
                let difference = format!("step {position}: a cell {one:?}, the store {other:?}");
                return Err(TestCaseError::fail(difference));
            }
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn the_in_process_store_does_what_the_cells_do() {
    let store = MemoryStore::with_capacity(1 << 20);
    the_same_as_the_cells(400, &Subject { store: &store, memory: Some(&store) }, &runtime());
}

#[cfg(all(unix, feature = "redis"))]
mod in_redis {
    use super::*;
    use crate::store::{
        redis::{RedisConfig, RedisStore},
        testbed::{DEADLINE, Server},
    };

    async fn connect(server: &Server) -> RedisStore {
        let config = RedisConfig::new(server.url());
        let config = config.read_timeout(DEADLINE).write_timeout(DEADLINE).connect_timeout(DEADLINE);
        let store = RedisStore::connect(config).await.unwrap();
        tokio::time::timeout(DEADLINE, store.recovered()).await.unwrap();
        store
    }

    fn key() -> TagKey {
        TagKey::from_full("like:t")
    }

    async fn state(store: &RedisStore) -> TagState {
        store.read(&[], &[TagProbe { key: key(), propose: None }]).await.unwrap().tags[0]
    }

    fn arm(writer: u64) -> Arm {
        Arm { writer: WriterId::from_number(writer), tags: vec![(key(), 0)], life: HOUR }
    }

    fn release(writer: u64, fate: Fate) -> Release {
        Release {
            writer: WriterId::from_number(writer),
            tags: vec![(key(), fate)],
            entries: Vec::new(),
            store: Vec::new(),
            settle: Duration::ZERO,
        }
    }

    #[test]
    fn the_script_does_what_the_cells_do() {
        let Some(server) = Server::start(&[]) else { return };
        let runtime = runtime();
        let store = runtime.block_on(connect(&server));
        the_same_as_the_cells(300, &Subject { store: &store, memory: None }, &runtime);
    }

    // case F7
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_script_never_takes_a_foreign_value_for_a_stamp() {
        let Some(server) = Server::start(&[]) else { return };
        let store = connect(&server).await;
        for foreign in ["", "x", "s", "sfoo", "sfoo bar@99", "b", "bogus", "b w1@", "b s1@99999999999999"] {
            for list in [false, true] {
                let put = || {
                    let _: i64 = server.tell(&["DEL", "like:t"]);
                    let command = if list { "RPUSH" } else { "SET" };
                    let _: ::redis::Value = server.tell(&[command, "like:t", foreign]);
                };
                put();
                store.arm(&arm(1)).await.unwrap();
                assert_eq!(state(&store).await, TagState::Barrier, "{foreign:?}");
                store.release(&release(1, Fate::Spare)).await.unwrap();
                assert!(!matches!(state(&store).await, TagState::Stamp(_)), "{foreign:?}");
                put();
                store.release(&release(1, Fate::Spare)).await.unwrap();
                // MGET shows a list as nothing; SET NX does not replace it.
                let left_alone = if list { TagState::Absent } else { TagState::Barrier };
                assert_eq!(state(&store).await, left_alone, "{foreign:?}");
                let probe = TagProbe { key: key(), propose: Some((Stamp::fresh(), HOUR)) };
                assert_eq!(store.read(&[], &[probe]).await.unwrap().tags, [left_alone], "{foreign:?}");
                store.release(&release(1, Fate::Purge)).await.unwrap();
                assert_eq!(state(&store).await, TagState::Absent, "{foreign:?}");
            }
        }
    }

    // The life of a covered stamp goes on under its barrier, and a mark's is its own.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_script_counts_lives_as_the_cells_do() {
        let Some(server) = Server::start(&[]) else { return };
        let store = connect(&server).await;
        let (one, left) = (Stamp::fresh(), || server.tell::<i64>(&["PTTL", "like:t"]));
        let propose = |life| TagProbe { key: key(), propose: Some((one, life)) };
        store.read(&[], &[propose(2 * HOUR)]).await.unwrap();
        let before = left();
        store.arm(&arm(1)).await.unwrap();
        let hour = i64::try_from(HOUR.as_millis()).unwrap();
        assert!(left() <= hour, "a barrier lives as long as its mark, not as what it covers");
        store.release(&release(1, Fate::Spare)).await.unwrap();
        assert_eq!(state(&store).await, TagState::Stamp(one));
        assert!(left() <= before && left() > hour, "no longer than before, and not as long as the mark");
        store.release(&release(1, Fate::Purge)).await.unwrap();
        // Over while the barrier stands, or before; it must not come back in either case.
        store.read(&[], &[propose(40 * BRIEF)]).await.unwrap();
        store.arm(&arm(1)).await.unwrap();
        tokio::time::sleep(50 * BRIEF).await;
        store.release(&release(1, Fate::Spare)).await.unwrap();
        assert_eq!(state(&store).await, TagState::Absent);
    }
}
