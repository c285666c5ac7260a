//! How the tables of a database hang together, as its own catalogue says: foreign keys, views,
//! partitions and inheritance, triggers.
//!
//! A statement names the tables it writes; the database may write others by itself. This module
//! knows which. It knows nothing of entities, tags or Redis. Names are folded: bare and in lower
//! case, like tags. Tables of one name in several schemas count as one that has it all.
//!
//! `catalogue` asks the database, `defaults` reads what columns get by themselves, `reach` follows what a
//! write sets off, `trace` says where its rows can be found, `watch` keeps what was learned and learns it
//! anew when it may have changed, `replica` asks whether the database is a copy of another.

mod catalogue;
mod collation;
#[cfg(test)]
mod collation_test;
mod defaults;
mod reach;
mod replica;
mod trace;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

pub use catalogue::SchemaReport;
pub(crate) use catalogue::Surroundings;
pub(crate) use collation::TextEquality;
pub(crate) use defaults::ColumnDefault;
pub(crate) use reach::{Change, Columns, Reached};
pub use watch::Knowledge;
pub(crate) use watch::SchemaWatch;

use crate::statement::{Analysis, TableName};

/// Names are the database's own, so the quicker hash will do; several are looked up for each write.
type ByName = quick_cache::DefaultHashBuilder;

/// What the catalogue says of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    tables: HashMap<Box<str>, Table, ByName>,
    /// The catalogue knows the tables of all schemas, not only those that need no qualifier.
    knows_all_schemas: bool,
    /// The tables of its foreign keys are those that it knows.
    knows_children: bool,
    /// Functions of the user's own, in any schema, that have the name of one that is built in.
    functions: HashSet<Box<str>, ByName>,
    /// The server is not strict: a value that does not fit its column is made to fit.
    adjusts_values: bool,
}

/// What the catalogue says of one table, as far as it is out of the ordinary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The foreign keys that refer to this table.
    pub(crate) referrers: Vec<ForeignKey>,
    /// Tables that hold some of its rows too, or that it holds rows of: partitions, parents and
    /// children by inheritance.
    pub(crate) relatives: BTreeSet<Box<str>>,
    /// What stands behind it, if it is a view.
    pub(crate) view: Option<View>,
    /// It shows what a clock or the session says, by columns that are computed when they are read.
    pub(crate) changes_by_itself: bool,
    /// It has triggers or rules that write what nobody knows.
    pub(crate) triggers: bool,
    /// Columns whose value the database computes from others.
    pub(crate) generated: BTreeSet<Box<str>>,
    /// What columns get when an INSERT leaves them out, where that is known.
    pub(crate) defaults: BTreeMap<Box<str>, ColumnDefault>,
    /// How columns of text compare, where something is known of it.
    pub(crate) texts: BTreeMap<Box<str>, TextEquality>,
    /// Which rows a reader sees depends on who it is.
    pub(crate) row_security: bool,
    /// Its rows are kept elsewhere, where others write them; or it is a sequence, which changes
    /// without a write.
    pub(crate) foreign: bool,
    /// By its own definition a plain INSERT or UPDATE deletes the rows that conflict.
    pub(crate) replaces: bool,
    /// The server makes values fit that do not.
    pub(crate) adjusts: bool,
}

/// A foreign key, seen from the table that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// The table that has the foreign key.
    pub(crate) child: Box<str>,
    /// The same and its columns as the catalogue writes them, to be asked for rows.
    pub(crate) named: NamedKey,
    /// Its columns, lower case.
    pub(crate) columns: Vec<Box<str>>,
    /// The columns that they refer to; empty if they are not known: any.
    pub(crate) referenced: Vec<Box<str>>,
    pub(crate) on_delete: Action,
    pub(crate) on_update: Action,
}

/// The table and the columns of a foreign key by their full names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedKey {
    pub(crate) schema: Option<Box<str>>,
    pub(crate) table: Box<str>,
    pub(crate) columns: Vec<Box<str>>,
    /// The rows that the database finds by the key are those that a select with `=` and the referenced
    /// values finds: both columns hold the same type, and compare the same way.
    pub(crate) compares: bool,
}

/// What the database does to the rows that refer to one that goes away or changes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing, or it refuses.
    Nothing,
    /// Deletes them; gives them the new key.
    Cascade,
    /// Sets them to NULL.
    SetNull,
    /// Sets them to their default.
    SetDefault,
}

/// What a view is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The tables and views that it reads.
    pub(crate) reads: BTreeSet<Box<str>>,
    /// Its answer may be kept: it calls nothing volatile, and its definition is known.
    pub(crate) cacheable: bool,
}

