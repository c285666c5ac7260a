//! `INSERT` and `REPLACE`: the rows that are listed, and what happens to rows in their way.

use super::analysis::{Assignment, Dialect, Verb, Write};
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{Env, Scan, unexpected};
use super::scope::{Conjunct, KEYS_LIMIT, Operand, Scope};
use super::tokens::{Name, Walk};
use super::write::named_twice;

/// The rows of an `INSERT` that lists them.
struct Listed {
    columns: Vec<Box<str>>,
    rows: Vec<Vec<Operand>>,
}

/// What an `INSERT` does to rows that are there already.
enum OnConflict {
    /// Fails, or leaves them.
    Keep,
    /// Updates those that are equal in these columns; in any unique column when not known.
    Update(Option<Vec<Box<str>>>, Option<Vec<Assignment>>),
}

impl Scan<'_> {
    /// `INSERT` and `REPLACE`.
    pub fn insert(&mut self, at: usize, end: usize, env: Env) -> Walk<()> {
        let t = self.tokens;
        let (behind, or_replace) = self.modifiers(at + 1);
        let replaces = or_replace || t.kw(at) == Kw::Replace;
        let ignores = self.ignores(at, behind);
        if t.kw(behind) != Kw::Into && self.dialect() != Dialect::MySql {
            return unexpected("INSERT without INTO");
        }
        let name = t.expect_name(t.skip(behind, Kw::Into))?;
        let mut at = name.next();
        let alias = (t.kw(at) == Kw::As).then_some(at + 1);
        if alias.is_some() {
            at += 2;
        }
        self.target = Some(alias.unwrap_or(name.last));
        if t.kw(at) == Kw::Partition && t.tok(at + 1) == Tok::Open {
            at = t.mate(at + 1) + 1;
        }
        let mut columns = None;
        if t.tok(at) == Tok::Open && !t.opens_query(at) && t.tok(at + 1) != Tok::Open {
            // Which value a column listed twice gets, servers do not agree about.
            columns = self.column_list(at).filter(|all| named_twice(all.iter()).is_empty());
            at = t.mate(at) + 1;
        }
        let mut keys_are_used = true;
        if t.kw(at) == Kw::Overriding {
            keys_are_used = t.kw(at + 1) == Kw::System;
            at += 3;
        }
        let (behind, rows) = self.source(at, end, env, columns)?;
        self.steps(behind, end, env)?;
        let mut conflict = self.on_conflict(at, end, env)?;
        let only_itself = self.assigns_only_itself(at, end);
        if only_itself {
            conflict = OnConflict::Keep;
        }
        let first = self.found.writes.len();
        self.inserted(name, rows.filter(|_| keys_are_used), conflict, replaces);
        if ignores {
            self.adjusted(first);
        }
        if let Some(write) = self.found.writes.last_mut().filter(|_| only_itself) {
            // Nothing is given a new value; but the server's triggers for updates run.
            write.assigned = None;
        }
        Ok(())
    }

    fn inserted(&mut self, name: Name, rows: Option<Listed>, conflict: OnConflict, replaces: bool) {
        let mut before = Vec::new();
        let (verb, scope, assigned) = match conflict {
            _ if replaces => (Verb::Replace, Scope::Unknown, None),
            OnConflict::Keep => {
                let scope =
                    rows.map_or(Scope::Unknown, |Listed { columns, rows }| Scope::Rows { columns, rows });
                (Verb::Insert, scope, Some(Vec::new()))
            }
            OnConflict::Update(target, assigned) => {
                // New rows and updated ones have this in common: in the target's columns they are
                // equal to one of the rows listed.
                let common = target.zip(rows).and_then(|(target, listed)| project(target, &listed));
                let scope = self.scope_of(common.into_iter().collect(), assigned.as_deref(), &mut before);
                (Verb::Upsert, scope, assigned)
            }
        };
        let table = self.table(name);
        self.found.writes.push(Write { table, verb, scope, before, assigned, filter: None, adjusts: false });
    }

    /// The columns listed in the group here, if it is a plain list.
    pub fn column_list(&self, open: usize) -> Option<Vec<Box<str>>> {
        let t = self.tokens;
        let close = t.mate(open);
        let mut columns = Vec::new();
        let mut at = open + 1;
        while at < close {
            let name = t.name(at)?;
            columns.push(t.ident(name.last).into());
            at = name.next();
            match t.tok(at) {
                Tok::Comma => at += 1,
                _ if at == close => (),
                _ => return None,
            }
        }
        (!columns.is_empty()).then_some(columns)
    }

    /// Where the rows come from, walked. The rows themselves, when they are listed and plain enough.
    fn source(
        &mut self,
        at: usize,
        end: usize,
        env: Env,
        columns: Option<Vec<Box<str>>>,
    ) -> Walk<(usize, Option<Listed>)> {
        let t = self.tokens;
        match t.kw(at) {
            Kw::Values | Kw::Value => {
                let width = columns.as_ref().map_or(0, Vec::len);
                let (at, rows) = self.rows(at + 1, end, env, width)?;
                Ok((at, columns.zip(rows).map(|(columns, rows)| Listed { columns, rows })))
            }
            Kw::Default if t.kw(at + 1) == Kw::Values => Ok((at + 2, None)),
            Kw::Set if self.dialect() == Dialect::MySql => {
                let (at, assigned) = self.assignments(at + 1, end, env)?;
                let zero = |value| if value == Operand::Integer(0) { Operand::Other } else { value };
                let pairs = assigned.list.map(|all| all.into_iter().map(|a| (a.column, zero(a.value))));
                let listed = pairs.map(|pairs| {
                    let (columns, row) = pairs.unzip();
                    Listed { columns, rows: vec![row] }
                });
                Ok((at, listed))
            }
            // What the query's WITH defines is not seen behind it.
            Kw::With => {
                let behind = |p| t.kw(p) == Kw::Returning || self.is_on_conflict(p);
                let end = t.find(at, end, behind).unwrap_or(end);
                self.body(at, end, env, false).map(|()| (end, None))
            }
            // A query's last clauses run into ON CONFLICT and RETURNING, expressions like its own.
            Kw::Select | Kw::Table => self.body(at, end, env, false).map(|()| (end, None)),
            _ if t.tok(at) == Tok::Open => self.body(at, end, env, false).map(|()| (end, None)),
            _ => unexpected("an INSERT that is not known"),
        }
    }

    /// `(1, 2), (3, 4)`: each as long as `width`, or the rows are not told.
    fn rows(
        &mut self,
        mut at: usize,
        end: usize,
        env: Env,
        width: usize,
    ) -> Walk<(usize, Option<Vec<Vec<Operand>>>)> {
        let t = self.tokens;
        let mut rows = Some(Vec::new()).filter(|_| width > 0);
        loop {
            at = t.skip(at, Kw::Row);
            if t.tok(at) != Tok::Open {
                return unexpected("VALUES without rows");
            }
            let close = t.mate(at);
            let row = self.row(at + 1, close, env, width)?;
            if let Some(all) = &mut rows {
                if row.len() == width && all.len() < KEYS_LIMIT {
                    all.push(row);
                } else {
                    rows = None;
                }
            }
            at = close + 1;
            if t.tok(at) != Tok::Comma {
                break;
            }
            at += 1;
        }
        // Anything else (a UNION, say) adds rows that are not listed.
        let known = at >= end || matches!(t.kw(at), Kw::On | Kw::Returning | Kw::As);
        Ok((at, rows.filter(|_| known)))
    }

    fn row(&mut self, mut at: usize, close: usize, env: Env, width: usize) -> Walk<Vec<Operand>> {
        let t = self.tokens;
        let mut row = Vec::with_capacity(width);
        while at < close {
            let plain = self.operand(at).filter(|(_, next)| *next == close || t.tok(*next) == Tok::Comma);
            let next = match plain {
                Some((value, next)) => {
                    // The server replaces a zero by the next number of the sequence.
                    let zero = value == Operand::Integer(0) && self.dialect() == Dialect::MySql;
                    row.push(if zero { Operand::Other } else { value });
                    next
                }
                None => {
                    row.push(Operand::Other);
                    let next = t.find(at, close, |p| t.tok(p) == Tok::Comma).unwrap_or(close);
                    self.steps(at, next, env)?
                }
            };
            at = next + 1;
        }
        Ok(row)
    }

    /// What follows on a conflict, as far as the text behind the rows says.
    fn on_conflict(&mut self, at: usize, end: usize, env: Env) -> Walk<OnConflict> {
        let t = self.tokens;
        let mut updates = OnConflict::Keep;
        let mut at = at;
        while let Some(on) = t.find(at, end, |p| self.is_on_conflict(p)) {
            at = on + 2;
            if t.kw(on + 1) == Kw::Duplicate {
                if t.kw(at + 1) != Kw::Update {
                    return unexpected("an ON DUPLICATE KEY that is not known");
                }
                let assigned = self.assigned_silently(at + 2, end, env)?;
                return Ok(OnConflict::Update(None, assigned));
            }
            let action = t.find_kw(at, end, Kw::Do).ok_or("ON CONFLICT without DO")?;
            if t.kw(action + 1) == Kw::Nothing {
                at = action;
                continue;
            }
            if !t.are(action + 1, &[Kw::Update, Kw::Set]) {
                return unexpected("an ON CONFLICT that is not known");
            }
            let target = if t.tok(at) == Tok::Open { self.column_list(at) } else { None };
            let assigned = self.assigned_silently(action + 3, end, env)?;
            updates = match updates {
                OnConflict::Keep => OnConflict::Update(target, assigned),
                // Two clauses that update: which rows, depends on the data.
                OnConflict::Update(..) => OnConflict::Update(None, None),
            };
        }
        Ok(updates)
    }

    /// MySQL's way to say "do nothing": `ON DUPLICATE KEY UPDATE c = c`. Not where `c` may be a
    /// column of a select or of a row alias.
    fn assigns_only_itself(&self, at: usize, end: usize) -> bool {
        let t = self.tokens;
        let Some(on) = t.find(at, end, |p| self.is_on_conflict(p)) else { return false };
        let other = |p| !matches!(t.tok(p), Tok::Open | Tok::Comma) && t.kw(p) != Kw::Row;
        let only_listed = match t.kw(at) {
            Kw::Values | Kw::Value => t.find(at + 1, on, other).is_none(),
            Kw::Set => t.find_kw(at, on, Kw::As).is_none(),
            _ => false,
        };
        if !only_listed || t.kw(on + 1) != Kw::Duplicate {
            return false;
        }
        let is_column = |at: usize| matches!(t.tok(at), Tok::Word | Tok::Quoted) && t.name(at).is_some();
        let mut at = on + 4;
        loop {
            let itself = is_column(at)
                && t.tok(at + 1) == Tok::Eq
                && is_column(at + 2)
                && t.ident(at).eq_ignore_ascii_case(&t.ident(at + 2));
            match (itself, t.tok(at + 3)) {
                (true, Tok::Comma) => at += 4,
                (true, _) => return at + 3 >= end || t.kw(at + 3) == Kw::Returning,
                _ => return false,
            }
        }
    }

    /// The assignments here, which were walked before.
    fn assigned_silently(&mut self, at: usize, end: usize, env: Env) -> Walk<Option<Vec<Assignment>>> {
        let tasks = self.tasks.len();
        let (_, assigned) = self.assignments(at, end, env)?;
        self.tasks.truncate(tasks);
        Ok(assigned.list)
    }
}

/// The rows' values in the target's columns; `None` when they do not have all of them.
fn project(target: Vec<Box<str>>, listed: &Listed) -> Option<Conjunct> {
    let place = |column: &str| listed.columns.iter().position(|c| c.eq_ignore_ascii_case(column));
    let places: Vec<usize> = target.iter().map(|column| place(column)).collect::<Option<_>>()?;
    let values = |row: &Vec<Operand>| places.iter().map(|p| row[*p].clone()).collect::<Vec<_>>();
    let alternatives: Vec<_> = listed.rows.iter().map(values).collect();
    let plain = alternatives.iter().flatten().all(|value| *value != Operand::Other);
    plain.then_some(Conjunct { columns: target, alternatives })
}
