//! The main job as a story: a bookshop whose reads come from the cache and whose every write purges
//! what it made wrong. Fails if anything turns out otherwise.
//!
//! ```text
//! cargo run --example bookshop                       # SQLite and the in-process store
//! DATABASE_URL=postgres://... REDIS_URL=redis://... cargo run --example bookshop
//! DATABASE_URL=mysql://...    REDIS_URL=redis://... cargo run --example bookshop
//! ```
//!
//! Give it a database of its own: it migrates the schema up, and down again at the end.
// feature B3, B11
#![allow(missing_docs, clippy::print_stdout)]

#[path = "bookshop/entity.rs"]
mod entity;

use std::error::Error;

use entity::{author, book, book_author, customer, publisher, review, shelf};
use indicatif::{ProgressBar, ProgressStyle};
use sea_orm::{
    ActiveValue::Set, ConnectOptions, Database, IntoActiveModel, QueryOrder, TransactionTrait,
    entity::prelude::*,
};
use sea_orm_cache::{Cache, CachedConnection, EntryOptions, prelude::*};
use sea_orm_cache_migration::Migrator;
use sea_orm_migration::MigratorTrait;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result {
    let db = open().await?;
    stock_the_shelves(&db).await?;
    warm_up(&db).await?;
    rows(&db).await?;
    lists_and_joins(&db).await?;
    transactions(&db).await?;
    rows_that_are_not_there(&db).await?;
    many_at_once(&db).await?;
    entries_of_our_own(&db).await?;
    secrets(&db).await?;
    raw_sql(&db).await?;
    close(db).await
}

fn chapter(title: &str) {
    println!("\n== {title}");
}

/// What the entries and tags of a table look like in the store.
async fn show(db: &CachedConnection, part: &str) -> Result {
    for key in db.cache().keys(10_000).await?.iter().filter(|key| key.contains(part)) {
        println!("     {key}");
    }
    Ok(())
}

/// Hits and misses so far.
fn counted(db: &CachedConnection) -> (u64, u64) {
    let total = db.cache().stats().total;
    (total.hits, total.misses)
}

/// Runs a step and checks how many hits and misses it caused.
macro_rules! expect {
    ($db:expr, $what:expr, hits $hits:expr, misses $misses:expr, $step:expr) => {{
        let before = counted($db);
        let value = $step;
        let after = counted($db);
        let caused = (after.0 - before.0, after.1 - before.1);
        println!("   {:<58} {} hits, {} misses", $what, caused.0, caused.1);
        assert_eq!(caused, ($hits, $misses), "{}: (hits, misses)", $what);
        value
    }};
}

async fn open() -> Result<CachedConnection> {
    chapter("Open");
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite::memory:".to_owned());
    let mut options = ConnectOptions::new(url);
    if options.get_url().starts_with("sqlite::memory:") {
        // Every connection to an in-memory database is a database of its own.
        options.max_connections(1);
    }
    options.sqlx_logging(false);
    // REDIS_URL and the other variables, if they are set.
    let cache = Cache::builder().namespace("bookshop").from_env()?.build().await?;
    cache.invalidate_pattern("*").await?;
    let db = Database::connect(options).await?.cached_by(cache);
    Migrator::refresh(db.inner()).await?;
    println!("   {:?}, entries kept in: {}", db.get_database_backend(), db.cache().store_name());
    Ok(db)
}

async fn stock_the_shelves(db: &CachedConnection) -> Result {
    chapter("Stock the shelves");
    for (id, label) in [(1, "Science fiction"), (2, "Crime"), (3, "Poetry")] {
        shelf::Entity::insert(shelf::ActiveModel { id: Set(id), label: Set(label.into()) }).exec(db).await?;
    }
    for (id, name) in [(1, "Chilton"), (2, "Collins")] {
        publisher::ActiveModel { id: Set(id), name: Set(name.into()) }.insert(db).await?;
    }
    author::ActiveModel { id: Set(1), name: Set("Frank Herbert".into()) }.insert(db).await?;
    let books = (1..=20).map(|id| book::ActiveModel {
        id: Set(id),
        shelf_id: Set(1 + id % 3),
        publisher_id: Set(1 + id % 2),
        title: Set(format!("Volume {id}")),
        price_cents: Set(1000 + id),
        stock: Set(5),
    });
    book::Entity::insert_many(books).exec(db).await?;
    let by = |book_id| book_author::ActiveModel { book_id: Set(book_id), author_id: Set(1) };
    book_author::Entity::insert_many([by(7), by(8)]).exec(db).await?;
    let customer = customer::ActiveModel {
        id: Set(1),
        name: Set("Ada".into()),
        password_hash: Set("$argon2id$...".into()),
    };
    customer.insert(db).await?;
    println!("   {} books", book::Entity::find().count(db).await?);
    Ok(())
}

