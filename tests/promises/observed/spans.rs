//! A span for each round trip, as OpenTelemetry names things, and without data.

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm_cache::prelude::*;

use super::log::Log;
use crate::{
    entity::book,
    support::{Backend, PrivateRedis},
    world::{StoreKind, World, patient, retitled},
};

const SECRET: &str = "hunter2";

// feature D4
// case G8
#[tokio::test(flavor = "current_thread")]
async fn each_round_trip_is_a_span_without_keys_or_rows() {
    let Some(redis) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let config = patient(redis.url()).write_timeout(Duration::from_secs(1));
    let cache = Cache::builder().namespace("spans").redis_with(config).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    let read = || book::Entity::cached_by_id(3, &db);
    read().await.unwrap();
    db.cache().ping().await.unwrap();
    let (log, _listening) = Log::listen();
    let spans = |log: &Log| -> Vec<String> {
        log.take().into_iter().filter(|line| line.contains("redis{") && line.contains("close")).collect()
    };
    let of = |lines: &[String], command: &str| {
        let name = format!("db.operation.name=\"{command}\"");
        lines.iter().filter(|line| line.contains(&name)).count()
    };
    read().await.unwrap();
    let hit = spans(&log);
    assert_eq!((hit.len(), of(&hit, "MGET")), (1, 1), "{hit:?}");
    let port = redis.address().rsplit(':').next().unwrap().to_owned();
    for field in [
        "otel.name=\"MGET\"",
        "otel.kind=\"client\"",
        "db.system.name=\"redis\"",
        "server.address=\"127.0.0.1\"",
        &format!("server.port={port}"),
    ] {
        assert!(hit[0].contains(field), "{field}: {hit:?}");
    }
    assert!(!hit[0].contains("error.type"), "{hit:?}");
    retitled(3, SECRET).update(&db).await.unwrap();
    let write = spans(&log);
    assert!(of(&write, "EVALSHA") >= 2, "a barrier and a purge: {write:?}");
    redis.pause();
    db.cache().invalidate_table("book").await;
    redis.resume();
    let late = spans(&log);
    assert!(late.iter().any(|line| line.contains("error.type=\"timeout\"")), "{late:?}");
    for line in [hit, write, late].concat() {
        assert!(!line.contains(SECRET) && !line.contains("spans:") && !line.contains("book:3"), "{line}");
    }
}
