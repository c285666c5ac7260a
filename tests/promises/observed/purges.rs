//! The last purges: what happened, without keys and values.

use sea_orm::{ConnectionTrait, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{PurgedScope, RecentPurge};

use crate::{
    entity::book,
    world::{World, new_book, retitled},
};

fn of<'a>(purge: &'a RecentPurge, table: &str) -> Option<&'a PurgedScope> {
    purge.tables.iter().find(|there| there.table == table).map(|there| &there.scope)
}

#[tokio::test]
async fn each_write_and_each_invalidation_is_told_once_the_newest_first() {
    for world in World::on_each_store().await {
        let (db, cache) = (&world.db, world.cache());
        retitled(3, "ada@example.org").update(db).await.unwrap();
        let tx = db.begin().await.unwrap();
        for id in 1..=4 {
            retitled(id, "x").update(&tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        db.execute_unprepared("UPDATE book SET stock = stock + 1").await.unwrap();
        cache.invalidate_tag("ada@example.org").await;
        cache.clear().await;
        let purges = cache.recent_purges();
        let [everything, tag, bulk, several, one] = &purges[..] else {
            panic!("{world}: {purges:#?}");
        };
        assert_eq!(of(one, "book"), Some(&PurgedScope::Rows(1)), "{world}");
        assert_eq!(of(several, "book"), Some(&PurgedScope::Rows(4)), "{world}");
        assert_eq!(of(bulk, "book"), Some(&PurgedScope::Table), "{world}");
        assert_eq!((tag.tags, tag.tables.len(), tag.by_hand), (1, 0, true), "{world}");
        assert!(everything.everything && everything.by_hand && !everything.queued, "{world}");
        assert!(purges.iter().rev().is_sorted_by_key(|purge| purge.at), "{world}");
        assert!(!one.by_hand && !several.by_hand && !bulk.by_hand, "{world}");
        assert!(!format!("{purges:?}").contains("ada"), "{world}");
        let stats = cache.stats();
        assert_eq!((stats.purges, stats.invalidations), (3, 2), "{world}");
    }
}

#[tokio::test]
async fn what_was_rolled_back_is_not_told() {
    for world in World::on_each_store().await {
        let tx = world.db.begin().await.unwrap();
        book::Entity::insert(new_book(99)).exec_without_returning(&tx).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(world.cache().recent_purges(), [], "{world}");
        let new = book::Entity::insert(new_book(99)).exec_without_returning(&world.db).await;
        assert_eq!(new.unwrap(), 1, "{world}");
        assert_eq!(world.cache().recent_purges().len(), 1, "{world}");
    }
}
