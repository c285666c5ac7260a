//! A session is its user's alone, and over when it is over.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sea_orm_cache::{
    Cache, CacheError, OutageReads, Sessions,
    stores::{MemoryStore, RedisConfig},
};
use serde::{Deserialize, Serialize};

use crate::{
    gate::{Gate, gated_caches},
    support::{PrivateRedis, Restart, eventually, redis_command, shared_redis_url, unique_namespace},
    world::{StoreKind, builder, caches, patient},
};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Basket {
    books: Vec<i64>,
    note: Option<String>,
}

fn basket(book: i64) -> Basket {
    Basket { books: vec![book], note: None }
}

fn web(cache: &Cache) -> Sessions<Basket> {
    Sessions::new(cache, "web")
}

/// Two processes on one store, as far as the store is shared.
async fn pairs() -> Vec<(StoreKind, Sessions<Basket>, Sessions<Basket>)> {
    let mut pairs = Vec::new();
    for store in [StoreKind::Memory, StoreKind::Redis] {
        let namespace = unique_namespace();
        let Some(redis) = builder(store, &namespace) else { continue };
        let (one, other) = match store {
            StoreKind::Redis => (redis, builder(store, &namespace).unwrap()),
            StoreKind::Memory => {
                let shared = Arc::new(MemoryStore::with_capacity(1 << 20));
                (redis.store(shared.clone()), builder(store, &namespace).unwrap().store(shared))
            }
        };
        pairs.push((store, web(&one.build().await.unwrap()), web(&other.build().await.unwrap())));
    }
    pairs
}

#[tokio::test]
async fn what_one_process_signs_in_every_process_knows() {
    for (kind, here, there) in pairs().await {
        let id = here.create_with("ann", ["orders", "users"], &basket(7)).await.unwrap();
        for sessions in [&here, &there, &there] {
            let session = sessions.get(id.as_str()).await.unwrap().unwrap();
            assert_eq!((session.user.as_str(), &session.data), ("ann", &basket(7)), "{kind:?}");
            assert!(session.may("orders") && session.may("users") && !session.may("order"), "{kind:?}");
            assert!(session.began.elapsed().unwrap() < Duration::from_secs(600), "{kind:?}");
            assert!(sessions.is_valid(id.as_str()).await.unwrap(), "{kind:?}");
            assert!(sessions.touch(id.as_str()).await.unwrap(), "{kind:?}");
        }
        assert!(there.set(id.as_str(), &basket(8)).await.unwrap(), "{kind:?}");
        assert_eq!(here.get(id.as_str()).await.unwrap().unwrap().data, basket(8), "{kind:?}");
        assert!(there.destroy(id.as_str()).await.unwrap(), "{kind:?}");
        assert!(!here.is_valid(id.as_str()).await.unwrap(), "{kind:?}");
        assert!(!here.destroy(id.as_str()).await.unwrap(), "{kind:?}");
    }
}

// feature C3
#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions_of_the_user_and_of_nobody_else() {
    for (kind, here, there) in pairs().await {
        let mut ann = Vec::new();
        for sessions in [&here, &there, &here] {
            ann.push(sessions.create("ann", &basket(1)).await.unwrap());
        }
        let bob = there.create("bob", &basket(2)).await.unwrap();
        for id in &ann {
            assert!(there.is_valid(id.as_str()).await.unwrap(), "{kind:?}");
        }
        here.log_out_everywhere("ann").await.unwrap();
        for id in &ann {
            assert!(!there.is_valid(id.as_str()).await.unwrap(), "{kind:?}");
            assert!(!there.touch(id.as_str()).await.unwrap(), "{kind:?}");
        }
        assert!(there.is_valid(bob.as_str()).await.unwrap(), "{kind:?}");
        let again = here.create("ann", &basket(3)).await.unwrap();
        assert!(there.is_valid(again.as_str()).await.unwrap(), "{kind:?}");
        assert!(!there.is_valid(ann[0].as_str()).await.unwrap(), "{kind:?}");
    }
}

#[tokio::test]
async fn new_permissions_come_with_a_new_id_and_the_old_one_is_over() {
    for (kind, here, there) in pairs().await {
        let before = here.create("ann", &basket(7)).await.unwrap();
        assert!(there.is_valid(before.as_str()).await.unwrap());
        let after = here.set_permissions(before.as_str(), ["admin"]).await.unwrap().unwrap();
        assert!(!there.is_valid(before.as_str()).await.unwrap(), "{kind:?}");
        let session = there.get(after.as_str()).await.unwrap().unwrap();
        assert!(session.may("admin") && session.data == basket(7), "{kind:?}");
        let last = there.rotate(after.as_str()).await.unwrap().unwrap();
        assert!(here.get(last.as_str()).await.unwrap().unwrap().may("admin"), "{kind:?}");
        assert!(here.rotate(after.as_str()).await.unwrap().is_none(), "{kind:?}");
        assert!(here.rotate("nobody's").await.unwrap().is_none(), "{kind:?}");
        here.log_out_everywhere("ann").await.unwrap();
        assert!(!there.is_valid(last.as_str()).await.unwrap(), "{kind:?}: of the same user still");
    }
}