async fn warm_up(db: &CachedConnection) -> Result {
    chapter("Warm up");
    db.register_warm_up("front page", |db, progress| async move {
        front_page(&db).await?;
        progress.add(1, 0);
        Ok(())
    });
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("   {spinner} {msg}")?);
    let drawn = bar.clone();
    let report = db
        .warm_up()
        .on_progress(move |step| {
            drawn.set_message(format!("{}: {} entries", step.loader, step.entries));
            drawn.tick();
        })
        .await;
    bar.finish_and_clear();
    for loader in &report.loaders {
        println!("   {:<12} {:>4} entries {:>6} bytes", loader.loader, loader.entries, loader.bytes);
    }
    assert_eq!(report.failures().count(), 0);
    assert_eq!(report.entries(), 20 + 3 + 2 + 1, "20 books, 3 shelves, 2 publishers, the front page");
    Ok(())
}

async fn front_page(db: &CachedConnection) -> std::result::Result<Vec<book::Model>, DbErr> {
    book::Entity::find().order_by_asc(book::Column::PriceCents).cached().ttl(TtlClass::Short).all(db).await
}

async fn rows(db: &CachedConnection) -> Result {
    chapter("Rows");
    let volume = expect!(db, "read book 7: warm", hits 1, misses 0, {
        book::Entity::find_by_id(7).cached().one(db).await?
    });
    let volume = volume.ok_or("book 7 is not there")?;
    expect!(db, "read book 8: warm", hits 1, misses 0, book::Entity::find_by_id(8).cached().one(db).await?);
    println!("   book 7 in the store:");
    show(db, "book:7").await?;

    let mut edit = volume.into_active_model();
    edit.title = Set("Dune".into());
    edit.update(db).await?;
    println!("   after UPDATE book 7, its entry and its tag are gone, book 8 is still there:");
    show(db, "book:7").await?;
    show(db, ":row:book:8@").await?;
    let keys = db.cache().keys(10_000).await?;
    assert!(!keys.iter().any(|key| key.contains(":row:book:7@")), "the row's entry must be gone");
    assert!(keys.iter().any(|key| key.contains(":row:book:8@")), "other rows' entries must live");

    let read = expect!(db, "read book 7: the new title", hits 0, misses 1, {
        book::Entity::find_by_id(7).cached().one(db).await?
    });
    assert_eq!(read.map(|book| book.title).as_deref(), Some("Dune"));
    expect!(db, "read book 7 again", hits 1, misses 0, book::Entity::cached_by_id(7, db).await?);
    expect!(db, "read book 8: nobody touched it", hits 1, misses 0, book::Entity::cached_by_id(8, db).await?);
    Ok(())
}

async fn lists_and_joins(db: &CachedConnection) -> Result {
    chapter("Lists, counts, pages, joins");
    let shelf_two =
        || book::Entity::find().filter(book::Column::ShelfId.eq(2)).order_by_asc(book::Column::Id);
    let before = expect!(db, "a shelf", hits 0, misses 1, shelf_two().cached().all(db).await?);
    expect!(db, "the shelf again", hits 1, misses 0, shelf_two().cached().all(db).await?);
    let count = expect!(db, "a count", hits 0, misses 1, shelf_two().cached().count(db).await?);
    assert_eq!(count, before.len() as u64);
    let pages = shelf_two().cached().paginate(db, 3);
    expect!(db, "a page", hits 0, misses 1, pages.fetch_page(0).await?);
    expect!(db, "the page again", hits 1, misses 0, pages.fetch_page(0).await?);

    let with_publisher = || book::Entity::find_by_id(7).find_also_related(publisher::Entity).cached();
    let pair = expect!(db, "a book with its publisher", hits 0, misses 1, with_publisher().one(db).await?);
    assert_eq!(pair.and_then(|(_, publisher)| publisher).map(|p| p.name).as_deref(), Some("Collins"));
    let titles = || book::Entity::find_by_id(7).select_only_title().cached();
    expect!(db, "a tuple", hits 0, misses 1, titles().one(db).await?);
    expect!(db, "the tuple again", hits 1, misses 0, titles().one(db).await?);

    let reviews =
        || book::Entity::find().filter(book::Column::Id.eq(7)).find_with_related(review::Entity).cached();
    let none = expect!(db, "a book with its reviews: none yet", hits 0, misses 1, reviews().all(db).await?);
    assert!(none[0].1.is_empty());
    let first = review::ActiveModel {
        book_id: Set(7),
        customer_id: Set(1),
        stars: Set(5),
        body: Set(None),
        ..Default::default()
    };
    first.insert(db).await?;
    let one = expect!(db, "its first review: the join saw it", hits 0, misses 1, reviews().all(db).await?);
    assert_eq!(one[0].1.len(), 1);
    expect!(db, "the shelf does not care about reviews", hits 1, misses 0, shelf_two().cached().all(db).await?);

    publisher::ActiveModel { id: Set(2), name: Set("HarperCollins".into()) }.update(db).await?;
    let pair = expect!(db, "a publisher changed: the join saw it", hits 0, misses 1, with_publisher().one(db).await?);
    assert_eq!(pair.and_then(|(_, publisher)| publisher).map(|p| p.name).as_deref(), Some("HarperCollins"));
    Ok(())
}

