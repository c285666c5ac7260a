//! The status routes and the dashboard, over a bookshop with some traffic.
//!
//! ```text
//! cargo run --example status --features axum
//! REDIS_URL=redis://127.0.0.1/ cargo run --example status --features axum
//! ```
//!
//! It listens on 127.0.0.1 alone, and prints where the page is and what to type there.
#![allow(missing_docs, dead_code, clippy::print_stdout)]

#[path = "bookshop/entity.rs"]
mod entity;

use std::{error::Error, time::Duration};

use axum::Router;
use entity::{book, publisher, shelf};
use sea_orm::{ActiveValue::Set, ConnectOptions, Database, entity::prelude::*};
use sea_orm_cache::{prelude::*, status_router};
use sea_orm_cache_migration::Migrator;
use sea_orm_migration::MigratorTrait;
use tokio::net::TcpListener;

const BOOKS: i64 = 60;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let db = open().await?;
    // Yours comes from the environment or a secret store, and is random.
    let token = std::env::var("CACHE_STATUS_TOKEN").unwrap_or_else(|_| "only-for-this-example".to_owned());
    let status = status_router(db.cache().clone()).token(&token)?.warm_up_with(db.clone());
    let app = Router::new().nest("/cache", status.into_router());
    let listener = TcpListener::bind("127.0.0.1:3001").await?;
    println!("http://{}/cache/dashboard, token: {token}", listener.local_addr()?);

    let shop = tokio::spawn(customers(db.clone()));
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    shop.abort();
    db.close().await?;
    Ok(())
}

async fn open() -> Result<CachedConnection, Box<dyn Error>> {
    let cache = Cache::builder().namespace("status-example").from_env()?.build().await?;
    // What an earlier run left there is about rows that are gone.
    cache.clear().await;
    // One connection, because each has a database of its own in memory.
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await?.cached_by(cache);
    Migrator::up(db.inner(), None).await?;
    for id in 1..=3 {
        shelf::ActiveModel { id: Set(id), label: Set(format!("Shelf {id}")) }.insert(&db).await?;
        publisher::ActiveModel { id: Set(id), name: Set(format!("Publisher {id}")) }.insert(&db).await?;
    }
    let books = (1..=BOOKS).map(|id| book::ActiveModel {
        id: Set(id),
        shelf_id: Set(1 + id % 3),
        publisher_id: Set(1 + id % 3),
        title: Set(format!("Volume {id}")),
        price_cents: Set(1000),
        stock: Set(9),
    });
    book::Entity::insert_many(books).exec(&db).await?;
    Ok(db)
}

/// They look at a few books again and again, now and then at a shelf, and seldom buy.
async fn customers(db: CachedConnection) -> Result<(), DbErr> {
    for step in 0_i64.. {
        let id = 1 + (step * step * 7 + step) % BOOKS;
        let id = if step % 3 == 0 { id } else { 1 + id % 8 };
        book::Entity::cached_by_id(id, &db).await?;
        if step % 5 == 0 {
            let on_shelf = book::Entity::find().filter(book::Column::ShelfId.eq(1 + step % 3));
            on_shelf.cached().all(&db).await?;
        }
        if step % 11 == 0 {
            publisher::Entity::find().cached().all(&db).await?;
        }
        if step % 40 == 0 {
            let sold = book::ActiveModel {
                id: Set(id),
                stock: Set(i32::try_from(step % 9).unwrap_or(0)),
                ..Default::default()
            };
            sold.update(&db).await?;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
