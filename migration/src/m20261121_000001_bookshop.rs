//! A bookshop: publishers, authors, shelves, books, who wrote which, what customers say of them.

use sea_orm_migration::prelude::*;

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261121_000001_bookshop"
    }
}

#[async_trait::async_trait]
#[allow(elided_lifetimes_in_paths, reason = "the trait's signature leaves it out, and the two must agree")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [publisher(), author(), shelf(), book(), book_author(), customer(), review()] {
            manager.create_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["review", "customer", "book_author", "book", "shelf", "author", "publisher"] {
            manager.drop_table(Table::drop().table(Alias::new(table)).if_exists().to_owned()).await?;
        }
        Ok(())
    }
}

fn id(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).big_integer().not_null().take()
}

fn auto_id() -> ColumnDef {
    id("id").auto_increment().primary_key().take()
}

fn text(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).string_len(200).not_null().take()
}

fn references(from: &str, column: &str, to: &str) -> ForeignKeyCreateStatement {
    let mut key = ForeignKey::create();
    key.name(format!("fk_{from}_{column}"))
        .from(Alias::new(from), Alias::new(column))
        .to(Alias::new(to), Alias::new("id"));
    key
}

fn table(name: &str) -> TableCreateStatement {
    Table::create().table(Alias::new(name)).to_owned()
}

fn publisher() -> TableCreateStatement {
    table("publisher").col(auto_id()).col(text("name")).to_owned()
}

fn author() -> TableCreateStatement {
    table("author").col(auto_id()).col(text("name")).to_owned()
}

fn shelf() -> TableCreateStatement {
    table("shelf").col(auto_id()).col(text("label")).to_owned()
}

fn book() -> TableCreateStatement {
    table("book")
        .col(auto_id())
        .col(id("shelf_id"))
        .col(id("publisher_id"))
        .col(text("title"))
        .col(ColumnDef::new(Alias::new("price_cents")).big_integer().not_null())
        .col(ColumnDef::new(Alias::new("stock")).integer().not_null().default(0))
        .foreign_key(&mut references("book", "shelf_id", "shelf"))
        .foreign_key(&mut references("book", "publisher_id", "publisher"))
        .to_owned()
}

fn book_author() -> TableCreateStatement {
    table("book_author")
        .col(id("book_id"))
        .col(id("author_id"))
        .primary_key(Index::create().col(Alias::new("book_id")).col(Alias::new("author_id")))
        .foreign_key(&mut references("book_author", "book_id", "book"))
        .foreign_key(&mut references("book_author", "author_id", "author"))
        .to_owned()
}

fn customer() -> TableCreateStatement {
    table("customer").col(auto_id()).col(text("name")).col(text("password_hash")).to_owned()
}

fn review() -> TableCreateStatement {
    table("review")
        .col(auto_id())
        .col(id("book_id"))
        .col(id("customer_id"))
        .col(ColumnDef::new(Alias::new("stars")).integer().not_null())
        .col(ColumnDef::new(Alias::new("body")).text())
        .foreign_key(&mut references("review", "book_id", "book"))
        .foreign_key(&mut references("review", "customer_id", "customer"))
        .to_owned()
}
