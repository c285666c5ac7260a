//! Promises that only this store makes: the order of calls, what goes over the wire, and when the
//! breaker opens.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::{RedisConfig, RedisStore};
use crate::store::{
    EntryKey, EntryWrite, Release, Stamp, Store, StoreError, StoreState, TagKey, TagProbe,
    testbed::{DEADLINE, Puppet, Server, bulk, eventually},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Far above every time limit of the store, far below what a hang would take.
const BOUNDED: Duration = Duration::from_secs(5);

fn entry(key: &str) -> EntryKey {
    EntryKey::from_full(key)
}

fn tag(key: &str) -> TagKey {
    TagKey::from_full(key)
}

fn written(key: &str, ttl: Duration) -> [EntryWrite; 1] {
    [EntryWrite { key: entry(key), bytes: Bytes::from_static(b"value"), ttl }]
}

fn propose(key: &str) -> [TagProbe; 1] {
    [TagProbe { key: tag(key), propose: Some((Stamp::fresh(), HOUR)) }]
}

/// For servers that answer, on a machine that may be busy.
fn patient(url: String) -> RedisConfig {
    RedisConfig::new(url).read_timeout(DEADLINE).write_timeout(DEADLINE).connect_timeout(DEADLINE)
}

async fn connected(config: RedisConfig) -> Arc<RedisStore> {
    let store = Arc::new(RedisStore::connect(config).await.unwrap());
    recovered(&store).await;
    store
}

async fn recovered(store: &RedisStore) {
    tokio::time::timeout(DEADLINE, store.recovered()).await.expect("the store does not recover");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_begun_before_a_read_is_seen_by_it() {
    let Some(server) = Server::start(&[]) else { return };
    for connections in [1, 3] {
        let store = connected(patient(server.url()).connections(connections)).await;
        // In a task of its own, for a runtime's main future has no time slice to use up.
        let rounds = tokio::spawn(async move {
            for round in 0..300 {
                let key = format!("n:{connections}:{round}");
                let write = written(&key, HOUR);
                // With its time slice used up, a task makes no progress on channels and timers.
                while round % 2 == 0 && tokio::task::coop::has_budget_remaining() {
                    tokio::task::coop::consume_budget().await;
                }
                let mut begun = pin!(store.write(&write, &[]));
                let first = std::future::poll_fn(|context| Poll::Ready(begun.as_mut().poll(context))).await;
                let found = store.read(&[entry(&key)], &[]).await.unwrap();
                assert!(found.entries[0].is_some(), "round {round}");
                match first {
                    Poll::Ready(outcome) => outcome.unwrap(),
                    Poll::Pending => begun.await.unwrap(),
                }
            }
        });
        rounds.await.unwrap();
    }
}

// case F13 case F14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lives_arrive_as_they_were_asked_for() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connected(patient(server.url())).await;
    let left = |key: &str| server.tell::<u64>(&["PTTL", key]);
    let short = Duration::from_millis(1_234_567);
    let slack = u64::try_from(DEADLINE.as_millis()).unwrap();
    store.read(&[], &propose("n:t")).await.unwrap();
    store.write(&written("n:e", short), &[(tag("n:t"), short)]).await.unwrap();
    assert!((1_234_567 - slack..=1_234_567).contains(&left("n:e")));
    assert!((3_600_000 - slack..=3_600_000).contains(&left("n:t")), "not shortened");
    store.write(&[], &[(tag("n:t"), 3 * HOUR)]).await.unwrap();
    assert!((3 * 3_600_000 - slack..=3 * 3_600_000).contains(&left("n:t")));
}

// case F14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_extend_a_life_leaves_it_as_it_is() {
    let Some(server) = Server::start(&["--rename-command", "PEXPIRE", ""]) else { return };
    let store = connected(patient(server.url())).await;
    store.read(&[], &propose("n:t")).await.unwrap();
    for _ in 0..2 {
        store.write(&written("n:e", HOUR), &[(tag("n:t"), 2 * HOUR)]).await.unwrap();
        store.write(&[], &[(tag("n:t"), 2 * HOUR)]).await.unwrap();
    }
    assert!(store.read(&[entry("n:e")], &[]).await.unwrap().entries[0].is_some());
    assert!((1..=3_600_000).contains(&server.tell::<u64>(&["PTTL", "n:t"])));
}

