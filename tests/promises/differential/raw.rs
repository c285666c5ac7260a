//! Executes random writes that are built by hand, or are text.

use std::collections::BTreeSet;

use sea_orm::{
    ConnectionTrait, DbErr, StatementBuilder,
    sea_query::{
        Alias, CommonTableExpression, DeleteStatement, Expr, ExprTrait, InsertStatement, MysqlQueryBuilder,
        OnConflict, Order, PostgresQueryBuilder, Query, QueryStatementWriter, Returning, SelectStatement,
        SimpleExpr, SqliteQueryBuilder, UpdateStatement,
    },
};

use super::{
    executor::Executor,
    tables::Table,
    values::{Filter, LAST_ID, Row, of},
    write::{Changes, Conflict, Form, Via, Write, assigned},
};
use crate::support::Backend;

pub async fn perform(write: &Write, db: &Executor<'_>, backend: Backend) -> Result<(), DbErr> {
    let table = write.table;
    match &write.form {
        Form::RawInsert(rows, conflict, via) => {
            let mut statement = insert(table, rows)?;
            on_conflict(&mut statement, table, conflict, backend);
            if *via == Via::Returning || *via == Via::Stream || *via == Via::HalfStream {
                statement.returning(Returning::new().all());
            }
            send(&statement, *via, db, backend).await
        }
        Form::RawUpdate(filter, changes, via) => {
            let mut statement = update(table, filter, changes, backend);
            if returns(*via) && backend != Backend::MariaDb {
                statement.returning(Returning::new().all());
            }
            send(&statement, *via, db, backend).await
        }
        Form::RawDelete(filter, via) => {
            let mut statement = delete(table, filter);
            if returns(*via) {
                statement.returning(Returning::new().all());
            }
            send(&statement, *via, db, backend).await
        }
        Form::Replace(row, via) => {
            let mut statement = insert(table, std::slice::from_ref(row))?;
            match backend {
                // PostgreSQL has no such statement: all columns of the row that is there.
                Backend::Postgres => {
                    let columns = row.iter().map(|(name, _)| *name).collect();
                    let conflict = Conflict::Update(table.key_columns(), columns);
                    on_conflict(&mut statement, table, &conflict, backend);
                }
                _ => {
                    statement.replace();
                }
            }
            send(&statement, *via, db, backend).await
        }
        Form::InsertSelect(filter, shift, via) => {
            let statement = insert_select(table, filter, *shift)?;
            send(&statement, *via, db, backend).await
        }
        Form::UpdateJoined(group, number) => {
            let (column, next, key) = table.next();
            let (table, next) = (table.name(), next.name());
            let sql = if backend == Backend::MariaDb {
                format!(
                    "UPDATE {table} JOIN {next} ON {table}.{column} = {next}.{key} \
                     SET {table}.amount = {table}.amount + {number} WHERE {next}.group_id = {group}"
                )
            } else {
                format!(
                    "UPDATE {table} SET amount = {table}.amount + {number} FROM {next} AS other \
                     WHERE {table}.{column} = other.{key} AND other.group_id = {group}"
                )
            };
            db.execute_unprepared(&sql).await.map(drop)
        }
        Form::WithUpdate(filter, changes) => {
            let statement = with_update(table, filter, changes, backend);
            db.execute_raw(db.get_database_backend().build(&statement)).await.map(drop)
        }
        Form::Script(first, second) => {
            let sql = format!("{}; {}", text(first, backend)?, text(second, backend)?);
            db.execute_unprepared(&sql).await.map(drop)
        }
        Form::Truncate => {
            let sql = match backend {
                Backend::Sqlite => format!("DELETE FROM {}", table.name()),
                _ => format!("TRUNCATE TABLE {}", table.name()),
            };
            db.execute_unprepared(&sql).await.map(drop)
        }
        Form::Alter => {
            let name = table.name();
            db.execute_unprepared(&format!("ALTER TABLE {name} ADD COLUMN spare BIGINT")).await?;
            db.execute_unprepared(&format!("ALTER TABLE {name} DROP COLUMN spare")).await.map(drop)
        }
        other => panic!("{other:?} is SeaORM's"),
    }
}

fn returns(via: Via) -> bool {
    matches!(via, Via::Returning | Via::Stream | Via::HalfStream)
}