impl Schema {
    /// What is known of a table; `None` if that is nothing.
    pub(crate) fn table(&self, folded: &str) -> Option<&Table> {
        self.tables.get(folded)
    }

    /// A function that the statement calls by the name of a built-in one, and that the user has made one of.
    pub(crate) fn own_call<'a>(&self, analysis: &'a Analysis) -> Option<&'a str> {
        if self.functions.is_empty() {
            return None;
        }
        analysis.calls.iter().map(|call| &**call).find(|call| self.functions.contains(*call))
    }

    /// What the statement may do, given the functions that the user has made.
    pub(crate) fn informed(&self, analysis: Arc<Analysis>) -> Arc<Analysis> {
        match self.own_call(&analysis) {
            None => analysis,
            Some(function) => Arc::new(analysis.calling_unknown(function)),
        }
    }

    fn entry(&mut self, folded: &str) -> &mut Table {
        if !self.tables.contains_key(folded) {
            self.tables.insert(folded.into(), Table::default());
        }
        self.tables.entry(folded.into()).or_default()
    }

    /// The tables behind a view, to any depth, and whether its answer may be kept. Nothing for a
    /// table that is not a view.
    pub(crate) fn behind(&self, folded: &str) -> Option<View> {
        let first = self.table(folded)?.view.as_ref()?;
        let mut all = View { reads: BTreeSet::new(), cacheable: true };
        let mut open = vec![first];
        while let Some(view) = open.pop() {
            all.cacheable &= view.cacheable;
            for read in &view.reads {
                if all.reads.insert(read.clone())
                    && let Some(inner) = self.table(read).and_then(|table| table.view.as_ref())
                {
                    open.push(inner);
                }
            }
        }
        Some(all)
    }

    /// Does the database compute the column's value from others?
    pub(crate) fn generates(&self, folded: &str, column: &str) -> bool {
        self.table(folded)
            .is_some_and(|table| !table.generated.is_empty() && table.generated.contains(&fold(column)))
    }

    /// May a column get another value than a statement gives it?
    pub(crate) fn adjusts_values(&self, folded: &str) -> bool {
        self.adjusts_values || self.table(folded).is_some_and(|table| table.adjusts)
    }

    /// What the column gets when an INSERT leaves it out; `None` if that is not known.
    pub(crate) fn default_of(&self, table: &TableName, column: &str) -> Option<&ColumnDefault> {
        let known = table.schema.is_none() || self.knows_all_schemas;
        self.table(&table.fold()).filter(|_| known)?.defaults.get(&fold(column))
    }

    /// The same of a table to which foreign keys lead.
    pub(crate) fn child_default_of(&self, folded: &str, column: &str) -> Option<&ColumnDefault> {
        self.table(folded).filter(|_| self.knows_children)?.defaults.get(&fold(column))
    }

    /// Which texts this column may hold equal. `qualified`: the table was named with a schema.
    pub(crate) fn texts(&self, folded: &str, qualified: bool, column: &str) -> TextEquality {
        let texts = self.table(folded).map(|table| &table.texts).filter(|texts| !texts.is_empty());
        let equality = texts.and_then(|texts| texts.get(&fold(column))).copied().unwrap_or_default();
        // It may be another table of this name.
        let known = !qualified || self.knows_all_schemas;
        if known { equality } else { equality.max(TextEquality::default()) }
    }

    /// The same of a table to which foreign keys lead.
    pub(crate) fn child_texts(&self, folded: &str, column: &str) -> TextEquality {
        let equality = self.texts(folded, false, column);
        if self.knows_children { equality } else { equality.max(TextEquality::default()) }
    }

    /// Does no other table change because this one does, but by triggers?
    pub(crate) fn stands_alone(&self, folded: &str) -> bool {
        self.table(folded).is_none_or(|table| {
            table.referrers.is_empty() && table.relatives.is_empty() && table.view.is_none()
        })
    }

    /// Does a plain INSERT or UPDATE delete the rows that conflict?
    pub(crate) fn replaces(&self, folded: &str) -> bool {
        self.table(folded).is_some_and(|table| table.replaces)
    }

    /// Does the database do more to the rows of this table than a statement says: triggers, or a
    /// view in front of others?
    pub(crate) fn is_plain(&self, folded: &str) -> bool {
        self.table(folded).is_none_or(|table| {
            !table.triggers && table.view.is_none() && table.relatives.is_empty() && !table.replaces
        })
    }
}

fn fold(name: &str) -> Box<str> {
    name.to_lowercase().into()
}
