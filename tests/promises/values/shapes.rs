//! Deploys: an entity as it was and as it is now, side by side on one table.

use std::{collections::BTreeSet, sync::Arc};

use sea_orm::{ActiveValue::Set, IntoActiveModel, entity::prelude::*};
use sea_orm_cache::{CachedBy, prelude::*, stores::MemoryStore};

use crate::{
    entity::book,
    support::unique_namespace,
    world::{StoreKind, World, builder, title},
};

/// An entity on the table `shape`, with these columns after its key.
macro_rules! shape {
    ($(#[$doc:meta])* $module:ident { $($(#[$attribute:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        pub mod $module {
            use sea_orm::entity::prelude::*;

            // Nobody declares these: every process knows only the one that it uses.
            #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = "shape")]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: i64,
                $($(#[$attribute])* pub $field: $ty,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

shape!(before { title: String, pages: i32 });
shape!(gained { title: String, pages: i32, note: Option<String> });
shape!(lost { title: String });
shape!(renamed { headline: String, pages: i32 });
shape!(renamed_in_sql_only { #[sea_orm(column_name = "headline")] title: String, note: Option<String> });
shape!(retyped { title: String, pages: i64 });
shape!(nullable { title: Option<String>, pages: i32 });
shape!(reordered { pages: i32, title: String });
shape!(swapped {
    #[sea_orm(column_name = "headline")]
    title: String,
    #[sea_orm(column_name = "title")]
    headline: String
});
shape!(stringly { title: String, pages: String });

/// A column whose enum gained a variant; and a document that gained a field.
mod kinds {
    use sea_orm::{FromJsonQueryResult, entity::prelude::*};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum Two {
        #[sea_orm(string_value = "a")]
        A,
        #[sea_orm(string_value = "b")]
        B,
    }

    #[derive(Clone, Debug, PartialEq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "Text")]
    pub enum Three {
        #[sea_orm(string_value = "a")]
        A,
        #[sea_orm(string_value = "b")]
        B,
        #[sea_orm(string_value = "c")]
        C,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, FromJsonQueryResult)]
    pub struct Small {
        pub size: i32,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, FromJsonQueryResult)]
    pub struct Large {
        pub size: i32,
        pub color: Option<String>,
    }
}

shape!(two_variants {
    #[sea_orm(column_type = "Text")]
    title: super::kinds::Two
});
shape!(three_variants {
    #[sea_orm(column_type = "Text")]
    title: super::kinds::Three
});
/// A document that gained a field. Declared, because only the derive sees into a document's type.
mod document {
    macro_rules! document {
        ($module:ident, $ty:ident) => {
            pub mod $module {
                use sea_orm::entity::prelude::*;
                use sea_orm_cache::CacheEntity;

                use super::super::kinds::$ty;

                #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
                #[sea_orm(table_name = "document")]
                pub struct Model {
                    #[sea_orm(primary_key, auto_increment = false)]
                    pub id: i64,
                    pub note: $ty,
                    pub note_or_null: Option<$ty>,
                }

                #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
                pub enum Relation {}

                impl ActiveModelBehavior for ActiveModel {}
            }
        };
    }

    document!(small, Small);
    document!(large, Large);
}

/// The key's columns, in one order and in the other.
mod composite {
    macro_rules! keyed {
        ($module:ident { $($key:ident: $ty:ty),* }) => {
            pub mod $module {
                use sea_orm::entity::prelude::*;

                #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
                #[sea_orm(table_name = "keyed")]
                pub struct Model {
                    $(#[sea_orm(primary_key, auto_increment = false)] pub $key: $ty,)*
                    pub text: String,
                }

                #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
                pub enum Relation {}

                impl ActiveModelBehavior for ActiveModel {}
            }
        };
    }

    keyed!(before { shelf: i64, place: i64 });
    keyed!(reordered { place: i64, shelf: i64 });
    keyed!(widened { shelf: i32, place: i32 });
}

/// Other entities on the bookshop's `book`.
mod on_book {
    /// A subset of the columns. Not declared: a declared entity is known to every test in this binary.
    pub mod title {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
        #[sea_orm(table_name = "book")]
        pub struct Model {
            #[sea_orm(primary_key)]
            pub id: i64,
            pub title: String,
        }

        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    }
}

async fn create(world: &World) {
    world
        .database
        .execute(
            "CREATE TABLE shape (id BIGINT PRIMARY KEY, title TEXT, headline TEXT, pages INTEGER, note TEXT)",
        )
        .await;
    world.database.execute("INSERT INTO shape VALUES (1, 'Dune', 'Arrakis', 412, NULL)").await;
}

/// Reads row 1 and all rows; the first time it must come from the database, whatever was cached before under
/// other shapes.
async fn reads_anew<E>(world: &World)
where
    E: sea_orm_cache::Rebuild,
    E::Model: PartialEq + Send + Sync,
    <E::PrimaryKey as PrimaryKeyTrait>::ValueType: From<i64>,
{
    let what = std::any::type_name::<E>();
    let truth = E::find_by_id(1).one(world.plain()).await.unwrap();
    for expected in [false, true] {
        let (read, hit) = world.is_hit(E::find_by_id(1).cached().one(&world.db)).await;
        assert_eq!((read.unwrap(), hit), (truth.clone(), expected), "{world}, {what}");
        let (read, hit) = world.is_hit(E::find().cached().all(&world.db)).await;
        assert_eq!(
            (read.unwrap().into_iter().next(), hit),
            (truth.clone(), expected),
            "{world}, {what}, all"
        );
    }
}

/// The fingerprints under which row 1 is kept.
async fn fingerprints(world: &World) -> BTreeSet<String> {
    let keys = world.cache().keys(10_000).await.unwrap();
    keys.iter().filter_map(|key| key.split_once(":row:shape:1@")).map(|(_, print)| print.to_owned()).collect()
}

// case F5
#[tokio::test]
async fn an_entity_that_changed_never_decodes_what_it_was_before() {
    // SQLite takes any of these types for any of these columns, so one row serves them all.
    for world in World::on_each_store().await {
        create(&world).await;
        reads_anew::<before::Entity>(&world).await;
        reads_anew::<gained::Entity>(&world).await;
        reads_anew::<lost::Entity>(&world).await;
        reads_anew::<renamed::Entity>(&world).await;
        reads_anew::<renamed_in_sql_only::Entity>(&world).await;
        reads_anew::<retyped::Entity>(&world).await;
        reads_anew::<nullable::Entity>(&world).await;
        reads_anew::<reordered::Entity>(&world).await;
        reads_anew::<swapped::Entity>(&world).await;
        assert_eq!(fingerprints(&world).await.len(), 9, "{world}: one key for each shape");
        // A type that does not fit what is in the table: the error is the database's, and nothing is kept.
        assert!(stringly::Entity::find_by_id(1).cached().one(&world.db).await.is_err(), "{world}");
        assert_eq!(fingerprints(&world).await.len(), 9, "{world}");
    }
}

// case F5
#[tokio::test]
async fn a_variant_that_old_code_does_not_know_is_an_error_with_and_without_the_cache() {
    for world in World::on_each_store().await {
        create(&world).await;
        world.database.execute("UPDATE shape SET title = 'c'").await;
        for _ in 0..2 {
            let new = three_variants::Entity::find_by_id(1).cached().one(&world.db).await.unwrap().unwrap();
            assert_eq!(new.title, kinds::Three::C, "{world}");
            two_variants::Entity::find_by_id(1).one(world.plain()).await.expect_err("the database's answer");
            two_variants::Entity::find_by_id(1).cached().one(&world.db).await.expect_err("and the cache's");
        }
    }
}

// case F5
#[tokio::test]
async fn a_document_that_gained_a_field_is_not_read_from_what_old_code_stored() {
    for world in World::on_each_store().await {
        super::create_table(&world, document::large::Entity).await;
        let written = r#"{"size": 1, "color": "red"}"#;
        let insert = format!("INSERT INTO document VALUES (1, '{written}', '{written}')");
        world.database.execute(&insert).await;
        for _ in 0..2 {
            let old = document::small::Entity::find_by_id(1).cached().one(&world.db).await.unwrap().unwrap();
            assert_eq!(old.note, kinds::Small { size: 1 }, "{world}");
            let all = document::small::Entity::find().cached().all(&world.db).await.unwrap();
            assert_eq!(all, [old], "{world}");
        }
        for _ in 0..2 {
            let new = document::large::Entity::find_by_id(1).cached().one(&world.db).await.unwrap().unwrap();
            assert_eq!(new.note, kinds::Large { size: 1, color: Some("red".into()) }, "{world}");
            assert_eq!(new.note_or_null.as_ref(), Some(&new.note), "{world}");
            let all = document::large::Entity::find().cached().all(&world.db).await.unwrap();
            assert_eq!(all, [new], "{world}");
        }
    }
}

/// Two processes of a rolling deploy: each has a cache of its own, in one namespace on one store.
async fn two_processes(world: &World) -> [CachedConnection; 2] {
    let namespace = unique_namespace();
    let memory = Arc::new(MemoryStore::with_capacity(1 << 20));
    let mut processes = Vec::new();
    for _ in 0..2 {
        let builder = builder(world.store, &namespace).unwrap();
        let builder = match world.store {
            StoreKind::Memory => builder.store(memory.clone()),
            StoreKind::Redis => builder,
        };
        let connection = world.database.another_connection().await;
        processes.push(connection.cached_by(builder.build().await.unwrap()));
    }
    processes.try_into().unwrap()
}

// case F8
#[tokio::test]
async fn old_and_new_code_side_by_side_purge_each_other() {
    for world in World::on_each_store().await {
        create(&world).await;
        let [old, new] = two_processes(&world).await;
        let read_old = || async { before::Entity::cached_by_id(1, &old).await.unwrap().unwrap().title };
        let read_new = || async { reordered::Entity::cached_by_id(1, &new).await.unwrap().unwrap().title };
        let count_new = || async { gained::Entity::find().cached().count(&new).await.unwrap() };
        for round in 0..10 {
            let _ = (read_old().await, read_new().await, count_new().await);
            let by_new = format!("new {round}");
            let edit =
                reordered::ActiveModel { id: Set(1), title: Set(by_new.clone()), ..Default::default() };
            edit.update(&new).await.unwrap();
            assert_eq!(read_old().await, by_new, "{world}: the old code reads what the new one wrote");
            assert_eq!(read_new().await, by_new, "{world}");

            let by_old = format!("old {round}");
            let edit = before::ActiveModel { id: Set(1), title: Set(by_old.clone()), ..Default::default() };
            edit.update(&old).await.unwrap();
            assert_eq!(read_new().await, by_old, "{world}: the new code reads what the old one wrote");
            assert_eq!(read_old().await, by_old, "{world}");

            let another = before::Model { id: 100 + round, title: "another".into(), pages: 1 };
            another.into_active_model().insert(&old).await.unwrap();
            assert_eq!(count_new().await, 2 + round as u64, "{world}: a list of the new code's");
        }
    }
}

// case F8
#[tokio::test]
async fn old_and_new_code_purge_each_other_when_the_key_was_reordered_or_widened() {
    for world in World::on_each_store().await {
        world
            .database
            .execute("CREATE TABLE keyed (shelf BIGINT, place BIGINT, text TEXT, PRIMARY KEY (shelf, place))")
            .await;
        world.database.execute("INSERT INTO keyed VALUES (1, 2, 'first'), (2, 1, 'first')").await;
        let [old, new] = two_processes(&world).await;
        let read_old =
            || async { composite::before::Entity::cached_by_id((1, 2), &old).await.unwrap().unwrap().text };
        let read_new = || async {
            composite::reordered::Entity::cached_by_id((2, 1), &new).await.unwrap().unwrap().text
        };
        assert_eq!((read_old().await, read_new().await), ("first".into(), "first".into()), "{world}");
        let edit =
            composite::before::ActiveModel { shelf: Set(1), place: Set(2), text: Set("by old".into()) };
        edit.update(&old).await.unwrap();
        assert_eq!((read_old().await, read_new().await), ("by old".into(), "by old".into()), "{world}");
        let edit =
            composite::reordered::ActiveModel { shelf: Set(1), place: Set(2), text: Set("by new".into()) };
        edit.update(&new).await.unwrap();
        assert_eq!((read_old().await, read_new().await), ("by new".into(), "by new".into()), "{world}");

        let [old, new] = two_processes(&world).await;
        let read_old =
            || async { composite::before::Entity::cached_by_id((1, 2), &old).await.unwrap().unwrap().text };
        read_old().await;
        let edit =
            composite::widened::ActiveModel { shelf: Set(1), place: Set(2), text: Set("narrow".into()) };
        edit.update(&new).await.unwrap();
        assert_eq!(read_old().await, "narrow", "{world}: an i32 key and an i64 key name the same row");
    }
}

// case E20
#[tokio::test]
async fn two_entities_on_one_table_keep_their_own_entries_and_purge_each_other() {
    use on_book::title as part;
    for world in World::all().await {
        let whole = || async { title(&world.db, 5).await.unwrap() };
        let part_of = || async { part::Entity::cached_by_id(5, &world.db).await.unwrap().unwrap().title };
        for round in 0..3 {
            let truth = if round == 0 { "Title 5".to_owned() } else { format!("part {}", round - 1) };
            // Read in turns: neither takes the other's entry for its own.
            for _ in 0..2 {
                assert_eq!((whole().await, part_of().await), (truth.clone(), truth.clone()), "{world}");
            }
            let keys = world.cache().keys(10_000).await.unwrap();
            let rows = keys.iter().filter(|key| key.contains(":row:book:5@")).count();
            assert_eq!(rows, 2, "{world}: one entry for each entity");

            let by_whole = format!("whole {round}");
            let edit = book::ActiveModel { id: Set(5), title: Set(by_whole.clone()), ..Default::default() };
            edit.update(&world.db).await.unwrap();
            assert_eq!((part_of().await, whole().await), (by_whole.clone(), by_whole), "{world}");

            let by_part = format!("part {round}");
            let edit = part::ActiveModel { id: Set(5), title: Set(by_part.clone()) };
            edit.update(&world.db).await.unwrap();
            assert_eq!((whole().await, part_of().await), (by_part.clone(), by_part), "{world}");
        }
        // Lists as well.
        let titles = || async { part::Entity::find().cached().all(&world.db).await.unwrap().len() };
        let books = || async { book::Entity::find().cached().all(&world.db).await.unwrap().len() };
        assert_eq!((titles().await, books().await), (12, 12), "{world}");
        book::Entity::delete_by_id(12).exec(&world.db).await.unwrap();
        assert_eq!((titles().await, books().await), (11, 11), "{world}");
        part::Entity::delete_by_id(11).exec(&world.db).await.unwrap();
        assert_eq!((titles().await, books().await), (10, 10), "{world}");
    }
}
