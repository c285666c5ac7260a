//! HTTP responses that are kept until a write changes what they show. Feature C1.
//!
//! A server on a port of its own that asks itself: a hit, a write, a purge, two users.
//!
//! ```text
//! cargo run --example http_cache --features axum,tower
//! ```
// feature C1
#![allow(missing_docs, dead_code, clippy::print_stdout)]

#[path = "bookshop/entity.rs"]
mod entity;

use std::{error::Error, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use entity::{book, publisher, shelf};
use sea_orm::{ActiveValue::Set, ConnectOptions, Database, QueryOrder, entity::prelude::*};
use sea_orm_cache::{ResponseCache, prelude::*};
use sea_orm_cache_migration::Migrator;
use sea_orm_migration::MigratorTrait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result {
    let db = open().await?;
    // For everybody. Whoever sends Authorization or a cookie is not answered from here.
    let public = ResponseCache::new(db.cache()).ttl(Duration::from_secs(60)).vary(["accept-language"]);
    // For each user. A real server takes the user from a middleware in front that has checked the token.
    let personal = ResponseCache::new(db.cache()).keyed_by(|head| {
        let token = head.headers.get("authorization")?.to_str().ok()?;
        Some(token.to_owned())
    });
    let app = Router::new()
        .route("/shelves/{id}", get(read_shelf))
        .layer(public)
        .merge(Router::new().route("/basket", get(read_basket)).layer(personal))
        .with_state(db.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(axum::serve(listener, app).into_future());

    println!("the shelf, three times:");
    for _ in 0..3 {
        ask(&address, "/shelves/1", None).await?;
    }
    let (_, etag, before) = ask(&address, "/shelves/1", None).await?;

    println!("a book on it gets another title:");
    book::ActiveModel { id: Set(2), title: Set("Dune".into()), ..Default::default() }.update(&db).await?;
    let (_, changed, after) = ask(&address, "/shelves/1", None).await?;
    assert!(after.contains("Dune") && !before.contains("Dune") && changed != etag);
    let (status, _, again) = ask(&address, "/shelves/1", None).await?;
    assert!(status.contains("hit") && again == after);

    println!("a publisher gets another name, which the shelf does not show:");
    publisher::ActiveModel { id: Set(1), name: Set("Ace".into()) }.update(&db).await?;
    assert!(ask(&address, "/shelves/1", None).await?.0.contains("hit"));

    println!("two users, each with a basket:");
    for user in ["ann", "bob", "ann", "bob", "ann", "bob"] {
        let (_, _, body) = ask(&address, "/basket", Some(user)).await?;
        assert!(body.starts_with(user), "{body}");
    }
    db.close().await?;
    Ok(())
}

async fn open() -> Result<CachedConnection> {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    let cache = Cache::builder().namespace("http-cache-example").from_env()?.build().await?;
    // What an earlier run left there is about rows that are gone.
    cache.clear().await;
    let db = Database::connect(options).await?.cached_by(cache);
    Migrator::up(db.inner(), None).await?;
    shelf::ActiveModel { id: Set(1), label: Set("Science fiction".into()) }.insert(&db).await?;
    publisher::ActiveModel { id: Set(1), name: Set("Chilton".into()) }.insert(&db).await?;
    let books = (1..=3).map(|id| book::ActiveModel {
        id: Set(id),
        shelf_id: Set(1),
        publisher_id: Set(1),
        title: Set(format!("Volume {id}")),
        price_cents: Set(1000),
        stock: Set(1),
    });
    book::Entity::insert_many(books).exec(&db).await?;
    Ok(db)
}

async fn read_shelf(
    State(db): State<CachedConnection>,
    Path(id): Path<i64>,
) -> std::result::Result<String, StatusCode> {
    let on_it = book::Entity::find().filter(book::Column::ShelfId.eq(id)).order_by_asc(book::Column::Id);
    // Cached or not: the response depends on the table.
    let books = on_it.all(&db).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(books.into_iter().map(|book| book.title + ", ").collect())
}

async fn read_basket(
    State(db): State<CachedConnection>,
    headers: HeaderMap,
) -> std::result::Result<String, StatusCode> {
    let user = headers.get("authorization").and_then(|value| value.to_str().ok());
    let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
    let book = book::Entity::find_by_id(1).cached().one(&db).await;
    let book = book.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.ok_or(StatusCode::NOT_FOUND)?;
    Ok(format!("{user} takes {}", book.title))
}

/// What the cache says that it did, the entity tag, and the body.
async fn ask(address: &str, path: &str, user: Option<&str>) -> Result<(String, String, String)> {
    let mut socket = TcpStream::connect(address).await?;
    let user = user.map(|user| format!("authorization: {user}\r\n")).unwrap_or_default();
    socket.write_all(format!("GET {path} HTTP/1.0\r\nhost: shop\r\n{user}\r\n").as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start_matches([':', ' ']).to_owned()
    };
    let status = field("cache-status");
    println!("  {path:<11} {body:<28} {status}");
    Ok((status, field("etag"), body.to_owned()))
}
