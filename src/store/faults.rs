//! The Redis store when things go wrong: servers that die, freeze, refuse, lie or change their role,
//! and connections that go silent. Waits for conditions, never for a time to pass.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Arm, EntryKey, EntryWrite, Release, Stamp, Store, StoreError, StoreState, TagKey, TagProbe, TagState,
    WriterId,
    redis::{RedisConfig, RedisStore},
    testbed::{DEADLINE, Proxy, Puppet, Server, bulk, eventually, free_port},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Far above every time limit of the store, far below what a hang would take.
const BOUNDED: Duration = Duration::from_secs(5);

fn entry(name: &str) -> EntryKey {
    EntryKey::from_full(format!("shop:{name}"))
}

fn tag(name: &str) -> TagKey {
    TagKey::from_full(format!("shop:t:{name}"))
}

fn look(name: &str) -> TagProbe {
    TagProbe { key: tag(name), propose: None }
}

fn propose(name: &str) -> TagProbe {
    TagProbe { key: tag(name), propose: Some((Stamp::fresh(), HOUR)) }
}

fn written(name: &str) -> EntryWrite {
    EntryWrite { key: entry(name), bytes: Bytes::from_static(b"value"), ttl: HOUR }
}

async fn connect(url: String) -> Arc<RedisStore> {
    Arc::new(RedisStore::connect(RedisConfig::new(url)).await.unwrap())
}

/// For servers that answer, on a machine that may be busy: a time limit would be a false alarm.
async fn connect_patiently(url: String) -> Arc<RedisStore> {
    let config =
        RedisConfig::new(url).read_timeout(DEADLINE).write_timeout(DEADLINE).connect_timeout(DEADLINE);
    Arc::new(RedisStore::connect(config).await.unwrap())
}

async fn until_recovered(store: &RedisStore) {
    tokio::time::timeout(DEADLINE, store.recovered()).await.expect("the store does not recover");
    eventually("an answer after the recovery", || async { store.ping().await.is_ok() }).await;
    assert_eq!(store.state(), StoreState::Ready);
}

async fn until_unreachable(store: &RedisStore) {
    eventually("calls fail at once", || async {
        matches!(store.ping().await, Err(StoreError::Unreachable { .. }))
            && store.state() == StoreState::Unreachable
    })
    .await;
}

/// Every kind of call, each bounded in time; the errors of those that failed.
async fn every_call(store: &RedisStore) -> Vec<StoreError> {
    let began = Instant::now();
    let mut errors = Vec::new();
    errors.extend(store.read(&[entry("e")], &[look("t")]).await.err());
    errors.extend(store.read(&[entry("e")], &[propose("t")]).await.err());
    errors.extend(store.write(&[written("e")], &[(tag("t"), HOUR)]).await.err());
    errors.extend(store.release(&Release::purging(&[tag("t")], &[entry("e")])).await.err());
    errors.extend(store.delete(&[entry("e")]).await.err());
    errors.extend(store.lease(&entry("l"), HOUR).await.err());
    errors.extend(store.scan("shop:", 10).await.err());
    errors.extend(store.ping().await.err());
    assert!(began.elapsed() < 8 * BOUNDED, "calls are not bounded: {:?}", began.elapsed());
    errors
}

// case C3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_begins_without_a_server_recovers_by_itself() {
    let Some(mut server) = Server::start_on_tcp(&[]) else { return };
    server.kill();
    let store = connect(server.url()).await;
    assert_eq!(store.state(), StoreState::Unreachable);
    let errors = every_call(&store).await;
    assert_eq!(errors.len(), 8);
    assert!(errors.iter().all(|error| matches!(error, StoreError::Unreachable { .. })), "{errors:?}");
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.recovered().await }
    });
    server.run();
    tokio::time::timeout(DEADLINE, waiting).await.expect("nobody was woken").unwrap();
    until_recovered(&store).await;
    assert!(every_call(&store).await.is_empty());
}

