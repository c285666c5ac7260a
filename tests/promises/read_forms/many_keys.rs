//! Rows by many keys at once, and by keys that databases compare in their own ways.

use sea_orm::entity::prelude::*;
use sea_orm_cache::prelude::*;

use crate::{
    entity::{book, book_author},
    support::{Backend, eventually},
    world::{World, new_book, retitled},
};

use super::{SOON, stock_more};

// case E13
#[tokio::test]
async fn rows_by_many_keys_come_in_the_order_asked_and_from_where_they_are() {
    for world in World::all().await {
        let ids = async |ids: Vec<i64>| -> Vec<Option<i64>> {
            let rows = book::Entity::cached_by_ids(ids, &world.db).await.unwrap();
            rows.into_iter().map(|row| row.map(|book| book.id)).collect()
        };
        let counted = async |ask: Vec<i64>| {
            let before = world.cache().stats().total;
            let rows = ids(ask).await;
            let after = world.cache().stats().total;
            (rows, after.hits - before.hits, after.misses - before.misses)
        };
        assert_eq!(ids(vec![]).await, [], "{world}");
        assert_eq!(counted(vec![3, 1]).await, (vec![Some(3), Some(1)], 0, 2), "{world}");
        eventually("stored", SOON, async || counted(vec![1, 3]).await.1 == 2).await;
        // Two are there, one is not, one does not exist; one is asked for twice.
        let asked = vec![5, 3, 4711, 1, 3];
        let expected = vec![Some(5), Some(3), None, Some(1), Some(3)];
        assert_eq!(counted(asked.clone()).await, (expected.clone(), 2, 2), "{world}");
        eventually("stored", SOON, async || counted(asked.clone()).await == (expected.clone(), 4, 0)).await;
        // The same entries as those of `find_by_id`, "no such row" included.
        for (id, there) in [(5, true), (3, true), (4711, false)] {
            let (row, hit) = world.is_hit(world.title(id)).await;
            assert_eq!((row.is_some(), hit), (there, true), "{world}, {id}");
        }
        // A write purges one of them; an insert all that say "no such row", and no other.
        retitled(3, "new").update(&world.db).await.unwrap();
        let rows = book::Entity::cached_by_ids([1_i64, 3, 5], &world.db).await.unwrap();
        let titles: Vec<_> = rows.into_iter().flatten().map(|book| book.title).collect();
        assert_eq!(titles, ["Title 1", "new", "Title 5"], "{world}");
        new_book(4711).insert(&world.db).await.unwrap();
        let (rows, hits, misses) = counted(asked).await;
        assert_eq!(rows, [Some(5), Some(3), Some(4711), Some(1), Some(3)], "{world}");
        assert_eq!((hits, misses), (3, 1), "{world}");
    }
}

// case E12, E13
#[tokio::test]
async fn more_keys_than_one_query_takes_are_read_in_several() {
    for world in World::all().await {
        let many = (100..2600).map(new_book).collect::<Vec<_>>();
        for chunk in many.chunks(500) {
            book::Entity::insert_many(chunk.to_vec()).exec_without_returning(world.plain()).await.unwrap();
        }
        let asked: Vec<i64> = (100..2600).rev().chain([1, 4711]).collect();
        let read = async || {
            let before = world.cache().stats().total;
            let rows = book::Entity::cached_by_ids(asked.clone(), &world.db).await.unwrap();
            let ids: Vec<_> = rows.iter().map(|row| row.as_ref().map(|book| book.id)).collect();
            (ids, world.cache().stats().total.hits - before.hits)
        };
        let expected: Vec<_> = asked.iter().map(|id| (*id != 4711).then_some(*id)).collect();
        assert_eq!(read().await, (expected.clone(), 0), "{world}");
        eventually("stored", SOON, async || read().await == (expected.clone(), 2502)).await;
    }
}

