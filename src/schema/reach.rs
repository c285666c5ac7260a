//! How far a write reaches: what the database does by itself when rows of a table change.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, ForeignKey, Schema, fold};

/// What happens to rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Rows are added.
    pub(crate) inserts: bool,
    /// Rows are removed.
    pub(crate) deletes: bool,
    /// All rows are removed, and with them, where the statement says so, those that refer to them.
    pub(crate) truncates: bool,
    /// Columns of rows are changed.
    pub(crate) updates: Option<Columns>,
}

/// Columns, by their lower-case names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    These(BTreeSet<Box<str>>),
    Any,
}

impl Columns {
    pub(crate) fn these<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::These(names.into_iter().map(fold).collect())
    }

    pub(crate) fn touch(&self, columns: &[Box<str>]) -> bool {
        match self {
            Self::Any => true,
            Self::These(these) => columns.is_empty() || columns.iter().any(|column| these.contains(column)),
        }
    }

    /// Adds columns; true if there are more now.
    fn add(&mut self, more: &Self) -> bool {
        match (&mut *self, more) {
            (Self::Any, _) => false,
            (_, Self::Any) => {
                *self = Self::Any;
                true
            }
            (Self::These(these), Self::These(more)) => {
                let before = these.len();
                these.extend(more.iter().cloned());
                these.len() > before
            }
        }
    }
}

impl Change {
    /// Anything may happen to any row.
    pub(crate) fn anything() -> Self {
        Self { inserts: true, deletes: true, truncates: false, updates: Some(Columns::Any) }
    }

    /// Adds what else happens; true if that is news.
    pub(crate) fn add(&mut self, more: &Self) -> bool {
        let before = (self.inserts, self.deletes, self.truncates);
        self.inserts |= more.inserts;
        self.deletes |= more.deletes;
        self.truncates |= more.truncates;
        let columns = match (&mut self.updates, &more.updates) {
            (_, None) => false,
            (Some(columns), Some(more)) => columns.add(more),
            (updates @ None, Some(more)) => {
                *updates = Some(more.clone());
                true
            }
        };
        columns || before != (self.inserts, self.deletes, self.truncates)
    }
}

impl Schema {
    /// What the database does to which tables when `change` happens to `table`, the change itself
    /// included; to any depth, and through cycles.
    ///
    /// `also` says what else a write to a table writes (its triggers), as its owner declared it.
    pub(crate) fn reach<I: IntoIterator<Item: AsRef<str>>>(
        &self,
        table: &str,
        change: Change,
        also: impl Fn(&str) -> I,
    ) -> Reached {
        let mut reached = Reached::default();
        let mut open: Vec<(Box<str>, Change)> = vec![(table.into(), change)];
        // Ends: each round adds something to a finite set of tables, flags and columns.
        while let Some((at, mut change)) = open.pop() {
            if let (Some(known), Some(Columns::These(these))) = (self.table(&at), &mut change.updates) {
                // They may be computed from those.
                these.extend(known.generated.iter().cloned());
            }
            if !reached.changes.entry(at.clone()).or_default().add(&change) {
                // Also the first visit of a change that does nothing.
                continue;
            }
            let mut next: Vec<_> =
                also(&at).into_iter().map(|other| (fold(other.as_ref()), Change::anything())).collect();
            if let Some(known) = self.table(&at) {
                next.extend(known.relatives.iter().map(|relative| (relative.clone(), change.clone())));
                if let Some(view) = &known.view {
                    // What a write through a view does to the tables behind it is for rules to say.
                    next.extend(view.reads.iter().map(|read| (read.clone(), Change::anything())));
                }
                for key in &known.referrers {
                    next.extend(key.reaction(&change).map(|reaction| (key.child.clone(), reaction)));
                }
            }
            reached.comes_back |= next.iter().any(|(other, _)| **other == *table);
            open.append(&mut next);
        }
        reached
    }
}

/// The tables that a change reaches.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// What happens to each, the change itself included.
    pub(crate) changes: BTreeMap<Box<str>, Change>,
    /// It comes back to the table that it began with, where it may touch rows that nobody named.
    pub(crate) comes_back: bool,
}

impl Reached {
    /// One table and no other.
    pub(crate) fn alone(table: Box<str>, change: Change) -> Self {
        Self { changes: BTreeMap::from([(table, change)]), comes_back: false }
    }
}

impl Schema {
    /// The foreign key by which alone, and directly, `child` is among the reached tables; `None` if
    /// it is reached in any other way too.
    pub(crate) fn only_reference(
        &self,
        origin: &str,
        child: &str,
        reached: &BTreeMap<Box<str>, Change>,
    ) -> Option<&ForeignKey> {
        let mut only = None;
        if origin == child {
            // It goes on from the rows that refer to the first ones.
            return None;
        }
        for (table, change) in reached {
            let Some(known) = self.table(table) else { continue };
            if known.relatives.contains(child) || known.view.is_some() {
                return None;
            }
            let reacting = known.referrers.iter().filter(|key| &*key.child == child);
            for key in reacting.filter(|key| key.reaction(change).is_some()) {
                if &**table != origin || only.replace(key).is_some() {
                    return None;
                }
            }
        }
        // Reached by a trigger, the change is more than the key's own reaction.
        only.filter(|key| {
            reached.get(origin).and_then(|change| key.reaction(change)).as_ref() == reached.get(child)
        })
    }
}