// case C3 case C5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_and_restarted_is_found_again_and_is_another_incarnation() {
    let Some(mut server) = Server::start_on_tcp(&[]) else { return };
    let store = connect(server.url()).await;
    until_recovered(&store).await;
    let before = store.read(&[entry("e")], &[]).await.unwrap().incarnation;
    assert_ne!(before, 0, "Redis tells which one it is");
    server.kill();
    until_unreachable(&store).await;
    server.run();
    until_recovered(&store).await;
    let after = store.read(&[entry("e")], &[]).await.unwrap().incarnation;
    assert!(after != before && after != 0);
    let other = connect_patiently(server.url()).await;
    assert_eq!(
        other.read(&[entry("e")], &[]).await.unwrap().incarnation,
        after,
        "the same for all processes"
    );
}

// case C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_bounded_time_then_nothing_and_comes_back() {
    let Some(server) = Server::start_on_tcp(&[]) else { return };
    let store = connect(server.url()).await;
    until_recovered(&store).await;
    server.freeze();
    let began = Instant::now();
    let first = store.read(&[entry("e")], &[]).await.unwrap_err();
    assert!(began.elapsed() < BOUNDED, "a read took {:?}", began.elapsed());
    assert!(matches!(first, StoreError::Timeout { .. }), "{first}");
    until_unreachable(&store).await;
    // Open: many calls cost next to nothing, where each of them would have waited before. The
    // server's address still accepts connections, which must not be taken for a recovery.
    let began = Instant::now();
    let mut timeouts = 0;
    for _ in 0..200 {
        timeouts +=
            usize::from(matches!(store.read(&[entry("e")], &[]).await, Err(StoreError::Timeout { .. })));
    }
    assert!(timeouts <= 3, "{timeouts} of 200 reads waited, {:?}", began.elapsed());
    server.thaw();
    until_recovered(&store).await;
    eventually("all calls work", || async { every_call(&store).await.is_empty() }).await;
}

// case C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_went_silent_is_replaced_while_the_server_is_fine() {
    let Some(server) = Server::start_on_tcp(&[]) else { return };
    let proxy = Proxy::to(server.address());
    let store = connect(proxy.url()).await;
    until_recovered(&store).await;
    assert_eq!(proxy.black_hole(), 1);
    let error = store.read(&[entry("e")], &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");
    eventually("a fresh connection", || async { store.read(&[entry("e")], &[]).await.is_ok() }).await;
    until_recovered(&store).await;
    assert!(proxy.black_hole() >= 2, "it was replaced");
}

// case C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_under_many_concurrent_calls_is_noticed_too() {
    let Some(server) = Server::start_on_tcp(&[]) else { return };
    let proxy = Proxy::to(server.address());
    let store = connect(proxy.url()).await;
    until_recovered(&store).await;
    proxy.black_hole();
    let end = Instant::now() + DEADLINE;
    let tasks = (0..64).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            while store.read(&[entry("e")], &[]).await.is_err() {
                assert!(Instant::now() < end, "the connection is not replaced");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
}

