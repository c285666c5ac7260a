//! What a read asks of the database when the cache does not have it: the same on the caller's
//! connection, and in the background on one of its own.

use std::{future::Future, marker::PhantomData};

use sea_orm::{
    DbErr, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter, QueryResult, Select, SelectTwo,
    SelectTwoMany, Statement, Value,
};

use super::by_id::any_of;
use crate::{ReadThrough, entity::Rebuild};

/// A question to the database.
pub(super) trait Load<V>: Clone + Send + 'static {
    fn load<D: ReadThrough>(self, db: &D) -> impl Future<Output = Result<V, DbErr>> + Send;
}

/// The first row of a statement's answer.
pub(super) struct First<M> {
    pub(super) statement: Statement,
    pub(super) from: fn(QueryResult) -> Result<M, DbErr>,
}

/// All rows of a statement's answer.
pub(super) struct Every<M> {
    pub(super) statement: Statement,
    pub(super) from: fn(QueryResult) -> Result<M, DbErr>,
}

impl<M> Clone for First<M> {
    fn clone(&self) -> Self {
        Self { statement: self.statement.clone(), from: self.from }
    }
}

impl<M> Clone for Every<M> {
    fn clone(&self) -> Self {
        Self { statement: self.statement.clone(), from: self.from }
    }
}

/// A model of the row.
pub(super) fn model<M: FromQueryResult>(row: QueryResult) -> Result<M, DbErr> {
    M::from_query_result(&row, "")
}

impl<M: 'static> Load<Option<M>> for First<M> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<Option<M>, DbErr> {
        let Self { statement, from } = self;
        db.query_one_raw(statement).await?.map(from).transpose()
    }
}

impl<M: 'static> Load<Vec<M>> for Every<M> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<Vec<M>, DbErr> {
        let Self { statement, from } = self;
        db.query_all_raw(statement).await?.into_iter().map(from).collect()
    }
}

/// How many rows.
pub(super) struct Count<E: EntityTrait>(pub(super) Select<E>);

impl<E: EntityTrait> Clone for Count<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: EntityTrait<Model: Send + Sync>> Load<u64> for Count<E> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<u64, DbErr> {
        self.0.paginate(db, 1).num_items().await
    }
}

/// The first row of a join.
#[derive(Clone)]
pub(super) struct FirstPair<E: EntityTrait, F: EntityTrait>(pub(super) SelectTwo<E, F>);

/// All rows of a join.
#[derive(Clone)]
pub(super) struct EveryPair<E: EntityTrait, F: EntityTrait>(pub(super) SelectTwo<E, F>);

/// Parents, each with its children.
#[derive(Clone)]
pub(super) struct EveryFamily<E: EntityTrait, F: EntityTrait>(pub(super) SelectTwoMany<E, F>);

impl<E: Rebuild, F: Rebuild> Load<Option<(E::Model, Option<F::Model>)>> for FirstPair<E, F> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<Option<(E::Model, Option<F::Model>)>, DbErr> {
        self.0.one(db).await
    }
}

impl<E: Rebuild, F: Rebuild> Load<Vec<(E::Model, Option<F::Model>)>> for EveryPair<E, F> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<Vec<(E::Model, Option<F::Model>)>, DbErr> {
        self.0.all(db).await
    }
}

impl<E: Rebuild, F: Rebuild> Load<Vec<(E::Model, Vec<F::Model>)>> for EveryFamily<E, F> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<Vec<(E::Model, Vec<F::Model>)>, DbErr> {
        self.0.all(db).await
    }
}

/// One row by its primary key.
pub(super) struct ByKey<E> {
    key: Vec<Value>,
    entity: PhantomData<fn() -> E>,
}

impl<E> ByKey<E> {
    pub(super) fn new(key: Vec<Value>) -> Self {
        Self { key, entity: PhantomData }
    }
}

impl<E> Clone for ByKey<E> {
    fn clone(&self) -> Self {
        Self::new(self.key.clone())
    }
}

impl<E: EntityTrait<Model: Sync>> Load<Option<E::Model>> for ByKey<E> {
    async fn load<D: ReadThrough>(self, db: &D) -> Result<Option<E::Model>, DbErr> {
        E::find().filter(any_of::<E>(&[&self.key])).one(db).await
    }
}