/// A query that is not a whole entity.
trait SelectOnlyTitle {
    fn select_only_title(self) -> sea_orm::Selector<sea_orm::SelectGetableTuple<(String, i64)>>;
}

impl SelectOnlyTitle for sea_orm::Select<book::Entity> {
    fn select_only_title(self) -> sea_orm::Selector<sea_orm::SelectGetableTuple<(String, i64)>> {
        use sea_orm::QuerySelect;
        self.select_only().column(book::Column::Title).column(book::Column::PriceCents).into_tuple()
    }
}

async fn transactions(db: &CachedConnection) -> Result {
    chapter("Transactions");
    let title = |book: Option<book::Model>| book.map(|book| book.title);
    expect!(db, "read book 9", hits 1, misses 0, book::Entity::cached_by_id(9, db).await?);

    let tx = db.begin().await?;
    book::ActiveModel { id: Set(9), title: Set("Never".into()), ..Default::default() }.update(&tx).await?;
    let inside = book::Entity::find_by_id(9).cached().one(&tx).await?;
    assert_eq!(title(inside).as_deref(), Some("Never"), "a transaction sees its own writes");
    tx.rollback().await?;
    let read = expect!(db, "rolled back: nothing was purged", hits 1, misses 0, {
        book::Entity::cached_by_id(9, db).await?
    });
    assert_eq!(title(read).as_deref(), Some("Volume 9"));

    db.transaction::<_, (), DbErr>(|tx| {
        Box::pin(async move {
            book::ActiveModel { id: Set(9), title: Set("Emma".into()), ..Default::default() }
                .update(tx)
                .await?;
            let inner = tx.begin().await?;
            book::ActiveModel { id: Set(10), title: Set("Never".into()), ..Default::default() }
                .update(&inner)
                .await?;
            inner.rollback().await?;
            Ok(())
        })
    })
    .await?;
    let read = expect!(db, "committed: purged once, after COMMIT", hits 0, misses 1, {
        book::Entity::cached_by_id(9, db).await?
    });
    assert_eq!(title(read).as_deref(), Some("Emma"));
    expect!(db, "the savepoint was rolled back: book 10 lives", hits 1, misses 0, {
        book::Entity::cached_by_id(10, db).await?
    });
    Ok(())
}

async fn rows_that_are_not_there(db: &CachedConnection) -> Result {
    chapter("Rows that are not there");
    let read = || book::Entity::cached_by_id(100, db);
    assert_eq!(expect!(db, "book 100 does not exist", hits 0, misses 1, read().await?), None);
    assert_eq!(expect!(db, "that is remembered too", hits 1, misses 0, read().await?), None);
    let new = book::ActiveModel {
        id: Set(100),
        shelf_id: Set(1),
        publisher_id: Set(1),
        title: Set("Volume 100".into()),
        price_cents: Set(1),
        stock: Set(1),
    };
    new.insert(db).await?;
    assert!(expect!(db, "until it is inserted", hits 0, misses 1, read().await?).is_some());
    book::Entity::delete_by_id(100).exec(db).await?;
    assert_eq!(expect!(db, "and deleted", hits 0, misses 1, read().await?), None);
    Ok(())
}

async fn many_at_once(db: &CachedConnection) -> Result {
    chapter("Many at once");
    book::ActiveModel { id: Set(3), stock: Set(0), ..Default::default() }.update(db).await?;
    let many = expect!(db, "books 5, 3, 5, 999 and 1 in one MGET", hits 2, misses 2, {
        book::Entity::cached_by_ids([5, 3, 5, 999, 1], db).await?
    });
    let ids: Vec<_> = many.iter().map(|book| book.as_ref().map(|book| book.id)).collect();
    assert_eq!(ids, [Some(5), Some(3), Some(5), None, Some(1)]);
    expect!(db, "and again", hits 4, misses 0, book::Entity::cached_by_ids([5, 3, 5, 999, 1], db).await?);
    Ok(())
}

