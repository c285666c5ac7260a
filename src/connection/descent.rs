//! The rows that the database touches by itself because of others: found, before the statement is sent, by
//! going along foreign keys from the rows that it touches.
//!
//! The rows at each end are locked first, as the statement will lock them: who wants to refer to one of them
//! waits, so that no row comes to those that are found. Knows no connection: it says what to ask, and takes
//! the answers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use sea_orm::{DbBackend, QueryResult, Statement, Value};

use super::{
    images::Image,
    preselect::{self, quoted},
    touched::primary_key,
};
use crate::{
    entity::{TablePolicy, value_text},
    schema::{Action, Change, ForeignKey, Reached, Schema},
};

/// More selects than this are not sent: a tree of rows may be deep.
const MOST_SELECTS: usize = 24;
/// More values than this are not bound to one select.
const MOST_VALUES: usize = 4096;

/// Which tables the descent goes through.
#[derive(Debug)]
pub(crate) struct Route {
    backend: DbBackend,
    origin: Box<str>,
    /// What the statement does to the rows of `origin`.
    change: Change,
    schema: Arc<Schema>,
    tables: BTreeMap<Box<str>, Arc<TablePolicy>>,
    /// More rows than this are not worth naming.
    limit: usize,
}

/// The rows that were found, all that there are in these tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Below {
    tables: BTreeMap<Box<str>, Found>,
}

/// The rows of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    rows: BTreeMap<Vec<String>, (Image, Change)>,
    /// What becomes of columns of some of them.
    sets: BTreeSet<(Box<str>, New)>,
}

/// What foreign keys set a column to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum New {
    Null,
    /// What the statement gives to this column of the table that it names.
    OfOrigin(Box<str>),
    /// What the column gets when nobody says anything else.
    Default,
    Unknown,
}

/// One descent under way.
#[derive(Debug)]
pub(crate) struct Descent<'a> {
    route: &'a Route,
    waiting: VecDeque<Step<'a>>,
    under_way: Option<Step<'a>>,
    below: Below,
    selects: usize,
    rows_left: usize,
    is_lost: bool,
}

#[derive(Debug)]
struct Step<'a> {
    key: &'a ForeignKey,
    /// What happens to the rows that are found.
    change: Change,
    sets: Vec<(Box<str>, New)>,
    statement: Statement,
}

impl Route {
    /// `None` if nothing is to be gained by it: no table is reached whose rows can be found, or nobody
    /// asked for its rows to be told apart.
    pub(super) fn of<I: IntoIterator<Item: AsRef<str>>>(
        backend: DbBackend,
        (origin, reached): (&str, &Reached),
        schema: &Arc<Schema>,
        also: impl Fn(&str) -> I,
        policy_of: impl Fn(&str) -> Option<Arc<TablePolicy>>,
        limit: usize,
    ) -> Option<Self> {
        let change = reached.changes.get(origin)?;
        if reached.changes.len() == 1 && !reached.comes_back {
            return None;
        }
        let names_rows = |policy: &TablePolicy| primary_key(policy).is_some() && !policy.entities.is_empty();
        let traced = schema.traced(origin, reached, also, |table, key| {
            let has_columns =
                |policy: &TablePolicy| key.referenced.iter().all(|name| column(policy, name).is_some());
            policy_of(table).is_some_and(|policy| names_rows(&policy) && has_columns(&policy))
                && policy_of(&key.child).is_some_and(|policy| names_rows(&policy))
        });
        let policies: BTreeMap<_, _> =
            traced.iter().filter_map(|table| Some((table.clone(), policy_of(table)?))).collect();
        // Only the tables whose owners want it, and those on the way there.
        let pays = |policy: &TablePolicy| policy.precise.is_some() || !policy.index.is_empty();
        let others = policies.iter().filter(|(table, _)| ***table != *origin || reached.comes_back);
        let mut wanted: BTreeSet<&str> =
            others.filter(|(_, policy)| pays(policy)).map(|(table, _)| &**table).collect();
        if wanted.is_empty() {
            return None;
        }
        if reached.comes_back {
            // Its rows are named only if all are found that it comes back to.
            wanted.insert(origin);
        }
        let leads = |table: &str, wanted: &BTreeSet<&str>| {
            let change = reached.changes.get(table);
            change.is_some_and(|c| schema.reacting(table, c).any(|key| wanted.contains(&*key.child)))
        };
        loop {
            let more: Vec<&str> = policies
                .keys()
                .map(|table| &**table)
                .filter(|table| !wanted.contains(table) && leads(table, &wanted))
                .collect();
            if more.is_empty() {
                break;
            }
            wanted.extend(more);
        }
        let wanted: BTreeSet<Box<str>> = wanted.into_iter().map(Into::into).collect();
        let tables: BTreeMap<_, _> =
            policies.into_iter().filter(|(table, _)| wanted.contains(table)).collect();
        let (origin, change, schema) = (origin.into(), change.clone(), schema.clone());
        tables.contains_key(&origin).then_some(Self { backend, origin, change, schema, tables, limit })
    }

