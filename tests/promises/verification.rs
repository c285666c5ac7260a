//! Hits that are held against the database.

use sea_orm::{ConnectionTrait, EntityTrait};
use sea_orm_cache::prelude::*;

use crate::{
    entity::book,
    support::{Backend, unique_namespace},
    world::{StoreKind, World, builder, retitled, title},
};

async fn verifying(world: &World, store: StoreKind, one_in: u32) -> Option<CachedConnection> {
    let cache = builder(store, &unique_namespace())?.verify_one_in(one_in).build().await.unwrap();
    Some(world.plain().clone().cached_by(cache))
}

// case G3
#[tokio::test]
async fn a_hit_that_differs_from_the_database_is_counted_and_the_database_is_believed() {
    use sea_orm::ActiveModelTrait;
    for store in [StoreKind::Memory, StoreKind::Redis] {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let Some(db) = verifying(&world, store, 1).await else { continue };
        let all = || book::Entity::find().cached();
        title(&db, 1).await;
        all().all(&db).await.unwrap();
        title(&db, 1).await;
        all().all(&db).await.unwrap();
        retitled(1, "new").update(&db).await.unwrap();
        for _ in 0..2 {
            assert_eq!(title(&db, 1).await.as_deref(), Some("new"));
        }
        let stats = db.cache().stats();
        assert_eq!((stats.verified_hits, stats.stale_hits), (3, 0), "{stats:?}");
        // A write of which the cache is not told.
        world
            .plain()
            .execute_unprepared("UPDATE book SET title = 'past the cache' WHERE id = 1")
            .await
            .unwrap();
        assert_eq!(title(&db, 1).await.as_deref(), Some("past the cache"), "what the database says");
        let stats = db.cache().stats();
        assert_eq!((stats.verified_hits, stats.stale_hits), (4, 1), "{stats:?}");
    }
}

#[tokio::test]
async fn one_hit_in_so_many_is_verified() {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let db = verifying(&world, StoreKind::Memory, 10).await.unwrap();
    for _ in 0..101 {
        title(&db, 1).await;
    }
    let stats = db.cache().stats();
    assert_eq!((stats.total.hits, stats.verified_hits), (100, 10));
}
