//! HTTP responses: what is kept, for whom, and that no write leaves one behind. By a real client, over a
//! socket.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{future::join_all, stream};
use sea_orm::{TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, CacheTags, CachedBy, CachedConnection, CachedQuery, ResponseCache};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    entity::{book, publisher},
    support::{Backend, eventually},
    world::{StoreKind, World, new_book, retitled},
};

const SOON: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

/// What the handlers share.
#[derive(Clone)]
struct Shop {
    db: CachedConnection,
    runs: Arc<AtomicUsize>,
    /// Has read, and waits.
    waiting: Arc<Semaphore>,
    may_go: Arc<Semaphore>,
}

impl Shop {
    fn new(db: &CachedConnection) -> Self {
        Self {
            db: db.clone(),
            runs: Arc::default(),
            waiting: Arc::new(Semaphore::new(0)),
            may_go: Arc::new(Semaphore::new(0)),
        }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    async fn until_waiting(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }

    fn go(&self, many: usize) {
        self.may_go.add_permits(many);
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    fields: HashMap<String, Vec<String>>,
    body: String,
}

impl Reply {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |values| values[0].as_str())
    }

    fn is_hit(&self) -> bool {
        self.field("cache-status").contains("; hit")
    }
}

/// A server of its own on a port of its own.
struct Server(String);

impl Server {
    async fn of(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self(address)
    }

    async fn ask(&self, request: &str, fields: &[(&str, &str)]) -> Option<Reply> {
        let mut socket = TcpStream::connect(&self.0).await.unwrap();
        // HTTP/1.0: the body ends with the connection.
        let mut text = format!("{request} HTTP/1.0\r\n");
        if fields.iter().all(|(name, _)| *name != "host") {
            text.push_str("host: shop\r\n");
        }
        fields.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        socket.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.ok()?;
        let all = String::from_utf8(all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let mut fields: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            fields.entry(name.to_lowercase()).or_default().push(value.to_owned());
        }
        Some(Reply { status, fields, body: body.to_owned() })
    }

    async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.ask(&format!("GET {path}"), fields).await.expect("an answer")
    }

    /// Asks until it is answered from the cache: which tables there are is learned first.
    async fn until_hit(&self, path: &str) -> Reply {
        eventually(path, SOON, async || self.get(path).await.is_hit()).await;
        self.get(path).await
    }
}

async fn book(State(shop): State<Shop>, Path(id): Path<i64>) -> Result<String, StatusCode> {
    shop.runs.fetch_add(1, Ordering::SeqCst);
    let book = book::Entity::find_by_id(id).cached().one(&shop.db).await.unwrap();
    Ok(book.ok_or(StatusCode::NOT_FOUND)?.title)
}

async fn plain_book(State(shop): State<Shop>, Path(id): Path<i64>) -> String {
    shop.runs.fetch_add(1, Ordering::SeqCst);
    book::Entity::find_by_id(id).one(&shop.db).await.unwrap().unwrap().title
}

async fn publishers(State(shop): State<Shop>) -> String {
    shop.runs.fetch_add(1, Ordering::SeqCst);
    let all = publisher::Entity::find().cached().all(&shop.db).await.unwrap();
    all.into_iter().map(|publisher| publisher.name + "\n").collect()
}

async fn joined(State(shop): State<Shop>) -> String {
    shop.runs.fetch_add(1, Ordering::SeqCst);
    let pairs =
        book::Entity::find().find_also_related(publisher::Entity).cached().all(&shop.db).await.unwrap();
    pairs.into_iter().map(|(book, publisher)| book.title + " " + &publisher.unwrap().name + "\n").collect()
}

/// Reads, and answers when it is told to.
async fn slow(State(shop): State<Shop>, Path(id): Path<i64>) -> String {
    shop.runs.fetch_add(1, Ordering::SeqCst);
    let title = book::Entity::find_by_id(id).one(&shop.db).await.unwrap().unwrap().title;
    shop.waiting.add_permits(1);
    shop.may_go.acquire().await.unwrap().forget();
    title
}

