//! What is large is compressed in the store, and what asks for it is encrypted.

use sea_orm::entity::prelude::*;
use sea_orm_cache::{
    Cache,
    prelude::*,
    stores::{EntryKey, Store},
};

use crate::{
    entity::book,
    support::Backend,
    world::{StoreKind, World, retitled, stores},
};

/// SQLite behind each store that is there, which the test can reach.
async fn opened() -> Vec<(std::sync::Arc<dyn Store>, World)> {
    let mut opened = Vec::new();
    for store in stores().await {
        opened.push((store, World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap()));
    }
    opened
}

/// Everything that the namespace's entries hold, by key.
async fn contents(store: &dyn Store, cache: &Cache) -> Vec<(String, Vec<u8>)> {
    let keys = cache.keys(1000).await.unwrap();
    let entries: Vec<_> = keys.iter().map(|key| EntryKey::from_full(key.as_str())).collect();
    let found = store.read(&entries, &[]).await.unwrap().entries;
    keys.into_iter().zip(found).filter_map(|(key, bytes)| Some((key, bytes?.to_vec()))).collect()
}

// feature B7
#[cfg(feature = "compression")]
#[tokio::test]
async fn a_large_answer_takes_less_room_and_comes_back_as_it_was() {
    for (store, world) in opened().await {
        let long = "on the shelf of the author of the book ".repeat(200);
        retitled(1, &long).update(world.plain()).await.unwrap();
        let mut sizes = Vec::new();
        for above in [1024, usize::MAX] {
            let namespace = format!("{}{above}", world.namespace);
            let cache = Cache::builder().namespace(namespace).store(store.clone()).compress_above(above);
            let db = world.plain().clone().cached_by(cache.build().await.unwrap());
            for _ in 0..2 {
                let book = book::Entity::cached_by_id(1, &db).await.unwrap().unwrap();
                assert_eq!(book.title, long);
                db.cache().ping().await.unwrap();
            }
            assert_eq!(db.cache().stats().total.hits, 1, "{above}");
            let row = contents(&*store, db.cache()).await;
            sizes.push(row.iter().find(|(key, _)| key.contains(":row:")).unwrap().1.len());
        }
        assert!(sizes[0] < sizes[1] / 4, "{sizes:?}");
    }
}

#[cfg(feature = "encryption")]
mod encrypted {
    use std::time::Duration;

    use sea_orm::{ActiveValue::Set, QuerySelect};
    use sea_orm_cache::{CacheEntity, CacheError, EncryptionKeys, EntityPolicy};

    use super::*;
    use crate::support::eventually;

