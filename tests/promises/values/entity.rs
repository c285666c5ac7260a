//! Entities that between them have every type of column.

use sea_orm::{FromJsonQueryResult, entity::prelude::*};
use serde::{Deserialize, Serialize};

/// What every database has; SeaORM's plain derive.
pub mod sample {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;
    use serde::{Deserialize, Serialize};

    use super::{Category, Cents, Color, Label, Settings, Tea};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "sample")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,

        pub flag: bool,
        pub flag_or_null: Option<bool>,
        pub small: i16,
        pub int: i32,
        pub int_or_null: Option<i32>,
        pub big: i64,
        pub big_or_null: Option<i64>,
        pub single: f32,
        pub double: f64,
        pub double_or_null: Option<f64>,

        #[serde(rename = "displayName")]
        pub name: String,
        #[serde(skip_serializing, default)]
        pub secret: String,
        pub name_or_null: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub text: String,
        #[sea_orm(column_type = "Text", nullable)]
        pub text_or_null: Option<String>,
        #[sea_orm(column_type = "Char(Some(8))")]
        pub code: String,
        #[sea_orm(column_type = "Blob")]
        pub bytes: Vec<u8>,
        #[sea_orm(column_type = "Blob", nullable)]
        pub bytes_or_null: Option<Vec<u8>>,

        pub category: Category,
        pub category_or_null: Option<Category>,
        pub color: Color,
        pub color_or_null: Option<Color>,
        pub tea: Tea,
        pub tea_or_null: Option<Tea>,

        pub json: Json,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub json_or_null: Option<Json>,
        pub settings: Settings,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub settings_or_null: Option<Settings>,

        #[sea_orm(column_type = "Decimal(Some((16, 4)))")]
        pub price: Decimal,
        #[sea_orm(column_type = "Decimal(Some((16, 4)))", nullable)]
        pub price_or_null: Option<Decimal>,

        pub chrono_date: Date,
        pub chrono_time: Time,
        pub chrono_date_time: DateTime,
        pub chrono_utc: DateTimeUtc,
        pub chrono_fixed: DateTimeWithTimeZone,
        pub chrono_fixed_or_null: Option<DateTimeWithTimeZone>,
        pub time_date: TimeDate,
        pub time_time: TimeTime,
        pub time_date_time: TimeDateTime,
        pub time_offset: TimeDateTimeWithTimeZone,
        pub time_offset_or_null: Option<TimeDateTimeWithTimeZone>,

        pub uuid: Uuid,
        pub uuid_or_null: Option<Uuid>,

        pub cents: Cents,
        pub cents_or_null: Option<Cents>,
        pub label: Label,
        #[sea_orm(column_name = "spelt_otherwise")]
        pub renamed: String,
        pub r#type: i32,
        #[sea_orm(ignore)]
        #[serde(skip)]
        pub no_column: Vec<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The integers that PostgreSQL does not have.
pub mod narrow {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "narrow")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: u32,
        pub tiny: i8,
        pub tiny_or_null: Option<i8>,
        pub tiny_unsigned: u8,
        pub small_unsigned: u16,
        pub unsigned: u32,
        pub unsigned_or_null: Option<u32>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The integer that only MySQL has.
pub mod wide {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "wide")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: u64,
        pub big_unsigned: u64,
        pub big_unsigned_or_null: Option<u64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Arrays, which only PostgreSQL has.
pub mod listed {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "listed")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub numbers: Vec<i32>,
        pub numbers_or_null: Option<Vec<i32>>,
        pub words: Vec<String>,
        pub words_or_null: Option<Vec<String>>,
        pub doubles: Vec<f64>,
        pub uuids: Vec<Uuid>,
        pub moments: Vec<DateTimeUtc>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// A key of two columns.
pub mod composite {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "composite")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub shelf: i32,
        #[sea_orm(primary_key, auto_increment = false)]
        pub label: String,
        pub text: Option<String>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// A UUID as key, and SeaORM's own wrapper types.
pub mod by_uuid {
    use sea_orm::{entity::prelude::*, value::ChronoUnixTimestampMillis};
    use sea_orm_cache::CacheEntity;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "by_uuid")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub text: Option<String>,
        pub text_uuid: TextUuid,
        pub millis: Option<ChronoUnixTimestampMillis>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// A text as key.
pub mod by_text {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "by_text")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub text: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(1))")]
pub enum Category {
    #[sea_orm(string_value = "B")]
    Big,
    #[sea_orm(string_value = "S")]
    Small,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum Color {
    #[sea_orm(num_value = -7)]
    Black,
    #[sea_orm(num_value = 1)]
    White,
}

/// A type of the database's own on PostgreSQL and MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "tea")]
pub enum Tea {
    #[sea_orm(string_value = "EverydayTea")]
    Everyday,
    #[sea_orm(string_value = "afternoon tea, at 4")]
    Afternoon,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Settings {
    #[serde(rename = "fontSize")]
    pub font_size: u8,
    pub theme: Option<String>,
    pub weights: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveValueType)]
pub struct Cents(pub i64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveValueType)]
pub struct Label(pub String);
