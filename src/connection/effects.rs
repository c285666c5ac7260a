//! From a statement to what it makes wrong.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use sea_orm::{DbBackend, QueryResult, Value};

use super::{
    descent::{Descent, Found, Route},
    images::{Image, Images},
    preselect::PreSelect,
    touched::{RowKey, Touched, primary_key},
};
use crate::{
    Cache,
    cache::Inner,
    entity::{EntityDescriptor, TablePolicy, WriteKind, value_text},
    freshness::{NewRow, PurgeSet},
    schema::{Change, Columns, Knowledge, Reached, Schema},
    statement::{Analysis, Dialect, Kind, Scope, TransactionVerb, Verb, Write},
};

/// A write that returns more rows than this stores none of them.
const MOST_NEW_ROWS: usize = 64;

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
pub(crate) struct Plan {
    /// What is purged if nothing more becomes known.
    pub(crate) writes: WriteSet,
    /// The statement ends the database's current transaction by itself (MySQL's DDL), or is a
    /// COMMIT as text: what the transaction wrote is visible from now on.
    pub(crate) commits: bool,
    /// The statement ends the database's current transaction in one way or another: what is
    /// written after it is visible at once.
    pub(crate) ends: bool,
    /// The statement may change how the tables hang together.
    pub(crate) changes_schema: bool,
    /// It inserts, updates or deletes rows, and does nothing else.
    rows_alone: bool,
    /// How more may become known.
    narrowing: Option<Narrowing>,
    /// The text says all that there is to know, but whether it touched anything: the rows that come back
    /// say no more.
    is_exact: bool,
}

/// What it takes to say more exactly what was touched, once the statement has run.
#[derive(Debug)]
struct Narrowing {
    analysis: Arc<Analysis>,
    values: Vec<Value>,
    schema: Arc<Schema>,
    policy: Option<Arc<TablePolicy>>,
    pre_select: Option<PreSelect>,
    /// From the rows of the pre-select to those that the database touches because of them.
    route: Option<Route>,
    /// The text names the rows by their keys, so that they are not many.
    #[cfg(feature = "stream")]
    names_rows: bool,
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

    /// Everything in the namespace besides.
    pub(crate) fn add_everything(&mut self, inner: &Inner) {
        self.rest.tags.insert(inner.keys.everything());
    }

    pub(crate) fn into_purge(self) -> PurgeSet {
        let mut set = self.rest;
        set.merge(self.rows);
        set
    }
}

impl Plan {
    /// The select that has to run before the statement, in one transaction with it.
    pub(crate) fn pre_select(&self) -> Option<&PreSelect> {
        self.narrowing.as_ref()?.pre_select.as_ref()
    }