fn shop_front(shop: &Shop, responses: ResponseCache) -> Router {
    Router::new()
        .route("/books/{id}", get(book))
        .route("/plain/{id}", get(plain_book))
        .route("/publishers", get(publishers))
        .route("/joined", get(joined))
        .route("/slow/{id}", get(slow))
        .layer(responses)
        .with_state(shop.clone())
}

async fn on_memory() -> (World, Shop) {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let shop = Shop::new(&world.db);
    (world, shop)
}

async fn rename_publisher(db: &CachedConnection, id: i64, name: &str) {
    let name = sea_orm::ActiveValue::Set(name.to_owned());
    let edit = publisher::ActiveModel { id: sea_orm::ActiveValue::Set(id), name };
    edit.update(db).await.unwrap();
}

// feature C1
#[tokio::test]
async fn a_write_to_an_entity_purges_the_responses_that_showed_it_and_no_others() {
    for world in World::all().await {
        let shop = Shop::new(&world.db);
        let server = Server::of(shop_front(&shop, ResponseCache::new(world.cache()).ttl(MINUTE))).await;
        // What is in the process's own memory no other writes to.
        let shared = world.store == StoreKind::Redis;
        let another = if shared { Some(world.another_process().await) } else { None };
        for path in ["/books/7", "/plain/7", "/publishers", "/joined"] {
            assert_eq!(server.until_hit(path).await.status, 200, "{world} {path}");
        }
        for (round, db) in [Some(&world.db), another.as_ref()].into_iter().flatten().enumerate() {
            let title = format!("Round {round}");
            retitled(7, &title).update(db).await.unwrap();
            for path in ["/books/7", "/plain/7"] {
                let reply = server.get(path).await;
                assert_eq!((reply.body.as_str(), reply.is_hit()), (title.as_str(), false), "{world} {path}");
            }
            assert!(server.get("/joined").await.body.contains(&title), "{world}");
            assert!(server.get("/publishers").await.is_hit(), "{world}: it shows no book");
            for path in ["/books/7", "/plain/7", "/joined"] {
                server.until_hit(path).await;
            }
            let name = format!("House {round}");
            rename_publisher(db, 1, &name).await;
            assert!(server.get("/publishers").await.body.contains(&name), "{world}");
            assert!(server.get("/joined").await.body.contains(&name), "{world}");
            assert!(server.get("/books/7").await.is_hit(), "{world}: it shows no publisher");
            server.until_hit("/publishers").await;
            server.until_hit("/joined").await;
        }
    }
}

// feature C1
#[tokio::test]
async fn a_route_learns_its_tables_once_and_then_every_miss_stores() {
    for world in World::on_each_store().await {
        let shop = Shop::new(&world.db);
        let server = Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await;
        server.until_hit("/books/1").await;
        for id in 2..=5 {
            assert!(!server.get(&format!("/books/{id}")).await.is_hit(), "{world}");
            let again = server.get(&format!("/books/{id}")).await;
            assert!(!again.field("cache-status").ends_with("fwd=miss"), "{world} {again:?}");
        }
        let runs = shop.runs();
        // After a write of this process, too: one miss for each.
        retitled(3, "Written").update(&world.db).await.unwrap();
        for _ in 0..3 {
            assert_eq!(server.get("/books/3").await.body, "Written", "{world}");
        }
        assert_eq!(shop.runs(), runs + 1, "{world}");
        if world.store != StoreKind::Redis {
            continue;
        }
        // And after one of another process.
        retitled(3, "Elsewhere").update(&world.another_process().await).await.unwrap();
        for _ in 0..3 {
            assert_eq!(server.get("/books/3").await.body, "Elsewhere", "{world}");
        }
        assert_eq!(shop.runs(), runs + 2, "{world}");
    }
}

