//! What a form says of itself: the rows that it touches, and what goes besides.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::LocalBoxFuture;
use sea_orm::{ActiveValue::NotSet, entity::prelude::*};

use crate::{
    entity::book,
    support::Backend,
    world::{World, new_book},
};

use super::read::*;

pub(super) type Run = for<'w> fn(&'w World) -> LocalBoxFuture<'w, Result<(), DbErr>>;
pub(super) type OnBackend = fn(Backend) -> bool;

/// A way to write.
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) run: Run,
    /// The tables it writes, and of each the rows that were there and that it changes or removes.
    pub(super) rows: BTreeMap<&'static str, BTreeSet<String>>,
    /// Tables to which it adds rows with keys that were read as missing.
    pub(super) adds: BTreeSet<&'static str>,
    /// Tables whose rows its text does not name, and on which databases.
    pub(super) wide: Vec<(&'static str, OnBackend)>,
    /// Databases on which nothing says what the touched rows have in the index column, so that the
    /// lists of all its values are purged.
    pub(super) all_lists: OnBackend,
    /// A list that is purged although it does not change, and on which databases.
    pub(super) list: Option<(i64, OnBackend)>,
    /// It turns out to touch no row, and so purges nothing.
    pub(super) of_no_row: bool,
    /// The database refuses it.
    pub(super) refused: bool,
    /// Databases on which it is not understood, and purges the namespace.
    pub(super) everything: OnBackend,
    /// Why a database does not have it.
    pub(super) lacks: fn(Backend) -> Option<&'static str>,
}

pub(super) fn form(name: &'static str, run: Run) -> Form {
    Form {
        name,
        run,
        rows: BTreeMap::new(),
        adds: BTreeSet::new(),
        wide: Vec::new(),
        all_lists: |_| false,
        list: None,
        of_no_row: false,
        refused: false,
        everything: |_| false,
        lacks: |_| None,
    }
}

impl Form {
    /// The database refuses it, and nothing is written.
    pub(super) fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// It changes or removes these rows of the table, which may be none.
    pub(super) fn rows<const N: usize>(mut self, table: &'static str, keys: [i64; N]) -> Self {
        self.rows.insert(table, keys.iter().map(i64::to_string).collect());
        self
    }

    /// The same for keys of several columns.
    pub(super) fn pairs<const N: usize>(mut self, table: &'static str, keys: [&str; N]) -> Self {
        self.rows.insert(table, keys.map(str::to_owned).into());
        self
    }

    /// It adds rows to the table.
    pub(super) fn adds(mut self, table: &'static str) -> Self {
        self.rows.entry(table).or_default();
        self.adds.insert(table);
        self
    }

    /// It does not say which rows of the table it touches, so all of them are purged.
    pub(super) fn wide(self, table: &'static str) -> Self {
        self.wide_on(table, |_| true)
    }

    pub(super) fn wide_on(mut self, table: &'static str, on: OnBackend) -> Self {
        self.wide.push((table, on));
        self
    }

    pub(super) fn all_lists(self) -> Self {
        self.all_lists_on(|_| true)
    }

    pub(super) fn all_lists_on(mut self, on: OnBackend) -> Self {
        self.all_lists = on;
        self
    }

    pub(super) fn list_on(mut self, shelf: i64, on: OnBackend) -> Self {
        self.list = Some((shelf, on));
        self
    }

    pub(super) fn of_no_row(mut self) -> Self {
        self.of_no_row = true;
        self
    }

    pub(super) fn everything_on(mut self, on: OnBackend) -> Self {
        self.everything = on;
        self
    }

    pub(super) fn lacks(mut self, why: fn(Backend) -> Option<&'static str>) -> Self {
        self.lacks = why;
        self
    }

    /// Must the read miss, once the form has run?
    pub(super) fn purges(&self, read: Read, was_missing: bool, changed: bool, backend: Backend) -> bool {
        if (self.everything)(backend) {
            return true;
        }
        if self.of_no_row {
            return false;
        }
        if let Read::BooksOnShelf(shelf) = read {
            let listed = self.list.is_some_and(|(listed, on)| listed == shelf && on(backend));
            let without_need = (self.all_lists)(backend) || listed;
            return self.rows.contains_key("book") && (changed || without_need);
        }
        let Some((table, key)) = read.row() else {
            return read.tables().iter().any(|table| self.rows.contains_key(table));
        };
        let Some(keys) = self.rows.get(table) else { return false };
        // "No such row" depends on the table.
        was_missing || keys.contains(&key) || self.is_wide(table, backend)
    }

    pub(super) fn is_wide(&self, table: &str, backend: Backend) -> bool {
        self.wide.iter().any(|(wide, on)| *wide == table && on(backend))
    }

    pub(super) fn touches(&self, read: Read) -> bool {
        read.row().is_some_and(|(table, key)| self.rows.get(table).is_some_and(|keys| keys.contains(&key)))
    }
}

pub(super) fn on_mariadb(backend: Backend) -> bool {
    backend == Backend::MariaDb
}

pub(super) fn no_typed_returning(backend: Backend) -> Option<&'static str> {
    on_mariadb(backend).then_some("SeaORM has no RETURNING for MySQL")
}

pub(super) fn no_update_returning(backend: Backend) -> Option<&'static str> {
    on_mariadb(backend).then_some("MariaDB has no UPDATE ... RETURNING")
}

pub(super) fn postgres_only(backend: Backend) -> Option<&'static str> {
    (backend != Backend::Postgres).then_some("PostgreSQL's")
}

pub(super) fn mariadb_only(backend: Backend) -> Option<&'static str> {
    (backend != Backend::MariaDb).then_some("MariaDB's")
}

pub(super) fn sqlite_only(backend: Backend) -> Option<&'static str> {
    (backend != Backend::Sqlite).then_some("SQLite's")
}

pub(super) fn not_mariadb(backend: Backend) -> Option<&'static str> {
    on_mariadb(backend).then_some("not in MariaDB's SQL")
}

pub(super) fn not_sqlite(backend: Backend) -> Option<&'static str> {
    (backend == Backend::Sqlite).then_some("not in SQLite's SQL")
}

pub(super) fn without_key() -> book::ActiveModel {
    book::ActiveModel { id: NotSet, ..new_book(1) }
}