// case C6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_is_replaced_without_a_call_that_needs_it() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connect_patiently(server.url()).await;
    let connections = || server.tell::<String>(&["CLIENT", "LIST"]).lines().count();
    assert_eq!(connections(), 2, "ours and the one that asks");
    for _ in 0..5 {
        let killed: u64 = server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(killed, 1);
        eventually("it is back, though nobody called", || async { connections() == 2 }).await;
        tokio::time::timeout(DEADLINE, store.recovered()).await.unwrap();
        store.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_connections_the_loss_of_one_is_hardly_noticed() {
    let Some(server) = Server::start(&[]) else { return };
    let config = RedisConfig::new(server.url())
        .connections(3)
        .read_timeout(DEADLINE)
        .write_timeout(DEADLINE)
        .connect_timeout(DEADLINE);
    let store = RedisStore::connect(config).await.unwrap();
    let ours = || {
        let list: String = server.tell(&["CLIENT", "LIST"]);
        let ids = list.lines().filter(|line| !line.contains("cmd=client"));
        ids.filter_map(|line| Some(line.strip_prefix("id=")?.split(' ').next()?.to_owned()))
            .collect::<Vec<_>>()
    };
    eventually("three connections", || async { ours().len() == 3 }).await;
    let victim = ours().remove(1);
    let _: u64 = server.tell(&["CLIENT", "KILL", "ID", &victim]);
    assert_eq!(store.state(), StoreState::Ready, "the others are there");
    eventually("three connections again", || async { ours().len() == 3 && !ours().contains(&victim) }).await;
    for _ in 0..20 {
        store.ping().await.unwrap();
    }
}

// case C14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_named_and_a_right_one_later_is_enough() {
    let Some(server) = Server::start(&[]) else { return };
    let _: String = server.tell(&["CONFIG", "SET", "requirepass", "another-secret"]);
    let config = RedisConfig::new(server.url()).password("hunter2").connect_timeout(DEADLINE);
    let store = RedisStore::connect(config).await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    let shown = format!("{error} {error:?} {store:?}");
    assert!(shown.to_lowercase().contains("password"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("another-secret"), "{shown}");
    let _: String =
        server.tell_as("?pass=another-secret", &["ACL", "SETUSER", "default", "resetpass", ">hunter2"]);
    until_recovered(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_resp3_is_spoken_to_in_resp2() {
    let Some(server) = Server::start(&["--rename-command", "HELLO", ""]) else { return };
    let store = connect_patiently(server.url()).await;
    assert!(every_call(&store).await.is_empty());
    // Here nobody tells that the connection ended: the first call finds out.
    let _: u64 = server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    eventually("it is back", || async { store.ping().await.is_ok() }).await;
}

// case C8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_still_reads_and_purges() {
    let Some(server) = Server::start(&["--maxmemory-policy", "noeviction"]) else { return };
    let store = connect_patiently(server.url()).await;
    let found = store.read(&[], &[propose("t")]).await.unwrap();
    store.write(&[written("e")], &[]).await.unwrap();
    let _: String = server.tell(&["CONFIG", "SET", "maxmemory", "1"]);

    let refused = store.write(&[written("more")], &[(tag("t"), HOUR)]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused { reason, .. } if reason.starts_with("OOM")), "{refused}");
    // A refused proposal does not lose what was found with it.
    let again = store.read(&[entry("e"), entry("more")], &[look("t"), propose("new")]).await.unwrap();
    assert_eq!(again.entries[0].as_deref(), Some(&b"value"[..]));
    assert_eq!(again.entries[1], None);
    assert_eq!(again.tags, [found.tags[0], TagState::Absent]);
    store.release(&Release::purging(&[tag("t")], &[entry("e")])).await.unwrap();
    let purged = store.read(&[entry("e")], &[look("t")]).await.unwrap();
    assert_eq!((&purged.entries[0], purged.tags[0]), (&None, TagState::Absent));
    assert_eq!(store.state(), StoreState::Ready, "a refusal is not an outage");

    let _: String = server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(every_call(&store).await.is_empty());
}

// case C9 case B31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_not_trusted_and_its_promotion_is_noticed() {
    let nowhere = free_port().to_string();
    let Some(server) = Server::start(&["--replicaof", "127.0.0.1", &nowhere]) else { return };
    let store = connect(server.url()).await;
    let error = store.ping().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreachable { reason } if reason.contains("replica")), "{error}");
    let _: String = server.tell(&["REPLICAOF", "NO", "ONE"]);
    until_recovered(&store).await;
    assert!(every_call(&store).await.is_empty());

    // Demoted while connected: the first refused purge ends the trust.
    let _: String = server.tell(&["REPLICAOF", "127.0.0.1", &nowhere]);
    let error = store.release(&Release::purging(&[tag("t")], &[])).await.unwrap_err();
    assert!(!error.to_string().contains("shop:"), "{error}");
    until_unreachable(&store).await;
    let _: String = server.tell(&["REPLICAOF", "NO", "ONE"]);
    until_recovered(&store).await;
    store.release(&Release::purging(&[tag("t")], &[])).await.unwrap();
}

