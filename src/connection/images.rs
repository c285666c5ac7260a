//! What is known of the touched rows besides what the statement's text says: as they were, read
//! before the write, and as they are, by RETURNING.

use sea_orm::{QueryResult, Value};

use super::descent::Below;
use crate::entity::{KeyClass, KeyColumn, TablePolicy};

/// The rows that a statement touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Images {
    /// All of them as they were, locked until the transaction ends.
    pub(crate) before: Option<Vec<Image>>,
    /// All of them as they are, returned by the statement or read after it in the same transaction.
    pub(crate) returned: Option<Vec<Image>>,
    /// How many there were, if the database said.
    pub(crate) affected: Option<u64>,
    /// The rows that the database touches because of them, found before the write and locked.
    pub(crate) below: Option<Below>,
}

/// What was selected around a statement, in one transaction with it.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) before: Option<Vec<Image>>,
    pub(crate) after: Option<Vec<Image>>,
    pub(crate) below: Option<Below>,
}

/// The key and the index columns of one row.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    cells: Vec<(&'static str, Value)>,
}

impl Image {
    /// Reads what can be read; a column that is not there, or cannot be read, is left out.
    pub(crate) fn read(row: &QueryResult, policy: &TablePolicy) -> Self {
        let mut cells: Vec<(&'static str, Value)> = Vec::new();
        // SeaORM reads a column that is not there as NULL.
        let there = row.column_names();
        let is_there = |name: &str| there.iter().any(|column| column == name);
        for column in columns(policy).filter(|column| is_there(column.name)) {
            if !cells.iter().any(|(name, _)| *name == column.name) {
                cells.extend(cell(row, column).map(|value| (column.name, value)));
            }
        }
        if columns(policy).any(|column| !cells.iter().any(|(name, _)| *name == column.name)) {
            // Types that only the entity knows how to read, if the row is a whole one.
            for entity in &policy.entities {
                for (name, value) in (entity.values)(row).into_iter().flatten() {
                    if is_there(name) && !cells.iter().any(|(known, _)| *known == name) {
                        cells.push((name, value));
                    }
                }
            }
        }
        Self { cells }
    }

    /// The value in a column, which may be NULL; `None` if it is not known.
    pub(crate) fn value(&self, column: &str) -> Option<&Value> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
    }
}

fn columns(policy: &TablePolicy) -> impl Iterator<Item = &KeyColumn> {
    policy.key.iter().flatten().chain(&policy.index)
}

/// One column of a row. Drivers are strict about the width of integers, so all are tried.
fn cell(row: &QueryResult, column: &KeyColumn) -> Option<Value> {
    fn get<T: sea_orm::TryGetable + Into<Value>>(row: &QueryResult, name: &str) -> Option<Value> {
        row.try_get::<T>("", name).ok().map(Into::into)
    }
    let name = column.name;
    match column.class {
        KeyClass::Integer => get::<Option<i64>>(row, name)
            .or_else(|| get::<Option<i32>>(row, name))
            .or_else(|| get::<Option<i16>>(row, name))
            .or_else(|| get::<Option<i8>>(row, name))
            .or_else(|| get::<Option<u64>>(row, name))
            .or_else(|| get::<Option<u32>>(row, name))
            .or_else(|| get::<Option<u16>>(row, name))
            .or_else(|| get::<Option<u8>>(row, name)),
        KeyClass::Text => get::<Option<String>>(row, name),
        KeyClass::Bool => get::<Option<bool>>(row, name),
        KeyClass::Uuid | KeyClass::Opaque => None,
    }
}