    /// The way from the rows that were selected before the statement to those that the database touches
    /// because of them, to be asked for before the statement too.
    pub(crate) fn descent(&self, rows: &[QueryResult], before: Option<&[Image]>) -> Option<Descent<'_>> {
        let narrowing = self.narrowing.as_ref()?;
        let (route, select) = narrowing.route.as_ref().zip(narrowing.pre_select.as_ref())?;
        select.may_descend(rows).then(|| Some(route.descend(before?)))?
    }

    /// May the statement run in a transaction of its own, as it would without one? Only rows are
    /// written, and by a text that says so.
    pub(crate) fn may_be_wrapped(&self) -> bool {
        self.rows_alone && !self.ends && !self.changes_schema
    }

    /// Is the answer better read whole than streamed? It is not long, and something has to be done
    /// before or after the statement.
    #[cfg(feature = "stream")]
    pub(super) fn is_better_whole(&self) -> bool {
        let asks_first = self.narrowing.as_ref().is_some_and(|narrowing| {
            narrowing.pre_select.is_some() && (narrowing.names_rows || !narrowing.analysis.returning)
        });
        self.changes_schema || asks_first
    }

    /// Can knowing the rows that came back, or how many there were, change anything?
    pub(crate) fn can_narrow(&self) -> bool {
        self.narrowing.is_some()
    }

    /// Do the rows that come back say more than the text?
    pub(crate) fn learns_from_rows(&self) -> bool {
        !self.is_exact && self.policy().is_some()
    }

    /// The rows that come back are to be stored.
    pub(crate) fn writes_through(&self) -> bool {
        let Some(Narrowing { analysis, schema, policy: Some(policy), .. }) = &self.narrowing else {
            return false;
        };
        let [write] = &analysis.writes[..] else { return false };
        let keeps_rows = matches!(write.verb, Verb::Insert | Verb::Update | Verb::Upsert);
        // Triggers may change the row after it was returned.
        let as_returned = analysis.returning && keeps_rows && schema.is_plain(&write.table.fold());
        as_returned && policy.entities.iter().any(|entity| entity.new_row.is_some())
    }

    /// Entries of the rows that came back.
    pub(super) fn new_rows(&self, cache: &Cache, rows: &[QueryResult]) -> Vec<NewRow> {
        let Some(Narrowing { schema, policy: Some(policy), .. }) = &self.narrowing else { return Vec::new() };
        if !cache.inner.config.enabled || rows.len() > MOST_NEW_ROWS || !self.writes_through() {
            return Vec::new();
        }
        let of_entity = policy.entities.iter().filter_map(|entity| entity.new_row);
        of_entity.flat_map(|new_row| rows.iter().filter_map(move |row| new_row(row, cache, schema))).collect()
    }

    /// Are the rows that come back those that were written?
    pub(crate) fn returns_rows(&self) -> bool {
        self.narrowing.as_ref().is_some_and(|narrowing| narrowing.analysis.returning)
    }

    /// What is known of the table that the statement writes, if it is one.
    pub(crate) fn policy(&self) -> Option<&TablePolicy> {
        self.narrowing.as_ref()?.policy.as_deref()
    }

    /// Does the text name one row at most, by its key?
    pub(crate) fn is_one_row(&self) -> bool {
        let Some(Narrowing { analysis, policy: Some(policy), .. }) = &self.narrowing else { return false };
        let [write] = &analysis.writes[..] else { return false };
        match write.verb {
            Verb::Insert | Verb::Upsert => {
                matches!(&write.scope, Scope::Rows { rows, .. } if rows.len() == 1)
            }
            _ => {
                let key = primary_key(policy).map(|key| key.iter().map(|c| c.name).collect::<Vec<_>>());
                key.and_then(|key| Some(write.scope.keys(&key)?.len() == 1)).unwrap_or(false)
            }
        }
    }

    /// What is purged, now that more is known.
    pub(crate) fn narrowed(&self, inner: &Inner, mut images: Images) -> WriteSet {
        let Some(Narrowing { analysis, values, schema, .. }) = &self.narrowing else {
            return self.writes.clone();
        };
        let [write] = &analysis.writes[..] else { return self.writes.clone() };
        // case D27
        if images.affected == Some(0) && write.filter.is_some() && schema.is_plain(&write.table.fold()) {
            return WriteSet::default();
        }
        if self.is_exact {
            return self.writes.clone();
        }
        // Rows that were not there, or not visible, when they were selected.
        if let Some(before) = &images.before
            && images.affected.is_none_or(|affected| affected > before.len() as u64)
        {
            images.before = None;
            images.below = None;
            // What was read after the write were these rows again.
            if !analysis.returning {
                images.returned = None;
            }
        }
        let mut writes = WriteSet::default();
        inner.add_write(&mut writes, &Touched::new(write, values, &images, schema), schema);
        writes
    }
}

impl Inner {
    pub(crate) fn analyse(&self, backend: DbBackend, sql: &str) -> Arc<Analysis> {
        self.memo.analyse(dialect(backend), sql)
    }

    /// What the statement does; `None` if it changes nothing that an entry could depend on.
    pub(crate) fn plan(
        &self,
        backend: DbBackend,
        analysis: Arc<Analysis>,
        values: &[Value],
        knowledge: &Knowledge,
    ) -> Option<Plan> {
        let as_text = commits_as_text(&analysis);
        let unknown_to_mysql = backend == DbBackend::MySql && analysis.writes_anything;
        let commits = as_text || analysis.implicit_commit || unknown_to_mysql;
        let ends = commits || rolls_back_as_text(&analysis);
        if analysis.is_read_only() && !ends {
            return None;
        }
        let changes_schema = changes_schema(&analysis);
        let rows_alone = !analysis.writes_anything && analysis.writes.iter().all(writes_rows);
        let mut plan = Plan {
            writes: WriteSet::default(),
            commits,
            ends,
            changes_schema,
            rows_alone,
            narrowing: None,
            is_exact: true,
        };
        if analysis.writes_anything || as_text {
            plan.writes.add_everything(self);
        }
        let Knowledge::Known(schema) = knowledge else {
            if !analysis.writes.is_empty() {
                plan.writes.add_everything(self);
            }
            return Some(plan);
        };
        let nothing_more = Images::default();
        for write in &analysis.writes {
            let touched = Touched::new(write, values, &nothing_more, schema);
            plan.is_exact &= self.add_write(&mut plan.writes, &touched, schema);
        }
        plan.narrowing = self.narrowing(backend, analysis, values, schema, plan.is_exact);
        Some(plan)
    }

