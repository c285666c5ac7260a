//! Shapes of writes, each with the questions that it gives another answer to: lists and counts, rows that
//! come, go and move, joins seen from both sides.
//!
//! What each form of a write purges, and that it purges no more, is in `write_forms.rs`.

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
mod routines;
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
