//! `UPDATE`, `DELETE` and `MERGE`.

use std::collections::HashMap;

use super::analysis::{Assignment, Dialect, Verb, Write};
use super::condition::Columns;
use super::from::{FromList, TableRef};
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{Env, Scan, unexpected};
use super::scope::{Conjunct, Operand, Scope, may_be_same_column};
use super::tokens::{Name, Walk};

/// MySQL joins no more tables than this. In a longer list nobody looks for who is meant: all are written.
const MOST_JOINED: usize = 61;

/// What a `SET` assigns.
pub(super) struct Assigned {
    /// `None` when a target is not a plain column.
    pub list: Option<Vec<Assignment>>,
    /// The table that qualifies each target, for MySQL's updates of several tables.
    qualifiers: Vec<Option<usize>>,
}

impl Assigned {
    /// `SET a = 1, a = 2`: the last one counts, or the statement fails.
    fn forget_values_of_twice_named(&mut self) {
        let Some(list) = &mut self.list else { return };
        for at in named_twice(list.iter().map(|assignment| &assignment.column)) {
            list[at].value = Operand::Other;
        }
    }
}

/// The places of names that are there more than once, in whatever case.
pub(super) fn named_twice<'a>(names: impl ExactSizeIterator<Item = &'a Box<str>> + Clone) -> Vec<usize> {
    // A map pays only for long lists, which are rare.
    if names.len() <= 32 {
        let is_other =
            |at: usize, name: &str| names.clone().skip(at + 1).any(|n| n.eq_ignore_ascii_case(name));
        if !names.clone().enumerate().any(|(at, name)| is_other(at, name)) {
            return Vec::new();
        }
    }
    let mut counts: HashMap<String, usize> = HashMap::with_capacity(names.len());
    for name in names.clone() {
        *counts.entry(name.to_lowercase()).or_default() += 1;
    }
    names.enumerate().filter(|(_, name)| counts[&name.to_lowercase()] > 1).map(|(at, _)| at).collect()
}

