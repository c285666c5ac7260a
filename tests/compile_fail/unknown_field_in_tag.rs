//! A tag of a field that does not exist would be a purge that never happens.

use sea_orm::entity::prelude::*;
use sea_orm_cache::CacheEntity;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
#[sea_orm(table_name = "book")]
#[cache(tags("shelf:{shelfid}"))]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub shelf_id: i64,
    pub title: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

fn main() {}
