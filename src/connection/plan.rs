//! What is done about a statement: known before it is sent, and more exactly once it has run.

use std::sync::{Arc, atomic::Ordering};

use sea_orm::{DbBackend, QueryResult, Value};

use super::{
    descent::{Descent, Route},
    effects::{WriteSet, change_of, changes_schema, commits_as_text, rolls_back_as_text, writes_rows},
    images::{Image, Images},
    preselect::PreSelect,
    touched::{Touched, primary_key},
};
use crate::{
    Cache,
    cache::Inner,
    entity::TablePolicy,
    freshness::NewRow,
    schema::{Knowledge, Schema},
    statement::{Analysis, Scope, Verb, Write},
};

/// A write that returns more rows than this stores none of them.
const MOST_NEW_ROWS: usize = 64;

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
    /// How many rows the text names by their keys at most, if it does.
    named_rows: Option<usize>,
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
            narrowing.pre_select.is_some()
                && (narrowing.named_rows.is_some() || !narrowing.analysis.returning)
        });
        self.changes_schema || asks_first
    }

    /// Can knowing the rows that came back, or how many there were, change anything?
    pub(crate) fn can_narrow(&self) -> bool {
        self.narrowing.is_some()
    }

    /// Does the text say all that there is to know, but whether it touched anything?
    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
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
        let folded = write.table.fold();
        // Triggers may change the row after it was returned, also those of which somebody has said what else
        // they write; and so may a foreign key by which it refers to itself, or its likes to it.
        let has_no_triggers = schema.is_plain(&folded) && policy.rule.also_writes.is_none();
        let comes_back = || {
            !schema.stands_alone(&folded) && schema.reach(&folded, change_of(write), |_| [""; 0]).comes_back
        };
        let as_returned = analysis.returning && keeps_rows && has_no_triggers && !comes_back();
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

    /// May rows come back, of whatever?
    pub(crate) fn answers_rows(&self) -> bool {
        self.narrowing.as_ref().is_some_and(|narrowing| narrowing.analysis.answers_rows)
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

    /// What is purged, now that more is known; `None`: what was planned.
    pub(crate) fn narrowed(&self, inner: &Inner, mut images: Images) -> Option<WriteSet> {
        let Narrowing { analysis, values, schema, .. } = self.narrowing.as_ref()?;
        let [write] = &analysis.writes[..] else { return None };
        // case D27; triggers and rules may write where the statement did not.
        let runs_alone = |table: &str| schema.is_plain(table) && inner.also(table).is_empty();
        if images.affected == Some(0) && write.filter.is_some() && runs_alone(&write.table.fold()) {
            return Some(WriteSet::default());
        }
        if self.is_exact {
            return None;
        }
        // Rows that were not there, or not visible, when they were selected. Where the database does not say how
        // many it touched, there were none of these if all that the text names were found, and locked.
        let all_found = |before: usize| match images.affected {
            Some(affected) => affected <= before as u64,
            None => self.narrowing.as_ref().is_some_and(|narrowing| narrowing.named_rows == Some(before)),
        };
        if images.before.as_ref().is_some_and(|before| !all_found(before.len())) {
            images.before = None;
            images.below = None;
            // What was read after the write were these rows again.
            if !analysis.returning {
                images.returned = None;
            }
        }
        let mut writes = WriteSet::default();
        inner.add_write(&mut writes, &Touched::new(write, values, &images, schema), schema);
        Some(writes)
    }
}

impl Inner {
    /// What the statement does; `None` if it changes nothing that an entry could depend on.
    pub(crate) fn plan(
        &self,
        backend: DbBackend,
        analysis: Arc<Analysis>,
        values: &[Value],
        knowledge: &Knowledge,
    ) -> Option<Plan> {
        let analysis = match knowledge {
            Knowledge::Known(schema) => schema.informed(analysis),
            Knowledge::Unknown => analysis,
        };
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
        if plan.writes.purges_everything(self) {
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
        // Rows that are selected say no more than the text, if that says it all.
        let unsaid = policy.as_deref().filter(|_| !is_exact);
        let nothing_more = Images::default();
        let touched = Touched::new(write, values, &nothing_more, schema);
        let named_rows = unsaid.and_then(|policy| Some(touched.keys(policy)?.len()));
        let limit = unsaid.and_then(|policy| self.pre_select_limit(write, policy, named_rows));
        let route = limit.and_then(|limit| self.route(backend, write, schema, limit));
        let pre_select = unsaid.zip(limit).and_then(|(policy, limit)| {
            let gains = gains_by_pre_select(&touched, analysis.returning, policy, schema, named_rows);
            if !gains && route.is_none() {
                return None;
            }
            let select = PreSelect::of(backend, write, values, policy, limit, route.is_some())?;
            let computes = !analysis.returning
                && touched.computes_index(policy, |column| schema.generates(&folded, column));
            Some(if computes && touched.keeps_key(policy) { select.and_after(policy) } else { select })
        });
        let values = if is_exact { Vec::new() } else { values.to_vec() };
        let schema = schema.clone();
        Some(Narrowing { analysis, values, schema, policy, pre_select, route, named_rows })
    }

    /// How many rows may be selected before the write, at most; `None` if none may be: nobody asked for
    /// it, and the text does not name them.
    fn pre_select_limit(
        &self,
        write: &Write,
        policy: &TablePolicy,
        named_rows: Option<usize>,
    ) -> Option<usize> {
        if !matches!(write.verb, Verb::Update | Verb::Delete) {
            return None;
        }
        match policy.precise {
            _ if named_rows.is_some() => Some(self.config.max_row_tags),
            Some(limit) => Some(usize::try_from(limit).unwrap_or(usize::MAX).min(self.config.max_row_tags)),
            None => None,
        }
    }

    /// The way to the rows of other tables that the database touches because of those of this one.
    fn route(&self, backend: DbBackend, write: &Write, schema: &Arc<Schema>, limit: usize) -> Option<Route> {
        let folded = write.table.fold();
        // Most statements end here: nothing refers to the table.
        if schema.table(&folded).is_none_or(|known| known.referrers.is_empty()) {
            return None;
        }
        let reached = self.reached(write, schema);
        let also = |table: &str| self.also(table);
        Route::of(backend, (&folded, &reached), schema, also, |table| self.registry.table(table), limit)
    }
}

/// Do rows that are selected before the write say more than its text, and than the rows that come back?
fn gains_by_pre_select(
    touched: &Touched<'_>,
    returning: bool,
    policy: &TablePolicy,
    schema: &Schema,
    named_rows: Option<usize>,
) -> bool {
    let folded = touched.write.table.fold();
    let rows_come_back = returning && touched.keeps_key(policy);
    let rows_gain = named_rows.is_none() && !rows_come_back;
    let index_gains = || {
        policy.index.iter().any(|column| {
            let generated = schema.generates(&folded, column.name);
            let comes_back = returning && touched.keeps(column.name, generated);
            touched.old_values(column, generated).is_none() && !comes_back
        })
    };
    rows_gain || schema.is_plain(&folded) && index_gains()
}