impl Scan<'_> {
    /// The words between the verb and the table; whether rows in the way are deleted.
    pub fn modifiers(&self, mut at: usize) -> (usize, bool) {
        let t = self.tokens;
        match self.dialect() {
            Dialect::Postgres => (at, false),
            Dialect::Sqlite if t.kw(at) == Kw::Or => (at + 2, t.kw(at + 1) == Kw::Replace),
            Dialect::Sqlite => (at, false),
            Dialect::MySql => {
                while matches!(t.kw(at), Kw::LowPriority | Kw::HighPriority | Kw::Delayed | Kw::Ignore) {
                    at += 1;
                }
                (at, false)
            }
        }
    }

    /// Does MySQL's `IGNORE` stand among the words between a verb and its table?
    pub fn ignores(&self, verb: usize, behind: usize) -> bool {
        self.dialect() == Dialect::MySql && (verb..behind).any(|at| self.tokens.kw(at) == Kw::Ignore)
    }

    /// Marks the writes from the `first` on as ones whose values the server may adjust.
    pub fn adjusted(&mut self, first: usize) {
        for write in self.found.writes.iter_mut().skip(first) {
            write.adjusts = true;
        }
    }

    /// PostgreSQL's `ONLY`; elsewhere that is a name.
    pub fn skip_only(&self, at: usize) -> usize {
        if self.dialect() == Dialect::Postgres { self.tokens.skip(at, Kw::Only) } else { at }
    }

    /// `a = 1, (b, c) = (2, 3)` up to the clause behind them.
    pub fn assignments(&mut self, mut at: usize, end: usize, env: Env) -> Walk<(usize, Assigned)> {
        let t = self.tokens;
        let mut assigned = Assigned { list: Some(Vec::new()), qualifiers: Vec::new() };
        loop {
            let targets = self.targets(at, &mut assigned)?;
            at = targets.0;
            if !matches!(t.tok(at), Tok::Eq | Tok::Assign) {
                return unexpected("a SET that is not known");
            }
            let next = t.find(at + 1, end, |p| t.tok(p) == Tok::Comma || self.ends_set(p)).unwrap_or(end);
            let plain = self.operand(at + 1).filter(|(_, behind)| *behind == next);
            let last = assigned.list.as_mut().and_then(|list| list.last_mut());
            if let (Some((value, _)), 1, Some(last)) = (plain, targets.1, last) {
                last.value = value;
            }
            self.steps(at + 1, next, env)?;
            if t.tok(next) != Tok::Comma || next >= end {
                let row_number = |all: &Vec<Assignment>| all.iter().any(|a| is_row_number(&a.column));
                if self.dialect() == Dialect::Sqlite && assigned.list.as_ref().is_some_and(row_number) {
                    // A column of the key may be one more name for it.
                    assigned.list = None;
                }
                assigned.forget_values_of_twice_named();
                return Ok((next, assigned));
            }
            at = next + 1;
        }
    }

    /// The column or columns that one assignment gives values; where to go on and how many.
    fn targets(&self, at: usize, assigned: &mut Assigned) -> Walk<(usize, usize)> {
        let t = self.tokens;
        if t.tok(at) == Tok::Open {
            let columns = self.column_list(at);
            let count = columns.as_ref().map_or(0, Vec::len);
            assigned.qualifiers.push(None);
            let new =
                columns.map(|all| all.into_iter().map(|column| Assignment { column, value: Operand::Other }));
            assigned.list =
                assigned.list.take().zip(new).map(|(list, new)| list.into_iter().chain(new).collect());
            // Never 1: the value is a row.
            return Ok((t.mate(at) + 1, count.max(2)));
        }
        let name = t.expect_name(at)?;
        // In PostgreSQL what follows a dot is a field of the column, elsewhere it is the column.
        let postgres = self.dialect() == Dialect::Postgres;
        let column = if postgres { name.first } else { name.last };
        assigned.qualifiers.push((!postgres && !name.is_bare()).then(|| name.last - 2));
        if let Some(list) = &mut assigned.list {
            list.push(Assignment { column: t.ident(column).into(), value: Operand::Other });
        }
        let mut at = name.next();
        let whole = name.is_bare() && t.tok(at) != Tok::OpenBracket;
        while t.tok(at) == Tok::OpenBracket || t.tok(at) == Tok::Dot {
            at = t.hop(at) + usize::from(t.tok(at) == Tok::Dot);
        }
        // Part of a column gets a value: the column as a whole gets another one.
        Ok((at, if whole || !postgres { 1 } else { 2 }))
    }

    fn ends_set(&self, at: usize) -> bool {
        let t = self.tokens;
        match t.kw(at) {
            Kw::Where | Kw::Limit | Kw::Returning => true,
            Kw::From => !self.is_distinct_from(at),
            Kw::Order => t.kw(at + 1) == Kw::By,
            Kw::On => self.is_on_conflict(at),
            _ => false,
        }
    }

    /// `UPDATE`, of one table or, in MySQL, of several.
    pub fn update(&mut self, at: usize, end: usize, env: Env) -> Walk<()> {
        let (behind, replaces) = self.modifiers(at + 1);
        let (ignores, first) = (self.ignores(at, behind), self.found.writes.len());
        self.updated(behind, end, env, replaces)?;
        if ignores {
            self.adjusted(first);
        }
        Ok(())
    }

    fn updated(&mut self, at: usize, end: usize, env: Env, replaces: bool) -> Walk<()> {
        let t = self.tokens;
        let mut list = FromList::default();
        let at = if self.dialect() == Dialect::MySql {
            self.tables_listed(at, end, env, &mut list)?
        } else {
            let name = t.expect_name(self.skip_only(at))?;
            let star = usize::from(t.tok(name.next()) == Tok::Star);
            // To PostgreSQL SET is a name like any other, so it would pass for an alias.
            let (at, alias) = match t.kw(name.next() + star) {
                Kw::Set => (name.next() + star, None),
                _ => self.behind_item(name.next(), env)?,
            };
            list.items = 1;
            list.tables.push(TableRef { name, alias, is_cte: false });
            at
        };
        if t.kw(at) != Kw::Set {
            return unexpected("an UPDATE without SET");
        }
        let (mut at, assigned) = self.assignments(at + 1, end, env)?;
        let mut alone = list.only_table().filter(|table| !table.is_cte);
        if t.kw(at) == Kw::From {
            let mut others = FromList::default();
            at = self.tables_listed(at + 1, end, env, &mut others)?;
            self.read_all(&others.tables);
            if let Some(target) = alone.take() {
                let (verb, list) =
                    if replaces { (Verb::Replace, None) } else { (Verb::Update, assigned.list) };
                self.wrote_rows(target, verb, None, list, end);
                return self.steps(at, end, env).map(|_| ());
            }
        }
        self.steps(at, end, env)?;
        match alone {
            Some(target) if replaces => self.wrote_rows(target, Verb::Replace, None, None, end),
            Some(target) => {
                let condition = (t.kw(at) == Kw::Where).then_some(at + 1);
                let plain = Some(target.name.first - 1) == self.only && t.kw(target.name.next()) == Kw::Set;
                let filter = condition.filter(|_| plain).and_then(|at| self.filter(target, at, end));
                self.wrote_rows(target, Verb::Update, condition, assigned.list, end);
                self.filtered_by(filter);
            }
            None => return self.updated_several(&list, &assigned),
        }
        Ok(())
    }

    /// MySQL's update of a join: the tables that qualify an assigned column are written.
    fn updated_several(&mut self, list: &FromList, assigned: &Assigned) -> Walk<()> {
        let known = |q: usize| list.tables.iter().any(|table| !table.is_cte && self.is_called(table, q));
        let all_known = list.tables.len() <= MOST_JOINED
            && assigned.qualifiers.iter().all(|qualifier| qualifier.is_some_and(known));
        for table in list.tables.iter().filter(|t| !t.is_cte) {
            let named = |qualifier: &usize| self.is_called(table, *qualifier);
            if !all_known || assigned.qualifiers.iter().flatten().any(named) {
                self.wrote(table.name, Verb::Update);
                if let Some(write) = self.found.writes.last_mut() {
                    write.assigned = None;
                }
            } else {
                self.read(table.name);
            }
        }
        self.wrote_something()
    }

    /// A write that names no table that it writes was not understood.
    fn wrote_something(&self) -> Walk<()> {
        if self.found.writes.is_empty() { unexpected("a write to no table") } else { Ok(()) }
    }

    /// The name at this place is the table's, or its alias.
    fn is_called(&self, table: &TableRef, place: usize) -> bool {
        let t = self.tokens;
        let name = t.ident(place);
        let is = |other: usize| t.ident(other).eq_ignore_ascii_case(&name);
        table.alias.is_some_and(is) || is(table.name.last)
    }

    /// Notes a write to rows of one table that fulfil the condition at `condition`.
    fn wrote_rows(
        &mut self,
        target: TableRef,
        verb: Verb,
        condition: Option<usize>,
        assigned: Option<Vec<Assignment>>,
        end: usize,
    ) {
        self.target = Some(target.label());
        let conditions = |at| self.conditions(at, end, target, Columns::Any);
        let conjuncts = condition.map_or_else(Vec::new, conditions);
        let mut before = Vec::new();
        let scope = self.scope_of(conjuncts, assigned.as_deref(), &mut before);
        let table = self.table(target.name);
        self.found.writes.push(Write { table, verb, scope, before, assigned, filter: None, adjusts: false });
    }

    /// Splits what is known into what holds before and after, and what the statement itself changes.
    pub(super) fn scope_of(
        &self,
        conjuncts: Vec<Conjunct>,
        assigned: Option<&[Assignment]>,
        before: &mut Vec<Conjunct>,
    ) -> Scope {
        let sqlite = self.dialect() == Dialect::Sqlite;
        let changes = |column: &str| {
            assigned.is_none_or(|all| {
                // A column that is assigned may be one more name for it.
                let number = sqlite && is_row_number(column);
                all.iter().any(|a| may_be_same_column(&a.column, column)) || !all.is_empty() && number
            })
        };
        let (changed, lasting): (Vec<_>, Vec<_>) =
            conjuncts.into_iter().partition(|c| c.columns.iter().any(|column| changes(column)));
        *before = changed;
        if lasting.is_empty() { Scope::Unknown } else { Scope::Where(lasting) }
    }

    /// `DELETE`, from one table or, in MySQL, from several.
    pub fn delete(&mut self, at: usize, end: usize, env: Env) -> Walk<()> {
        let t = self.tokens;
        let mysql = self.dialect() == Dialect::MySql;
        let mut at = at + 1;
        while mysql && matches!(t.kw(at), Kw::LowPriority | Kw::Quick | Kw::Ignore) {
            at += 1;
        }
        if t.kw(at) != Kw::From {
            return if mysql { self.delete_several(at, end, env) } else { unexpected("DELETE without FROM") };
        }
        let clause = |p| matches!(t.kw(p), Kw::Using | Kw::Where | Kw::Order | Kw::Limit | Kw::Returning);
        if mysql && t.find(at + 1, end, clause).is_some_and(|p| t.kw(p) == Kw::Using) {
            return self.delete_several(at + 1, end, env);
        }
        let name = t.expect_name(self.skip_only(at + 1))?;
        let (behind, alias) = self.behind_item(name.next(), env)?;
        let target = TableRef { name, alias, is_cte: false };
        at = behind;
        let mut condition = None;
        if t.kw(at) == Kw::Using {
            let mut others = FromList::default();
            at = self.tables_listed(at + 1, end, env, &mut others)?;
            self.read_all(&others.tables);
        } else if t.kw(at) == Kw::Where {
            condition = Some(at + 1);
        } else if at < end && !matches!(t.kw(at), Kw::Order | Kw::Limit | Kw::Returning) {
            return unexpected("a DELETE that is not known");
        }
        self.steps(at, end, env)?;
        let plain = name.first.checked_sub(2) == self.only && t.kw(name.next()) == Kw::Where;
        let filter = condition.filter(|_| plain).and_then(|at| self.filter(target, at, end));
        self.wrote_rows(target, Verb::Delete, condition, Some(Vec::new()), end);
        self.filtered_by(filter);
        Ok(())
    }

    /// MySQL's `DELETE a, b FROM ...` and `DELETE FROM a, b USING ...`: `at` is the first target.
    fn delete_several(&mut self, mut at: usize, end: usize, env: Env) -> Walk<()> {
        let t = self.tokens;
        let mut targets = Vec::new();
        loop {
            let target = t.expect_name(at)?;
            targets.push(target);
            at = target.next();
            if t.tok(at) == Tok::Dot && t.tok(at + 1) == Tok::Star {
                at += 2;
            }
            match t.tok(at) {
                Tok::Comma => at += 1,
                _ => break,
            }
        }
        if !matches!(t.kw(at), Kw::From | Kw::Using) {
            return unexpected("a DELETE that is not known");
        }
        let mut list = FromList::default();
        at = self.tables_listed(at + 1, end, env, &mut list)?;
        let known = |target: &Name| list.tables.iter().any(|table| self.is_called(table, target.last));
        let all_known = list.tables.len() <= MOST_JOINED && targets.iter().all(known);
        for table in list.tables.iter().filter(|t| !t.is_cte) {
            if !all_known || targets.iter().any(|target| self.is_called(table, target.last)) {
                self.wrote(table.name, Verb::Delete);
            } else {
                self.read(table.name);
            }
        }
        self.steps(at, end, env)?;
        self.wrote_something()
    }

    /// `MERGE INTO target USING source ON ... WHEN ...`, which PostgreSQL knows.
    pub fn merge(&mut self, at: usize, end: usize, env: Env) -> Walk<()> {
        let t = self.tokens;
        if t.kw(at + 1) != Kw::Into {
            return unexpected("MERGE without INTO");
        }
        let name = t.expect_name(self.skip_only(at + 2))?;
        let (at, _) = self.behind_item(name.next(), env)?;
        if t.kw(at) != Kw::Using {
            return unexpected("MERGE without USING");
        }
        let mut list = FromList::default();
        let at = self.tables_listed(at + 1, end, env, &mut list)?;
        self.read_all(&list.tables);
        self.wrote(name, Verb::Other);
        if let Some(write) = self.found.writes.last_mut() {
            write.assigned = None;
        }
        self.steps(at, end, env)?;
        Ok(())
    }
}

/// SQLite's names for the number of a row, of which an integer primary key is one more.
fn is_row_number(column: &str) -> bool {
    ["rowid", "oid", "_rowid_"].iter().any(|name| column.eq_ignore_ascii_case(name))
}