#[tokio::test]
async fn of_many_who_rotate_one_session_one_does() {
    for (kind, here, there) in pairs().await {
        let sessions = here.clone();
        // As a web server does it: on another thread.
        let id = tokio::spawn(async move { sessions.create("ann", &basket(7)).await });
        let id = id.await.unwrap().unwrap();
        let all = (0..20).map(|n| if n % 2 == 0 { &here } else { &there });
        let rotated = futures_util::future::join_all(all.map(|sessions| sessions.rotate(id.as_str()))).await;
        let new: Vec<_> = rotated.into_iter().filter_map(|rotated| rotated.unwrap()).collect();
        assert_eq!(new.len(), 1, "{kind:?}");
        assert!(here.is_valid(new[0].as_str()).await.unwrap(), "{kind:?}");
    }
}

#[tokio::test]
async fn it_ends_when_idle_unless_touched_and_in_any_case_at_its_absolute_end() {
    for (kind, cache) in caches().await {
        let brief = Duration::from_millis(300);
        let idle = web(&cache).idle(brief);
        let id = idle.create("ann", &basket(1)).await.unwrap();
        eventually("an idle session ends", SOON, async || !idle.is_valid(id.as_str()).await.unwrap()).await;
        assert!(!idle.touch(id.as_str()).await.unwrap(), "{kind:?}");

        // Touched all the time it is not over before its absolute end; and then it is.
        let begun = std::time::Instant::now();
        let busy = Sessions::<Basket>::new(&cache, "busy").idle(Duration::from_secs(60)).longest(brief);
        let id = busy.create("ann", &basket(1)).await.unwrap();
        let rotated = busy.rotate(id.as_str()).await.unwrap();
        let id = rotated.unwrap_or(id);
        eventually("it ends", SOON, async || !busy.touch(id.as_str()).await.unwrap()).await;
        assert!(begun.elapsed() >= brief, "{kind:?}");
        // A touch is what makes it last: of two, the one that is touched outlives the other.
        let kept = web(&cache).idle(Duration::from_millis(100));
        let touched = kept.create("bob", &basket(1)).await.unwrap();
        let patient = web(&cache).idle(Duration::from_secs(600));
        assert!(patient.touch(touched.as_str()).await.unwrap(), "{kind:?}");
        let other = kept.create("bob", &basket(1)).await.unwrap();
        eventually("the other ends", SOON, async || !kept.is_valid(other.as_str()).await.unwrap()).await;
        assert!(kept.is_valid(touched.as_str()).await.unwrap(), "{kind:?}");
    }
}

#[tokio::test]
async fn neither_a_purge_nor_a_switched_off_cache_logs_anybody_out() {
    for (kind, cache) in caches().await {
        let id = web(&cache).create("ann", &basket(1)).await.unwrap();
        cache.clear().await;
        cache.invalidate_tags(&["ann", "web", "s:*"]).await;
        cache.invalidate_pattern("*").await.unwrap();
        assert!(web(&cache).is_valid(id.as_str()).await.unwrap(), "{kind:?}");
    }
    let off = Cache::builder().namespace(unique_namespace()).enabled(false).build().await.unwrap();
    let id = web(&off).create("ann", &basket(1)).await.unwrap();
    assert!(web(&off).is_valid(id.as_str()).await.unwrap());
}

#[tokio::test]
async fn the_store_never_sees_an_id() {
    let Some(url) = shared_redis_url() else { return };
    let namespace = unique_namespace();
    let cache =
        Cache::builder().namespace(&namespace).redis_with(patient(url.clone())).build().await.unwrap();
    let sessions = web(&cache);
    let first = sessions.create("ann", &basket(7)).await.unwrap();
    let second = sessions.rotate(first.as_str()).await.unwrap().unwrap();
    let keys = cache.keys(100).await.unwrap();
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        let value = redis_command(&url, &["GET", &key]).await;
        let redis::Value::BulkString(value) = value else { panic!("{value:?}") };
        let value = String::from_utf8_lossy(&value);
        for id in [&first, &second] {
            assert!(!key.contains(id.as_str()) && !value.contains(id.as_str()), "{key}");
        }
        let life = redis_command(&url, &["PTTL", &key]).await;
        assert!(matches!(life, redis::Value::Int(1..=43_200_000)), "{key} lives for {life:?}");
    }
}

