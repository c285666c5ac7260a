//! Tests of the support itself: a tool that lies makes every test that uses it worthless.
//!
//! A test binary takes them in with `#[path = "support/selftest.rs"] mod selftest;` beside its `mod support;`.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Value};
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PrivateRedis, Proxy, Restart, TestDatabase, eventually, unique_namespace};

const DEADLINE: Duration = Duration::from_secs(20);
/// Long enough for a reply that is not withheld, on a machine that is not frozen.
const NO_REPLY: Duration = Duration::from_millis(200);

async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(DEADLINE))
        .set_response_timeout(Some(DEADLINE));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

async fn ping(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    redis::cmd("PING").query_async(connection).await
}

#[test]
fn names_differ() {
    let (one, other) = (unique_namespace(), unique_namespace());
    assert_ne!(one, other);
    assert!(one.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{one}");
}

#[tokio::test]
async fn eventually_returns_when_the_condition_holds() {
    let mut looks = 0;
    eventually("the third look", DEADLINE, async || {
        looks += 1;
        looks == 3
    })
    .await;
    assert_eq!(looks, 3);
}

#[tokio::test]
#[should_panic(expected = "did not happen: pigs fly")]
async fn eventually_gives_up() {
    eventually("pigs fly", Duration::from_millis(20), async || false).await;
}

#[tokio::test]
async fn databases_are_empty_separate_and_shared_by_their_connections() {
    for database in TestDatabase::create_all().await {
        let backend = database.backend();
        database.execute("CREATE TABLE book (id INTEGER PRIMARY KEY)").await;
        let other = database.another_connection().await;

        // A reader beside an open writer: what a database in memory would not give.
        let writer = database.connection().begin().await.unwrap();
        writer.execute_unprepared("INSERT INTO book VALUES (1)").await.unwrap();
        let count = async || {
            let sql = Statement::from_string(other.get_database_backend(), "SELECT COUNT(*) FROM book");
            let row = other.query_one_raw(sql).await.unwrap().unwrap();
            row.try_get_by_index::<i64>(0).unwrap()
        };
        assert_eq!(count().await, 0, "{backend}");
        writer.commit().await.unwrap();
        assert_eq!(count().await, 1, "{backend}");

        let second = TestDatabase::create(backend).await.unwrap();
        second.execute("CREATE TABLE book (id INTEGER PRIMARY KEY)").await;
    }
}

#[tokio::test]
async fn databases_are_reached_through_a_proxy_and_dropped() {
    for database in TestDatabase::create_all().await {
        let Some(address) = database.server_address() else { continue };
        let proxy = Proxy::start(address).await;
        let through = sea_orm::Database::connect(database.url_through(&proxy.address())).await.unwrap();
        let before = proxy.round_trips();
        through.execute_unprepared("SELECT 1").await.unwrap();
        assert!(proxy.round_trips() > before);
        let url = database.url().to_owned();
        drop(database);
        assert!(sea_orm::Database::connect(url).await.is_err(), "the database is still there");
    }
}

#[tokio::test]
async fn redis_stops_freezes_and_comes_back() {
    let Some(mut redis) = PrivateRedis::start().await else { return };
    redis.command(&["SET", "name", "old"]).await;
    redis.save().await;
    redis.command(&["SET", "name", "new"]).await;

    redis.kill().await;
    assert!(connect(&redis.url()).await.is_err());
    redis.restart(Restart::Keep).await;
    assert_eq!(redis.command(&["GET", "name"]).await, Value::BulkString(b"old".to_vec()), "the old snapshot");

    redis.command(&["SET", "name", "newer"]).await;
    redis.restart(Restart::Keep).await;
    assert_eq!(redis.command(&["GET", "name"]).await, Value::BulkString(b"newer".to_vec()));

    redis.stop().await;
    assert!(!redis.is_running());
    redis.restart(Restart::Forget).await;
    assert_eq!(redis.command(&["GET", "name"]).await, Value::Nil);

    redis.pause();
    assert!(timeout(NO_REPLY, redis.command(&["PING"])).await.is_err());
    redis.resume();
    redis.command(&["PING"]).await;

    redis.reset_stats().await;
    redis.command(&["GET", "name"]).await;
    redis.command(&["GET", "name"]).await;
    assert_eq!(redis.commandstats().await.get("get"), Some(&2));
}

#[tokio::test]
async fn proxy_counts_round_trips_and_records() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut connection = connect(&proxy.redis_url()).await.unwrap();

    proxy.record();
    let before = proxy.round_trips();
    ping(&mut connection).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 1);
    let mut pipeline = redis::pipe();
    pipeline.cmd("INCR").arg("a").cmd("INCR").arg("b");
    let _: Value = pipeline.query_async(&mut connection).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 2, "a pipeline is one");
    assert_eq!(proxy.recorded_commands(), [vec!["PING"], vec!["INCR", "a"], vec!["INCR", "b"]]);
    assert_eq!((proxy.accepted(), proxy.open()), (1, 1));
}