// case E1, E13
#[tokio::test]
async fn rows_by_many_keys_of_two_columns_are_read_and_purged_one_by_one() {
    for world in World::all().await {
        stock_more(&world).await;
        let read = async || {
            let before = world.cache().stats().total;
            let keys = [(2, 1), (1, 1), (1, 2)];
            let rows = book_author::Entity::cached_by_ids(keys, &world.db).await.unwrap();
            let there: Vec<_> =
                rows.into_iter().map(|row| row.map(|row| (row.book_id, row.author_id))).collect();
            (there, world.cache().stats().total.hits - before.hits)
        };
        let expected = vec![Some((2, 1)), Some((1, 1)), None];
        assert_eq!(read().await, (expected.clone(), 0), "{world}");
        eventually("stored", SOON, async || read().await == (expected.clone(), 3)).await;
        book_author::Entity::delete_by_id((1, 1)).exec(&world.db).await.unwrap();
        // The negative entry went with the table, the other row stayed.
        assert_eq!(read().await, (vec![Some((2, 1)), None, None], 1), "{world}");
    }
}

/// Coupons by code: keys of text, which databases compare in their own ways.
mod coupon {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "coupon")]
    #[cache(ttl = "10m")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub code: String,
        pub percent: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn coupons(world: &World) {
    // SQLite too is told to compare as MariaDB does by itself.
    let collate = match world.database.backend() {
        Backend::Sqlite => "COLLATE NOCASE",
        _ => "",
    };
    let sql = format!("CREATE TABLE coupon (code VARCHAR(100) {collate} PRIMARY KEY, percent INT NOT NULL)");
    world.database.execute(&sql).await;
    world.database.execute("INSERT INTO coupon (code, percent) VALUES ('spring', 10), ('fête', 20)").await;
}

// case E23
#[tokio::test]
async fn text_keys_are_found_and_purged_as_the_database_compares_them() {
    for world in World::all().await {
        coupons(&world).await;
        let spellings = ["spring", "SPRING", "Spring", "spring ", "fête", "FÊTE", "fete", "sprung"];
        let plain = async |code: &str| {
            coupon::Entity::find_by_id(code).one(world.plain()).await.unwrap().map(|coupon| coupon.percent)
        };
        let cached = async |code: &str| {
            let coupon = coupon::Entity::find_by_id(code).cached().one(&world.db).await.unwrap();
            coupon.map(|coupon| coupon.percent)
        };
        for (round, written) in spellings.into_iter().enumerate() {
            for code in spellings {
                assert_eq!(cached(code).await, plain(code).await, "{world}, {code:?}");
            }
            let percent = 30 + i32::try_from(round).unwrap();
            coupon::Entity::update_many()
                .col_expr(coupon::Column::Percent, Expr::value(percent))
                .filter(coupon::Column::Code.eq(written))
                .exec(&world.db)
                .await
                .unwrap();
            for code in spellings {
                assert_eq!(cached(code).await, plain(code).await, "{world}, {code:?} after {written:?}");
            }
        }
    }
}

// case E13, E23
#[tokio::test]
async fn many_text_keys_are_found_as_the_database_compares_them() {
    for world in World::all().await {
        coupons(&world).await;
        for asked in [
            vec!["spring", "SPRING"],
            vec!["SPRING", "spring"],
            vec!["Spring", "fête", "sprung"],
            vec!["spring", "SPRING", "FÊTE", "fete", "fête", "sprung", "spring "],
        ] {
            world.cache().clear().await;
            let mut expected = Vec::new();
            for code in &asked {
                let row = coupon::Entity::find_by_id(*code).one(world.plain()).await.unwrap();
                expected.push(row.map(|coupon| coupon.percent));
            }
            for round in 0..2 {
                let rows = coupon::Entity::cached_by_ids(asked.clone(), &world.db).await.unwrap();
                let read: Vec<_> = rows.into_iter().map(|row| row.map(|coupon| coupon.percent)).collect();
                assert_eq!(read, expected, "{world}, {asked:?}, round {round}");
            }
            for (code, expected) in asked.iter().zip(expected) {
                let row = coupon::Entity::find_by_id(*code).cached().one(&world.db).await.unwrap();
                assert_eq!(row.map(|coupon| coupon.percent), expected, "{world}, {code:?} of {asked:?}");
            }
        }
    }
}