    /// The customers as a release knows them that keeps them secret.
    mod secret {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "customer")]
        pub struct Model {
            #[sea_orm(primary_key)]
            pub id: i64,
            pub name: String,
            pub password_hash: String,
        }

        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    }

    // By hand, so that only the caches that are told of it know it.
    impl CacheEntity for secret::Entity {
        fn cache_policy() -> EntityPolicy {
            EntityPolicy::new().encrypted()
        }
    }

    const NAME: &str = "Rumpelstiltskin";

    fn keys() -> EncryptionKeys {
        EncryptionKeys::new(2, [2; 32]).unwrap().and_older(1, [1; 32]).unwrap()
    }

    async fn shop(
        store: &std::sync::Arc<dyn Store>,
        world: &World,
        keys: EncryptionKeys,
    ) -> CachedConnection {
        let cache = Cache::builder().namespace(&world.namespace).store(store.clone());
        let cache = cache.entity::<secret::Entity>().encryption_keys(keys).build().await.unwrap();
        world.plain().clone().cached_by(cache)
    }

    async fn stocked() -> Vec<(std::sync::Arc<dyn Store>, World)> {
        let opened = opened().await;
        for (_, world) in &opened {
            let row = secret::ActiveModel { id: Set(1), name: Set(NAME.into()), ..Default::default() };
            row.update(world.plain()).await.unwrap();
        }
        opened
    }

    /// Is it a hit the second time?
    async fn twice<T: PartialEq + std::fmt::Debug>(db: &CachedConnection, read: impl AsyncFn() -> T) -> T {
        let first = read().await;
        db.cache().ping().await.unwrap();
        let before = db.cache().stats().total.hits;
        assert_eq!(read().await, first);
        assert_eq!(db.cache().stats().total.hits, before + 1);
        first
    }

    // feature B8
    #[tokio::test]
    async fn nothing_that_shows_an_encrypted_row_is_readable_in_the_store() {
        for (store, world) in stocked().await {
            let db = shop(&store, &world, keys()).await;
            let one = twice(&db, async || secret::Entity::cached_by_id(1, &db).await.unwrap().unwrap()).await;
            assert_eq!(one.name, NAME);
            twice(&db, async || secret::Entity::find().cached().all(&db).await.unwrap()).await;
            let names = || secret::Entity::find().select_only().column(secret::Column::Name);
            twice(&db, async || names().into_tuple::<String>().cached().all(&db).await.unwrap()).await;
            // Another entity on the same table, and an entry of the application's own.
            let other = crate::entity::customer::Entity::find_by_id(1);
            twice(&db, async || other.clone().cached().one(&db).await.unwrap().unwrap()).await;
            let options = || EntryOptions::new().entity(secret::Entity);
            let own = async || {
                let load = async || Ok::<_, std::convert::Infallible>(NAME.to_owned());
                db.cache().get_or_load("own", options(), load).await.unwrap()
            };
            twice(&db, own).await;
            let contents = contents(&*store, db.cache()).await;
            // The two entities of one shape share an entry.
            assert!(contents.len() >= 4, "{}", contents.len());
            for (key, bytes) in contents {
                let shows = bytes.windows(NAME.len()).any(|part| part == NAME.as_bytes());
                assert!(!shows, "{key} shows the name");
            }
        }
    }

    #[tokio::test]
    async fn what_is_encrypted_is_loaded_anew_before_its_time_is_over_too() {
        for (store, world) in stocked().await {
            let db = shop(&store, &world, keys()).await;
            let read = || secret::Entity::find_by_id(1).cached().refresh_early(f64::INFINITY);
            let name = async || read().one(&db).await.unwrap().unwrap().name;
            assert_eq!(name().await, NAME);
            db.cache().ping().await.unwrap();
            world.database.execute("UPDATE customer SET name = 'renamed'").await;
            let patience = Duration::from_secs(20);
            eventually("it was loaded anew", patience, async || name().await == "renamed").await;
            assert_eq!(db.cache().stats().total.misses, 1, "nobody has waited");
        }
    }

    #[tokio::test]
    async fn a_write_to_an_encrypted_entity_purges_like_any_other() {
        for (store, world) in stocked().await {
            let db = shop(&store, &world, keys()).await;
            twice(&db, async || secret::Entity::cached_by_id(1, &db).await.unwrap()).await;
            let row = secret::ActiveModel { id: Set(1), name: Set("known".into()), ..Default::default() };
            row.update(&db).await.unwrap();
            assert_eq!(secret::Entity::cached_by_id(1, &db).await.unwrap().unwrap().name, "known");
        }
    }

    // feature B8
    #[tokio::test]
    async fn keys_change_without_a_wrong_answer() {
        for (store, world) in stocked().await {
            let read = async |db: &CachedConnection| {
                let before = db.cache().stats().total.hits;
                let row = secret::Entity::cached_by_id(1, db).await.unwrap().unwrap();
                assert_eq!(row.name, NAME);
                db.cache().ping().await.unwrap();
                db.cache().stats().total.hits > before
            };
            let old = shop(&store, &world, EncryptionKeys::new(1, [1; 32]).unwrap()).await;
            crate::support::eventually("it is cached", Duration::from_secs(10), async || read(&old).await)
                .await;
            assert!(read(&shop(&store, &world, keys()).await).await, "an older key still reads");
            let new = shop(&store, &world, EncryptionKeys::new(2, [2; 32]).unwrap()).await;
            assert!(!read(&new).await, "one that is not known does not");
            assert!(read(&new).await);
            assert!(!read(&old).await, "and the other way round");
        }
    }

    // Anybody who can write to Redis can make an entry. Not one that is encrypted.
    #[tokio::test]
    async fn an_entry_that_is_not_encrypted_is_not_taken_for_one_that_is() {
        for (store, world) in stocked().await {
            let plain = Cache::builder().namespace(&world.namespace).store(store.clone());
            let plain = world.plain().clone().cached_by(plain.build().await.unwrap());
            twice(&plain, async || secret::Entity::cached_by_id(1, &plain).await.unwrap()).await;
            let db = shop(&store, &world, keys()).await;
            secret::Entity::cached_by_id(1, &db).await.unwrap().unwrap();
            assert_eq!(db.cache().stats().total.hits, 0);
        }
    }

    #[tokio::test]
    async fn an_entity_that_is_to_be_encrypted_without_a_key_is_an_error_at_the_start() {
        let error = Cache::builder().entity::<secret::Entity>().build().await.unwrap_err();
        assert!(matches!(error, CacheError::Config(_)));
        let text = error.to_string();
        assert!(text.contains("\"customer\"") && text.contains("CACHE_ENCRYPTION_KEYS"), "{text}");
    }
}
