//! From a statement to what it makes wrong.

use std::{collections::BTreeSet, sync::Arc};

use sea_orm::{DbBackend, Value};

use super::{
    descent::Found,
    table_tags::TableTags,
    touched::{RowKey, Touched},
};
use crate::{
    cache::Inner,
    entity::{EntityDescriptor, TablePolicy, WriteKind, value_text},
    freshness::PurgeSet,
    schema::{Change, Columns, Reached, Schema, TextEquality},
    statement::{Analysis, Dialect, Kind, TransactionVerb, Verb, Write},
    store::TagKey,
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

impl WriteSet {
    /// Adds what came later. Beyond `max_row_tags` rows, the tables' rows are purged as a whole.
    pub(crate) fn merge(&mut self, later: Self, inner: &Inner) {
        self.tables.extend(later.tables);
        self.rows.merge(later.rows);
        self.rest.merge(later.rest);
        self.bound(inner);
    }

    /// case D28
    fn bound(&mut self, inner: &Inner) {
        if self.rows.tags.len() > inner.config.max_row_tags {
            self.rows = PurgeSet::default();
            for table in &self.tables {
                inner.purge_table(&mut self.rest, table);
            }
        }
    }

    /// Everything in the namespace besides.
    pub(crate) fn add_everything(&mut self, inner: &Inner) {
        self.rest.tags.insert(inner.keys.everything());
    }

    /// Is it the whole namespace?
    pub(super) fn purges_everything(&self, inner: &Inner) -> bool {
        self.rest.tags.contains(&inner.keys.everything())
    }

    pub(crate) fn into_purge(self) -> PurgeSet {
        let mut set = self.rest;
        set.merge(self.rows);
        set
    }
}

impl Inner {
    pub(crate) fn analyse(&self, backend: DbBackend, sql: &str) -> Arc<Analysis> {
        self.memo.analyse(dialect(backend), sql)
    }

    /// Tables that triggers of this one write, as its owner declared it.
    pub(super) fn also(&self, table: &str) -> Vec<Box<str>> {
        let policy = self.registry.table(table);
        policy.and_then(|policy| policy.rule.also_writes.clone()).unwrap_or_default()
    }

    /// Adds what a write to one table makes wrong, there and wherever the database goes on from there.
    /// True if knowing the rows that it touches could not make that less.
    pub(super) fn add_write(&self, set: &mut WriteSet, touched: &Touched<'_>, schema: &Schema) -> bool {
        let write = touched.write;
        let folded = &*write.table.fold();
        let reached = self.reached(write, schema);
        let found = |table: &str| touched.images.below.as_ref().and_then(|below| below.of(table));
        // Also those that it comes back to.
        let own = found(folded).filter(|_| reached.comes_back);
        let names_its_rows = (!reached.comes_back || own.is_some()) && !schema.replaces(folded);
        let mut is_exact = names_its_rows && reached.changes.len() == 1;
        for (table, what) in &reached.changes {
            let policy = self.registry.table(table);
            let policy = policy.as_deref();
            let tags = self.tags_of(policy, table);
            set.tables.insert(table.clone());
            set.rest.tags.insert(tags.table());
            self.add_dependents(set, policy, what);
            if schema.behind(table).is_some_and(|view| view.reads.is_empty()) {
                set.add_everything(self);
            }
            if **table == *folded && names_its_rows {
                let is_plain = schema.is_plain(folded);
                is_exact &= self.add_rows(set, touched, policy, &tags, is_plain);
                is_exact &= policy.is_none_or(|policy| policy.index.is_empty());
                let index = policy.filter(|policy| is_plain && policy.index_label != 0);
                let mut values = index.and_then(|policy| touched.index_tags(&self.keys, policy, schema));
                if let Some((policy, found)) = policy.zip(own) {
                    self.add_found(set, (policy, &tags), found, (folded, schema));
                    let more = touched.found_tags(&self.keys, policy, found, folded, schema);
                    values = values.zip(more).map(|(mut values, more)| {
                        values.extend(more);
                        values
                    });
                }
                self.add_index(set, policy, &tags, values);
                continue;
            }
            if **table != *folded
                && let Some((policy, found)) = policy.zip(found(table))
            {
                self.add_found(set, (policy, &tags), found, (table, schema));
                let values = touched.found_tags(&self.keys, policy, found, table, schema);
                self.add_index(set, Some(policy), &tags, values);
                continue;
            }
            // Rows that the database picks. A plain INSERT into a relative changes none of its own.
            let inserts_alone = *what == Change { inserts: true, ..Change::default() };
            if !inserts_alone || schema.replaces(table) {
                set.rest.tags.insert(tags.any_row());
            }
            let origin = self.registry.table(folded);
            let policies = origin.as_deref().zip(policy);
            let key = schema.only_reference(folded, table, &reached.changes);
            let values = key.zip(policies).and_then(|(key, (parent, child))| {
                touched.referrers_tags(&self.keys, key, (parent, child), table, schema)
            });
            self.add_index(set, policy, &tags, values);
        }
        is_exact
    }

    /// What happens to which tables because of a write to one.
    pub(crate) fn reached(&self, write: &Write, schema: &Schema) -> Reached {
        let also = |table: &str| self.also(table);
        let folded = write.table.fold();
        // What conflicts is deleted, which may set off more.
        let change = if schema.replaces(&folded) { Change::anything() } else { change_of(write) };
        if schema.stands_alone(&folded) && also(&folded).is_empty() {
            return Reached::alone(folded.into(), change);
        }
        schema.reach(&folded, change, also)
    }

    /// Tags that the table's owner declared for such a write.
    pub(super) fn add_dependents(&self, set: &mut WriteSet, policy: Option<&TablePolicy>, change: &Change) {
        for (kind, tag) in policy.iter().flat_map(|policy| &policy.rule.purges) {
            let applies = match kind {
                None => true,
                Some(WriteKind::Insert) => change.inserts,
                Some(WriteKind::Update) => change.updates.is_some(),
                Some(WriteKind::Delete) => change.deletes || change.truncates,
            };
            if applies {
                self.purge_user_tag(&mut set.rest, tag);
            }
        }
    }

    /// True if the rows are known, or none of those that were there is touched.
    fn add_rows(
        &self,
        set: &mut WriteSet,
        touched: &Touched<'_>,
        policy: Option<&TablePolicy>,
        tags: &TableTags<'_>,
        is_plain: bool,
    ) -> bool {
        // A plain INSERT changes no row that is there; "no such row" depends on the table's tag.
        let runs_triggers = touched.write.assigned.is_none() && !is_plain;
        if touched.write.verb == Verb::Insert && !runs_triggers {
            return true;
        }
        let keys = policy.and_then(|policy| touched.keys(policy));
        let Some(keys) = keys.filter(|keys| keys.len() <= self.config.max_row_tags) else {
            set.rest.tags.insert(tags.any_row());
            return false;
        };
        self.add_keys(set, tags, keys);
        true
    }

    fn add_keys(&self, set: &mut WriteSet, tags: &TableTags<'_>, keys: Vec<RowKey>) {
        for key in keys {
            if key.has_text {
                // What a reader may depend on who knows less of the column, or worse: processes need not agree.
                set.rows.tags.insert(tags.odd_rows());
            }
            set.rows.tags.insert(tags.row(key.named));
            set.rows.tags.extend(key.to_the_letter.map(|key| tags.row(key)));
            set.rows.entries.extend(key.exact.iter().flat_map(|exact| tags.entries(exact)));
        }
        set.bound(self);
    }

    /// Rows that the database touches by itself, where all of them were found.
    fn add_found(
        &self,
        set: &mut WriteSet,
        (policy, tags): (&TablePolicy, &TableTags<'_>),
        found: &Found,
        (folded, schema): (&str, &Schema),
    ) {
        match found.keys(policy, folded, schema).filter(|keys| keys.len() <= self.config.max_row_tags) {
            Some(keys) => self.add_keys(set, tags, keys),
            None => {
                set.rest.tags.insert(tags.any_row());
            }
        }
    }

    /// The table's index tags: those with the values, or the one for all.
    fn add_index(
        &self,
        set: &mut WriteSet,
        policy: Option<&TablePolicy>,
        tags: &TableTags<'_>,
        values: Option<BTreeSet<TagKey>>,
    ) {
        let all = tags.index();
        match (policy, values) {
            (Some(policy), Some(values))
                if policy.index_label != 0 && values.len() <= self.config.max_row_tags =>
            {
                let mut index = PurgeSet { tags: values, ..PurgeSet::default() };
                index.unless.insert(all, policy.index_label);
                set.rows.merge(index);
                set.bound(self);
            }
            // Also where no index is declared: other code may declare one.
            _ => {
                set.rest.tags.insert(all);
            }
        }
    }

    /// The entry of a row with this exact key.
    pub(crate) fn row_entry(&self, entity: &EntityDescriptor, key: &[String]) -> crate::store::EntryKey {
        self.rows(entity).keys.entry(key)
    }

    /// One row by hand: its tag, its table's, its entry.
    pub(crate) fn purge_row(&self, set: &mut PurgeSet, entity: &Arc<EntityDescriptor>, key: &[Value]) {
        let folded = entity.table.to_lowercase();
        set.tags.insert(self.keys.table(&folded));
        set.tags.insert(self.keys.index(&folded));
        // What its readers know of its columns is not known here: they name it like this, to the letter, or
        // with all that they cannot tell apart.
        for equality in [TextEquality::IgnoresAccents, TextEquality::Unforeseen] {
            let tag = entity.key_text(key, |_| equality).filter(|_| key.len() == entity.key.len());
            set.tags.insert(match tag {
                Some(tag) => self.keys.row_tag(&folded, tag),
                None => self.keys.any_row(&folded),
            });
        }
        set.tags.extend(entity.exact_key_text(key).map(|tag| self.keys.row_tag(&folded, tag)));
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

/// What the statement itself does to the rows of the table.
pub(super) fn change_of(write: &Write) -> Change {
    let assigned = || match &write.assigned {
        Some(columns) => Columns::these(columns.iter().map(|assignment| &*assignment.column)),
        None => Columns::Any,
    };
    let none = Change::default();
    match write.verb {
        Verb::Insert => Change { inserts: true, ..none },
        Verb::Upsert => Change { inserts: true, updates: Some(assigned()), ..none },
        // `UPDATE OR REPLACE` too.
        Verb::Replace => Change::anything(),
        Verb::Update => Change { updates: Some(assigned()), ..none },
        Verb::Delete => Change { deletes: true, ..none },
        Verb::Truncate => Change { deletes: true, truncates: true, ..none },
        Verb::Ddl | Verb::Other => Change::anything(),
    }
}

pub(super) fn writes_rows(write: &Write) -> bool {
    match write.verb {
        Verb::Insert | Verb::Upsert | Verb::Replace | Verb::Update | Verb::Delete => true,
        Verb::Truncate | Verb::Ddl | Verb::Other => false,
    }
}

/// Neither writes nor bounds a transaction.
pub(super) fn is_quiet(analysis: &Analysis) -> bool {
    // Only the catalogue knows whether a function that it calls is the user's own.
    analysis.is_read_only()
        && analysis.calls.is_empty()
        && analysis.transaction.is_empty()
        && !analysis.implicit_commit
}

/// Also what is no query and is not understood: a block of code may hold DDL.
pub(super) fn changes_schema(analysis: &Analysis) -> bool {
    analysis.writes.iter().any(|write| write.verb == Verb::Ddl)
        || analysis.kind == Kind::Ddl
        || analysis.kind == Kind::Other && analysis.writes_anything
}

/// Does the text end a transaction by a COMMIT that the wrapper did not send? Then nobody knows which
/// writes it makes visible. case A28
pub(super) fn commits_as_text(analysis: &Analysis) -> bool {
    use TransactionVerb as T;
    analysis
        .transaction
        .iter()
        .any(|verb| matches!(verb, T::Commit | T::Prepare | T::CommitPrepared | T::Autocommit))
}

pub(super) fn rolls_back_as_text(analysis: &Analysis) -> bool {
    analysis.transaction.contains(&TransactionVerb::Rollback)
}