    /// Counts a statement that is about to be sent.
    pub(crate) fn count(&self, analysis: &Analysis, plan: &Plan) {
        for write in &analysis.writes {
            self.counters.table(&write.table.fold()).writes.fetch_add(1, Ordering::Relaxed);
        }
        if plan.writes.rest.tags.contains(&self.keys.everything()) {
            self.counters.namespace_purges.fetch_add(1, Ordering::Relaxed);
            // The text may hold data, so it is not logged.
            tracing::warn!(
                kind = ?analysis.kind,
                why = analysis.why_anything.as_deref(),
                "a statement whose effects are not known purges the whole namespace"
            );
        }
    }

    fn narrowing(
        &self,
        backend: DbBackend,
        analysis: Arc<Analysis>,
        values: &[Value],
        schema: &Arc<Schema>,
        is_exact: bool,
    ) -> Option<Narrowing> {
        let [write] = &analysis.writes[..] else { return None };
        let folded = write.table.fold();
        let tells = write.filter.is_some() && schema.is_plain(&folded) || analysis.returning;
        if analysis.writes_anything || !tells {
            return None;
        }
        let policy = self.registry.table(&folded);
        if is_exact {
            let (values, schema) = (Vec::new(), schema.clone());
            return Some(Narrowing {
                analysis,
                values,
                schema,
                policy,
                pre_select: None,
                route: None,
                #[cfg(feature = "stream")]
                names_rows: true,
            });
        }
        let route = policy.as_deref().and_then(|policy| self.route(backend, write, values, policy, schema));
        let pre_select = policy.as_deref().and_then(|policy| {
            let wants = self.wants_pre_select(write, analysis.returning, values, policy, schema);
            let limit = wants.or_else(|| {
                self.pre_select_limit(write, values, policy, schema).filter(|_| route.is_some())
            })?;
            let select = PreSelect::of(backend, write, values, policy, limit, route.is_some())?;
            let nothing_more = Images::default();
            let touched = Touched::new(write, values, &nothing_more, schema);
            let computes = !analysis.returning
                && touched.computes_index(policy, |column| schema.generates(&folded, column));
            Some(if computes && touched.keeps_key(policy) { select.and_after(policy) } else { select })
        });
        #[cfg(feature = "stream")]
        let names_rows = policy.as_deref().is_some_and(|policy| {
            Touched::new(write, values, &Images::default(), schema).keys(policy).is_some()
        });
        let (values, schema) = (values.to_vec(), schema.clone());
        Some(Narrowing {
            analysis,
            values,
            schema,
            policy,
            pre_select,
            route,
            #[cfg(feature = "stream")]
            names_rows,
        })
    }

    /// How many rows may be selected before the write, at most; `None` if none may be: nobody asked for
    /// it, and the text does not name them.
    fn pre_select_limit(
        &self,
        write: &Write,
        values: &[Value],
        policy: &TablePolicy,
        schema: &Schema,
    ) -> Option<usize> {
        if !matches!(write.verb, Verb::Update | Verb::Delete) {
            return None;
        }
        let rows_are_named = Touched::new(write, values, &Images::default(), schema).keys(policy).is_some();
        match policy.precise {
            _ if rows_are_named => Some(self.config.max_row_tags),
            Some(limit) => Some(usize::try_from(limit).unwrap_or(usize::MAX).min(self.config.max_row_tags)),
            None => None,
        }
    }

