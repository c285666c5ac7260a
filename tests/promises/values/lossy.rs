//! Types whose two conversions do not mirror each other: what the database gives is what a cached read
//! gives, from the cache or, where it cannot be kept, from the database.

use std::fmt::Debug;

use sea_orm::{
    ColIdx, FromJsonQueryResult, QueryResult, TryGetError, TryGetable,
    entity::prelude::*,
    sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr},
};
use sea_orm_cache::prelude::*;
use serde::{Deserialize, Serialize};

use super::create_table;
use crate::world::World;

/// A text type with its three conversions: into a value, out of a row, out of a value.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, into_value: $into:expr, from_row: $row:expr, from_value: $value:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub String);

        impl From<$name> for Value {
            fn from(source: $name) -> Self {
                let into: fn(String) -> String = $into;
                into(source.0).into()
            }
        }

        impl TryGetable for $name {
            fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                let from_row: fn(String) -> String = $row;
                String::try_get_by(row, index).map(|text| Self(from_row(text)))
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                let from_value: fn(String) -> String = $value;
                <String as ValueType>::try_from(value).map(|text| Self(from_value(text)))
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                ArrayType::String
            }

            fn column_type() -> ColumnType {
                ColumnType::Text
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                Value::String(None)
            }
        }
    };
}

fn rot13(text: String) -> String {
    let turn = |letter: char, first: u8| char::from((letter as u8 - first + 13) % 26 + first);
    text.chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            _ => c,
        })
        .collect()
}

fn sorted(text: String) -> String {
    let mut letters: Vec<_> = text.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

text_type! {
    /// Encrypted on its way to the database and decrypted on its way back; but nobody told `ValueType`.
    Encrypted, into_value: rot13, from_row: rot13, from_value: |text| text
}

text_type! {
    /// Written in lower case. What other programs wrote is read as it is.
    Folded, into_value: |text| text.to_lowercase(), from_row: |text| text, from_value: |text| text
}

text_type! {
    /// Written with its letters in order. What other programs wrote is read as it is.
    Sorted, into_value: sorted, from_row: |text| text, from_value: |text| text
}

text_type! {
    /// Decrypted on its way out of the database, encrypted by the database on its way in.
    Decrypted, into_value: |text| text, from_row: rot13, from_value: |text| text
}

text_type! {
    /// Says what it was read from.
    Marked, into_value: |text| text, from_row: |text| format!("row: {text}"), from_value: |text| format!("value: {text}")
}

/// A document with a part that is read and never written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Profile {
    name: String,
    #[serde(skip_serializing, default)]
    token: Option<String>,
}

macro_rules! entity_of {
    ($module:ident, $table:literal, $ty:ty) => {
        pub mod $module {
            use sea_orm::entity::prelude::*;
            use sea_orm_cache::CacheEntity;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: i64,
                pub value: $ty,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

entity_of!(encrypted, "lossy_encrypted", super::Encrypted);
entity_of!(folded, "lossy_folded", super::Folded);
entity_of!(sorted_letters, "lossy_sorted", super::Sorted);
entity_of!(decrypted, "lossy_decrypted", super::Decrypted);
entity_of!(marked, "lossy_marked", super::Marked);
entity_of!(profile, "lossy_profile", super::Profile);
entity_of!(json, "lossy_json", Option<Json>);

/// Every cached read, one and all, first and again, is what the database says.
async fn never_served_wrongly<E>(world: &World, entity: E, value: &str)
where
    E: sea_orm_cache::Rebuild + CachedEntity + Copy,
    E::ActiveModel: sea_orm::TryIntoModel<E::Model>,
    E::Model: PartialEq + Debug + Send + Sync,
    <E::PrimaryKey as PrimaryKeyTrait>::ValueType: From<i64>,
{
    create_table(world, entity).await;
    let table = entity.table_name();
    world.database.execute(&format!("INSERT INTO {table} (id, value) VALUES (1, '{value}')")).await;
    let truth = E::find_by_id(1).one(world.plain()).await.unwrap();
    assert!(truth.is_some());
    for time in ["first", "again", "and again"] {
        assert_eq!(
            E::find_by_id(1).cached().one(&world.db).await.unwrap(),
            truth,
            "{world}, {table}, {time}"
        );
        let all = E::find().cached().all(&world.db).await.unwrap();
        assert_eq!(all.into_iter().next(), truth, "{world}, {table}, all, {time}");
        let many = E::cached_by_ids([1], &world.db).await.unwrap();
        assert_eq!(many[0], truth, "{world}, {table}, by ids, {time}");
    }
}

// case E16
#[tokio::test]
async fn a_type_that_does_not_come_back_as_it_was_is_not_served_from_the_cache() {
    for world in World::all().await {
        never_served_wrongly(&world, encrypted::Entity, "frperg").await;
        never_served_wrongly(&world, decrypted::Entity, "frperg").await;
        never_served_wrongly(&world, marked::Entity, "text").await;
        never_served_wrongly(&world, folded::Entity, "MiXeD").await;
        never_served_wrongly(&world, sorted_letters::Entity, "cab").await;
    }
}

// case E16
#[tokio::test]
async fn a_document_whose_type_leaves_parts_out_when_it_is_written_is_not_served_without_them() {
    for world in World::all().await {
        never_served_wrongly(&world, profile::Entity, r#"{"name": "Ada", "token": "secret"}"#).await;
    }
}

// case E11
#[tokio::test]
async fn the_null_of_json_is_not_served_as_the_null_of_sql() {
    for world in World::all().await {
        never_served_wrongly(&world, json::Entity, "null").await;
        // Where the driver cannot tell them apart, neither need the cache.
        world.db.execute_unprepared("UPDATE lossy_json SET value = NULL").await.unwrap();
        for _ in 0..2 {
            let row = json::Entity::find_by_id(1).cached().one(&world.db).await.unwrap().unwrap();
            assert_eq!(row.value, None, "{world}");
        }
    }
}