// case F7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_value_under_a_tag_is_a_barrier_that_proposals_and_keeps_respect() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connect_patiently(server.url()).await;
    let _: String = server.tell(&["SET", "shop:t:t", "a writer's barrier"]);
    assert_eq!(store.read(&[], &[propose("t")]).await.unwrap().tags, [TagState::Barrier]);
    store.write(&[], &[(tag("t"), HOUR)]).await.unwrap();
    assert_eq!(server.tell::<String>(&["GET", "shop:t:t"]), "a writer's barrier");
    store.release(&Release::purging(&[tag("t")], &[])).await.unwrap();
    assert_eq!(store.read(&[], &[look("t")]).await.unwrap().tags, [TagState::Absent]);
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_another_type_are_not_there_and_can_be_purged() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connect_patiently(server.url()).await;
    let _: u64 = server.tell(&["LPUSH", "shop:e", "x"]);
    let _: u64 = server.tell(&["LPUSH", "shop:t:t", "x"]);
    let found = store.read(&[entry("e")], &[propose("t")]).await.unwrap();
    assert_eq!((&found.entries[0], found.tags[0]), (&None, TagState::Absent));
    store.release(&Release::purging(&[tag("t")], &[entry("e")])).await.unwrap();
    assert_eq!(server.tell::<u64>(&["EXISTS", "shop:e", "shop:t:t"]), 0);
}

// case F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_fewest_rights_and_another_database_are_enough() {
    let Some(server) = Server::start(&[]) else { return };
    let rights = "+mget +set +unlink +pexpire +scan +ping +select +eval +evalsha +get +del +pttl +time";
    let mut words = vec!["ACL", "SETUSER", "cache", "on", ">secret", "~shop:*", "-@all"];
    words.extend(rights.split(' '));
    let _: String = server.tell(&words);
    let url = format!("{}?db=3&user=cache&pass=secret", server.url());
    let store = connect_patiently(url).await;
    assert!(every_call(&store).await.is_empty());
    store.write(&[written("e")], &[]).await.unwrap();
    assert_eq!(server.tell_as::<u64>("?db=3", &["EXISTS", "shop:e"]), 1);
    assert_eq!(server.tell::<u64>(&["EXISTS", "shop:e"]), 0, "database 0 is untouched");

    // What the user may not do is refused, by code, and is no outage.
    let error =
        store.release(&Release::purging(&[TagKey::from_full("other:secret-key")], &[])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused { reason, .. } if reason.starts_with("NOPERM")), "{error}");
    assert!(!format!("{error:?}").contains("secret-key"));
    assert!(every_call(&store).await.is_empty());
}

