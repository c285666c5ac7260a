//! From a statement to what it makes wrong.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use sea_orm::{DbBackend, Statement, Value};

use crate::{
    cache::Inner,
    entity::{EntityDescriptor, KeyClass, KeyColumn, KeyText, TablePolicy, value_text},
    freshness::PurgeSet,
    statement::{Analysis, Dialect, Operand, TransactionVerb, Verb, Write},
};

/// What a statement, or all statements of a transaction, touched.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteSet {
    /// Tables written, folded.
    tables: BTreeSet<Box<str>>,
    /// Rows that are known, as tags and entries.
    rows: PurgeSet,
    /// Everything else: tables, unknown rows, user tags.
    rest: PurgeSet,
}

/// What a statement does, as far as purging cares.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) writes: WriteSet,
    /// The statement ends the database's current transaction by itself (MySQL's DDL), or is a
    /// COMMIT as text: what the transaction wrote is visible from now on.
    pub(crate) commits: bool,
    /// The statement ends the database's current transaction in one way or another: what is
    /// written after it is visible at once.
    pub(crate) ends: bool,
}

impl WriteSet {
    /// Adds what came later. Beyond `max_row_tags` rows, the tables' rows are purged as a whole.
    pub(crate) fn merge(&mut self, later: Self, inner: &Inner) {
        self.tables.extend(later.tables);
        self.rows.merge(later.rows);
        self.rest.merge(later.rest);
        // case D28
        if self.rows.tags.len() > inner.config.max_row_tags {
            self.rows = PurgeSet::default();
            for table in &self.tables {
                inner.purge_table(&mut self.rest, table);
            }
        }
    }

    pub(crate) fn into_purge(self) -> PurgeSet {
        let mut set = self.rest;
        set.merge(self.rows);
        set
    }
}

impl Inner {
    /// What the statement does; `None` if it changes nothing that an entry could depend on.
    pub(crate) fn effects(&self, statement: &Statement) -> Option<Effects> {
        let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
        self.effects_of(statement.db_backend, &statement.sql, values)
    }

    pub(crate) fn effects_of(&self, backend: DbBackend, sql: &str, values: &[Value]) -> Option<Effects> {
        let analysis = self.memo.analyse(dialect(backend), sql);
        let as_text = commits_as_text(&analysis);
        let unknown_to_mysql = backend == DbBackend::MySql && analysis.writes_anything;
        let commits = as_text || analysis.implicit_commit || unknown_to_mysql;
        let ends = commits || rolls_back_as_text(&analysis);
        if analysis.is_read_only() && !ends {
            return None;
        }
        let mut writes = WriteSet::default();
        if analysis.writes_anything || as_text {
            self.counters.namespace_purges.fetch_add(1, Ordering::Relaxed);
            // The text may hold data, so it is not logged.
            tracing::warn!(
                kind = ?analysis.kind,
                why = analysis.why_anything.as_deref(),
                "a statement whose effects are not known purges the whole namespace"
            );
            writes.rest.tags.insert(self.keys.everything());
        }
        for write in &analysis.writes {
            self.add_write(&mut writes, write, values);
        }
        Some(Effects { writes, commits, ends })
    }

    fn add_write(&self, set: &mut WriteSet, write: &Write, values: &[Value]) {
        let folded = write.table.fold().into_owned();
        let policy = self.registry.table(&folded);
        self.counters.table(&folded).writes.fetch_add(1, Ordering::Relaxed);
        set.tables.insert(folded.as_str().into());
        set.rest.tags.insert(self.keys.table(&folded));
        if let Some(policy) = &policy {
            for tag in &policy.purges {
                self.purge_user_tag(&mut set.rest, tag);
            }
        }
        // A plain INSERT changes no row that is there; "no such row" depends on the table's tag.
        if write.verb != Verb::Insert {
            let mut rows = PurgeSet::default();
            match policy
                .as_deref()
                .and_then(|policy| self.known_rows(&mut rows, write, policy, &folded, values))
            {
                Some(()) => {
                    let known = WriteSet { rows, ..WriteSet::default() };
                    set.merge(known, self);
                }
                None => {
                    set.rest.tags.insert(self.keys.any_row(&folded));
                }
            }
        }
    }