// feature C1
#[tokio::test]
async fn a_slow_handler_that_a_write_overtakes_leaves_nothing_stale_behind() {
    for world in World::on_each_store().await {
        let shop = Shop::new(&world.db);
        let server = Arc::new(Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await);
        // What it reads is known.
        shop.go(2);
        for _ in 0..2 {
            server.get("/slow/2").await;
            shop.until_waiting().await;
        }
        let early = tokio::spawn({
            let server = server.clone();
            async move { server.get("/slow/1").await.body }
        });
        shop.until_waiting().await;
        retitled(1, "New").update(&world.db).await.unwrap();
        // While the first is still under way: who comes after the write does not wait for it.
        let late = tokio::spawn({
            let server = server.clone();
            async move { server.get("/slow/1").await.body }
        });
        shop.until_waiting().await;
        shop.go(2);
        assert_eq!(early.await.unwrap(), "Title 1", "{world}: it began before the write");
        assert_eq!(late.await.unwrap(), "New", "{world}");
        shop.go(1);
        let runs = shop.runs();
        assert_eq!(server.get("/slow/1").await.body, "New", "{world}");
        assert_eq!(shop.runs(), runs, "{world}: it was kept");
    }
}

// feature C1
#[tokio::test]
async fn who_comes_after_a_write_shares_no_response_from_before_it_even_of_an_unknown_route() {
    let (world, shop) = on_memory().await;
    let server = Arc::new(Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await);
    let get = || {
        let server = server.clone();
        tokio::spawn(async move { server.get("/slow/1").await.body })
    };
    let early = get();
    shop.until_waiting().await;
    retitled(1, "New").update(&world.db).await.unwrap();
    let late = get();
    shop.go(1);
    assert_eq!(early.await.unwrap(), "Title 1");
    shop.go(1);
    assert_eq!(late.await.unwrap(), "New");
}

// feature C1
#[tokio::test]
async fn of_a_hundred_who_ask_at_a_time_one_is_answered_by_the_handler() {
    for world in World::on_each_store().await {
        let shop = Shop::new(&world.db);
        let server = Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await;
        shop.go(1);
        server.get("/slow/2").await;
        shop.until_waiting().await;
        let runs = shop.runs();
        let all = join_all((0..100).map(|_| server.get("/slow/1")));
        let (replies, ()) = tokio::join!(all, async {
            shop.until_waiting().await;
            // Those who are not among its followers by now find what it has stored.
            shop.go(1);
        });
        assert!(replies.iter().all(|reply| reply.body == "Title 1"), "{world}");
        assert_eq!(shop.runs(), runs + 1, "{world}");
    }
}

// feature C1
#[tokio::test]
async fn two_users_never_see_each_others_responses() {
    let (world, shop) = on_memory().await;
    async fn account(State(shop): State<Shop>, headers: HeaderMap) -> Response {
        shop.runs.fetch_add(1, Ordering::SeqCst);
        publisher::Entity::find_by_id(1).cached().one(&shop.db).await.unwrap();
        let who = headers.get("authorization").or(headers.get("cookie"));
        let who = who.map_or("nobody", |value| value.to_str().unwrap()).to_owned();
        ([("cache-control", "private, max-age=60")], who).into_response()
    }
    let route = |responses: ResponseCache| {
        Router::new().route("/account", get(account)).layer(responses).with_state(shop.clone())
    };
    let plain = Server::of(route(ResponseCache::new(world.cache()))).await;
    for _ in 0..3 {
        for (field, user) in [("authorization", "ann"), ("authorization", "bob"), ("cookie", "id=7")] {
            let reply = plain.get_with("/account", &[(field, user)]).await;
            assert_eq!((reply.body.as_str(), reply.is_hit()), (user, false));
            assert!(reply.field("cache-status").contains("fwd=bypass"), "{reply:?}");
        }
        assert!(!plain.get("/account").await.is_hit(), "it is private, and nobody says whose");
    }
    let keyed = ResponseCache::new(world.cache())
        .keyed_by(|head| Some(head.headers.get("authorization")?.to_str().ok()?.to_owned()));
    let keyed = Server::of(route(keyed)).await;
    let runs = shop.runs();
    for round in 0..4 {
        for user in ["ann", "bob"] {
            let reply = keyed.get_with("/account", &[("authorization", user)]).await;
            assert_eq!(reply.body, user);
            assert!(round < 2 || reply.is_hit(), "{reply:?}");
        }
        let reply = keyed.get_with("/account", &[("cookie", "id=7")]).await;
        assert_eq!((reply.body.as_str(), reply.is_hit()), ("id=7", false), "nobody says who that is");
    }
    assert!(shop.runs() - runs <= 3 + 4, "one run for each user, one more to learn, and four with a cookie");
}

