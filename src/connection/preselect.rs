//! The select that reads the rows a write is about to touch.

use std::{collections::HashSet, fmt::Write as _, sync::RwLock};

use sea_orm::{DbBackend, QueryResult, Statement, Value};

use super::images::Image;
use crate::{
    entity::{EntityDescriptor, KeyColumn, TablePolicy},
    statement::{self, Verb},
};

/// A select of the rows that a write will touch, to be sent before it in the same transaction.
#[derive(Clone, Debug)]
pub(crate) struct PreSelect {
    pub(crate) statement: Statement,
    /// Takes the database's write lock, where the select itself cannot: in SQLite a transaction
    /// that reads first and writes then fails at once if another wrote in between, instead of
    /// waiting its turn.
    pub(crate) lock_first: Option<String>,
    /// More rows than this are not worth naming.
    pub(crate) limit: usize,
    /// The statement computes values that it does not say, so that the rows have to be read once
    /// more after it: a select of all rows of the table, to which their keys come.
    after: Option<After>,
    /// The answer says by which isolation it was read.
    says_isolation: bool,
}

/// The column of that.
const ISOLATION: &str = "sea_orm_cache_isolation";

#[derive(Clone, Debug)]
struct After {
    select: String,
    key: Vec<KeyColumn>,
}

impl PreSelect {
    /// `None` if the statement is not one that such a select can stand before.
    pub(crate) fn of(
        backend: DbBackend,
        write: &statement::Write,
        values: &[Value],
        policy: &TablePolicy,
        limit: usize,
        descends: bool,
    ) -> Option<Self> {
        let filter = write.filter.as_ref()?;
        let entity = policy.entities.first()?;
        if *write.table.name != *entity.table || write.table.schema.as_deref() != entity.schema.as_deref() {
            return None;
        }
        let (select, table) = select(backend, policy, entity);
        let lock = match (backend, write.verb) {
            (DbBackend::Sqlite, _) => "",
            // What the write itself will take, so that it adds no conflicts.
            (DbBackend::Postgres, Verb::Update) if !descends => " FOR NO KEY UPDATE",
            _ => " FOR UPDATE",
        };
        let says_isolation = descends && backend == DbBackend::Postgres;
        let select = match columns(backend, policy, entity).filter(|_| says_isolation) {
            Some(columns) => {
                format!("{columns}, current_setting('transaction_isolation') AS {ISOLATION} FROM {table}")
            }
            None => select,
        };
        let condition = &filter.condition;
        let sql = format!("{select} WHERE {condition} LIMIT {}{lock}", limit + 1);
        let values = filter.bound.iter().map(|position| values.get(*position).cloned());
        let statement = Statement::from_sql_and_values(backend, sql, values.collect::<Option<Vec<_>>>()?);
        let lock_first = (backend == DbBackend::Sqlite).then(|| format!("DELETE FROM {table} WHERE 0"));
        Some(Self { statement, lock_first, limit, after: None, says_isolation })
    }

    /// Reads the rows once more after the write, if it keeps their keys.
    pub(crate) fn and_after(mut self, policy: &TablePolicy) -> Self {
        let key = policy.key.as_ref().filter(|key| key.iter().all(|column| column.plain));
        if let (Some(entity), Some(key)) = (policy.entities.first(), key) {
            let (select, _) = select(self.statement.db_backend, policy, entity);
            self.after = Some(After { select, key: key.clone() });
        }
        self
    }

    /// The select that reads these rows once more, after the write.
    pub(crate) fn after(&self, before: &[Image]) -> Option<Statement> {
        let After { select, key } = self.after.as_ref().filter(|_| !before.is_empty())?;
        let backend = self.statement.db_backend;
        let mut sql = format!("{select} WHERE ");
        let mut values = Vec::with_capacity(before.len() * key.len());
        for (row, image) in before.iter().enumerate() {
            sql.push_str(if row > 0 { " OR (" } else { "(" });
            for (part, column) in key.iter().enumerate() {
                values.push(image.value(column.name)?.clone());
                let mark = match backend {
                    DbBackend::Postgres => format!("${}", values.len()),
                    _ => "?".to_owned(),
                };
                let and = if part > 0 { " AND " } else { "" };
                let _ = write!(sql, "{and}{} = {mark}", quoted(backend, column.name));
            }
            sql.push(')');
        }
        Some(Statement::from_sql_and_values(backend, sql, values))
    }

    /// Does a select that comes after this one see all that was committed before its rows were locked? Not
    /// in a transaction of PostgreSQL's that sees what was there when it began.
    pub(crate) fn may_descend(&self, rows: &[QueryResult]) -> bool {
        let level = |row: &QueryResult| row.try_get::<String>("", ISOLATION).ok();
        !self.says_isolation || rows.iter().all(|row| level(row).as_deref() == Some("read committed"))
    }

    /// What the answer says; `None` if there are more rows than it may name.
    pub(crate) fn images(&self, rows: &[QueryResult], policy: &TablePolicy) -> Option<Vec<Image>> {
        (rows.len() <= self.limit).then(|| rows.iter().map(|row| Image::read(row, policy)).collect())
    }
}

pub(super) fn quoted(backend: DbBackend, name: &str) -> String {
    let quote = match backend {
        DbBackend::MySql => '`',
        _ => '"',
    };
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}

/// Texts of selects that have worked here: in PostgreSQL an error ends the transaction around it, so
/// that the first time each is sent in a savepoint.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    // A std lock: held for a set operation, never across an await.
    texts: RwLock<HashSet<Box<str>>>,
}

/// Texts remembered at most; those beyond are sent in savepoints for ever.
const MOST_PROVEN: usize = 4096;

impl Proven {
    pub(crate) fn knows(&self, sql: &str) -> bool {
        self.texts.read().unwrap_or_else(|poisoned| poisoned.into_inner()).contains(sql)
    }

    pub(crate) fn learn(&self, sql: &str) {
        if !self.knows(sql) {
            let mut texts = self.texts.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            if texts.len() < MOST_PROVEN {
                texts.insert(sql.into());
            }
        }
    }
}

/// `SELECT ... FROM table`, and the table: the key and index columns, or all columns as the entity
/// selects them, if one of those is of a type that only the entity can read.
fn select(backend: DbBackend, policy: &TablePolicy, entity: &EntityDescriptor) -> (String, String) {
    let table = table(backend, entity);
    match plain_columns(backend, policy) {
        Some(columns) => (format!("{columns} FROM {table}"), table),
        None => ((entity.select)(backend), table),
    }
}

/// The same without the table; `None` if the entity selects in a way of its own.
pub(super) fn columns(backend: DbBackend, policy: &TablePolicy, entity: &EntityDescriptor) -> Option<String> {
    plain_columns(backend, policy).or_else(|| {
        let select = (entity.select)(backend);
        select.strip_suffix(&format!(" FROM {}", table(backend, entity))).map(str::to_owned)
    })
}

fn table(backend: DbBackend, entity: &EntityDescriptor) -> String {
    match &entity.schema {
        Some(schema) => format!("{}.{}", quoted(backend, schema), quoted(backend, entity.table)),
        None => quoted(backend, entity.table),
    }
}

fn plain_columns(backend: DbBackend, policy: &TablePolicy) -> Option<String> {
    let columns = || policy.key.iter().flatten().chain(&policy.index);
    if columns().any(|column| !column.plain) {
        return None;
    }
    let mut names: Vec<_> = columns().map(|column| quoted(backend, column.name)).collect();
    names.sort_unstable();
    names.dedup();
    Some(format!("SELECT {}", names.join(", ")))
}