// case F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_info_is_told_no_incarnation_and_one_with_it_is() {
    let Some(server) = Server::start(&[]) else { return };
    for (name, info) in [("plain", "-info"), ("informed", "+info")] {
        let mut words = vec!["ACL", "SETUSER", name, "on", ">p@ss/word", "~shop:*", "-@all", info];
        words.extend(["+mget", "+set", "+pexpire", "+unlink", "+scan", "+ping"]);
        let _: String = server.tell(&words);
        let store = connected(patient(server.url()).username(name).password("p@ss/word")).await;
        let found = store.read(&[entry("shop:e")], &propose("shop:t")).await.unwrap();
        assert_eq!(found.incarnation != 0, info == "+info");
        for refused in [
            store.read(&[entry("other:e")], &[]).await.unwrap_err(),
            store.write(&written("other:e", HOUR), &[]).await.unwrap_err(),
            store.lease(&entry("other:l"), HOUR).await.unwrap_err(),
        ] {
            assert!(matches!(&refused, StoreError::Refused { reason, .. } if reason.starts_with("NOPERM")));
            assert!(!format!("{refused} {refused:?}").contains("other"));
        }
    }
}

// case F21 case F22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_the_same_after_a_reconnect_and_what_is_others_is_left_alone() {
    let Some(server) = Server::start(&[]) else { return };
    let _: String = server.tell(&["SET", "n:e", "of somebody else"]);
    let _: String = server.tell(&["SET", "other", "of somebody else"]);
    let store = connected(patient(format!("{}?db=3", server.url()))).await;
    for _ in 0..3 {
        store.write(&written("n:e", HOUR), &[]).await.unwrap();
        store.release(&Release::purging(&[tag("n:t")], &[entry("n:e")])).await.unwrap();
        assert!(store.scan("", 10).await.unwrap().is_empty());
        let _: u64 = server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        eventually("it is back", || async { store.ping().await.is_ok() }).await;
    }
    assert_eq!(server.tell::<Vec<String>>(&["MGET", "n:e", "other"]), ["of somebody else"; 2]);
    let missing = RedisStore::connect(patient(format!("{}?db=99", server.url()))).await.unwrap();
    assert!(matches!(missing.ping().await, Err(StoreError::Unreachable { .. })));
}

// case C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_a_frozen_server_are_all_bounded() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connected(RedisConfig::new(server.url()).connections(2)).await;
    server.freeze();
    let calls = (0..64).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let begin = Instant::now();
            let outcome = store.read(&[entry(&format!("n:{number}"))], &propose("n:t")).await;
            (outcome.is_err(), begin.elapsed())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (failed, took) = call.await.unwrap();
        assert!(failed && took < BOUNDED, "{took:?}");
    }
    server.thaw();
    recovered(&store).await;
    eventually("it works again", || async { store.ping().await.is_ok() }).await;
}

// case A10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_were_begun_and_given_up_at_a_frozen_server_disturb_nobody() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connected(patient(server.url())).await;
    server.freeze();
    for round in 0..200 {
        let key = format!("n:{round}");
        let (write, probes, keys) = (written(&key, HOUR), propose("n:t"), [entry(&key)]);
        let begun = futures_util::future::join(store.write(&write, &[]), store.read(&keys, &probes));
        assert!(begun.now_or_never().is_none());
    }
    server.thaw();
    store.write(&written("n:e", HOUR), &[]).await.unwrap();
    let found = store.read(&[entry("none"), entry("n:e")], &[]).await.unwrap();
    assert_eq!(found.entries, [None, Some(Bytes::from_static(b"value"))]);
}

/// Answers what a connection is greeted with; the rest is up to `answer`.
fn greeting(words: &[String], answer: impl FnOnce() -> String) -> String {
    match words[0].as_str() {
        "HELLO" => "%1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n".to_owned(),
        "PING" => "+PONG\r\n".to_owned(),
        "INFO" => bulk("run_id:0123456789abcdef0123456789abcdef01234567\r\n"),
        _ => answer(),
    }
}

/// Well above the time limit of a read, well below the one of a write.
const SLOW: Duration = Duration::from_millis(140);

// case C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_too_slow_for_reads_opens_the_breaker_and_a_fast_answer_closes_it() {
    let fast = Arc::new(AtomicBool::new(false));
    let puppet = Puppet::new({
        let fast = fast.clone();
        move |words| {
            greeting(words, || {
                if !fast.load(Ordering::SeqCst) {
                    std::thread::sleep(SLOW);
                }
                "*1\r\n$-1\r\n".to_owned()
            })
        }
    });
    let config = RedisConfig::new(puppet.url()).read_timeout(SLOW / 2).write_timeout(DEADLINE);
    let store = connected(config).await;
    eventually("the breaker opens", || async {
        let error = store.read(&[entry("n:e")], &[]).await.unwrap_err();
        error.to_string().contains("circuit breaker") && store.state() == StoreState::Unreachable
    })
    .await;
    fast.store(true, Ordering::SeqCst);
    recovered(&store).await;
    eventually("it closes", || async { store.read(&[entry("n:e")], &[]).await.is_ok() }).await;
    assert_eq!(store.state(), StoreState::Ready);
}

