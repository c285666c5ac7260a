//! Migrations that go with `sea-orm-cache`.
//!
//! Today this is the bookshop: the schema that the examples and tests run on. The crate itself
//! needs no tables yet.

use sea_orm_migration::prelude::*;

mod m20261121_000001_bookshop;

/// Runs the migrations, on PostgreSQL, MySQL / MariaDB and SQLite.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261121_000001_bookshop::Migration)]
    }
}
