//! What the routes tell, do and refuse, over real connections.

use std::time::Duration;

use axum::Router;
use sea_orm::entity::prelude::*;
use sea_orm_cache::{Cache, CacheError, prelude::*, status_router};
use serde_json::{Value, json};

use super::{Served, bearer, request, with_token};
use crate::{
    entity::book,
    support::{PrivateRedis, eventually, redis_command, shared_redis_url, unique_namespace},
    world::{StoreKind, World, builder, caches, patient, retitled},
};

const SOON: Duration = Duration::from_secs(20);
const CLOSED: [(&str, &str); 7] = [
    ("GET", "/status"),
    ("GET", "/purges"),
    ("GET", "/entries"),
    ("GET", "/warm-up"),
    ("POST", "/invalidate"),
    ("POST", "/reset-stats"),
    ("POST", "/warm-up"),
];
const PAGE: [&str; 3] = ["/dashboard", "/dashboard.js", "/dashboard.css"];
const JSON: &str = "content-type: application/json";

async fn cache() -> Cache {
    Cache::builder().namespace(unique_namespace()).build().await.unwrap()
}

/// Stores an entry and waits until it can be read.
async fn store(cache: &Cache, key: &str, options: EntryOptions) {
    cache.set(key, &7, options).await.unwrap();
    eventually("the entry is there", SOON, async || cache.exists(key).await.unwrap()).await;
}

