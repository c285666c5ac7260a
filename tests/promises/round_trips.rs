//! What each operation costs on the wire, counted by a proxy in front of Redis.

use std::time::Duration;

use sea_orm::{ActiveValue::Set, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, Consistency, prelude::*};

use crate::{
    entity::{book, shelf},
    support::{Backend, PrivateRedis, Proxy, eventually},
    world::{StoreKind, World, patient, retitled, title},
};

struct Counted {
    db: CachedConnection,
    proxy: Proxy,
    server: PrivateRedis,
    world: World,
}

impl Counted {
    async fn open() -> Option<Self> {
        Self::open_with(Consistency::Strict).await
    }

    async fn open_with(consistency: Consistency) -> Option<Self> {
        let server = PrivateRedis::start().await?;
        let proxy = Proxy::for_redis(&server.url()).await;
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let builder = Cache::builder().namespace("wire").consistency(consistency);
        let cache = builder.redis_with(patient(proxy.redis_url())).build().await.unwrap();
        cache.ping().await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        Some(Self { db, proxy, server, world })
    }

    /// Round trips of a step, the store of an entry included, which nobody waits for.
    async fn count<T>(&self, step: impl Future<Output = T>) -> (T, u64) {
        let before = self.quiet().await;
        let value = step.await;
        (value, self.quiet().await - before)
    }

    /// The number of round trips once there are no more to come.
    async fn quiet(&self) -> u64 {
        let mut last = (self.proxy.round_trips(), 0);
        while last.1 < 50 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = self.proxy.round_trips();
            last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        }
        last.0
    }

    /// Everything that was sent before has been answered: Redis answers in order.
    async fn settle(&self) {
        self.db.cache().ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_hit_is_one_round_trip() {
    let Some(wire) = Counted::open().await else { return };
    let db = &wire.db;
    let list = || book::Entity::find().filter(book::Column::ShelfId.eq(1)).cached();
    let own = || db.cache().get_or_load("own", EntryOptions::new(), || async { Ok::<_, DbErr>(1) });
    title(db, 1).await;
    book::Entity::cached_by_id(4711, db).await.unwrap();
    list().all(db).await.unwrap();
    list().count(db).await.unwrap();
    own().await.unwrap();
    book::Entity::cached_by_ids(1..=10, db).await.unwrap();
    let hits = db.cache().stats().total.hits;
    let counts = [
        wire.count(title(db, 1)).await.1,
        wire.count(book::Entity::cached_by_id(4711, db)).await.1,
        wire.count(list().all(db)).await.1,
        wire.count(list().count(db)).await.1,
        wire.count(own()).await.1,
        wire.count(book::Entity::cached_by_ids(1..=10, db)).await.1,
    ];
    println!("hits: {counts:?} round trips");
    assert_eq!(db.cache().stats().total.hits - hits, 15);
    assert_eq!(counts, [1; 6]);
}

#[tokio::test]
async fn a_miss_is_two_round_trips_and_the_load() {
    let Some(wire) = Counted::open().await else { return };
    let db = &wire.db;
    let list = || book::Entity::find().filter(book::Column::ShelfId.eq(1)).cached();
    let cold = [
        wire.count(shelf::Entity::cached_by_id(1, db)).await.1,
        wire.count(book::Entity::cached_by_id(4711, db)).await.1,
        wire.count(list().count(db)).await.1,
        wire.count(shelf::Entity::cached_by_ids(2..=9, db)).await.1,
    ];
    // Books carry a tag that only the row names (`publisher:{publisher_id}`). The first time that
    // this process sees such a tag it has to be stamped, which nobody waits for either.
    let first = wire.count(title(db, 1)).await.1;
    title(db, 2).await;
    let later = [wire.count(title(db, 3)).await.1, wire.count(list().all(db)).await.1];
    assert_eq!((first, later), (3, [2, 2]));
    retitled(3, "new").update(db).await.unwrap();
    retitled(1, "new").update(db).await.unwrap();
    let purged = [wire.count(title(db, 1)).await.1, wire.count(list().all(db)).await.1];
    println!("misses: {cold:?} round trips cold, {purged:?} after a purge of our own");
    assert_eq!((cold, purged), ([2; 4], [2; 2]));
    assert_eq!(db.cache().stats().total.hits, 0);
}

#[tokio::test]
async fn a_miss_after_somebody_elses_purge_waits_for_two_round_trips_at_most() {
    let Some(wire) = Counted::open().await else { return };
    title(&wire.db, 1).await;
    wire.settle().await;
    let other =
        Cache::builder().namespace("wire").redis_with(patient(wire.server.url())).build().await.unwrap();
    let other = wire.world.plain().clone().cached_by(other);
    retitled(1, "new").update(&other).await.unwrap();
    // Redis answers twice and then not at all: the read must not need a third answer.
    wire.proxy.hold_replies(2);
    assert_eq!(title(&wire.db, 1).await.as_deref(), Some("new"));
    wire.proxy.release();
    assert_eq!(wire.db.cache().stats().total.bypasses, 0, "it was a miss, and it was stored");
    eventually("the entry is there", Duration::from_secs(5), async || {
        let before = wire.db.cache().stats().total.hits;
        title(&wire.db, 1).await;
        wire.db.cache().stats().total.hits > before
    })
    .await;
}

#[tokio::test]
async fn a_write_or_a_transaction_of_many_writes_is_two_round_trips_and_one_without_barriers() {
    for (consistency, expected) in [(Consistency::Strict, 2), (Consistency::AfterCommit, 1)] {
        let Some(wire) = Counted::open_with(consistency).await else { return };
        let db = &wire.db;
        title(db, 1).await;
        // The first purge of all sends the script.
        db.cache().invalidate_tag("whatever").await;
        let autocommit = wire.count(retitled(1, "new").update(db)).await.1;
        let transaction = async {
            let tx = db.begin().await.unwrap();
            for id in 1..=10 {
                retitled(id, "all").update(&tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        };
        let transaction = wire.count(transaction).await.1;
        let rolled_back = async {
            let tx = db.begin().await.unwrap();
            retitled(1, "no").update(&tx).await.unwrap();
            tx.rollback().await.unwrap();
        };
        let rolled_back = wire.count(rolled_back).await.1;
        let plain_read = wire.count(book::Entity::find().all(db)).await.1;
        let by_hand = wire.count(db.cache().invalidate_entity::<book::Entity>()).await.1;
        println!(
            "{consistency:?}: write {autocommit}, transaction {transaction}, rollback {rolled_back}, \
             plain read {plain_read}"
        );
        assert_eq!(
            (autocommit, transaction, rolled_back, plain_read, by_hand),
            (expected, expected, 0, 0, 1),
            "{consistency:?}"
        );
        wire.server.reset_stats().await;
        book::ActiveModel { id: Set(1), stock: Set(9), ..Default::default() }.update(db).await.unwrap();
        let stats = wire.server.commandstats().await;
        assert_eq!((stats.get("evalsha"), stats.get("unlink")), (Some(&expected), Some(&1)));
    }
}
