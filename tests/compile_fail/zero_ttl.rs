//! A lifetime of zero would be `skip` in disguise.

use sea_orm::entity::prelude::*;
use sea_orm_cache::CacheEntity;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
#[sea_orm(table_name = "book")]
#[cache(ttl = "0s")]
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