    /// Begins at the rows that the statement touches, which are locked.
    pub(crate) fn descend<'a>(&'a self, before: &[Image]) -> Descent<'a> {
        let mut descent = Descent {
            route: self,
            waiting: VecDeque::new(),
            under_way: None,
            below: Below::default(),
            selects: 0,
            rows_left: self.limit,
            is_lost: false,
        };
        for table in self.tables.keys().filter(|table| **table != self.origin) {
            descent.below.tables.insert(table.clone(), Found::default());
        }
        // One row may come to the key that another one leaves, and take with it what refers to it.
        let moves_keys =
            self.reacting(&self.origin, &self.change).any(|key| key.follows_updates(&self.change));
        descent.is_lost = moves_keys && before.len() > 1;
        let rows = before.iter().map(|image| (image.clone(), self.change.clone())).collect();
        descent.go_on(&self.origin, rows, true);
        descent
    }

    /// The foreign keys that it follows from rows to which this happens.
    fn reacting<'a>(&'a self, table: &str, change: &'a Change) -> impl Iterator<Item = &'a ForeignKey> {
        self.schema.reacting(table, change).filter(|key| self.tables.contains_key(&key.child))
    }

    fn select(
        &self,
        key: &ForeignKey,
        values: Vec<Vec<Value>>,
        limit: usize,
        lock: &str,
    ) -> Option<Statement> {
        let policy = self.tables.get(&key.child)?;
        let columns = preselect::columns(self.backend, policy, policy.entities.first()?)?;
        let quoted = |name: &str| quoted(self.backend, name);
        let table = match &key.named.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&key.named.table)),
            None => quoted(&key.named.table),
        };
        let names: Vec<_> = key.named.columns.iter().map(|name| quoted(name)).collect();
        let mut bound = Vec::with_capacity(values.len() * names.len());
        let mut conditions = Vec::with_capacity(values.len());
        for tuple in values {
            let mut parts = Vec::with_capacity(names.len());
            for (name, value) in names.iter().zip(tuple) {
                bound.push(value);
                let mark = match self.backend {
                    DbBackend::Postgres => format!("${}", bound.len()),
                    _ => "?".to_owned(),
                };
                parts.push(if names.len() == 1 { mark } else { format!("{name} = {mark}") });
            }
            conditions.push(parts.join(" AND "));
        }
        let condition = match &names[..] {
            [name] => format!("{name} IN ({})", conditions.join(", ")),
            _ => format!("({})", conditions.join(") OR (")),
        };
        let sql = format!("{columns} FROM {table} WHERE {condition} LIMIT {}{lock}", limit + 1);
        (bound.len() <= MOST_VALUES).then(|| Statement::from_sql_and_values(self.backend, sql, bound))
    }
}

impl<'a> Descent<'a> {
    /// What to ask next; `None` if there is nothing more.
    pub(crate) fn next(&mut self) -> Option<Statement> {
        if self.is_lost {
            return None;
        }
        self.under_way = self.waiting.pop_front();
        let statement = self.under_way.as_ref()?.statement.clone();
        self.selects += 1;
        if self.selects > MOST_SELECTS {
            self.is_lost = true;
            return None;
        }
        Some(statement)
    }

    /// The answer to that; `None` if there was none.
    pub(crate) fn take(&mut self, rows: Option<&[QueryResult]>) {
        let (Some(step), Some(rows)) = (self.under_way.take(), rows) else {
            self.is_lost = true;
            return;
        };
        let Some(policy) = self.route.tables.get(&step.key.child) else { return };
        let images = rows.iter().map(|row| Image::read(row, policy)).collect();
        self.see(&step, images);
    }

    fn see(&mut self, step: &Step<'a>, images: Vec<Image>) {
        if images.len() > self.rows_left {
            self.is_lost = true;
            return;
        }
        self.rows_left -= images.len();
        if !images.is_empty() {
            let found = self.below.tables.entry(step.key.child.clone()).or_default();
            found.sets.extend(step.sets.iter().cloned());
        }
        let rows = images.into_iter().map(|image| (image, step.change.clone())).collect();
        self.go_on(&step.key.child, rows, false);
    }

    /// All rows that the statement touches in the tables of the route, if it came to its end.
    pub(crate) fn finish(self) -> Option<Below> {
        (!self.is_lost && self.waiting.is_empty() && self.under_way.is_none()).then_some(self.below)
    }

    /// Notes the rows, and what refers to them is to be asked for: of those of which it was not known yet
    /// that this happens to them.
    fn go_on(&mut self, table: &str, rows: Vec<(Image, Change)>, is_first: bool) {
        let route = self.route;
        let Some(policy) = route.tables.get(table) else { return };
        let found = self.below.tables.entry(table.into()).or_default();
        let mut news: Vec<(Image, Change)> = Vec::new();
        for (image, change) in rows {
            let Some(id) = id(policy, &image) else {
                self.is_lost = true;
                return;
            };
            let known = found.rows.entry(id).or_insert_with(|| (image.clone(), Change::default()));
            if known.1.add(&change) {
                let all = known.1.clone();
                news.push((image, all));
            }
        }
        // Rows to which the same happens go on together.
        while let Some((_, change)) = news.first() {
            let change = change.clone();
            let (now, later): (Vec<_>, Vec<_>) = news.into_iter().partition(|(_, other)| *other == change);
            news = later;
            let images: Vec<Image> = now.into_iter().map(|(image, _)| image).collect();
            self.ask_for_referrers(table, policy, &images, &change, is_first);
        }
    }

