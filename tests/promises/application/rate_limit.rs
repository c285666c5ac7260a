//! A rate limit is one limit, however many ask, and whatever becomes of the store.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sea_orm_cache::{Cache, Counted, LimitOutage, Quota, RateLimiter, stores::RedisConfig};

use crate::{
    support::{PrivateRedis, Restart, eventually, redis_command, shared_redis_url, unique_namespace},
    world::{caches, patient},
};

const SOON: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Nothing comes back while a test runs.
fn slow(burst: u32) -> Quota {
    Quota::new(1, DAY).burst(burst)
}

#[tokio::test]
async fn a_burst_gets_through_and_what_follows_is_told_when_to_come_back() {
    for (kind, cache) in caches().await {
        let limiter = RateLimiter::new(&cache, "login", slow(3));
        for left in [2, 1, 0] {
            let decision = limiter.check("user:7").await;
            assert!(decision.allowed && decision.retry_after.is_none(), "{kind:?}");
            assert_eq!((decision.limit, decision.remaining), (3, left), "{kind:?}");
            assert_eq!(decision.counted, Counted::InStore, "{kind:?}");
        }
        let refused = limiter.check("user:7").await;
        assert!(!refused.allowed && refused.remaining == 0, "{kind:?}");
        let pause = refused.retry_after.unwrap();
        assert!(pause <= DAY && pause > DAY / 2, "{kind:?} {pause:?}");
        assert!(refused.reset_after <= 3 * DAY && refused.reset_after > 2 * DAY, "{kind:?}");
        // What was refused was not counted.
        assert!(limiter.check("user:7").await.retry_after.unwrap() <= pause, "{kind:?}");
    }
}

#[tokio::test]
async fn each_key_each_name_and_each_namespace_has_a_limit_of_its_own() {
    for (kind, cache) in caches().await {
        let limiter = RateLimiter::new(&cache, "a", slow(1));
        assert!(limiter.check("b:c").await.allowed, "{kind:?}");
        assert!(!limiter.check("b:c").await.allowed, "{kind:?}");
        // The same texts, cut in other places.
        assert!(RateLimiter::new(&cache, "a:b", slow(1)).check("c").await.allowed, "{kind:?}");
        assert!(limiter.check("b%3Ac").await.allowed && limiter.check("").await.allowed, "{kind:?}");
        assert!(limiter.check("\0\r\n*").await.allowed, "{kind:?}");
        // Another handle on the same one.
        assert!(!RateLimiter::new(&cache, "a", slow(1)).check("b:c").await.allowed, "{kind:?}");
    }
    let mut others = caches().await;
    let (_, other) = others.pop().unwrap();
    assert!(RateLimiter::new(&other, "a", slow(1)).check("b:c").await.allowed);
}

#[tokio::test]
async fn many_at_once_are_all_let_through_or_none_and_a_look_counts_nothing() {
    for (kind, cache) in caches().await {
        let limiter = RateLimiter::new(&cache, "upload", slow(10));
        assert!(limiter.check_n("u", 7).await.allowed, "{kind:?}");
        assert!(!limiter.check_n("u", 4).await.allowed, "{kind:?}");
        let look = limiter.check_n("u", 0).await;
        assert!(look.allowed && look.remaining == 3, "{kind:?}");
        assert!(limiter.check_n("u", 3).await.allowed, "{kind:?}");
        let never = limiter.check_n("u", 11).await;
        assert!(!never.allowed && never.retry_after.is_none(), "{kind:?}: more than the limit");
        let nothing = RateLimiter::new(&cache, "closed", Quota::per_minute(0));
        assert!(!nothing.check("u").await.allowed, "{kind:?}");
    }
}

#[tokio::test]
async fn it_comes_back_at_the_rate_and_a_reset_frees_it_at_once() {
    for (kind, cache) in caches().await {
        let quick = RateLimiter::new(&cache, "quick", Quota::per_second(100).burst(2));
        assert!(quick.check_n("u", 2).await.allowed, "{kind:?}");
        eventually("one is free again", SOON, async || quick.check("u").await.allowed).await;
        let slow = RateLimiter::new(&cache, "slow", slow(1));
        assert!(slow.check("u").await.allowed && !slow.check("u").await.allowed, "{kind:?}");
        slow.reset("u").await.unwrap();
        assert!(slow.check("u").await.allowed, "{kind:?}");
    }
}

#[tokio::test]
async fn no_purge_and_no_switch_of_the_cache_frees_anybody() {
    for (kind, cache) in caches().await {
        let limiter = RateLimiter::new(&cache, "login", slow(1));
        assert!(limiter.check("u").await.allowed, "{kind:?}");
        cache.clear().await;
        cache.invalidate_pattern("*").await.unwrap();
        assert!(!limiter.check("u").await.allowed, "{kind:?}");
    }
    let off = Cache::builder().namespace(unique_namespace()).enabled(false).build().await.unwrap();
    let limiter = RateLimiter::new(&off, "login", slow(1));
    assert!(limiter.check("u").await.allowed && !limiter.check("u").await.allowed);
}