    /// The way to the rows of other tables that the database touches because of those of this one.
    fn route(
        &self,
        backend: DbBackend,
        write: &Write,
        values: &[Value],
        policy: &TablePolicy,
        schema: &Arc<Schema>,
    ) -> Option<Route> {
        let folded = write.table.fold();
        // Most statements end here: nothing refers to the table.
        if schema.table(&folded).is_none_or(|known| known.referrers.is_empty()) {
            return None;
        }
        let limit = self.pre_select_limit(write, values, policy, schema)?;
        let reached = self.reached(write, schema);
        let also = |table: &str| self.also(table);
        Route::of(backend, (&folded, &reached), schema, also, |table| self.registry.table(table), limit)
    }

    /// Tables that triggers of this one write, as its owner declared it.
    fn also(&self, table: &str) -> Vec<Box<str>> {
        let policy = self.registry.table(table);
        policy.and_then(|policy| policy.rule.also_writes.clone()).unwrap_or_default()
    }

    /// How many rows to select before the write, at most; `None` if nothing is to be gained by it.
    fn wants_pre_select(
        &self,
        write: &Write,
        returning: bool,
        values: &[Value],
        policy: &TablePolicy,
        schema: &Schema,
    ) -> Option<usize> {
        let limit = self.pre_select_limit(write, values, policy, schema)?;
        let nothing_more = Images::default();
        let touched = Touched::new(write, values, &nothing_more, schema);
        let rows_are_named = touched.keys(policy).is_some();
        let folded = write.table.fold();
        let rows_come_back = returning && touched.keeps_key(policy);
        let rows_gain = !(rows_are_named || rows_come_back);
        let index_gains = schema.is_plain(&folded)
            && policy.index.iter().any(|column| {
                let generated = schema.generates(&folded, column.name);
                touched.old_values(column, generated).is_none()
                    && !(returning && touched.keeps(column.name, generated))
            });
        (rows_gain || index_gains).then_some(limit)
    }

    /// Adds what a write to one table makes wrong, there and wherever the database goes on from there.
    /// True if knowing the rows that it touches could not make that less.
    fn add_write(&self, set: &mut WriteSet, touched: &Touched<'_>, schema: &Schema) -> bool {
        let write = touched.write;
        let folded: Box<str> = write.table.fold().into();
        let reached = self.reached(write, schema);
        let found = |table: &str| touched.images.below.as_ref().and_then(|below| below.of(table));
        // Also those that it comes back to.
        let own = found(&folded).filter(|_| reached.comes_back);
        let names_its_rows = (!reached.comes_back || own.is_some()) && !schema.replaces(&folded);
        let mut is_exact = names_its_rows && reached.changes.len() == 1;
        for (table, what) in &reached.changes {
            set.tables.insert(table.clone());
            set.rest.tags.insert(self.keys.table(table));
            let policy = self.registry.table(table);
            self.add_dependents(set, policy.as_deref(), what);
            if schema.behind(table).is_some_and(|view| view.reads.is_empty()) {
                set.add_everything(self);
            }
            if *table == folded && names_its_rows {
                let is_plain = schema.is_plain(&folded);
                is_exact &= self.add_rows(set, touched, policy.as_deref(), &folded, is_plain);
                is_exact &= policy.as_deref().is_none_or(|policy| policy.index.is_empty());
                let index = policy.as_deref().filter(|_| is_plain);
                let mut tags = index.and_then(|policy| touched.index_tags(&self.keys, policy, schema));
                if let Some((policy, found)) = policy.as_deref().zip(own) {
                    self.add_found(set, (policy, &folded), found, schema);
                    let more = touched.found_tags(&self.keys, policy, found, &folded, schema);
                    tags = tags.zip(more).map(|(mut tags, more)| {
                        tags.extend(more);
                        tags
                    });
                }
                self.add_index(set, policy.as_deref(), &folded, tags);
                continue;
            }
            if *table != folded
                && let Some((policy, found)) = policy.as_deref().zip(found(table))
            {
                self.add_found(set, (policy, table), found, schema);
                let tags = touched.found_tags(&self.keys, policy, found, table, schema);
                self.add_index(set, Some(policy), table, tags);
                continue;
            }
            // Rows that the database picks. A plain INSERT into a relative changes none of its own.
            let inserts_alone = *what == Change { inserts: true, ..Change::default() };
            if !inserts_alone || schema.replaces(table) {
                set.rest.tags.insert(self.keys.any_row(table));
            }
            let policies = self.registry.table(&folded).zip(policy.clone());
            let key = schema.only_reference(&folded, table, &reached.changes);
            let tags = key.zip(policies).and_then(|(key, (parent, child))| {
                touched.referrers_tags(&self.keys, key, (&parent, &child), table)
            });
            self.add_index(set, policy.as_deref(), table, tags);
        }
        is_exact
    }