// case C9 case C18 case G8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_server_refuses_is_reported_by_code_and_never_by_key() {
    for line in [
        "MISCONF Redis is configured to save RDB snapshots, shop:e",
        "OOM command not allowed, shop:e",
        "MOVED 3999 shop:e:6381",
        "CLUSTERDOWN The cluster is down",
        "CROSSSLOT Keys in request don't hash to the same slot",
        "NOSCRIPT No matching script",
        "WRONGTYPE Operation against a key holding the wrong kind of value shop:e",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script",
        "ERR shop:e",
        "shop:e",
    ] {
        let puppet = Puppet::polite(move |_| format!("-{line}\r\n"));
        let store = connect_patiently(puppet.url()).await;
        let errors = every_call(&store).await;
        assert_eq!(errors.len(), 7, "all but the ping: {errors:?}");
        for error in errors {
            assert!(matches!(error, StoreError::Refused { .. }), "{line}: {error}");
            assert!(!format!("{error} {error:?}").contains("shop:e"), "{error:?}");
        }
        assert_eq!(store.state(), StoreState::Ready);
    }
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_loading_or_wants_a_password_again_is_left_until_it_is_ready() {
    for line in ["LOADING Redis is loading the dataset in memory", "NOAUTH Authentication required."] {
        let trouble = Arc::new(AtomicBool::new(false));
        let puppet = Puppet::new({
            let trouble = Arc::clone(&trouble);
            move |words: &[String]| match words[0].as_str() {
                _ if trouble.load(Ordering::SeqCst) => format!("-{line}\r\n"),
                "PING" => "+PONG\r\n".to_owned(),
                "INFO" => bulk("redis_version:6.2.14\r\n"),
                "MGET" => "*1\r\n$-1\r\n".to_owned(),
                "CLIENT" => "+OK\r\n".to_owned(),
                _ => "-ERR unknown command\r\n".to_owned(),
            }
        });
        let store = connect(puppet.url()).await;
        until_recovered(&store).await;
        trouble.store(true, Ordering::SeqCst);
        assert!(store.read(&[entry("e")], &[]).await.is_err());
        until_unreachable(&store).await;
        trouble.store(false, Ordering::SeqCst);
        until_recovered(&store).await;
        store.read(&[entry("e")], &[]).await.unwrap();
    }
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_make_no_sense_are_errors_and_never_a_panic() {
    for reply in
        ["+QUEUED\r\n", "$5\r\nhello\r\n", ":-7\r\n", "*0\r\n", "*1\r\n*1\r\n:1\r\n", "*-1\r\n", "$-1\r\n"]
    {
        let puppet = Puppet::polite(move |_| reply.to_owned());
        let store = connect_patiently(puppet.url()).await;
        for _ in 0..2 {
            assert!(store.read(&[entry("e")], &[look("t")]).await.is_err(), "{reply:?}");
            assert!(store.read(&[entry("e")], &[propose("t")]).await.is_err(), "{reply:?}");
            if reply != "$-1\r\n" {
                assert!(store.write(&[written("e")], &[(tag("t"), HOUR)]).await.is_err(), "{reply:?}");
                assert!(store.lease(&entry("l"), HOUR).await.is_err(), "{reply:?}");
            }
            assert!(store.release(&Release::purging(&[tag("t")], &[])).await.is_err(), "{reply:?}");
            assert!(store.scan("shop:", 10).await.is_err(), "{reply:?}");
        }
    }
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_speak_the_protocol_is_unreachable() {
    let puppet = Puppet::new(|_| "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned());
    let store = connect(puppet.url()).await;
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}

// case F14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_to_extend_lives_costs_no_more_than_that() {
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refused);
    let puppet = Puppet::new(move |words| match words[0].as_str() {
        "PING" => "+PONG\r\n".to_owned(),
        "CLIENT" | "SET" => "+OK\r\n".to_owned(),
        "INFO" => bulk("redis_version:7.4.0\r\n"),
        "PEXPIRE" if words.len() > 3 => {
            counter.fetch_add(1, Ordering::SeqCst);
            "-ERR wrong number of arguments for 'pexpire' command\r\n".to_owned()
        }
        "PEXPIRE" => ":1\r\n".to_owned(),
        _ => "-ERR unknown command\r\n".to_owned(),
    });
    let store = connect_patiently(puppet.url()).await;
    for _ in 0..5 {
        store.write(&[written("e")], &[(tag("t"), HOUR)]).await.unwrap();
    }
    assert_eq!(refused.load(Ordering::SeqCst), 1, "it is asked once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_is_one_round_trip() {
    let puppet = Puppet::polite(|words| match words[0].as_str() {
        "SET" => "+OK\r\n".to_owned(),
        "MGET" => format!("*{}\r\n{}", words.len() - 1, "$-1\r\n".repeat(words.len() - 1)),
        "PEXPIRE" => ":1\r\n".to_owned(),
        "UNLINK" => format!(":{}\r\n", words.len() - 1),
        "EVALSHA" => ":0\r\n".to_owned(),
        _ => "-ERR unknown command\r\n".to_owned(),
    });
    let store = connect_patiently(puppet.url()).await;
    let names = |burst: &[String]| {
        burst
            .iter()
            .map(|command| command.split(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut seen = puppet.bursts().len();
    let mut sent = || {
        let bursts = puppet.bursts();
        let new: Vec<_> = bursts[seen..].iter().map(|burst| names(burst)).collect();
        seen = bursts.len();
        new
    };
    store.read(&[entry("a"), entry("b")], &[look("t")]).await.unwrap();
    assert_eq!(sent(), ["MGET"]);
    store.read(&[entry("a")], &[propose("t"), look("u"), propose("v")]).await.unwrap();
    assert_eq!(sent(), ["SET SET MGET"]);
    store.release(&Release::purging(&[tag("t"), tag("u")], &[entry("a")])).await.unwrap();
    assert_eq!(sent(), ["EVALSHA UNLINK"]);
    let arm = Arm { writer: WriterId::fresh(), tags: vec![(tag("t"), 0), (tag("u"), 0)], life: HOUR };
    store.arm(&arm).await.unwrap();
    assert_eq!(sent(), ["EVALSHA"]);
    store.lease(&entry("l"), HOUR).await.unwrap();
    assert_eq!(sent(), ["SET"]);
    store.delete(&[entry("a"), entry("b")]).await.unwrap();
    assert_eq!(sent(), ["UNLINK"]);
    store.read(&[], &[]).await.unwrap();
    store.release(&Release::purging(&[], &[])).await.unwrap();
    store.write(&[], &[]).await.unwrap();
    assert!(sent().is_empty());
}

// case A10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_do_not_disturb_others() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connect_patiently(server.url()).await;
    store.write(&[written("e")], &[]).await.unwrap();
    let tasks = (0..16).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..100_u64 {
                let probes = [propose(&format!("{task}-{round}"))];
                let entries = [entry("none"), entry("e")];
                let call = store.read(&entries, &probes);
                let _ = tokio::time::timeout(Duration::from_micros(round % 7 * 40), call).await;
                let found = store.read(&[entry("e")], &[]).await.unwrap();
                assert_eq!(found.entries[0].as_deref(), Some(&b"value"[..]));
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    assert_eq!(store.state(), StoreState::Ready);
}

#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    let Some(server) = Server::start(&[]) else { return };
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = runtime();
    let store = first.block_on(connect_patiently(server.url()));
    first.block_on(store.ping()).unwrap();
    drop(first);
    for _ in 0..3 {
        let another = runtime();
        another.block_on(async {
            eventually("it works here too", || async { store.ping().await.is_ok() }).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_dropped_leaves_no_connection_and_no_task() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connect_patiently(server.url()).await;
    let connections = || server.tell::<String>(&["CLIENT", "LIST"]).lines().count();
    assert_eq!(connections(), 2);
    drop(store);
    eventually("the connection is closed", || async { connections() == 1 }).await;
}

// case C3 case C10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_kills_and_freezes_every_purge_that_returned_has_happened() {
    let Some(server) = Server::start(&[]) else { return };
    let store = connect(server.url()).await;
    until_recovered(&store).await;
    let done = Arc::new(AtomicBool::new(false));
    let tasks = (0..4).map(|task| {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        tokio::spawn(async move {
            let name = format!("t{task}");
            let mut purges = 0;
            while !done.load(Ordering::SeqCst) {
                let Ok(before) = store.read(&[], &[propose(&name)]).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                if store.release(&Release::purging(&[tag(&name)], &[])).await.is_err() {
                    continue;
                }
                purges += 1;
                let end = Instant::now() + DEADLINE;
                let after = loop {
                    match store.read(&[], &[look(&name)]).await {
                        Ok(after) => break after,
                        Err(_) => assert!(Instant::now() < end),
                    }
                    tokio::task::yield_now().await;
                };
                assert!(
                    after.tags[0] == TagState::Absent || after.tags[0] != before.tags[0],
                    "the purged stamp is back"
                );
            }
            purges
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for round in 0..30 {
        if round % 5 == 4 {
            server.freeze();
            tokio::time::sleep(Duration::from_millis(120)).await;
            server.thaw();
        }
        let _: u64 = server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    done.store(true, Ordering::SeqCst);
    let purges: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert!(purges > 0);
}