async fn send<S>(statement: &S, via: Via, db: &Executor<'_>, backend: Backend) -> Result<(), DbErr>
where
    S: QueryStatementWriter + StatementBuilder + Sync,
{
    let built = || db.get_database_backend().build(statement);
    match via {
        Via::Built => db.execute(statement).await.map(drop),
        Via::Bound => db.execute_raw(built()).await.map(drop),
        Via::Text => db.execute_unprepared(&sql(statement, backend)).await.map(drop),
        Via::Returning => db.query_all_raw(built()).await.map(drop),
        Via::Stream => db.stream(built(), true).await.map(drop),
        Via::HalfStream => db.stream(built(), false).await.map(drop),
    }
}

fn sql(statement: &impl QueryStatementWriter, backend: Backend) -> String {
    match backend {
        Backend::Sqlite => statement.to_string(SqliteQueryBuilder),
        Backend::Postgres => statement.to_string(PostgresQueryBuilder),
        Backend::MariaDb => statement.to_string(MysqlQueryBuilder),
    }
}

/// The text of a write that can be part of a script.
fn text(write: &Write, backend: Backend) -> Result<String, DbErr> {
    let table = write.table;
    Ok(match &write.form {
        Form::RawInsert(rows, conflict, _) => {
            let mut statement = insert(table, rows)?;
            on_conflict(&mut statement, table, conflict, backend);
            sql(&statement, backend)
        }
        Form::RawUpdate(filter, changes, _) => sql(&update(table, filter, changes, backend), backend),
        Form::RawDelete(filter, _) => sql(&delete(table, filter), backend),
        other => panic!("{other:?} is no part of a script"),
    })
}

fn insert(table: Table, rows: &[Row]) -> Result<InsertStatement, DbErr> {
    // Rows with a key and rows without one cannot stand in one statement.
    let columns: BTreeSet<&str> = rows[0].iter().map(|(name, _)| *name).collect();
    let mut statement = Query::insert().into_table(Alias::new(table.name())).to_owned();
    statement.columns(columns.iter().map(|name| Alias::new(*name)));
    for row in rows {
        let values: Vec<SimpleExpr> = columns
            .iter()
            .filter_map(|column| row.iter().find(|(name, _)| name == column))
            .map(|(_, value)| Expr::val(value.clone()))
            .collect();
        statement.values(values).map_err(|error| DbErr::Custom(error.to_string()))?;
    }
    Ok(statement)
}

fn on_conflict(statement: &mut InsertStatement, table: Table, conflict: &Conflict, backend: Backend) {
    let conflict = match conflict {
        Conflict::None => return,
        Conflict::DoNothing => {
            let keys: Vec<Alias> = table.key_columns().iter().map(|name| Alias::new(*name)).collect();
            let mut nothing = OnConflict::new();
            if backend == Backend::MariaDb {
                nothing.do_nothing_on(keys);
            } else {
                nothing.do_nothing();
            }
            nothing
        }
        Conflict::Update(on, columns) => {
            let mut update = OnConflict::columns(on.iter().map(|name| Alias::new(*name)));
            update.update_columns(columns.iter().map(|name| Alias::new(*name)));
            update
        }
    };
    statement.on_conflict(conflict);
}

fn update(table: Table, filter: &Filter, changes: &Changes, backend: Backend) -> UpdateStatement {
    let mut statement = Query::update().table(Alias::new(table.name())).to_owned();
    for (column, change) in changes {
        statement.value(Alias::new(*column), assigned(table, column, change, backend));
    }
    statement.cond_where(filter.condition(table));
    statement
}

fn delete(table: Table, filter: &Filter) -> DeleteStatement {
    let mut statement = Query::delete().from_table(Alias::new(table.name())).to_owned();
    statement.cond_where(filter.condition(table));
    statement
}

/// The rows that a filter finds, each a second time under another key.
fn insert_select(table: Table, filter: &Filter, shift: i64) -> Result<InsertStatement, DbErr> {
    let mut rows: SelectStatement = Query::select().from(Alias::new(table.name())).to_owned();
    for column in table.columns() {
        let value = of(table, column);
        rows.expr(match *column {
            "id" => value.add(shift + LAST_ID),
            "b_id" | "amount" => value.add(shift),
            "name" => of(table, "title"),
            _ => value,
        });
    }
    rows.cond_where(filter.condition(table));
    // Where one of them is refused, the numbers that MariaDB has given out by then are lost.
    for column in table.key_columns() {
        rows.order_by_expr(of(table, column), Order::Asc);
    }
    let mut statement = Query::insert().into_table(Alias::new(table.name())).to_owned();
    statement.columns(table.columns().iter().map(|name| Alias::new(*name)));
    statement.select_from(rows).map_err(|error| DbErr::Custom(error.to_string()))?;
    Ok(statement)
}

/// An update of the rows whose keys a common table expression gives.
fn with_update(
    table: Table,
    filter: &Filter,
    changes: &Changes,
    backend: Backend,
) -> sea_orm::sea_query::WithQuery {
    let key = table.key_columns()[0];
    let mut found = Query::select().from(Alias::new(table.name())).to_owned();
    found.expr_as(of(table, key), Alias::new("found_key")).cond_where(filter.condition(table));
    let chosen = Query::select().column(Alias::new("found_key")).from(Alias::new("found")).to_owned();
    let mut statement = Query::update().table(Alias::new(table.name())).to_owned();
    for (column, change) in changes {
        statement.value(Alias::new(*column), assigned(table, column, change, backend));
    }
    statement.and_where(of(table, key).in_subquery(chosen));
    let cte = CommonTableExpression::new().query(found).table_name(Alias::new("found")).to_owned();
    statement.with(Query::with().cte(cte).to_owned())
}
