//! A cached read needs the connection that purges: on a plain one, entries would outlive writes.

mod book {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use book::Entity as Book;
use sea_orm::{DatabaseConnection, DbErr, EntityTrait};
use sea_orm_cache::prelude::*;

pub async fn all_books(plain: DatabaseConnection) -> Result<Vec<book::Model>, DbErr> {
    Book::find().cached().all(&plain).await
}

fn main() {}