#[tokio::test]
async fn an_outage_is_an_error_and_not_a_log_out() {
    an_outage(OutageReads::Database).await;
}

/// Which knows nobody, and must not be asked.
#[tokio::test]
async fn nor_is_it_where_memory_answers_for_redis() {
    an_outage(OutageReads::Memory(Duration::from_secs(60))).await;
}

async fn an_outage(reads: OutageReads) {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let builder = Cache::builder().outage_reads(reads).redis_with(RedisConfig::new(server.url()));
    let cache = builder.build().await.unwrap();
    let sessions = web(&cache);
    let mut id = None;
    eventually("Redis is there", SOON, async || {
        id = sessions.create("ann", &basket(7)).await.ok();
        id.is_some()
    })
    .await;
    let id = id.unwrap();
    server.save().await;
    server.stop().await;
    assert!(matches!(sessions.get(id.as_str()).await, Err(CacheError::Store(_))));
    assert!(matches!(sessions.destroy(id.as_str()).await, Err(CacheError::Store(_))));
    assert!(matches!(sessions.log_out_everywhere("ann").await, Err(CacheError::Store(_))));
    assert!(matches!(sessions.create("ann", &basket(7)).await, Err(CacheError::Store(_))));
    server.restart(Restart::Keep).await;
    eventually("she is signed in again", SOON, async || {
        sessions.is_valid(id.as_str()).await.unwrap_or(false)
    })
    .await;
    // That Redis might have gone back: who cannot have that says so.
    let strict = web(&cache).end_with_the_store();
    assert!(!strict.is_valid(id.as_str()).await.unwrap());
    let fresh = strict.create("ann", &basket(7)).await.unwrap();
    assert!(strict.is_valid(fresh.as_str()).await.unwrap());
}

#[tokio::test]
async fn data_that_does_not_fit_is_refused_and_the_error_does_not_hold_the_id() {
    for (kind, cache) in caches().await {
        let sessions = web(&cache);
        let id = sessions.create("ann", &basket(1)).await.unwrap();
        let large = Basket { books: vec![i64::MAX; 1 << 18], note: None };
        for error in [
            sessions.create("ann", &large).await.map(drop).unwrap_err(),
            sessions.set(id.as_str(), &large).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, CacheError::Unwritable { .. }), "{kind:?}");
            assert!(!error.to_string().contains(id.as_str()), "{kind:?}");
        }
        assert_eq!(sessions.get(id.as_str()).await.unwrap().unwrap().data, basket(1), "{kind:?}");
        // Data of another type is nobody's session, and no panic.
        let other = Sessions::<Vec<String>>::new(&cache, "web");
        assert!(other.get(id.as_str()).await.unwrap().is_none(), "{kind:?}");
    }
}

// ---------------------------------------------------------------------------------------- misuse

/// A write of the session waits while `meanwhile` happens; is the id valid when both are done?
async fn late<F, M>(gate: &Gate, write: F, meanwhile: M)
where
    F: Future<Output = ()> + Send + 'static,
    M: Future<Output = ()>,
{
    gate.close();
    let write = tokio::spawn(write);
    gate.holds(1).await;
    meanwhile.await;
    gate.open();
    write.await.unwrap();
}

/// What was tried, and whether it got anybody in.
#[derive(Default)]
struct Tried(BTreeMap<String, bool>);

impl Tried {
    async fn note(&mut self, what: &str, sessions: &Sessions<Basket>, id: &str) {
        // By every way in, and in a process that has not seen it, as in one that has.
        let entered = sessions.get(id).await.unwrap().is_some()
            | sessions.is_valid(id).await.unwrap()
            | sessions.touch(id).await.unwrap()
            | sessions.set(id, &basket(666)).await.unwrap()
            | sessions.rotate(id).await.unwrap().is_some()
            | sessions.set_permissions(id, ["admin"]).await.unwrap().is_some()
            | sessions.destroy(id).await.unwrap();
        assert!(self.0.insert(what.to_owned(), entered).is_none(), "{what} twice");
    }
}

