//! An attribute that does not exist is refused with the list of those that do.

use sea_orm::entity::prelude::*;
use sea_orm_cache::CacheEntity;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
#[sea_orm(table_name = "book")]
#[cache(expire = "10m")]
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
