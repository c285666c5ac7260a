//! Executes random writes in SeaORM's own forms.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter,
    sea_query::{OnConflict, SimpleExpr},
};

use super::{
    executor::Executor,
    raw,
    tables::{Key, Tracked, active, column, with_entity},
    values::{Filter, Row, keyed},
    write::{Change, Changes, Conflict, Form, How, Write, assigned},
};
use crate::support::Backend;

impl Write {
    /// Whether it worked is of no interest, except to the report.
    pub async fn perform(&self, db: &Executor<'_>, backend: Backend) -> Result<(), DbErr> {
        with_entity!(self.table, E => Performing::<E>::new(self, db, backend).run().await)
    }
}

struct Performing<'a, E> {
    write: &'a Write,
    db: &'a Executor<'a>,
    backend: Backend,
    entity: std::marker::PhantomData<E>,
}

impl<'a, E: Tracked> Performing<'a, E> {
    fn new(write: &'a Write, db: &'a Executor<'a>, backend: Backend) -> Self {
        Self { write, db, backend, entity: std::marker::PhantomData }
    }

    async fn run(&self) -> Result<(), DbErr> {
        let db = self.db;
        match &self.write.form {
            Form::ActiveInsert(row) => active::<E>(row).insert(db).await.map(drop),
            Form::ActiveSave(row) => active::<E>(row).save(db).await.map(drop),
            Form::ActiveUpdate(key, row) => self.keyed(key, row).update(db).await.map(drop),
            Form::ActiveUpdateWithoutReturning(key, row) => {
                self.keyed(key, row).update_without_returning(db).await.map(drop)
            }
            Form::ReadAndSave(key, row) => {
                let Some(model) = E::find_by_id(E::key(key)).one(db).await? else { return Ok(()) };
                let mut model = model.into_active_model();
                for (name, value) in row {
                    model.set(column::<E>(name), value.clone());
                }
                model.save(db).await.map(drop)
            }
            Form::ActiveDelete(key) => active::<E>(&keyed(self.write.table, key)).delete(db).await.map(drop),
            Form::ReadAndDelete(key) => {
                let Some(model) = E::find_by_id(E::key(key)).one(db).await? else { return Ok(()) };
                model.into_active_model().delete(db).await.map(drop)
            }
            Form::Insert(row, how) => self.insert(row, *how).await,
            Form::InsertMany(rows, conflict, how) => self.insert_many(rows, conflict, *how).await,
            Form::Update(key, row, how) => {
                let update = E::update(self.keyed(key, row));
                match how {
                    How::WithoutReturning => update.exec_without_returning(db).await.map(drop),
                    _ => update.exec(db).await.map(drop),
                }
            }
            Form::UpdateMany(filter, changes, how) => self.update_many(filter, changes, *how).await,
            Form::DeleteById(key, how) => {
                let delete = E::delete_by_id(E::key(key));
                match how {
                    How::WithReturning => delete.exec_with_returning(db).await.map(drop),
                    _ => delete.exec(db).await.map(drop),
                }
            }
            Form::DeleteMany(filter, how) => {
                let delete = E::delete_many().filter(filter.condition(self.write.table));
                match how {
                    How::WithReturning => delete.exec_with_returning(db).await.map(drop),
                    _ => delete.exec(db).await.map(drop),
                }
            }
            _ => raw::perform(self.write, db, self.backend).await,
        }
    }

    /// A model with its key, and these columns set.
    fn keyed(&self, key: &Key, row: &Row) -> E::ActiveModel {
        let mut values = keyed(self.write.table, key);
        values.extend(row.iter().cloned());
        active::<E>(&values)
    }

    async fn insert(&self, row: &Row, how: How) -> Result<(), DbErr> {
        let (db, insert) = (self.db, E::insert(active::<E>(row)));
        match how {
            How::Exec => insert.exec(db).await.map(drop),
            How::WithoutReturning => insert.exec_without_returning(db).await.map(drop),
            How::WithReturning => insert.exec_with_returning(db).await.map(drop),
            How::WithReturningKeys => insert.exec_with_returning_keys(db).await.map(drop),
        }
    }

    async fn insert_many(&self, rows: &[Row], conflict: &Conflict, how: How) -> Result<(), DbErr> {
        let db = self.db;
        let insert = E::insert_many(rows.iter().map(|row| active::<E>(row)));
        let insert = match conflict {
            Conflict::None => insert,
            Conflict::DoNothing => {
                let insert = insert.on_conflict_do_nothing();
                return match how {
                    How::Exec => insert.exec(db).await.map(drop),
                    How::WithoutReturning => insert.exec_without_returning(db).await.map(drop),
                    How::WithReturning => insert.exec_with_returning_many(db).await.map(drop),
                    How::WithReturningKeys => insert.exec_with_returning_keys(db).await.map(drop),
                };
            }
            Conflict::Update(on, columns) => {
                let mut conflict = OnConflict::columns(on.iter().map(|name| column::<E>(name)));
                conflict.update_columns(columns.iter().map(|name| column::<E>(name)));
                insert.on_conflict(conflict)
            }
        };
        match how {
            How::Exec => insert.exec(db).await.map(drop),
            How::WithoutReturning => insert.exec_without_returning(db).await.map(drop),
            How::WithReturning => insert.exec_with_returning(db).await.map(drop),
            How::WithReturningKeys => insert.exec_with_returning_keys(db).await.map(drop),
        }
    }

    async fn update_many(&self, filter: &Filter, changes: &Changes, how: How) -> Result<(), DbErr> {
        let (db, table) = (self.db, self.write.table);
        let mut update = E::update_many().filter(filter.condition(table));
        for (name, change) in changes {
            let value: SimpleExpr = match change {
                Change::To(value) => column::<E>(name).save_as(value.clone().into()),
                Change::Plus(_) => assigned(table, name, change, self.backend),
            };
            update = update.col_expr(column::<E>(name), value);
        }
        match how {
            How::WithReturning if db.support_returning() => update.exec_with_returning(db).await.map(drop),
            _ => update.exec(db).await.map(drop),
        }
    }
}
