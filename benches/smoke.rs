//! One figure, to see that nothing went badly wrong: a row by its key, from the in-process store and from
//! SQLite.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use sea_orm::{Database, Schema, Set, entity::prelude::*};
use sea_orm_cache::prelude::*;

mod book {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "book")]
    #[cache(ttl = "1h")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn open() -> CachedConnection {
    let cache = Cache::builder().build().await.unwrap();
    let db = Database::connect("sqlite::memory:").await.unwrap().cached_by(cache);
    db.execute(&Schema::new(db.get_database_backend()).create_table_from_entity(book::Entity)).await.unwrap();
    book::ActiveModel { id: Set(7), title: Set("Dune".to_owned()) }.insert(&db).await.unwrap();
    book::Entity::find_by_id(7).cached().one(&db).await.unwrap();
    db
}

fn by_key(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = runtime.block_on(open());
    let mut group = c.benchmark_group("a row by its key");
    group.bench_function("from the cache", |b| {
        b.iter(|| runtime.block_on(book::Entity::find_by_id(7).cached().one(&db)).unwrap());
    });
    group.bench_function("from SQLite", |b| {
        b.iter(|| runtime.block_on(book::Entity::find_by_id(7).one(&db)).unwrap());
    });
    group.finish();
    assert!(db.cache().stats().total.hits > 0);
}

criterion_group!(benches, by_key);
criterion_main!(benches);
