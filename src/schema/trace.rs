//! Where the rows that a write reaches can be found: by going from those that it names along foreign keys.

use std::collections::BTreeSet;

use super::{Action, Change, ForeignKey, Reached, Schema, fold};

impl Schema {
    /// Of the reached tables those whose touched rows are all found by following foreign keys from the rows
    /// that the statement touches in `origin`. `origin` is one of them, or there are none.
    ///
    /// `also` is that of [`Schema::reach`]; `follows` says whether a foreign key of this table can be
    /// followed, as far as that is not for the catalogue to say.
    pub(crate) fn traced<I: IntoIterator<Item: AsRef<str>>>(
        &self,
        origin: &str,
        reached: &Reached,
        also: impl Fn(&str) -> I,
        follows: impl Fn(&str, &ForeignKey) -> bool,
    ) -> BTreeSet<Box<str>> {
        let mut lost: BTreeSet<Box<str>> = BTreeSet::new();
        for (table, change) in &reached.changes {
            lost.extend(also(table).into_iter().map(|other| fold(other.as_ref())));
            // Row-level security hides rows from a select, and not from a foreign key.
            let hides = self.table(table).is_some_and(|known| known.row_security);
            if change.truncates || !self.is_plain(table) || hides && **table != *origin {
                lost.insert(table.clone());
            }
            for key in self.reacting(table, change) {
                let resets_alone = || self.moves_alone(key, reached);
                if !key.can_be_followed() || key.resets(change) && !resets_alone() || !follows(table, key) {
                    lost.insert(key.child.clone());
                }
            }
        }
        // What follows from rows that are not known is not known either.
        let mut open: Vec<Box<str>> = lost.iter().cloned().collect();
        while let Some(table) = open.pop() {
            let Some(change) = reached.changes.get(&table) else { continue };
            let mut next: Vec<Box<str>> =
                self.reacting(&table, change).map(|key| key.child.clone()).collect();
            if let Some(known) = self.table(&table) {
                next.extend(known.relatives.iter().cloned());
                next.extend(known.view.iter().flat_map(|view| view.reads.iter().cloned()));
            }
            open.extend(next.into_iter().filter(|other| lost.insert(other.clone())));
        }
        if lost.contains(origin) {
            return BTreeSet::new();
        }
        reached.changes.keys().filter(|table| !lost.contains(*table)).cloned().collect()
    }

    /// The foreign keys by which a change of a table's rows goes on to others.
    pub(crate) fn reacting<'a>(
        &'a self,
        folded: &str,
        change: &'a Change,
    ) -> impl Iterator<Item = &'a ForeignKey> {
        let keys = self.table(folded).into_iter().flat_map(|known| &known.referrers);
        keys.filter(|key| key.reaction(change).is_some())
    }
}

impl Schema {
    /// Is this the only foreign key over its columns that reacts, and to one kind of change alone?
    ///
    /// A default that is set may be the key of another row that is touched, and so lead further than the values
    /// from before. By the same key, and because rows are deleted (or change their keys), that is the same default
    /// once more.
    fn moves_alone(&self, key: &ForeignKey, reached: &Reached) -> bool {
        let mut reactions = 0;
        for (table, change) in &reached.changes {
            for other in self.reacting(table, change).filter(|other| other.child == key.child) {
                let overlaps = other.columns.iter().any(|column| key.columns.contains(column));
                if overlaps || other.columns.is_empty() {
                    reactions += usize::from(change.deletes && other.on_delete != Action::Nothing);
                    reactions += usize::from(other.moves(change) && other.on_update != Action::Nothing);
                }
            }
        }
        reactions == 1
    }
}

impl ForeignKey {
    /// Does a select find the rows to which the change of others goes on?
    fn can_be_followed(&self) -> bool {
        let is_whole = !self.columns.is_empty()
            && self.columns.len() == self.referenced.len()
            && self.columns.len() == self.named.columns.len();
        self.named.compares && is_whole
    }

    /// Does it set a default?
    fn resets(&self, change: &Change) -> bool {
        change.deletes && self.on_delete == Action::SetDefault
            || self.moves(change) && self.on_update == Action::SetDefault
    }

    /// Do rows change that it refers to?
    fn moves(&self, change: &Change) -> bool {
        change.updates.as_ref().is_some_and(|columns| columns.touch(&self.referenced))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Columns, NamedKey};
    use super::*;

    fn key(child: &str, column: &str, on_delete: Action, on_update: Action) -> ForeignKey {
        ForeignKey {
            child: child.into(),
            named: NamedKey {
                schema: None,
                table: child.into(),
                columns: vec![column.into()],
                compares: true,
            },
            columns: vec![column.into()],
            referenced: vec!["id".into()],
            on_delete,
            on_update,
        }
    }