// feature C1
#[tokio::test]
async fn what_must_not_be_kept_is_made_anew_each_time() {
    let (world, shop) = on_memory().await;
    async fn of(State(shop): State<Shop>, Path(what): Path<String>) -> Response {
        let run = shop.runs.fetch_add(1, Ordering::SeqCst).to_string();
        let db = &shop.db;
        let field = |name: &'static str, value: &'static str| ([(name, value)], run.clone()).into_response();
        match what.as_str() {
            "kept" => field("cache-control", "public, max-age=60"),
            "varied" => field("vary", "Accept-Language"),
            "cookie" => field("set-cookie", "id=7"),
            "no-store" => field("cache-control", "max-age=60, no-store"),
            "no-cache" => field("cache-control", "no-cache"),
            "private" => field("cache-control", "private"),
            "over" => field("cache-control", "max-age=0"),
            "shared-over" => field("cache-control", "max-age=60, s-maxage=0"),
            "expired" => field("expires", "0"),
            "vary-all" => field("vary", "*"),
            "vary-more" => field("vary", "accept-language, x-other"),
            "events" => field("content-type", "text/event-stream"),
            "error" => (StatusCode::INTERNAL_SERVER_ERROR, run).into_response(),
            "created" => (StatusCode::CREATED, run).into_response(),
            "found" => (StatusCode::FOUND, [("location", "/")], run).into_response(),
            "write" => {
                retitled(1, &run).update(db).await.unwrap();
                run.into_response()
            }
            "transaction" => {
                let tx = db.begin().await.unwrap();
                book::Entity::find_by_id(1).one(&tx).await.unwrap();
                tx.commit().await.unwrap();
                run.into_response()
            }
            "volatile" => {
                db.query_one_raw(sea_orm::Statement::from_string(
                    db.get_database_backend(),
                    "SELECT random() FROM book",
                ))
                .await
                .unwrap();
                run.into_response()
            }
            "own-entry" => {
                db.cache().get::<u8>("of somebody else").await.unwrap();
                run.into_response()
            }
            "session" => {
                let db = db.with_session_key("tenant 1");
                book::Entity::find_by_id(1).cached().one(&db).await.unwrap();
                run.into_response()
            }
            "replica" => {
                let db = db.clone().loading_from(db.inner().clone());
                book::Entity::find_by_id(1).one(&db).await.unwrap();
                run.into_response()
            }
            other => panic!("{other}"),
        }
    }
    let responses = ResponseCache::new(world.cache()).ttl(MINUTE).vary(["accept-language"]);
    let app = Router::new().route("/{what}", get(of)).layer(responses).with_state(shop.clone());
    let server = Server::of(app).await;
    for kept in ["/kept", "/varied"] {
        let runs = shop.runs();
        for _ in 0..3 {
            assert_eq!(server.get(kept).await.body, runs.to_string(), "{kept}");
        }
    }
    for what in [
        "cookie",
        "no-store",
        "no-cache",
        "private",
        "over",
        "shared-over",
        "expired",
        "vary-all",
        "vary-more",
        "events",
        "error",
        "created",
        "found",
        "write",
        "transaction",
        "volatile",
        "own-entry",
        "session",
        "replica",
    ] {
        let runs = shop.runs();
        for run in 0..3 {
            let reply = server.get(&format!("/{what}")).await;
            assert_eq!(reply.body, (runs + run).to_string(), "{what}");
            assert!(reply.field("cache-status").contains("fwd="), "{what} {reply:?}");
        }
    }
}

