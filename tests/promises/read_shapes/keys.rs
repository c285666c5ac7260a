//! What makes two questions one, or two.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::{book, customer, shelf},
    question::{Asked, question},
    support::{eventually, redis_command, shared_redis_url},
    world::{StoreKind, World},
};

fn books() -> sea_orm::Select<book::Entity> {
    book::Entity::find().order_by_asc(book::Column::Id)
}

// case E22
#[tokio::test]
async fn one_question_in_two_spellings_has_one_answer() {
    for world in World::all().await {
        let questions = vec![
            question!("built", books().filter(book::Column::ShelfId.eq(1)), all),
            question!("by text", books().filter(Expr::cust("shelf_id = 1")), all),
            question!("with spaces", books().filter(Expr::cust(" shelf_id  =\n1 ")), all),
            question!("with a comment", books().filter(Expr::cust("shelf_id /* book */ = 1")), all),
            question!("in capitals", books().filter(Expr::cust("SHELF_ID = 1")), all),
            question!("the other way round", books().filter(Expr::cust("1 = shelf_id")), all),
            question!(
                "one way",
                books().filter(book::Column::ShelfId.eq(1)).filter(book::Column::Id.gt(0)),
                all
            ),
            question!(
                "the other",
                books().filter(book::Column::Id.gt(0)).filter(book::Column::ShelfId.eq(1)),
                all
            ),
        ];
        let names: Vec<_> = questions.iter().map(|question| question.name).collect();
        let first = (questions[0].ask)(&world, crate::question::How::Plain).await;
        for question in &questions {
            assert_eq!(
                (question.ask)(&world, crate::question::How::Cached).await,
                first,
                "{world}: {}",
                question.name
            );
        }
        let asked = Asked::new(&world, questions).await;
        asked.after("a write", &names, send(&world, "UPDATE book SET stock = 0 WHERE id = 3")).await;
    }
}

// case E25
#[tokio::test]
async fn questions_that_differ_in_a_hair_have_answers_of_their_own() {
    for world in World::all().await {
        let mut answers = BTreeSet::new();
        let mut asked = 0;
        // Values that run into each other when they are strung together.
        for (from, to) in [(1_i64, 11_i64), (11, 1), (1, 1), (11, 11), (-1, 11), (111, 0), (0, 111)] {
            let select = books().filter(book::Column::Id.gte(from)).filter(book::Column::Id.lte(to));
            for (limit, offset) in [(1, 11), (11, 1), (1, 1), (11, 0)] {
                let select = select.clone().limit(limit).offset(offset);
                let plain = select.clone().all(world.plain()).await.unwrap();
                for _ in 0..2 {
                    let cached = select.clone().cached().all(&world.db).await.unwrap();
                    assert_eq!(cached, plain, "{world}: {from}, {to}, {limit}, {offset}");
                }
                answers.insert(format!("{plain:?}"));
                asked += 1;
            }
        }
        assert!(answers.len() > 3, "{world}: the questions have different answers");
        let entries = async || {
            let keys = world.cache().keys(10_000).await.unwrap();
            keys.iter().filter(|key| key.contains(":q:")).count()
        };
        eventually("each is an entry of its own", Duration::from_secs(20), async || entries().await == asked)
            .await;
    }
}

// case E25
#[tokio::test]
async fn an_entry_under_the_key_of_another_is_no_answer() {
    let Some(url) = shared_redis_url() else { return };
    for world in World::all().await.into_iter().filter(|world| world.store == StoreKind::Redis) {
        let one = || books().filter(book::Column::ShelfId.eq(1)).cached();
        let two = || books().filter(book::Column::ShelfId.eq(2)).cached();
        let key_of = async |read: &dyn Fn() -> sea_orm_cache::CachedSelect<sea_orm::Select<book::Entity>>| {
            world.cache().clear().await;
            world.cache().invalidate_pattern("*").await.unwrap();
            eventually("stored", Duration::from_secs(20), async || {
                world.is_hit(read().all(&world.db)).await.1
            })
            .await;
            let keys = world.cache().keys(1000).await.unwrap();
            keys.into_iter().find(|key| key.contains(":q:")).unwrap()
        };
        let key_of_two = key_of(&two).await;
        let key_of_one = key_of(&one).await;
        assert_ne!(key_of_one, key_of_two);
        // As if the two hashes collided.
        redis_command(&url, &["COPY", &key_of_one, &key_of_two, "REPLACE"]).await;
        for _ in 0..2 {
            let plain = books().filter(book::Column::ShelfId.eq(2)).all(world.plain()).await.unwrap();
            assert_eq!(two().all(&world.db).await.unwrap(), plain, "{world}");
        }
    }
}

// case E27
#[tokio::test]
async fn a_question_that_is_asked_anew_every_day_leaves_nothing_that_lives_for_ever() {
    let Some(url) = shared_redis_url() else { return };
    for world in World::all().await {
        for day in 1..=28 {
            let today = format!("2026-11-{day:02}");
            let select = customer::Entity::find().filter(customer::Column::Name.ne(today.clone()));
            assert_eq!(select.cached().count(&world.db).await.unwrap(), 1, "{world}");
            let label = shelf::Entity::find().filter(shelf::Column::Label.eq(today.clone()));
            assert_eq!(label.cached().one(&world.db).await.unwrap(), None, "{world}");
            let options = EntryOptions::new().entity(book::Entity).tag(format!("day {today}"));
            let key = format!("takings of {today}");
            let load = async || Ok::<_, DbErr>(day);
            assert_eq!(world.cache().get_or_load(&key, options, load).await.unwrap(), day, "{world}");
        }
        let entries = async || {
            let keys = world.cache().keys(10_000).await.unwrap();
            keys.iter().filter(|key| key.contains(":q:") || key.contains(":e:")).count()
        };
        eventually("stored", Duration::from_secs(20), async || entries().await == 3 * 28).await;
        if world.store == StoreKind::Redis {
            for key in world.cache().keys(10_000).await.unwrap() {
                let left = redis_command(&url, &["PTTL", &key]).await;
                assert!(matches!(left, redis::Value::Int(1..)), "{world}: {key} lives for ever");
            }
        }
    }
}