    /// The rows that the statement names by primary key; `None` if it may touch others.
    fn known_rows(
        &self,
        rows: &mut PurgeSet,
        write: &Write,
        policy: &TablePolicy,
        folded: &str,
        values: &[Value],
    ) -> Option<()> {
        if matches!(write.verb, Verb::Truncate | Verb::Ddl | Verb::Other) {
            return None;
        }
        let key = policy.key.as_deref().filter(|key| !key.is_empty())?;
        let names: Vec<_> = key.iter().map(|column| column.name).collect();
        let keys = write.scope.keys(&names)?;
        if keys.len() > self.config.max_row_tags {
            return None;
        }
        for operands in keys {
            let tag: Option<Vec<_>> = key
                .iter()
                .zip(&operands)
                .map(|(column, operand)| Some((column.name, named(column, operand, values)?)))
                .collect();
            rows.tags.insert(self.keys.row_tag(folded, tag?));
            if key.iter().any(|column| column.class == KeyClass::Text) {
                // A text that is not plain may be what the database holds equal to this one.
                rows.tags.insert(self.keys.odd_rows(folded));
            }
            let exact: Option<Vec<_>> = operands.iter().map(|operand| exact(operand, values)).collect();
            if let Some(exact) = exact {
                for entity in &policy.entities {
                    rows.entries.insert(self.row_entry(entity, &exact));
                }
            }
        }
        Some(())
    }

    /// The entry of a row with this exact key.
    pub(crate) fn row_entry(&self, entity: &EntityDescriptor, key: &[String]) -> crate::store::EntryKey {
        let EntityDescriptor { policy, schema, table, fingerprint, .. } = entity;
        self.keys.row(policy.namespace, schema.as_deref(), table, key, *fingerprint)
    }

    /// One row by hand: its tag, its table's, its entry.
    pub(crate) fn purge_row(&self, set: &mut PurgeSet, entity: &Arc<EntityDescriptor>, key: &[Value]) {
        let folded = entity.table.to_lowercase();
        set.tags.insert(self.keys.table(&folded));
        let tag: Option<Vec<_>> = (key.len() == entity.key.len()).then(|| entity.key_text(key)).flatten();
        match tag {
            Some(tag) => set.tags.insert(self.keys.row_tag(&folded, tag)),
            None => set.tags.insert(self.keys.any_row(&folded)),
        };
        if let Some(exact) = key.iter().map(value_text).collect::<Option<Vec<_>>>() {
            set.entries.insert(self.row_entry(entity, &exact));
        }
    }
}

pub(crate) fn dialect(backend: DbBackend) -> Dialect {
    match backend {
        DbBackend::MySql => Dialect::MySql,
        DbBackend::Sqlite => Dialect::Sqlite,
        // `DbBackend` is open; PostgreSQL's rules for quoting are the standard's.
        _ => Dialect::Postgres,
    }
}

/// Does the text end a transaction by a COMMIT that the wrapper did not send? Then nobody knows which
/// writes it makes visible. case A28
fn commits_as_text(analysis: &Analysis) -> bool {
    use TransactionVerb as T;
    analysis
        .transaction
        .iter()
        .any(|verb| matches!(verb, T::Commit | T::Prepare | T::CommitPrepared | T::Autocommit))
}

fn rolls_back_as_text(analysis: &Analysis) -> bool {
    analysis.transaction.contains(&TransactionVerb::Rollback)
}

/// The tag text of a key operand; `None` when the row it names is not known for sure.
fn named(column: &KeyColumn, operand: &Operand, values: &[Value]) -> Option<KeyText> {
    let text = match operand {
        Operand::Bound(position) => column.class.tag_text(values.get(*position)?),
        Operand::Integer(number) => column.class.tag_integer(*number),
        Operand::Text(text) => column.class.tag_literal(text),
        Operand::Other => None,
    };
    // An odd text may be what the database holds equal to a plain one.
    text.filter(|text| *text != KeyText::Odd)
}

/// The exact text of an operand, for the key of the row's entry.
fn exact(operand: &Operand, values: &[Value]) -> Option<String> {
    match operand {
        Operand::Bound(position) => value_text(values.get(*position)?),
        Operand::Integer(number) => Some(number.to_string()),
        Operand::Text(text) => Some(text.to_string()),
        Operand::Other => None,
    }
}