// feature C1
#[tokio::test]
async fn what_a_request_says_of_caches_is_heard() {
    let (world, shop) = on_memory().await;
    let server = Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await;
    server.until_hit("/books/1").await;
    for (fields, forwarded) in [
        (&[("cache-control", "no-store")][..], "fwd=bypass"),
        (&[("cache-control", "no-cache")], "fwd=request"),
        (&[("pragma", "no-cache")], "fwd=request"),
        (&[("cache-control", "max-age=0")], "fwd=request"),
        (&[("range", "bytes=0-1")], "fwd=bypass"),
        (&[("authorization", "ann")], "fwd=bypass"),
        (&[("cookie", "id=7")], "fwd=bypass"),
    ] {
        let runs = shop.runs();
        let reply = server.get_with("/books/1", fields).await;
        assert!(reply.field("cache-status").contains(forwarded), "{fields:?} {reply:?}");
        assert_eq!((reply.body.as_str(), shop.runs()), ("Title 1", runs + 1), "{fields:?}");
    }
    assert!(server.get_with("/books/1", &[("cache-control", "max-age=600")]).await.is_hit());
    assert!(server.get("/books/1").await.is_hit());
    let posted = server.ask("POST /books/1", &[]).await.unwrap();
    assert_eq!(posted.status, 405);
}

// feature C1
#[tokio::test]
async fn declared_fields_hosts_and_queries_tell_responses_apart() {
    let (world, shop) = on_memory().await;
    async fn echo(State(shop): State<Shop>, head: axum::http::request::Parts) -> String {
        shop.runs.fetch_add(1, Ordering::SeqCst);
        let field =
            |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        format!("{} {}", field("accept-language"), head.uri)
    }
    let responses = ResponseCache::new(world.cache()).vary(["Accept-Language"]);
    let app = Router::new().route("/echo", get(echo)).layer(responses).with_state(shop.clone());
    let server = Server::of(app).await;
    for _ in 0..2 {
        for language in ["de", "en", ""] {
            let reply = server.get_with("/echo?b=2&a=1", &[("accept-language", language)]).await;
            assert_eq!(reply.body, format!("{language} /echo?b=2&a=1"));
        }
        let same = server.get_with("/echo?a=1&b=2", &[("accept-language", "de")]).await;
        assert_eq!(same.body, "de /echo?b=2&a=1", "the same parameters");
        assert_eq!(server.get("/echo?b=2&a=1").await.body, " /echo?b=2&a=1", "an empty field is not none");
        assert_eq!(server.get_with("/echo?a=1&b=3", &[("host", "other")]).await.body, " /echo?a=1&b=3");
        assert_eq!(server.get("/echo?a=1&b=3").await.body, " /echo?a=1&b=3");
        assert_eq!(server.get("/echo?a=1&a=2").await.body, " /echo?a=1&a=2");
        assert_eq!(server.get("/echo?a=2&a=1").await.body, " /echo?a=2&a=1");
    }
    assert_eq!(shop.runs(), 8);
}

// feature C1
#[tokio::test]
async fn who_has_it_already_is_told_so_and_head_gets_the_header_alone() {
    let (world, shop) = on_memory().await;
    let server = Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await;
    let first = server.get("/books/1").await;
    let etag = first.field("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() == 34, "{first:?}");
    let hit = server.until_hit("/books/1").await;
    assert_eq!((hit.field("etag"), hit.body.as_str()), (etag.as_str(), "Title 1"));
    assert!(hit.field("age").parse::<u64>().unwrap() < 60);

    let list = format!("\"x\", W/{etag}");
    for given in [etag.as_str(), &list, "*"] {
        let reply = server.get_with("/books/1", &[("if-none-match", given)]).await;
        assert_eq!((reply.status, reply.body.as_str()), (304, ""), "{given}");
        assert_eq!(reply.field("etag"), etag);
    }
    let head = server.ask("HEAD /books/1", &[]).await.unwrap();
    assert!(head.is_hit() && head.body.is_empty(), "{head:?}");
    assert_eq!(head.field("content-length"), "7");

    retitled(1, "Other").update(&world.db).await.unwrap();
    let head = server.ask("HEAD /books/1", &[]).await.unwrap();
    assert!(!head.is_hit() && head.status == 200, "{head:?}");
    let reply = server.get_with("/books/1", &[("if-none-match", &etag)]).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "Other"));
    // A miss that turns out to be what the client has.
    let now = reply.field("etag").to_owned();
    retitled(2, "Another").update(&world.db).await.unwrap();
    let reply = server.get_with("/books/1", &[("if-none-match", &now)]).await;
    assert_eq!(reply.status, 304, "{reply:?}");
}