// feature D5, D6
#[tokio::test]
async fn one_word_of_health_is_open_and_all_else_is_closed_until_somebody_says_who_may_come_in() {
    let served = Served::start(status_router(cache().await)).await;
    let ask = async |method, path, headers: &[&str]| {
        request(&served.address, method, path, headers, (method == "POST").then_some("{}")).await
    };
    let health = ask("GET", "/health", &[]).await;
    assert_eq!((health.code, health.body.as_str()), (200, r#"{"status":"healthy"}"#));
    for (method, path) in CLOSED {
        let answer = ask(method, path, &[&bearer(), JSON]).await;
        assert_eq!((answer.code, &answer.json()["error"]), (403, &json!("closed")), "{path}");
    }
    for path in PAGE {
        assert_eq!(ask("GET", path, &[]).await.code, 404, "{path}");
    }
}

// feature D6
#[tokio::test]
async fn with_a_token_only_who_has_it_comes_in() {
    let cache = cache().await;
    assert!(matches!(status_router(cache.clone()).token("short"), Err(CacheError::Config(_))));
    let served = Served::start(with_token(&cache)).await;
    for (method, path) in CLOSED {
        for headers in [&[JSON][..], &[JSON, "authorization: Bearer 0f1e2d3c4b5a69788796a5b4c3d2e1f1"]] {
            let answer = request(&served.address, method, path, headers, Some("{}")).await;
            assert_eq!((answer.code, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
            assert!(!answer.body.contains(&cache.config().namespace), "{path}");
        }
    }
    assert_eq!(served.get("/status").await.json()["namespace"], cache.config().namespace.as_str());
    assert_eq!(served.get("/health").await.json()["reachable"], true);
    let open = request(&served.address, "GET", "/health", &[], None).await;
    assert_eq!(open.body, r#"{"status":"healthy"}"#);
    // The page is no secret: it has nothing in it.
    for path in PAGE {
        let page = request(&served.address, "GET", path, &[], None).await;
        assert_eq!((page.code, page.header("cache-control")), (200, Some("no-store")), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"));
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_has_nothing_inline() {
    let served = Served::start(with_token(&cache().await)).await;
    for path in PAGE {
        let text = request(&served.address, "GET", path, &[], None).await.body;
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://") && !outside.contains("https://"), "{path}");
        for inline in [" style=", " onclick=", "<style", "javascript:", "innerHTML", "@import", "url("] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn what_changes_something_is_not_taken_from_another_site_nor_from_a_form() {
    let cache = cache().await;
    for app in [with_token(&cache), status_router(cache.clone()).guarded_by_caller()] {
        let served = Served::start(app).await;
        let post = async |headers: &[&str]| {
            let bearer = bearer();
            let headers: Vec<_> = std::iter::once(bearer.as_str()).chain(headers.iter().copied()).collect();
            request(&served.address, "POST", "/reset-stats", &headers, Some("{}")).await.code
        };
        assert_eq!(post(&[JSON]).await, 204);
        assert_eq!(post(&[JSON, &format!("origin: http://{}", served.address)]).await, 204);
        assert_eq!(post(&[JSON, "origin: https://evil.example"]).await, 403);
        assert_eq!(post(&[JSON, "sec-fetch-site: cross-site"]).await, 403);
        assert_eq!(post(&["content-type: text/plain"]).await, 415);
        assert_eq!(post(&[]).await, 415);
    }
}

#[tokio::test]
async fn a_layer_of_the_callers_stands_before_all_of_it() {
    let app: Router = status_router(cache().await).guarded_by_caller().into();
    let app = Router::new().nest("/cache", app).layer(axum::middleware::from_fn(
        |request: axum::extract::Request, next: axum::middleware::Next| async move {
            match request.headers().get("x-operator") {
                Some(_) => next.run(request).await,
                None => axum::response::IntoResponse::into_response(axum::http::StatusCode::FORBIDDEN),
            }
        },
    ));
    let served = Served::start(app).await;
    let code =
        async |headers: &[&str]| request(&served.address, "GET", "/cache/status", headers, None).await.code;
    assert_eq!((code(&[]).await, code(&["x-operator: hopper"]).await), (403, 200));
}

// case G2, G8
// feature D6
#[tokio::test]
async fn what_is_told_is_what_was_counted_and_holds_no_keys() {
    for world in World::on_each_store().await {
        let served = Served::start(with_token(world.cache())).await;
        for round in 0..3 {
            for id in 1..=4 {
                world.title(id).await;
            }
            book::Entity::find()
                .filter(book::Column::Title.eq("hopper@example.org"))
                .cached()
                .all(&world.db)
                .await
                .unwrap();
            retitled(2, &format!("hopper {round}")).update(&world.db).await.unwrap();
        }
        store(world.cache(), "hopper", EntryOptions::new().tag("hopper@example.org")).await;
        world.cache().invalidate_tag("hopper@example.org").await;
        let status = served.get("/status").await;
        let told = status.json();
        let stats = world.cache().stats();
        let number = |path: &str| {
            told.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {told}"))
        };
        for (path, counted) in [
            ("/total/reads", stats.total.reads),
            ("/total/hits", stats.total.hits),
            ("/purges/by_writes", 3),
            ("/purges/by_hand", 1),
            ("/purges/waiting_tags", 0),
            ("/stored_entries", stats.stored_entries),
            ("/store_time/read/count", stats.store_reads.count),
        ] {
            assert_eq!(number(path), counted, "{world}: {path}");
        }
        let tables = told["tables"].as_array().unwrap();
        let sum = |part: &str| tables.iter().map(|table| table[part].as_u64().unwrap()).sum::<u64>();
        for part in ["reads", "hits", "misses", "bypasses"] {
            assert_eq!(sum(part), number(&format!("/total/{part}")), "{world}: {part}");
        }
        assert_eq!(sum("reads"), sum("hits") + sum("misses") + sum("bypasses"), "{world}");
        assert_eq!(told["health"]["status"], "healthy", "{world}");
        assert!(told["advice"].is_array() && told["server"]["memory_bytes"].is_u64(), "{world}: {told}");
        let purges = served.get("/purges").await;
        let feed = purges.json();
        let feed = feed["purges"].as_array().unwrap();
        assert_eq!(feed.len(), 4, "{world}: {feed:?}");
        assert_eq!((&feed[0]["reason"], &feed[0]["tags"]), (&json!("invalidation"), &json!(1)), "{world}");
        assert_eq!(feed[1]["tables"], json!([{ "table": "book", "scope": "rows", "rows": 1 }]), "{world}");
        for answer in [status, purges, served.get("/entries").await, served.get("/health").await] {
            assert!(!answer.body.contains("hopper"), "{world}: {}", answer.body);
        }
    }
}

// case G5
// feature D6
#[tokio::test]
async fn clearing_wants_to_be_confirmed_and_touches_its_own_namespace_alone() {
    for (kind, own) in caches().await {
        let namespace = own.config().namespace.clone();
        let neighbour = builder(kind, &format!("{namespace}2")).unwrap().build().await.unwrap();
        let foreign = format!("{namespace}3:e:key");
        let url = if kind == StoreKind::Redis { shared_redis_url() } else { None };
        if let Some(url) = &url {
            redis_command(url, &["SET", &foreign, "another application's", "PX", "600000"]).await;
        }
        store(&own, "key", EntryOptions::new()).await;
        store(&neighbour, "key", EntryOptions::new()).await;
        let served = Served::start(with_token(&own)).await;
        for unsure in
            [json!({}), json!({ "confirm": true }), json!({ "confirm": "yes" }), json!({ "confirm": "" })]
        {
            for scope in ["all", "pattern"] {
                let mut body = unsure.clone();
                body["scope"] = scope.into();
                if scope == "pattern" {
                    body["pattern"] = "*".into();
                }
                assert_eq!(served.post("/invalidate", body.clone()).await.code, 422, "{kind:?}: {body}");
            }
        }
        assert!(own.exists("key").await.unwrap(), "{kind:?}");
        let done = served.post("/invalidate", json!({ "scope": "all", "confirm": namespace })).await;
        assert_eq!((done.code, done.json()), (200, json!({ "delivered": true })), "{kind:?}");
        assert!(!own.exists("key").await.unwrap(), "{kind:?}");
        assert!(neighbour.exists("key").await.unwrap(), "{kind:?}");
        store(&own, "key", EntryOptions::new()).await;
        let pattern = json!({ "scope": "pattern", "pattern": "e:*", "confirm": namespace });
        assert_eq!(served.post("/invalidate", pattern).await.json()["dropped"], 1, "{kind:?}");
        assert!(!own.exists("key").await.unwrap() && neighbour.exists("key").await.unwrap(), "{kind:?}");
        if let Some(url) = &url {
            let value = redis_command(url, &["GETDEL", &foreign]).await;
            assert_eq!(value, redis::Value::BulkString(b"another application's".to_vec()));
        }
    }
}

// case G5
// feature D5, D6
#[tokio::test]
async fn with_redis_away_or_frozen_status_is_told_all_the_same() {
    let Some(mut redis) = PrivateRedis::start().await else { return };
    let builder = Cache::builder().namespace("shop").redis_with(patient(redis.url()));
    let cache = builder.build().await.unwrap();
    let served = Served::start(with_token(&cache)).await;
    assert_eq!(served.get("/health").await.code, 200);
    redis.pause();
    // The client gives up after a minute, which is when this fails: the store's own limits, five
    // seconds in this test, are not what it waits for.
    assert_eq!(served.get("/health").await.code, 503);
    assert_eq!(served.get("/status").await.json()["health"]["status"], "unhealthy");
    redis.resume();
    redis.kill().await;
    let health = request(&served.address, "GET", "/health", &[], None).await;
    assert_eq!((health.code, health.body.as_str()), (503, r#"{"status":"unhealthy"}"#));
    let done = served.post("/invalidate", json!({ "scope": "table", "table": "book" })).await;
    assert_eq!((done.code, done.json()), (200, json!({ "delivered": false })));
    let status = served.get("/status").await.json();
    assert_eq!(status["advice"][0]["code"], "store-unreachable", "{status}");
    assert_eq!(
        (&status["health"]["fallback"], &status["health"]["latency_ms"]),
        (&json!(true), &Value::Null)
    );
    assert!(status["purges"]["waiting_tags"].as_u64() > Some(0), "{status}");
    assert_eq!(served.get("/purges").await.json()["purges"][0]["queued"], true);
    assert_eq!(served.get("/entries").await.code, 503);
}

// feature D6
#[tokio::test]
async fn each_scope_makes_misses_of_what_it_names_and_of_nothing_else() {
    for world in World::on_each_store().await {
        let served = Served::start(with_token(world.cache())).await;
        let warm = async || {
            eventually("all is cached", SOON, async || {
                world.title(3).await;
                world.title(4).await;
                world.is_hit(world.title(3)).await.1 && world.is_hit(world.title(4)).await.1
            })
            .await;
        };
        let done = async |body: Value| {
            let answer = served.post("/invalidate", body).await;
            assert_eq!(answer.code, 200, "{world}: {}", answer.body);
            answer.json()
        };
        warm().await;
        done(json!({ "scope": "row", "table": "Book", "key": 3 })).await;
        assert!(!world.book_is_cached(3).await && world.book_is_cached(4).await, "{world}");
        warm().await;
        done(json!({ "scope": "row", "table": "book", "key": [3] })).await;
        assert!(!world.book_is_cached(3).await && world.book_is_cached(4).await, "{world}");
        warm().await;
        // It does not say which row: all of them.
        done(json!({ "scope": "row", "table": "book", "key": "three" })).await;
        assert!(!world.book_is_cached(3).await && !world.book_is_cached(4).await, "{world}");
        warm().await;
        done(json!({ "scope": "tag", "tag": "publisher:1" })).await;
        assert!(world.book_is_cached(3).await && !world.book_is_cached(4).await, "{world}");
        warm().await;
        store(world.cache(), "own", EntryOptions::new()).await;
        let there = served.get("/entries").await.json();
        let rows = |document: &Value| {
            let tables = document["tables"].as_array().unwrap();
            tables
                .iter()
                .find(|table| table["table"] == "book")
                .map_or(0, |table| table["rows"].as_u64().unwrap())
        };
        assert!(rows(&there) >= 2, "{world}: {there}");
        let dropped = done(json!({ "scope": "entity", "table": "book", "drop": true })).await;
        assert!(dropped["dropped"].as_u64() >= Some(2), "{world}: {dropped}");
        assert_eq!(rows(&served.get("/entries").await.json()), 0, "{world}");
        assert!(!world.book_is_cached(3).await && world.cache().exists("own").await.unwrap(), "{world}");
        for (bad, code) in [
            (json!({ "scope": "row", "table": "nothing", "key": 1 }), 422),
            (json!({ "scope": "row", "table": "book", "key": [1, 2] }), 422),
            (json!({ "scope": "table", "table": "" }), 422),
            (json!({ "scope": "tag", "tag": "x".repeat(2000) }), 422),
            (json!({ "scope": "everything" }), 422),
            (json!({ "scope": "tag", "tag": "x", "confrim": 1 }), 422),
            (json!([]), 422),
        ] {
            let answer = served.post("/invalidate", bad.clone()).await;
            assert_eq!(answer.code, code, "{world}: {bad}: {}", answer.body);
        }
        let huge = served.post("/invalidate", json!({ "scope": "tag", "tag": "x".repeat(100_000) })).await;
        assert_eq!(huge.code, 413, "{world}");
    }
}

// case G6
// feature D6
#[tokio::test]
async fn a_warm_up_runs_once_at_a_time_and_says_how_far_it_is() {
    let Some(world) = World::on_each_store().await.pop() else { return };
    let without = Served::start(with_token(world.cache())).await;
    assert_eq!(without.post("/warm-up", json!({})).await.code, 404);
    assert_eq!(without.get("/status").await.json()["can_warm_up"], false);

    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    world.db.register_warm_up("slow", {
        let gate = gate.clone();
        move |_, progress| {
            let gate = gate.clone();
            async move {
                progress.add(7, 70);
                drop(gate.acquire().await.unwrap());
                Err(DbErr::Custom("hopper@example.org".to_owned()))
            }
        }
    });
    let served = Served::start(with_token(world.cache()).warm_up_with(world.db.clone())).await;
    assert_eq!(served.get("/warm-up").await.json()["running"], false);
    assert_eq!(served.post("/warm-up", json!({ "only": ["book", "slow"] })).await.code, 202);
    eventually("the slow one is under way", SOON, async || {
        served.get("/warm-up").await.json()["loaders"]["slow"]["entries"] == 7
    })
    .await;
    assert_eq!(served.post("/warm-up", json!({})).await.code, 409);
    gate.add_permits(1);
    eventually("it is over", SOON, async || served.get("/warm-up").await.json()["running"] == false).await;
    let answer = served.get("/warm-up").await;
    let told = answer.json();
    assert_eq!(
        (&told["loaders"]["book"]["entries"], &told["loaders"]["book"]["failed"]),
        (&json!(12), &json!(false))
    );
    assert_eq!(told["loaders"]["slow"]["failed"], true);
    assert!(told["loaders"].as_object().unwrap().len() == 2 && told["took_ms"].is_number(), "{told}");
    assert!(!answer.body.contains("hopper"), "{}", answer.body);
}