async fn entries_of_our_own(db: &CachedConnection) -> Result {
    chapter("Entries of our own");
    let cache = db.cache();
    let takings = || {
        let options = EntryOptions::new().entity(book::Entity).tag("front page");
        cache.get_or_load("takings", options, || async {
            let books = book::Entity::find().all(db).await?;
            Ok::<i64, DbErr>(books.iter().map(|book| book.price_cents).sum())
        })
    };
    let before = expect!(db, "the takings, computed", hits 0, misses 1, takings().await?);
    expect!(db, "the takings, remembered", hits 1, misses 0, takings().await?);
    book::ActiveModel { id: Set(1), price_cents: Set(2001), ..Default::default() }.update(db).await?;
    let after = expect!(db, "a price changed: computed anew", hits 0, misses 1, takings().await?);
    assert_eq!(after - before, 1000);
    cache.invalidate_tag("front page").await;
    expect!(db, "a tag of our own: computed anew", hits 0, misses 1, takings().await?);

    expect!(db, "book 2 (publisher 1)", hits 1, misses 0, book::Entity::cached_by_id(2, db).await?);
    cache.invalidate_tag("publisher:1").await;
    expect!(db, "all rows of publisher 1: a miss", hits 0, misses 1, book::Entity::cached_by_id(2, db).await?);
    expect!(db, "rows of publisher 2: alive", hits 1, misses 0, book::Entity::cached_by_id(5, db).await?);
    cache.invalidate_group("catalog").await;
    expect!(db, "a group of entities: a miss", hits 0, misses 1, shelf::Entity::cached_by_id(1, db).await?);
    Ok(())
}

async fn secrets(db: &CachedConnection) -> Result {
    chapter("What serde skips");
    let read = || customer::Entity::find_by_id(1).cached();
    let from_database = expect!(db, "a customer", hits 0, misses 1, read().one(db).await?);
    let from_cache =
        expect!(db, "the customer again, password hash and all", hits 1, misses 0, read().one(db).await?);
    assert_eq!(from_database, from_cache);
    Ok(())
}

async fn raw_sql(db: &CachedConnection) -> Result {
    chapter("Raw SQL");
    expect!(db, "book 11", hits 1, misses 0, book::Entity::cached_by_id(11, db).await?);
    db.execute_unprepared("UPDATE book SET title = 'Raw' WHERE id = 11").await?;
    let read = expect!(db, "UPDATE by key in raw SQL: purged", hits 0, misses 1, {
        book::Entity::cached_by_id(11, db).await?
    });
    assert_eq!(read.map(|book| book.title).as_deref(), Some("Raw"));
    expect!(db, "book 13: not touched", hits 1, misses 0, book::Entity::cached_by_id(13, db).await?);
    db.execute_unprepared("UPDATE book SET stock = stock + 1").await?;
    expect!(db, "UPDATE of unknown rows: all rows of the table", hits 0, misses 1, {
        book::Entity::cached_by_id(13, db).await?
    });
    expect!(db, "other tables: alive", hits 1, misses 0, publisher::Entity::cached_by_id(1, db).await?);
    author::ActiveModel { id: Set(1), name: Set("F. Herbert".into()) }.update(db).await?;
    Ok(())
}

async fn close(db: CachedConnection) -> Result {
    chapter("Statistics");
    let stats = db.cache().stats();
    println!(
        "   {:<12} {:>6} {:>6} {:>7} {:>9} {:>7}",
        "table", "reads", "hits", "misses", "bypasses", "writes"
    );
    for (table, s) in &stats.tables {
        println!(
            "   {table:<12} {:>6} {:>6} {:>7} {:>9} {:>7}",
            s.reads, s.hits, s.misses, s.bypasses, s.writes
        );
        assert_eq!(s.reads, s.hits + s.misses + s.bypasses);
    }
    let total = &stats.total;
    println!(
        "   {:<12} {:>6} {:>6} {:>7} {:>9} {:>7}",
        "total", total.reads, total.hits, total.misses, total.bypasses, total.writes
    );
    assert_eq!(stats.namespace_purges, 0, "every statement was understood");
    assert_eq!(stats.undelivered_tags, 0, "every purge was delivered");
    if std::env::var_os("BOOKSHOP_KEEP").is_none() {
        Migrator::down(db.inner(), None).await?;
    }
    db.close().await?;
    println!("\nEverything was as it should be.");
    Ok(())
}