// feature C1
#[tokio::test]
async fn a_body_above_the_limit_is_streamed_and_not_kept() {
    let (world, shop) = on_memory().await;
    async fn parts(State(shop): State<Shop>, Path(count): Path<usize>) -> Body {
        shop.runs.fetch_add(1, Ordering::SeqCst);
        let part = |number: usize| Ok::<_, std::io::Error>(Bytes::from(format!("{number:>100}")));
        let first = stream::iter((0..count).map(part));
        let shop = shop.clone();
        // The end is only made when the client has seen the beginning.
        let last = stream::once(async move {
            if count > 10 {
                shop.waiting.add_permits(1);
                shop.may_go.acquire().await.unwrap().forget();
            }
            Ok(Bytes::from_static(b"end"))
        });
        Body::from_stream(futures_util::StreamExt::chain(first, last))
    }
    let responses = ResponseCache::new(world.cache()).limit(1003);
    let app = Router::new().route("/{count}", get(parts)).layer(responses).with_state(shop.clone());
    let server = Server::of(app).await;
    for (count, kept) in [(10, true), (11, false), (40, false)] {
        let runs = shop.runs();
        shop.go(if kept { 0 } else { 2 });
        for _ in 0..2 {
            let reply = server.get(&format!("/{count}")).await;
            assert_eq!(reply.body.len(), count * 100 + 3, "{count}");
            assert!(reply.body.ends_with("end") && reply.body.trim_start().starts_with("0 "), "{count}");
        }
        assert_eq!(shop.runs() - runs, if kept { 1 } else { 2 }, "{count}");
    }
    // Its beginning comes before its end is made.
    let mut socket = TcpStream::connect(&server.0).await.unwrap();
    socket.write_all(b"GET /99 HTTP/1.0\r\n\r\n").await.unwrap();
    let mut seen = [0; 2000];
    socket.read_exact(&mut seen).await.unwrap();
    shop.go(1);
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}

// feature C1
#[tokio::test]
async fn what_is_not_there_is_remembered_until_it_is() {
    for world in World::on_each_store().await {
        let shop = Shop::new(&world.db);
        let server = Server::of(shop_front(&shop, ResponseCache::new(world.cache()))).await;
        assert_eq!(server.until_hit("/books/99").await.status, 404, "{world}");
        new_book(99).insert(&world.db).await.unwrap();
        assert_eq!(server.get("/books/99").await.body, "Title 99", "{world}");
    }
}

// feature C1
#[tokio::test]
async fn tags_of_the_route_and_of_the_handler_purge_a_response() {
    let (world, shop) = on_memory().await;
    async fn rates(State(shop): State<Shop>) -> impl IntoResponse {
        let run = shop.runs.fetch_add(1, Ordering::SeqCst).to_string();
        (Extension(CacheTags::new().tag("rates").entity(publisher::Entity)), run)
    }
    let responses = ResponseCache::new(world.cache()).tag("shop");
    let app = Router::new().route("/rates", get(rates)).layer(responses).with_state(shop.clone());
    let server = Server::of(app).await;
    let mut last = server.until_hit("/rates").await.body;
    for purge in ["shop", "rates", "responses:*", "publisher"] {
        match purge {
            "publisher" => rename_publisher(&world.db, 1, "New").await,
            tag => world.cache().invalidate_tag(tag).await,
        }
        assert_ne!(server.get("/rates").await.body, last, "{purge}");
        last = server.until_hit("/rates").await.body;
    }
    world.cache().invalidate_tag("others").await;
    assert_eq!(server.get("/rates").await.body, last);
}

