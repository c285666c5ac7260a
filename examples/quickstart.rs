//! The shortest whole program: wrap the connection, derive a policy, read with `.cached()`.
//!
//! ```text
//! cargo run --example quickstart
//! ```
#![allow(missing_docs, clippy::print_stdout)]

use sea_orm::{Database, Schema, Set, entity::prelude::*};
use sea_orm_cache::prelude::*;

mod book {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "book")]
    #[cache(ttl = "10m")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In process; with `.redis("redis://127.0.0.1/")` all processes share one cache.
    let cache = Cache::builder().namespace("quickstart").build().await?;
    let db = Database::connect("sqlite::memory:").await?.cached_by(cache);
    db.execute(&Schema::new(db.get_database_backend()).create_table_from_entity(book::Entity)).await?;

    let draft = book::ActiveModel { title: Set("Dune".to_owned()), ..Default::default() };
    let id = draft.insert(&db).await?.id;

    for _ in 0..3 {
        let book = book::Entity::find_by_id(id).cached().one(&db).await?;
        println!("{:?}", book.map(|book| book.title));
    }

    let edit = book::ActiveModel { id: Set(id), title: Set("Dune Messiah".to_owned()) };
    edit.update(&db).await?; // purges this row, after the write

    let book = book::Entity::find_by_id(id).cached().one(&db).await?;
    assert_eq!(book.map(|book| book.title).as_deref(), Some("Dune Messiah"));

    let stats = db.cache().stats().total;
    println!("{} hits, {} misses", stats.hits, stats.misses);
    assert_eq!((stats.hits, stats.misses), (2, 2));
    Ok(())
}
