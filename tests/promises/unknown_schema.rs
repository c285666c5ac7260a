//! A database whose catalogue cannot be read: more is purged, and nothing is served.

use sea_orm::{ConnectionTrait, Database, entity::prelude::*};
use sea_orm_cache::CachedBy;

use crate::{
    support::Backend,
    world::{StoreKind, World, builder, retitled, title},
};

#[tokio::test]
async fn without_a_catalogue_reads_go_to_the_database_and_writes_purge_the_namespace() {
    for store in [StoreKind::Memory, StoreKind::Redis] {
        let Some(world) = World::new(Backend::Postgres, store).await else { continue };
        let role = format!("blind_{}", world.namespace.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        for sql in [
            format!("CREATE ROLE {role} LOGIN"),
            format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
            "REVOKE SELECT ON pg_catalog.pg_constraint FROM PUBLIC".to_owned(),
        ] {
            world.database.execute(&sql).await;
        }
        let mut url = world.database.url().to_owned();
        let user = url.find("//").unwrap() + 2;
        url.replace_range(user..url.find('@').unwrap(), &role);
        // The other one sees, and shares the namespace.
        title(&world.db, 1).await;
        let cache = builder(store, &world.namespace).unwrap().build().await.unwrap();
        let blind = Database::connect(url).await.unwrap().cached_by(cache);
        assert!(blind.learn_schema().await.is_err());
        for _ in 0..2 {
            assert_eq!(title(&blind, 1).await.as_deref(), Some("Title 1"), "{world}");
        }
        let stats = blind.cache().stats();
        assert_eq!((stats.total.hits, stats.total.bypasses), (0, 2), "{world}");
        retitled(1, "new").update(&blind).await.unwrap();
        assert_eq!(blind.cache().stats().namespace_purges, 1, "{world}");
        if store == StoreKind::Redis {
            assert_eq!(title(&world.db, 1).await.as_deref(), Some("new"), "{world}");
        }
        // Without asking, it is as if there were nothing to know.
        let trusting = blind.clone().without_schema();
        title(&trusting, 2).await;
        assert_eq!(trusting.cache().stats().total.misses, 1, "{world}");
        drop(blind);
        trusting.close().await.unwrap();
        for sql in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")] {
            world.database.execute(&sql).await;
        }
    }
}

#[tokio::test]
async fn a_schema_that_changed_past_the_wrapper_empties_the_cache_once_it_is_learned() {
    for world in World::all().await {
        world.db.learn_schema().await.unwrap();
        world.title(1).await;
        assert!(world.book_is_cached(2).await || world.book_is_cached(2).await, "{world}");
        // Nothing new: nothing happens.
        world.db.learn_schema().await.unwrap();
        assert!(world.book_is_cached(2).await, "{world}");
        world
            .plain()
            .execute_unprepared("CREATE VIEW shelved AS SELECT id, shelf_id FROM book")
            .await
            .unwrap();
        let report = world.db.learn_schema().await.unwrap();
        assert_eq!(report.views, ["shelved"], "{world}");
        assert!(world.cache().drain(std::time::Duration::from_secs(10)).await);
        assert!(!world.book_is_cached(2).await, "{world}");
    }
}