// feature C1
#[tokio::test]
async fn a_handler_that_panics_holds_nobody_up() {
    let (world, shop) = on_memory().await;
    async fn fragile(State(shop): State<Shop>) -> &'static str {
        let run = shop.runs.fetch_add(1, Ordering::SeqCst);
        shop.waiting.add_permits(1);
        shop.may_go.acquire().await.unwrap().forget();
        assert!(run > 0, "the first one breaks");
        "whole"
    }
    let app = Router::new().route("/", get(fragile)).layer(ResponseCache::new(world.cache()));
    let server = Arc::new(Server::of(app.with_state(shop.clone())).await);
    let ask = || {
        let server = server.clone();
        tokio::spawn(async move { server.ask("GET /", &[]).await })
    };
    let broken = ask();
    shop.until_waiting().await;
    let others: Vec<_> = (0..10).map(|_| ask()).collect();
    shop.go(2);
    assert!(broken.await.unwrap().is_none(), "its connection is closed");
    for reply in join_all(others).await {
        assert_eq!(reply.unwrap().expect("an answer").body, "whole");
    }
    assert_eq!(shop.runs(), 2);
}

// feature C1
#[tokio::test]
async fn while_the_store_is_away_the_handler_answers() {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    // Nobody listens there.
    let cache = Cache::builder().namespace("away").redis("redis://127.0.0.1:1/").build().await.unwrap();
    let db = world.plain().clone().cached_by(cache.clone());
    let shop = Shop::new(&db);
    let server = Server::of(shop_front(&shop, ResponseCache::new(&cache))).await;
    for run in 1..=3 {
        let reply = server.get("/books/1").await;
        assert_eq!((reply.status, reply.body.as_str(), shop.runs()), (200, "Title 1", run));
        assert!(reply.field("cache-status").contains("fwd=bypass"), "{reply:?}");
    }
}

// feature C1
#[tokio::test]
async fn what_is_in_memory_on_trust_is_not_made_a_response_of() {
    let Some(database) = World::new(Backend::Sqlite, StoreKind::Memory).await else { return };
    let cache = Cache::builder().namespace("near").near(1 << 20).max_staleness(MINUTE).build().await.unwrap();
    let db = database.plain().clone().cached_by(cache.clone());
    let read = async || book::Entity::find_by_id(1).cached().one(&db).await.unwrap();
    eventually("it is in memory", SOON, async || {
        read().await;
        cache.stats().total.near > 0
    })
    .await;
    let shop = Shop::new(&db);
    let server = Server::of(shop_front(&shop, ResponseCache::new(&cache))).await;
    let near = cache.stats().total.near;
    server.get("/books/1").await;
    assert_eq!((shop.runs(), cache.stats().total.near), (1, near));
    read().await;
    assert_eq!(cache.stats().total.near, near + 1, "it was there");
}

// feature C1
#[cfg(feature = "axum")]
#[tokio::test]
async fn routers_within_others_are_told_apart_by_the_whole_path() {
    let (world, _) = on_memory().await;
    let list = |name: &'static str| Router::new().route("/list", get(async move || name));
    let responses = ResponseCache::new(world.cache());
    let app =
        Router::new().nest("/a", list("a").layer(responses.clone())).nest("/b", list("b").layer(responses));
    let server = Server::of(app).await;
    for _ in 0..2 {
        for name in ["a", "b"] {
            assert_eq!(server.get(&format!("/{name}/list")).await.body, name);
        }
    }
}

// feature C1
#[tokio::test]
async fn of_two_layers_the_inner_one_keeps_and_the_outer_one_serves_nothing_old() {
    let (world, shop) = on_memory().await;
    let app = shop_front(&shop, ResponseCache::new(world.cache()).vary(["x-inner"]));
    let server = Server::of(app.layer(ResponseCache::new(world.cache()))).await;
    for title in ["First", "Second"] {
        retitled(1, title).update(&world.db).await.unwrap();
        for _ in 0..3 {
            assert_eq!(server.get("/books/1").await.body, title);
        }
    }
    let reply = server.get("/books/1").await;
    assert!(reply.is_hit() && reply.fields["cache-status"].len() == 2, "{reply:?}");
}