    fn ask_for_referrers(
        &mut self,
        table: &str,
        policy: &TablePolicy,
        images: &[Image],
        change: &Change,
        is_first: bool,
    ) {
        let route = self.route;
        let reacting = route.schema.table(table).into_iter().flat_map(|known| &known.referrers);
        for key in reacting.filter(|key| route.tables.contains_key(&key.child)) {
            let Some(reaction) = key.reaction(change) else { continue };
            let Some(values) = referenced_values(policy, key, images) else {
                self.is_lost = true;
                return;
            };
            if values.is_empty() {
                continue;
            }
            // As the database will lock them; with that, nobody refers to them anew.
            let goes_on = reaction.deletes || route.schema.reacting(&key.child, &reaction).next().is_some();
            let lock = match route.backend {
                DbBackend::Sqlite => "",
                DbBackend::Postgres if !goes_on => " FOR NO KEY UPDATE",
                _ => " FOR UPDATE",
            };
            let Some(statement) = route.select(key, values, self.rows_left, lock) else {
                self.is_lost = true;
                return;
            };
            let sets = key.sets(change, is_first);
            self.waiting.push_back(Step { key, change: reaction, sets, statement });
        }
    }
}

impl Below {
    /// What was found in a table; `None` if it was not looked for there.
    pub(super) fn of(&self, folded: &str) -> Option<&Found> {
        self.tables.get(folded)
    }
}

impl Found {
    /// The rows as they were.
    pub(super) fn images(&self) -> impl Iterator<Item = &Image> {
        self.rows.values().map(|(image, _)| image)
    }

    /// What this column of some of the rows is set to.
    pub(super) fn new_values(&self, column: &str) -> impl Iterator<Item = &New> {
        self.sets.iter().filter(move |(set, _)| set.eq_ignore_ascii_case(column)).map(|(_, new)| new)
    }

    /// Is any column set?
    pub(super) fn sets_any(&self) -> bool {
        !self.sets.is_empty()
    }
}

impl ForeignKey {
    fn follows_updates(&self, change: &Change) -> bool {
        self.on_update != Action::Nothing
            && change.updates.as_ref().is_some_and(|columns| columns.touch(&self.referenced))
    }

    /// What becomes of its columns.
    fn sets(&self, change: &Change, is_first: bool) -> Vec<(Box<str>, New)> {
        let mut sets = Vec::new();
        for (column, referenced) in self.columns.iter().zip(&self.referenced) {
            let by_delete = change.deletes.then_some(self.on_delete);
            match by_delete {
                None | Some(Action::Nothing | Action::Cascade) => {}
                Some(Action::SetNull) => sets.push((column.clone(), New::Null)),
                Some(Action::SetDefault) => sets.push((column.clone(), New::Default)),
            }
            let by_update = self.follows_updates(change).then_some(self.on_update);
            match by_update {
                None | Some(Action::Nothing) => {}
                Some(Action::SetNull) => sets.push((column.clone(), New::Null)),
                Some(Action::Cascade) if is_first => {
                    sets.push((column.clone(), New::OfOrigin(referenced.clone())));
                }
                Some(Action::Cascade) => sets.push((column.clone(), New::Unknown)),
                Some(Action::SetDefault) => sets.push((column.clone(), New::Default)),
            }
        }
        sets
    }
}

/// What tells the row from others; `None` if its key could not be read.
fn id(policy: &TablePolicy, image: &Image) -> Option<Vec<String>> {
    primary_key(policy)?.iter().map(|column| image.value(column.name).and_then(value_text)).collect()
}

/// A column of the table that is read with its rows, by its folded name.
fn column(policy: &TablePolicy, folded: &str) -> Option<&'static str> {
    let known = policy.key.iter().flatten().chain(&policy.index);
    known.map(|column| column.name).find(|name| name.eq_ignore_ascii_case(folded))
}

/// The values by which others refer to these rows: each once, and as many as the next power of two, so that
/// the texts of the selects are few. `None` if one was not read.
fn referenced_values(policy: &TablePolicy, key: &ForeignKey, images: &[Image]) -> Option<Vec<Vec<Value>>> {
    let mut tuples: BTreeMap<Vec<String>, Vec<Value>> = BTreeMap::new();
    for image in images {
        let values = key.referenced.iter().map(|name| image.value(column(policy, name)?).cloned());
        let values = values.collect::<Option<Vec<_>>>()?;
        // Nobody refers to a NULL.
        if let Some(texts) = values.iter().map(value_text).collect::<Option<Vec<_>>>() {
            tuples.insert(texts, values);
        }
    }
    let mut tuples: Vec<_> = tuples.into_values().collect();
    if let Some(last) = tuples.last().cloned() {
        tuples.resize(tuples.len().next_power_of_two(), last);
    }
    Some(tuples)
}