    fn chain() -> Schema {
        let mut schema = Schema::default();
        schema.entry("a").referrers.push(key("b", "a_id", Action::Cascade, Action::Cascade));
        schema.entry("b").referrers.push(key("c", "b_id", Action::Cascade, Action::Nothing));
        schema.entry("c").referrers.push(key("d", "c_id", Action::SetNull, Action::Nothing));
        schema
    }

    fn traced(schema: &Schema, table: &str, change: Change, also: Option<(&str, &str)>) -> Vec<String> {
        let also = |of: &str| also.filter(|(from, _)| *from == of).map(|(_, to)| to.to_owned());
        let reached = schema.reach(table, change, also);
        let traced = schema.traced(table, &reached, also, |_, _| true);
        traced.into_iter().map(String::from).collect()
    }

    fn deletes() -> Change {
        Change { deletes: true, ..Change::default() }
    }

    // case D17
    #[test]
    fn rows_are_found_down_a_chain_of_foreign_keys() {
        assert_eq!(traced(&chain(), "a", deletes(), None), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_a_trigger_a_view_a_partition_or_a_policy_may_touch_is_not_found_nor_what_follows_from_it() {
        assert_eq!(traced(&chain(), "a", deletes(), Some(("a", "c"))), ["a", "b"]);
        assert_eq!(traced(&chain(), "a", deletes(), Some(("b", "d"))), ["a", "b", "c"]);
        assert_eq!(traced(&chain(), "a", deletes(), Some(("c", "a"))), Vec::<String>::new());
        let mut schema = chain();
        schema.entry("b").triggers = true;
        assert_eq!(traced(&schema, "a", deletes(), None), ["a"]);
        let mut schema = chain();
        schema.entry("c").row_security = true;
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b"]);
        let mut schema = chain();
        schema.entry("c").relatives.insert("c_2024".into());
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b"]);
        let mut schema = chain();
        schema.entry("b").replaces = true;
        assert_eq!(traced(&schema, "a", deletes(), None), ["a"]);
        assert_eq!(
            traced(&chain(), "a", Change { truncates: true, ..deletes() }, None),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_key_that_compares_in_ways_of_its_own_is_not_followed() {
        let mut schema = chain();
        schema.entry("b").referrers[0].named.compares = false;
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b"]);
        let mut schema = chain();
        schema.entry("a").referrers[0].referenced = Vec::new();
        assert_eq!(traced(&schema, "a", deletes(), None), ["a"]);
        // By another way too: all of it is lost.
        let mut schema = chain();
        let mut other = key("c", "a_id", Action::Cascade, Action::Nothing);
        other.named.compares = false;
        schema.entry("a").referrers.push(other);
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b"]);
    }

    #[test]
    fn a_key_that_sets_a_default_is_followed_unless_another_moves_the_same_column_or_for_another_reason() {
        let resetting = || {
            let mut schema = chain();
            schema.entry("b").referrers[0].on_delete = Action::SetDefault;
            schema
        };
        assert_eq!(traced(&resetting(), "a", deletes(), None), ["a", "b", "c"]);
        // The default may name a row of e's that goes too.
        let mut schema = resetting();
        schema.entry("a").referrers.push(key("e", "a_id", Action::Cascade, Action::Nothing));
        schema.entry("e").referrers.push(key("c", "b_id", Action::Cascade, Action::Nothing));
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b", "e"]);
        // The same of another column is no matter.
        let mut schema = resetting();
        schema.entry("a").referrers.push(key("e", "a_id", Action::Cascade, Action::Nothing));
        schema.entry("e").referrers.push(key("c", "e_id", Action::Cascade, Action::Nothing));
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b", "c", "d", "e"]);
        // The rows that b's keys come to may be those that the default names.
        let mut schema = resetting();
        schema.entry("b").referrers[0].on_update = Action::SetDefault;
        let both = Change { updates: Some(Columns::these(["id"])), ..deletes() };
        assert_eq!(traced(&schema, "b", both, None), ["b"]);
    }

    #[test]
    fn cycles_are_followed_unless_they_come_back_from_what_is_not_known() {
        let mut schema = chain();
        schema.entry("c").referrers.push(key("a", "c_id", Action::SetNull, Action::Nothing));
        assert_eq!(traced(&schema, "a", deletes(), None), ["a", "b", "c", "d"]);
        schema.entry("c").triggers = true;
        assert_eq!(traced(&schema, "a", deletes(), None), Vec::<String>::new());
        let updates = Change { updates: Some(Columns::these(["title"])), ..Change::default() };
        assert_eq!(traced(&schema, "a", updates, None), ["a"]);
    }
}