#[tokio::test]
async fn proxy_delays_without_narrowing() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut connection = connect(&proxy.redis_url()).await.unwrap();
    for slow in [Proxy::delay, Proxy::delay_requests] {
        slow(&proxy, Duration::from_millis(100));
        let start = Instant::now();
        let pings = (0..50).map(|_| {
            let mut connection = connection.clone();
            tokio::spawn(async move { ping(&mut connection).await.unwrap() })
        });
        for ping in pings.collect::<Vec<_>>() {
            ping.await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert!(start.elapsed() < Duration::from_millis(2_500), "50 at once take one delay, not 50");
        slow(&proxy, Duration::ZERO);
    }
    ping(&mut connection).await.unwrap();
}

#[tokio::test]
async fn proxy_holds_replies_but_not_requests() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut connection = connect(&proxy.redis_url()).await.unwrap();

    proxy.hold_replies(1);
    ping(&mut connection).await.unwrap();
    let mut second = connection.clone();
    let second = tokio::spawn(async move {
        let reply: RedisResult<u64> = redis::cmd("INCR").arg("n").query_async(&mut second).await;
        reply.unwrap()
    });
    proxy.until_holding().await;
    assert_eq!(redis.command(&["GET", "n"]).await, Value::BulkString(b"1".to_vec()), "it was carried out");
    tokio::time::sleep(NO_REPLY).await;
    assert!(!second.is_finished());
    proxy.release();
    assert_eq!(second.await.unwrap(), 1);
    ping(&mut connection).await.unwrap();
}

#[tokio::test]
async fn proxy_holds_a_large_reply_whole_or_not_at_all() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut connection = connect(&proxy.redis_url()).await.unwrap();
    let large = "x".repeat(4 << 20);
    redis.command(&["SET", "large", &large]).await;
    proxy.hold_replies(1);
    let reply: String = redis::cmd("GET").arg("large").query_async(&mut connection).await.unwrap();
    assert_eq!(reply.len(), large.len());
    assert!(timeout(NO_REPLY, ping(&mut connection)).await.is_err());
}

#[tokio::test]
async fn proxy_cuts() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut connection = connect(&proxy.redis_url()).await.unwrap();
    proxy.cut().await;
    assert_eq!(proxy.open(), 0);
    assert!(ping(&mut connection).await.is_err());
    let mut connection = connect(&proxy.redis_url()).await.unwrap();
    ping(&mut connection).await.unwrap();
}

#[tokio::test]
async fn proxy_black_holes_the_connections_there_are() {
    let Some(mut redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut old = connect(&proxy.redis_url()).await.unwrap();
    proxy.black_hole();
    assert!(timeout(NO_REPLY, ping(&mut old)).await.is_err(), "an answer from a black hole");
    let mut new = connect(&proxy.redis_url()).await.unwrap();
    ping(&mut new).await.unwrap();

    // The old connection does not even hear that the server is gone; the new one does.
    redis.kill().await;
    assert!(ping(&mut new).await.is_err());
    assert!(timeout(NO_REPLY, ping(&mut old)).await.is_err());
    proxy.cut().await;
    assert!(ping(&mut old).await.is_err());
}

#[tokio::test]
async fn proxy_delays_and_black_holes_what_is_marked_alone() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    proxy.mark(b"GETNAME");
    let mut marked = connect(&proxy.redis_url()).await.unwrap();
    let mut other = connect(&proxy.redis_url()).await.unwrap();
    let _: Option<String> = redis::cmd("CLIENT").arg("GETNAME").query_async(&mut marked).await.unwrap();
    const DELAY: Duration = Duration::from_millis(50);
    proxy.delay_marked(DELAY);
    let start = Instant::now();
    ping(&mut marked).await.unwrap();
    assert!(start.elapsed() >= DELAY);
    proxy.delay_marked(Duration::ZERO);
    proxy.black_hole_marked();
    assert!(timeout(NO_REPLY, ping(&mut marked)).await.is_err(), "an answer from a black hole");
    ping(&mut other).await.unwrap();
    ping(&mut connect(&proxy.redis_url()).await.unwrap()).await.unwrap();
    proxy.cut().await;
    assert!(ping(&mut marked).await.is_err());
}

#[tokio::test]
async fn proxy_refuses_and_accepts() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&redis.url()).await;
    let mut connection = connect(&proxy.redis_url()).await.unwrap();
    for _ in 0..3 {
        proxy.refuse().await;
        proxy.refuse().await;
        // A process that another test is just starting holds the listener's copy until it runs.
        eventually("connections are refused", Duration::from_secs(10), async || {
            let connected = TcpStream::connect(proxy.address()).await;
            connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        })
        .await;
        ping(&mut connection).await.unwrap();
        proxy.accept().await;
        proxy.accept().await;
        ping(&mut connect(&proxy.redis_url()).await.unwrap()).await.unwrap();
    }
}
