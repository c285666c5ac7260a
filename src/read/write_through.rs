//! A row that a write has returned, as the answer of the read that would have asked for it.

use std::sync::Arc;

use sea_orm::{
    ColumnTrait, EntityTrait, FromQueryResult, IdenStatic, Iterable, ModelTrait, PrimaryKeyToColumn,
    QueryResult, TryIntoModel, sea_query::Expr,
};

use super::{Reader, payload};
use crate::{Cache, freshness::NewRow, schema::Schema};

/// [`new_row`] with its type erased.
pub(crate) type NewRowOf = fn(&QueryResult, &Cache, &Arc<Schema>) -> Option<NewRow>;

/// For an entity whose rows a write returns as a select reads them: not where a column is selected by an
/// expression of the entity's own.
pub(crate) fn write_through<E>() -> Option<NewRowOf>
where
    E: EntityTrait<Model: Sync>,
    E::ActiveModel: TryIntoModel<E::Model>,
{
    let as_they_are = E::Column::iter().all(|column| {
        let there = || Expr::col(column);
        column.select_as(there()) == column.select_enum_as(there())
    });
    as_they_are.then_some(new_row::<E>)
}

/// The question that the row answers, and what is stored for it; `None` if it cannot be.
fn new_row<E>(row: &QueryResult, cache: &Cache, schema: &Arc<Schema>) -> Option<NewRow>
where
    E: EntityTrait<Model: Sync>,
    E::ActiveModel: TryIntoModel<E::Model>,
{
    // SeaORM reads a column that is not there as NULL.
    let there = row.column_names();
    if !E::Column::iter().all(|column| there.iter().any(|name| name == column.as_str())) {
        return None;
    }
    let entity = cache.inner.registry.entity::<E>();
    let model = E::Model::from_query_result(row, "").ok()?;
    let key: Vec<_> = E::PrimaryKey::iter().map(|key| model.get(key.into_column())).collect();
    let question = Reader::with(cache, schema.clone()).ok()?.row(&entity, &key).ok()??;
    let tag = Reader::own_tag(&question)?.clone();
    let payload = payload::<E>(cache, &entity, &Some(model))?;
    Some(NewRow { question, payload, tag })
}