impl ForeignKey {
    /// What happens to the rows that refer to those that `change` happens to.
    pub(crate) fn reaction(&self, change: &Change) -> Option<Change> {
        let mut reaction = Change::default();
        if change.truncates {
            reaction.truncates = true;
        }
        let mut sets = false;
        if change.deletes {
            match self.on_delete {
                Action::Nothing => {}
                Action::Cascade => reaction.deletes = true,
                Action::SetNull | Action::SetDefault => sets = true,
            }
        }
        if self.on_update != Action::Nothing
            && change.updates.as_ref().is_some_and(|columns| columns.touch(&self.referenced))
        {
            sets = true;
        }
        if sets {
            reaction.updates = Some(Columns::These(self.columns.iter().cloned().collect()));
        }
        (reaction != Change::default()).then_some(reaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(child: &str, column: &str, referenced: &str, on_delete: Action, on_update: Action) -> ForeignKey {
        ForeignKey {
            child: child.into(),
            named: NamedKey::default(),
            columns: vec![column.into()],
            referenced: vec![referenced.into()],
            on_delete,
            on_update,
        }
    }

    fn reached(schema: &Schema, table: &str, change: Change) -> Vec<String> {
        let all = schema.reach(table, change, |_| None::<&str>);
        all.changes.into_keys().map(str::into_string).collect()
    }

    fn deletes() -> Change {
        Change { deletes: true, ..Change::default() }
    }

    fn updates(columns: &[&str]) -> Change {
        Change { updates: Some(Columns::these(columns.iter().copied())), ..Change::default() }
    }

    // case D17
    #[test]
    fn a_delete_reaches_down_a_chain_of_cascades_and_stops_where_one_refuses() {
        let mut schema = Schema::default();
        schema.entry("a").referrers.push(key("b", "a_id", "id", Action::Cascade, Action::Nothing));
        schema.entry("b").referrers.push(key("c", "b_id", "id", Action::Cascade, Action::Nothing));
        schema.entry("c").referrers.push(key("d", "c_id", "id", Action::SetNull, Action::Nothing));
        schema.entry("d").referrers.push(key("e", "d_id", "id", Action::Cascade, Action::Cascade));
        schema.entry("a").referrers.push(key("f", "a_id", "id", Action::Nothing, Action::Cascade));
        assert_eq!(reached(&schema, "a", deletes()), ["a", "b", "c", "d"]);
        assert_eq!(reached(&schema, "a", updates(&["title"])), ["a"]);
        assert_eq!(reached(&schema, "a", updates(&["ID"])), ["a", "f"]);
        assert_eq!(reached(&schema, "a", Change { inserts: true, ..Change::default() }), ["a"]);
        let any = Change { updates: Some(Columns::Any), ..Change::default() };
        assert_eq!(reached(&schema, "d", any), ["d", "e"]);
    }

    // case D17
    #[test]
    fn an_update_that_sets_a_referenced_column_goes_on_from_there() {
        let mut schema = Schema::default();
        // b's foreign key is what c refers to.
        schema.entry("a").referrers.push(key("b", "a_id", "id", Action::SetNull, Action::Cascade));
        schema.entry("b").referrers.push(key("c", "b_a", "a_id", Action::Nothing, Action::SetNull));
        schema.entry("b").referrers.push(key("d", "b_id", "id", Action::Cascade, Action::Cascade));
        assert_eq!(reached(&schema, "a", deletes()), ["a", "b", "c"]);
    }

    // case D17
    #[test]
    fn cycles_and_tables_that_refer_to_themselves_end() {
        let mut schema = Schema::default();
        schema.entry("a").referrers.push(key("a", "up", "id", Action::Cascade, Action::Cascade));
        schema.entry("a").referrers.push(key("b", "a_id", "id", Action::Cascade, Action::Cascade));
        schema.entry("b").referrers.push(key("a", "b_id", "id", Action::SetNull, Action::Cascade));
        let all = schema.reach("a", deletes(), |_| None::<&str>);
        assert!(all.comes_back);
        let all = all.changes;
        assert_eq!(all.keys().map(|k| &**k).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all["a"].updates, Some(Columns::these(["b_id"])), "set to NULL by b's end");
    }

    // case D16, D26
    #[test]
    fn triggers_views_and_partitions_are_reached() {
        let mut schema = Schema::default();
        schema.entry("book").relatives.insert("book_2024".into());
        schema.entry("book_2024").relatives.insert("book".into());
        schema.entry("v").view = Some(View { reads: ["book_2024".into()].into(), cacheable: true });
        let also = |table: &str| (table == "book").then_some("Audit");
        let all = schema.reach("v", updates(&["title"]), also).changes;
        assert_eq!(all.keys().map(|k| &**k).collect::<Vec<_>>(), ["audit", "book", "book_2024", "v"]);
    }

    use super::super::{NamedKey, View};
}