// feature C3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_who_should_not() {
    for (gate, cache) in gated_caches().await {
        let sessions = web(&cache);
        let mut tried = Tried::default();
        let create = async || sessions.create("ann", &basket(1)).await.unwrap();
        let id = create().await;
        let text = id.as_str();

        for (what, guess) in [
            ("nothing at all", String::new()),
            ("a guess of zeros", "0".repeat(64)),
            ("a guess at random", format!("{:064x}", 0x1234_5678_9abc_def0_u64)),
            ("truncated", text[..63].to_owned()),
            ("one digit more", format!("{text}0")),
            ("oversize: ten megabytes", "a".repeat(10 << 20)),
            ("tampered: its last digit", {
                let digit = if text.ends_with('0') { "1" } else { "0" };
                format!("{}{digit}", &text[..63])
            }),
            ("in capitals", text.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
            ("with a space", format!(" {text}")),
            ("with a NUL", format!("{text}\0")),
            ("a pattern", "*".repeat(64)),
            ("a key of the store", cache.keys(1).await.unwrap().remove(0)),
            ("the user's name", "ann".to_owned()),
        ] {
            tried.note(what, &sessions, &guess).await;
        }
        // The hash that stands in the store is no id.
        let keys = cache.keys(100).await.unwrap();
        let leaked = keys.iter().flat_map(|key| key.rsplit(':')).find(|part| part.len() == 64).unwrap();
        tried.note("the hash that leaked from the store", &sessions, leaked).await;
        // The same id where it does not belong.
        tried.note("a session of another kind", &Sessions::new(&cache, "admin"), text).await;
        let stranger = Cache::builder().namespace(unique_namespace()).build().await.unwrap();
        tried.note("a session of another application", &web(&stranger), text).await;
        assert!(sessions.is_valid(text).await.unwrap(), "all that did her no harm");

        // Fixation: an id that a stranger chose, or had before she signed in.
        let chosen = "f".repeat(64);
        let hers = create().await;
        assert_ne!(hers.as_str(), chosen);
        tried.note("fixation: an id that a stranger chose", &sessions, &chosen).await;
        let anonymous = sessions.create("guest", &basket(1)).await.unwrap();
        let proven = sessions.set_permissions(anonymous.as_str(), ["orders"]).await.unwrap().unwrap();
        assert!(sessions.is_valid(proven.as_str()).await.unwrap());
        tried.note("fixation: the id from before the rotation", &sessions, anonymous.as_str()).await;

        let gone = create().await;
        sessions.destroy(gone.as_str()).await.unwrap();
        tried.note("logged out", &sessions, gone.as_str()).await;

        let brief = web(&cache).idle(Duration::from_millis(1));
        let expired = brief.create("ann", &basket(1)).await.unwrap();
        eventually("it expires", SOON, async || !sessions.is_valid(expired.as_str()).await.unwrap()).await;
        tried.note("expired", &sessions, expired.as_str()).await;

        let bob = sessions.create("bob", &basket(2)).await.unwrap();
        let other = create().await;
        sessions.log_out_everywhere("ann").await.unwrap();
        tried.note("after logging out everywhere", &sessions, other.as_str()).await;
        assert_eq!(sessions.get(bob.as_str()).await.unwrap().unwrap().user, "bob");

        // Requests that are under way while she logs out: they bring nothing back.
        for way in ["touch", "set", "rotate"] {
            for end in ["log-out", "log-out everywhere", "rotation"] {
                if way == "rotate" && end == "rotation" {
                    continue;
                }
                let id = create().await;
                let (same, held) = (sessions.clone(), id.clone());
                let (send, rotated) = tokio::sync::oneshot::channel();
                let write = async move {
                    let new = match way {
                        "touch" => same.touch(held.as_str()).await.map(|_| None),
                        "set" => same.set(held.as_str(), &basket(9)).await.map(|_| None),
                        _ => same.rotate(held.as_str()).await,
                    };
                    let _ = send.send(new.unwrap());
                };
                // Rotating writes too, past a gate that is closed: so it does without one.
                let meanwhile = async {
                    match end {
                        "log-out" => assert!(sessions.destroy(id.as_str()).await.unwrap()),
                        "log-out everywhere" => sessions.log_out_everywhere("ann").await.unwrap(),
                        _ => {
                            let (rotation, ()) = tokio::join!(sessions.rotate(id.as_str()), async {
                                gate.holds(2).await;
                                gate.open();
                            });
                            assert!(rotation.unwrap().is_some());
                        }
                    }
                };
                late(&gate, write, meanwhile).await;
                let what = format!("a {way} that comes after the {end}");
                tried.note(&what, &sessions, id.as_str()).await;
                if let Some(new) = rotated.await.unwrap() {
                    tried.note(&format!("{what}, by its new id"), &sessions, new.as_str()).await;
                }
            }
        }

        println!("on {}:", cache.store_name());
        for (what, entered) in &tried.0 {
            println!("  {} {what}", if *entered { "LET IN" } else { "refused" });
        }
        assert!(tried.0.values().all(|entered| !entered), "somebody got in");
        assert_eq!(tried.0.len(), 31, "every row of the table was tried");
    }
}
