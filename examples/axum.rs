//! A web server with a cache in its shared state: three routes, a warm-up at the start, a clean end.
//!
//! ```text
//! cargo run --example axum                 # SQLite and the in-process store
//! cargo run --example axum -- --check      # starts, asks itself a few questions, ends
//! DATABASE_URL=postgres://... REDIS_URL=redis://... cargo run --example axum
//!
//! curl localhost:3000/books/7
//! curl -X PUT localhost:3000/books/7 -H 'content-type: application/json' -d '{"title": "Dune"}'
//! ```
#![allow(missing_docs, dead_code, clippy::print_stdout)]

#[path = "bookshop/entity.rs"]
mod entity;

use std::error::Error;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use entity::{book, publisher, shelf};
use sea_orm::{ActiveValue::Set, ConnectOptions, Database, QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;
use sea_orm_cache_migration::Migrator;
use sea_orm_migration::MigratorTrait;
use serde_json::{Value as Document, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Answer = std::result::Result<Json<Document>, StatusCode>;

#[tokio::main]
async fn main() -> Result {
    let check = std::env::args().any(|argument| argument == "--check");
    let db = open().await?;
    let report = db.warm_up().await;
    println!("warmed up with {} entries in {:?}", report.entries(), report.took);

    let listener = TcpListener::bind(if check { "127.0.0.1:0" } else { "127.0.0.1:3000" }).await?;
    let address = listener.local_addr()?.to_string();
    println!("listening on http://{address}");
    // A clone of the connection is the same pool and the same cache: all handlers share it.
    let app = Router::new()
        .route("/books/{id}", get(read_book).put(change_book))
        .route("/shelves/{id}", get(read_shelf))
        .with_state(db.clone());
    let (stop, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    let checked = if check { ask_ourselves(&address, &db).await } else { Ok(tokio::signal::ctrl_c().await?) };
    let _ = stop.send(());
    server.await??;
    // After the last answer: what is still to be purged is purged, then the pool is closed.
    db.close().await?;
    checked
}

async fn open() -> Result<CachedConnection> {
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false);
    let cache = Cache::builder().namespace("axum-example").from_env()?.build().await?;
    // What an earlier run left there is about rows that are gone.
    cache.clear().await;
    let db = Database::connect(options).await?.cached_by(cache);
    Migrator::refresh(db.inner()).await?;
    shelf::ActiveModel { id: Set(1), label: Set("Science fiction".into()) }.insert(&db).await?;
    publisher::ActiveModel { id: Set(1), name: Set("Chilton".into()) }.insert(&db).await?;
    let books = (1..=10).map(|id| book::ActiveModel {
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

async fn read_book(State(db): State<CachedConnection>, Path(id): Path<i64>) -> Answer {
    let book = book::Entity::find_by_id(id).cached().one(&db).await.map_err(broken)?;
    book.map(|book| Json(in_json(&book))).ok_or(StatusCode::NOT_FOUND)
}

async fn read_shelf(State(db): State<CachedConnection>, Path(id): Path<i64>) -> Answer {
    let on_it = book::Entity::find().filter(book::Column::ShelfId.eq(id)).order_by_asc(book::Column::Id);
    let books = on_it.cached().all(&db).await.map_err(broken)?;
    Ok(Json(books.iter().map(in_json).collect()))
}

async fn change_book(
    State(db): State<CachedConnection>,
    Path(id): Path<i64>,
    Json(new): Json<Document>,
) -> Answer {
    let title = new["title"].as_str().ok_or(StatusCode::UNPROCESSABLE_ENTITY)?.to_owned();
    let edit = book::ActiveModel { id: Set(id), title: Set(title), ..Default::default() };
    match edit.update(&db).await {
        // Whoever reads the book or its shelf from here on sees the new title.
        Ok(book) => Ok(Json(in_json(&book))),
        Err(DbErr::RecordNotUpdated) => Err(StatusCode::NOT_FOUND),
        Err(error) => Err(broken(error)),
    }
}

fn in_json(book: &book::Model) -> Document {
    json!({ "id": book.id, "title": book.title, "shelf": book.shelf_id })
}

fn broken(error: DbErr) -> StatusCode {
    println!("the database says: {error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn ask_ourselves(address: &str, db: &CachedConnection) -> Result {
    let ask = |request: &'static str, body: &'static str| request_once(address, request, body);
    assert_eq!(ask("GET /books/7", "").await?, (200, json!({ "id": 7, "title": "Volume 7", "shelf": 1 })));
    assert_eq!(ask("GET /shelves/1", "").await?.1[6]["title"], "Volume 7");
    assert_eq!(ask("PUT /books/7", r#"{"title": "Dune"}"#).await?.0, 200);
    for _ in 0..2 {
        assert_eq!(ask("GET /books/7", "").await?.1["title"], "Dune", "read after write");
        assert_eq!(ask("GET /shelves/1", "").await?.1[6]["title"], "Dune", "the list too");
    }
    assert_eq!(ask("GET /books/999", "").await?.0, 404);
    assert_eq!(ask("PUT /books/999", r#"{"title": "Nobody"}"#).await?.0, 404);
    let total = db.cache().stats().total;
    println!("{} hits, {} misses", total.hits, total.misses);
    // Book 7 was warm once; after the write, the second reads of the book and of the shelf.
    assert_eq!((total.hits, total.misses), (3, 4));
    println!("everything was as it should be");
    Ok(())
}

/// The smallest HTTP client that will do.
async fn request_once(address: &str, request: &str, body: &str) -> Result<(u16, Document)> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
    let status = head.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}