    /// What happens to which tables because of a write to one.
    pub(crate) fn reached(&self, write: &Write, schema: &Schema) -> Reached {
        let also = |table: &str| self.also(table);
        let folded = write.table.fold();
        // What conflicts is deleted, which may set off more.
        let change = if schema.replaces(&folded) { Change::anything() } else { change_of(write) };
        schema.reach(&folded, change, also)
    }

    /// Tags that the table's owner declared for such a write.
    fn add_dependents(&self, set: &mut WriteSet, policy: Option<&TablePolicy>, change: &Change) {
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
        folded: &str,
        is_plain: bool,
    ) -> bool {
        // A plain INSERT changes no row that is there; "no such row" depends on the table's tag.
        let runs_triggers = touched.write.assigned.is_none() && !is_plain;
        if touched.write.verb == Verb::Insert && !runs_triggers {
            return true;
        }
        let keys = policy.and_then(|policy| Some((policy, touched.keys(policy)?)));
        let Some((policy, keys)) = keys.filter(|(_, keys)| keys.len() <= self.config.max_row_tags) else {
            set.rest.tags.insert(self.keys.any_row(folded));
            return false;
        };
        self.add_keys(set, policy, folded, keys);
        true
    }

    fn add_keys(&self, set: &mut WriteSet, policy: &TablePolicy, folded: &str, keys: Vec<RowKey>) {
        let mut rows = PurgeSet::default();
        for key in keys {
            if key.is_loose {
                // A text that is not plain may be what the database holds equal to this one.
                rows.tags.insert(self.keys.odd_rows(folded));
            }
            rows.tags.insert(self.keys.row_tag(folded, key.named));
            for entity in key.exact.iter().flat_map(|exact| policy.entities.iter().map(move |e| (exact, e))) {
                rows.entries.insert(self.row_entry(entity.1, entity.0));
            }
        }
        set.merge(WriteSet { rows, ..WriteSet::default() }, self);
    }

    /// Rows that the database touches by itself, where all of them were found.
    fn add_found(
        &self,
        set: &mut WriteSet,
        (policy, folded): (&TablePolicy, &str),
        found: &Found,
        schema: &Schema,
    ) {
        match found.keys(policy, folded, schema).filter(|keys| keys.len() <= self.config.max_row_tags) {
            Some(keys) => self.add_keys(set, policy, folded, keys),
            None => {
                set.rest.tags.insert(self.keys.any_row(folded));
            }
        }
    }

    /// The table's index tags: those with the values, or the one for all.
    fn add_index(
        &self,
        set: &mut WriteSet,
        policy: Option<&TablePolicy>,
        folded: &str,
        tags: Option<BTreeSet<crate::store::TagKey>>,
    ) {
        let all = self.keys.index(folded);
        match (policy, tags) {
            (Some(policy), Some(tags))
                if policy.index_label != 0 && tags.len() <= self.config.max_row_tags =>
            {
                let mut index = PurgeSet { tags, ..PurgeSet::default() };
                index.unless.insert(all, policy.index_label);
                set.merge(WriteSet { rows: index, ..WriteSet::default() }, self);
            }
            // Also where no index is declared: other code may declare one.
            _ => set.rest.merge(PurgeSet { tags: [all].into(), ..PurgeSet::default() }),
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

/// What the statement itself does to the rows of the table.
fn change_of(write: &Write) -> Change {
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

fn writes_rows(write: &Write) -> bool {
    match write.verb {
        Verb::Insert | Verb::Upsert | Verb::Replace | Verb::Update | Verb::Delete => true,
        Verb::Truncate | Verb::Ddl | Verb::Other => false,
    }
}

/// Neither writes nor bounds a transaction.
pub(super) fn is_quiet(analysis: &Analysis) -> bool {
    analysis.is_read_only() && analysis.transaction.is_empty() && !analysis.implicit_commit
}

fn changes_schema(analysis: &Analysis) -> bool {
    analysis.writes.iter().any(|write| write.verb == Verb::Ddl) || analysis.kind == Kind::Ddl
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
