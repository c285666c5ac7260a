//! Shapes of writes, each with the questions that it gives another answer to: lists and counts, rows that
//! come, go and move, joins seen from both sides.
//!
//! What each form of a write purges, and that it purges no more, is in `write_forms.rs`.

/// Tables with a key and the key of what is above.
macro_rules! entities {
    ($($module:ident = $table:literal, $key:ty;)*) => {
        $(mod $module {
            use sea_orm::entity::prelude::*;
            use sea_orm_cache::CacheEntity;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
            #[sea_orm(table_name = $table)]
            #[cache(index("up"))]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: $key,
                pub up: Option<$key>,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        })*
    };
}

mod bulk;
mod cascades;
mod defaults;
mod descents;
mod exact_texts;
mod hooks;
mod keys;
mod links;
mod lists;
mod names;
mod outside;
mod overloads;
mod returned;
mod routines;
mod silent;
mod texts;
mod trash;
mod triggers;
mod views;

use futures_util::TryFutureExt;
use sea_orm::{ConnectionTrait, DbErr};

use crate::world::World;

/// Sends statements of one text through the wrapper.
fn send<'w>(world: &'w World, sql: &'w str) -> impl Future<Output = Result<(), DbErr>> + 'w {
    world.db.execute_unprepared(sql).map_ok(drop)
}
