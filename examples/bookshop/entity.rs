//! The bookshop's entities, in both of SeaORM's styles, with their cache policies.

#[allow(missing_docs)]
pub mod publisher {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "publisher")]
    #[cache(ttl = "long", warmup)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub name: String,
        #[sea_orm(has_many)]
        pub books: HasMany<super::book::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(missing_docs)]
pub mod shelf {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "shelf")]
    #[cache(ttl = "1h", namespace = "catalog", warmup)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub label: String,
        #[sea_orm(has_many)]
        pub books: HasMany<super::book::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(missing_docs)]
pub mod book {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "book")]
    #[cache(ttl = "10m", negative_ttl = "30s", index("shelf_id"), tags("publisher:{publisher_id}"))]
    #[cache(purges("front page"), warmup(limit = 1000, batch = 200, order = "title"))]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub shelf_id: i64,
        pub publisher_id: i64,
        pub title: String,
        pub price_cents: i64,
        pub stock: i32,
        #[sea_orm(belongs_to, from = "shelf_id", to = "id")]
        pub shelf: HasOne<super::shelf::Entity>,
        #[sea_orm(belongs_to, from = "publisher_id", to = "id")]
        pub publisher: HasOne<super::publisher::Entity>,
        #[sea_orm(has_many)]
        pub reviews: HasMany<super::review::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(missing_docs)]
pub mod author {
    use sea_orm::entity::prelude::*;

    // Nobody declares a policy here: the table is tracked all the same.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "author")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(missing_docs)]
pub mod book_author {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "book_author")]
    #[cache(ttl = "medium")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub book_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub author_id: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(missing_docs)]
pub mod customer {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;
    use serde::{Deserialize, Serialize};

    // What serde leaves out when the model goes to a browser must still come back from the cache.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "customer")]
    #[cache(ttl = "short")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        #[serde(rename = "displayName")]
        pub name: String,
        #[serde(skip_serializing, default)]
        pub password_hash: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[allow(missing_docs)]
pub mod review {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "review")]
    #[cache(ttl = "5m")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub book_id: i64,
        pub customer_id: i64,
        pub stars: i32,
        #[sea_orm(column_type = "Text", nullable)]
        pub body: Option<String>,
        #[sea_orm(belongs_to, from = "book_id", to = "id")]
        pub book: HasOne<super::book::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}