#[tokio::test]
async fn its_key_is_in_the_namespace_and_ends_by_itself() {
    let Some(url) = shared_redis_url() else { return };
    let namespace = unique_namespace();
    let builder = Cache::builder().namespace(&namespace).redis_with(patient(url.clone()));
    let cache = builder.build().await.unwrap();
    let limiter = RateLimiter::new(&cache, "login", Quota::per_hour(60));
    assert!(limiter.check_n("user:7", 2).await.allowed);
    assert_eq!(cache.keys(10).await.unwrap(), [format!("{namespace}:r:login:user%3A7")]);
    let life = redis_command(&url, &["PTTL", &format!("{namespace}:r:login:user%3A7")]).await;
    let redis::Value::Int(life) = life else { panic!("{life:?}") };
    assert!((1..=120_000).contains(&life), "{life} ms, until two are free again");
}

// ------------------------------------------------------------------------------- many processes

const NAMESPACE: &str = "PROMISES_LIMIT_NAMESPACE";
const QUOTA: &str = "PROMISES_LIMIT_QUOTA";
const TRIES: u32 = 2000;

fn quota(name: &str) -> Quota {
    if name == "slow" { slow(1000) } else { Quota::per_second(1000).burst(20) }
}

/// The other process: this binary again. It says when it is ready, waits for a line, asks as often as
/// it can, and says how often it was let through.
#[tokio::test]
async fn the_asking_process() {
    let (Ok(namespace), Ok(name)) = (std::env::var(NAMESPACE), std::env::var(QUOTA)) else { return };
    let builder = Cache::builder().namespace(namespace).redis_with(patient(shared_redis_url().unwrap()));
    let cache = builder.build().await.unwrap();
    cache.ping().await.unwrap();
    let limiter = RateLimiter::new(&cache, "shared", quota(&name));
    eprintln!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut allowed = 0;
    for _ in 0..TRIES {
        let decision = limiter.check("everybody").await;
        assert_eq!(decision.counted, Counted::InStore);
        allowed += u32::from(decision.allowed);
    }
    eprintln!("{allowed}");
}

struct Asking {
    child: Child,
    says: BufReader<std::process::ChildStderr>,
}

impl Asking {
    fn start(namespace: &str, quota: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "application::rate_limit::the_asking_process", "--nocapture"])
            .env(NAMESPACE, namespace)
            .env(QUOTA, quota)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        let mut asking = Self { child, says };
        assert_eq!(asking.line(), "ready");
        asking
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often each of two processes is let through.
fn two_processes(quota: &str) -> [u32; 2] {
    let namespace = unique_namespace();
    let mut both = [Asking::start(&namespace, quota), Asking::start(&namespace, quota)];
    both.iter_mut().for_each(Asking::go);
    both.map(|mut asking| asking.line().parse().unwrap())
}

// feature C5
#[test]
fn two_processes_together_get_exactly_the_burst() {
    if shared_redis_url().is_none() {
        return;
    }
    let allowed = two_processes("slow");
    println!("two processes asked {TRIES} times each, and were let through {allowed:?} times");
    assert_eq!(allowed.iter().sum::<u32>(), 1000);
}

#[tokio::test]
async fn two_processes_together_get_no_more_than_the_rate_by_the_servers_clock() {
    let Some(url) = shared_redis_url() else { return };
    let micros = async || {
        let time = redis_command(&url, &["TIME"]).await;
        let time: (u64, u64) = redis::from_redis_value(time).unwrap();
        time.0 * 1_000_000 + time.1
    };
    let start = micros().await;
    let allowed = tokio::task::spawn_blocking(|| two_processes("quick")).await.unwrap();
    let elapsed = micros().await - start;
    let sum = u64::from(allowed.iter().sum::<u32>());
    println!("{allowed:?} in less than {elapsed} microseconds, one each 1000, burst 20");
    assert!(sum <= 20 + elapsed / 1000, "{sum} in {elapsed}");
    assert!(sum > 20, "nothing came back");
}

// -------------------------------------------------------------------------------------- outages

// case C3, C4
#[tokio::test]
async fn without_redis_each_choice_is_kept_and_nobody_waits_longer_than_the_time_limit() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let config = RedisConfig::new(server.url()).read_timeout(Duration::from_millis(100));
    let cache = Cache::builder().redis_with(config).build().await.unwrap();
    let of = |outage| RateLimiter::new(&cache, format!("{outage:?}"), slow(2)).on_outage(outage);
    let all = [of(LimitOutage::CountHere), of(LimitOutage::Allow), of(LimitOutage::Deny)];
    for limiter in &all {
        eventually("Redis counts", SOON, async || limiter.check_n("u", 0).await.counted == Counted::InStore)
            .await;
    }
    for frozen in [true, false] {
        if frozen {
            server.pause();
        } else {
            server.resume();
            server.stop().await;
        }
        let [here, allow, deny] = &all;
        let begun = Instant::now();
        assert_eq!(here.check_n("u", 0).await.counted, Counted::Here);
        let mut got = Vec::new();
        for _ in 0..4 {
            let decision = here.check(if frozen { "frozen" } else { "stopped" }).await;
            assert_eq!(decision.counted, Counted::Here);
            got.push(decision.allowed);
        }
        assert_eq!(got, [true, true, false, false], "it counts in this process");
        for _ in 0..4 {
            let decision = allow.check("u").await;
            assert!(decision.allowed && decision.counted == Counted::Nobody);
            let decision = deny.check("u").await;
            assert!(!decision.allowed && decision.counted == Counted::Nobody);
            assert!(decision.retry_after.is_some());
        }
        // Thirteen calls of a tenth of a second at most, and some for a busy machine.
        assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    }
    server.restart(Restart::Forget).await;
    for limiter in &all {
        eventually("Redis counts again", SOON, async || {
            limiter.check_n("u", 0).await.counted == Counted::InStore
        })
        .await;
    }
}
