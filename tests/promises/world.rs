//! A bookshop with a cache in front: one database, one store, a namespace of its own.

use std::{fmt, sync::Arc, time::Duration};

use sea_orm::{ActiveValue::Set, DatabaseConnection, entity::prelude::*};
use sea_orm_cache::{
    Cache, CacheBuilder, CachedBy, CachedConnection,
    stores::{MemoryStore, RedisConfig, RedisStore, Store},
};
use sea_orm_cache_migration::Migrator;
use sea_orm_migration::MigratorTrait;

use crate::{
    entity::{author, book, customer, publisher, shelf},
    support::{Backend, TestDatabase, eventually, shared_redis_url, unique_namespace},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Memory,
    Redis,
}

pub struct World {
    pub db: CachedConnection,
    pub database: TestDatabase,
    pub store: StoreKind,
    pub namespace: String,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {:?}", self.database.backend(), self.store)
    }
}

/// Redis with time limits that a busy test machine keeps.
pub fn patient(url: String) -> RedisConfig {
    RedisConfig::new(url).read_timeout(Duration::from_secs(5)).write_timeout(Duration::from_secs(5))
}

/// A builder for a store of this kind, in this namespace; `None` if the server is not there.
pub fn builder(store: StoreKind, namespace: &str) -> Option<CacheBuilder> {
    let builder = Cache::builder().namespace(namespace);
    match store {
        StoreKind::Memory => Some(builder),
        StoreKind::Redis => Some(builder.redis_with(patient(shared_redis_url()?))),
    }
}

/// Each store that is there, which a test can reach past the cache.
pub async fn stores() -> Vec<Arc<dyn Store>> {
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(MemoryStore::with_capacity(1 << 24))];
    if let Some(url) = shared_redis_url() {
        stores.push(Arc::new(RedisStore::connect(patient(url)).await.unwrap()));
    }
    stores
}

/// A cache of its own on each store that is there.
pub async fn caches() -> Vec<(StoreKind, Cache)> {
    let mut caches = Vec::new();
    for store in [StoreKind::Memory, StoreKind::Redis] {
        if let Some(builder) = builder(store, &unique_namespace()) {
            caches.push((store, builder.build().await.unwrap()));
        }
    }
    caches
}

impl World {
    /// Three databases, each with both stores.
    pub async fn all() -> Vec<Self> {
        let mut worlds = Vec::new();
        for backend in Backend::all() {
            for store in [StoreKind::Memory, StoreKind::Redis] {
                worlds.extend(Self::new(backend, store).await);
            }
        }
        worlds
    }

    /// SQLite with both stores: for what does not depend on the database.
    pub async fn on_each_store() -> Vec<Self> {
        let mut worlds = Vec::new();
        for store in [StoreKind::Memory, StoreKind::Redis] {
            worlds.extend(Self::new(Backend::Sqlite, store).await);
        }
        worlds
    }

    pub async fn new(backend: Backend, store: StoreKind) -> Option<Self> {
        let namespace = unique_namespace();
        let cache = builder(store, &namespace)?.build().await.unwrap();
        let database = TestDatabase::create(backend).await?;
        let world = Self { db: database.connection().clone().cached_by(cache), database, store, namespace };
        world.stock().await;
        Some(world)
    }

    /// The database without the cache: what it says is true.
    pub fn plain(&self) -> &DatabaseConnection {
        self.database.connection()
    }

    /// Another process of the same application: a connection and a cache of its own. Only with
    /// Redis do the two share anything.
    pub async fn another_process(&self) -> CachedConnection {
        let cache = builder(self.store, &self.namespace).unwrap().build().await.unwrap();
        self.database.another_connection().await.cached_by(cache)
    }

    pub fn cache(&self) -> &Cache {
        self.db.cache()
    }

    /// Books 1 to 12 on shelves 1 to 3, from publishers 1 and 2.
    async fn stock(&self) {
        let db = self.plain();
        Migrator::up(db, None).await.unwrap();
        for id in 1..=3 {
            let shelf = shelf::ActiveModel { id: Set(id), label: Set(format!("Shelf {id}")) };
            shelf::Entity::insert(shelf).exec_without_returning(db).await.unwrap();
        }
        for id in 1..=2 {
            let publisher = publisher::ActiveModel { id: Set(id), name: Set(format!("Publisher {id}")) };
            publisher::Entity::insert(publisher).exec_without_returning(db).await.unwrap();
        }
        let author = author::ActiveModel { id: Set(1), name: Set("Author 1".into()) };
        author::Entity::insert(author).exec_without_returning(db).await.unwrap();
        let customer = customer::ActiveModel {
            id: Set(1),
            name: Set("Customer 1".into()),
            password_hash: Set("hash 1".into()),
        };
        customer::Entity::insert(customer).exec_without_returning(db).await.unwrap();
        book::Entity::insert_many((1..=12).map(new_book)).exec_without_returning(db).await.unwrap();
        // PostgreSQL's sequences do not know of ids that were given.
        if self.database.backend() == Backend::Postgres {
            for table in ["shelf", "publisher", "author", "customer", "book"] {
                let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)");
                self.database.execute(&sql).await;
            }
        }
    }

    /// The title of a book as a cached read says it.
    pub async fn title(&self, id: i64) -> Option<String> {
        title(&self.db, id).await
    }

    /// Reads through the cache, and says whether that was a hit.
    pub async fn is_hit<T>(&self, read: impl Future<Output = T>) -> (T, bool) {
        let before = self.cache().stats().total;
        let value = read.await;
        let after = self.cache().stats().total;
        assert_eq!(after.reads, before.reads + 1, "one cached read was to be made");
        (value, after.hits > before.hits)
    }

    /// Was the row's entry valid? Asking is a cached read, so it fills what was not.
    pub async fn book_is_cached(&self, id: i64) -> bool {
        self.is_hit(self.title(id)).await.1
    }
}

pub fn new_book(id: i64) -> book::ActiveModel {
    book::ActiveModel {
        id: Set(id),
        shelf_id: Set(1 + id % 3),
        publisher_id: Set(1 + id % 2),
        title: Set(format!("Title {id}")),
        price_cents: Set(100 * id),
        stock: Set(5),
    }
}

pub fn retitled(id: i64, title: &str) -> book::ActiveModel {
    book::ActiveModel { id: Set(id), title: Set(title.to_owned()), ..Default::default() }
}

/// Waits until a row is served from the cache.
pub async fn is_cached(db: &CachedConnection, id: i64) {
    eventually("the row is served from the cache", Duration::from_secs(60), async || {
        let before = db.cache().stats().total.hits;
        title(db, id).await;
        db.cache().stats().total.hits > before
    })
    .await;
}

pub async fn title(db: &CachedConnection, id: i64) -> Option<String> {
    use sea_orm_cache::CachedQuery;
    book::Entity::find_by_id(id).cached().one(db).await.unwrap().map(|book| book.title)
}