// case C5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_behind_the_same_connection_is_noticed() {
    let (run, slow) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let puppet = Puppet::new({
        let (run, slow) = (run.clone(), slow.clone());
        move |words| match words[0].as_str() {
            "INFO" => bulk(&format!("run_id:{:016x}\r\n", run.load(Ordering::SeqCst))),
            _ => greeting(words, || {
                if slow.swap(false, Ordering::SeqCst) {
                    std::thread::sleep(SLOW);
                }
                "*1\r\n$-1\r\n".to_owned()
            }),
        }
    });
    let config = RedisConfig::new(puppet.url()).read_timeout(SLOW / 2).write_timeout(DEADLINE);
    let store = connected(config).await;
    let incarnation =
        || async { store.read(&[entry("n:e")], &[]).await.map_or(0, |found| found.incarnation) };
    eventually("the first", || async { incarnation().await == 1 }).await;
    run.store(2, Ordering::SeqCst);
    // A late answer makes the store look closer at once; else it does so every few seconds.
    slow.store(true, Ordering::SeqCst);
    eventually("the second", || async { incarnation().await == 2 }).await;
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_the_right_one_any_more_is_left_at_once() {
    for code in ["READONLY", "LOADING", "MASTERDOWN", "NOAUTH"] {
        let wrong = Arc::new(AtomicBool::new(false));
        let puppet = Puppet::new({
            let wrong = wrong.clone();
            move |words| match words[0].as_str() {
                "PING" | "MGET" if wrong.load(Ordering::SeqCst) => format!("-{code} n:e\r\n"),
                _ => greeting(words, || "*1\r\n$-1\r\n".to_owned()),
            }
        });
        let store = connected(patient(puppet.url())).await;
        wrong.store(true, Ordering::SeqCst);
        let error = store.read(&[entry("n:e")], &[]).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused { reason, .. } if reason.starts_with(code)), "{error}");
        assert_eq!(store.state(), StoreState::Unreachable);
        wrong.store(false, Ordering::SeqCst);
        recovered(&store).await;
        eventually("it works again", || async { store.read(&[entry("n:e")], &[]).await.is_ok() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_connection_is_noticed_without_a_call() {
    let Some(mut server) = Server::start(&[]) else { return };
    let store = connected(patient(server.url())).await;
    let begin = Instant::now();
    server.kill();
    eventually("it is noticed", || async { store.state() == StoreState::Unreachable }).await;
    assert!(begin.elapsed() < super::supervisor::SIGN_OF_LIFE / 2, "not told, but asked");
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_ends_the_connection_and_the_call_and_nothing_else() {
    for nonsense in [
        "*3\r\n$-1\r\n$-1\r\n$-1\r\n",
        "_\r\n",
        "%1\r\n+a\r\n+b\r\n",
        ">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n*1\r\n:7\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "*1000000000\r\n",
        "$-7\r\n",
        "\0\0\0\0",
    ] {
        let sane = Arc::new(AtomicBool::new(false));
        let puppet = Puppet::new({
            let sane = sane.clone();
            move |words| {
                let answer = || if sane.load(Ordering::SeqCst) { "*1\r\n$-1\r\n" } else { nonsense };
                greeting(words, || answer().to_owned())
            }
        });
        let store = connected(RedisConfig::new(puppet.url())).await;
        let begin = Instant::now();
        let error = store.read(&[entry("n:e")], &[]).await.unwrap_err();
        assert!(begin.elapsed() < BOUNDED);
        assert!(
            matches!(error, StoreError::Unreachable { .. } | StoreError::Timeout { .. }),
            "{nonsense:?}: {error}"
        );
        sane.store(true, Ordering::SeqCst);
        eventually("it works again", || async { store.read(&[entry("n:e")], &[]).await.is_ok() }).await;
    }
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let outcome = RedisStore::connect(RedisConfig::new("redis://127.0.0.1:1")).now_or_never();
    assert!(matches!(outcome, Some(Err(StoreError::Config(_)))));
}
