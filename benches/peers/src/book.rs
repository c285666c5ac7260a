//! The row that everything is measured with: nine columns, some 330 bytes as JSON.

use sea_orm::entity::prelude::*;
use sea_orm_cache::CacheEntity;
use serde::{Deserialize, Serialize};

/// A book. Serde is for the peers: `sea-orm-cache` stores column values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel, CacheEntity)]
#[sea_orm(table_name = "book")]
#[cache(ttl = "1h", write_through, warmup(limit = 100_000, batch = 1000))]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub isbn: String,
    pub title: String,
    pub author: String,
    pub blurb: String,
    pub shelf_id: i64,
    pub price_cents: i64,
    pub stock: i32,
    /// One more with every write, so that an old row is known when it is seen.
    pub version: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// How long every system keeps its entries: longer than a run.
pub const LIFE: std::time::Duration = std::time::Duration::from_secs(3600);

/// The table.
pub const TABLE: &str = "CREATE TABLE book (
    id bigint PRIMARY KEY, isbn text NOT NULL, title text NOT NULL, author text NOT NULL, blurb text NOT NULL,
    shelf_id bigint NOT NULL, price_cents bigint NOT NULL, stock integer NOT NULL, version integer NOT NULL)";

/// Its rows, 1 to `rows`.
pub fn rows(rows: usize) -> String {
    format!(
        "INSERT INTO book SELECT n, lpad((n * 7919)::text, 13, '9'), 'The title of book number ' || n,
            'Author ' || n % 5000, repeat(md5(n::text), 4), n % 500, 999 + n % 5000, n % 100, 0
         FROM generate_series(1, {rows}) n"
    )
}
