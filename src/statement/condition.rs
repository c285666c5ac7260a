//! What a `WHERE` says of every row it lets through.
//!
//! Only conjuncts at the top level count, and only those of exactly the shape `column = value`,
//! `column IN (values)` or their row forms. Every other piece is left out, which only widens.

use super::analysis::Dialect;
use super::from::TableRef;
use super::function;
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{LONGEST_NAME, Scan};
use super::scope::{Conjunct, KEYS_LIMIT, Operand};
use super::tokens::Name;

/// Which columns in a condition are the table's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// Those without a qualifier too: there is no other table.
    Any,
    /// Those that the table's alias or name qualifies.
    Qualified,
}

/// The table whose rows a condition is asked about.
#[derive(Clone, Copy)]
struct Subject {
    table: TableRef,
    columns: Columns,
}

impl Scan<'_> {
    /// The conjuncts on the table's own columns in the condition that begins at `at`.
    pub fn conditions(&self, at: usize, end: usize, table: TableRef, columns: Columns) -> Vec<Conjunct> {
        let table = Subject { table, columns };
        let t = self.tokens;
        let mut found = Vec::new();
        let stop = t.find(at, end, |p| self.ends_condition(p)).unwrap_or(end);
        // Whatever ends the condition, an OR behind it is taken for one of its own.
        let mut ranges = if self.has_or(at, end) { Vec::new() } else { vec![(at, stop)] };
        while let Some((at, end)) = ranges.pop() {
            let mut first = at;
            while first < end {
                let last = self.piece_end(first, end);
                let group = t.tok(first) == Tok::Open && t.mate(first) + 1 == last && !t.opens_query(first);
                let is_row = || t.find(first + 1, last - 1, |p| t.tok(p) == Tok::Comma).is_some();
                if group && !self.has_or(first + 1, last - 1) && !is_row() {
                    ranges.push((first + 1, last - 1));
                } else if !group {
                    found.extend(self.conjunct(first, last, table));
                }
                first = last + 1;
            }
        }
        found
    }

    /// Something at this level that binds weaker than AND.
    fn has_or(&self, mut at: usize, end: usize) -> bool {
        let t = self.tokens;
        let mysql = self.dialect() == Dialect::MySql;
        let mut cases = 0usize;
        while at < end {
            match (t.kw(at), t.tok(at)) {
                (Kw::Case, _) => cases += 1,
                (Kw::End, _) => cases = cases.saturating_sub(1),
                (Kw::Or | Kw::Xor, _) if cases == 0 => return true,
                (_, Tok::Pipes) if mysql => return true,
                (_, Tok::Assign) => return true,
                _ => (),
            }
            at = t.hop(at);
        }
        // A CASE without an END could hide one.
        cases != 0
    }

    /// The AND that ends the piece here. Those of `BETWEEN` and of `CASE` do not.
    fn piece_end(&self, mut at: usize, end: usize) -> usize {
        let t = self.tokens;
        let (mut cases, mut betweens) = (0usize, 0usize);
        while at < end {
            match t.kw(at) {
                Kw::Case => cases += 1,
                Kw::End => cases = cases.saturating_sub(1),
                Kw::Between if cases == 0 => betweens += 1,
                Kw::And if cases == 0 && betweens == 0 => return at,
                Kw::And if cases == 0 => betweens -= 1,
                _ => (),
            }
            at = t.hop(at);
        }
        end
    }

    pub fn ends_condition(&self, at: usize) -> bool {
        let t = self.tokens;
        match t.kw(at) {
            Kw::Group | Kw::Order => t.kw(at + 1) == Kw::By,
            Kw::Having | Kw::Limit | Kw::Offset | Kw::Fetch | Kw::For | Kw::Window | Kw::Returning => true,
            Kw::Union | Kw::Intersect | Kw::Except | Kw::Lock | Kw::Into | Kw::Procedure | Kw::On => true,
            _ => false,
        }
    }

    /// The piece `first..last` as a conjunct, if it is of a known shape.
    fn conjunct(&self, first: usize, last: usize, table: Subject) -> Option<Conjunct> {
        let t = self.tokens;
        if t.tok(first) == Tok::Open {
            return self.row_conjunct(first, last, table);
        }
        if let Some((column, next)) = self.own_column(first, table) {
            let columns = vec![column];
            match t.kw(next) {
                Kw::In if t.tok(next + 1) == Tok::Open && t.mate(next + 1) + 1 == last => {
                    let alternatives = self.list(next + 2, last - 1, |at| {
                        let (value, next) = self.operand(at)?;
                        Some((vec![value], next))
                    })?;
                    return Some(Conjunct { columns, alternatives });
                }
                _ if t.tok(next) == Tok::Eq => {
                    let (value, next) = self.operand(next + 1)?;
                    return (next == last).then(|| Conjunct { columns, alternatives: vec![vec![value]] });
                }
                _ => return None,
            }
        }
        let (value, next) = self.operand(first)?;
        if t.tok(next) != Tok::Eq {
            return None;
        }
        let (column, next) = self.own_column(next + 1, table)?;
        (next == last).then(|| Conjunct { columns: vec![column], alternatives: vec![vec![value]] })
    }

    /// `(a, b) = (1, 2)` and `(a, b) IN ((1, 2), (3, 4))`.
    fn row_conjunct(&self, first: usize, last: usize, table: Subject) -> Option<Conjunct> {
        let t = self.tokens;
        let close = t.mate(first);
        let columns = self.list(first + 1, close, |at| self.own_column(at, table))?;
        let row = |at: usize| {
            if t.tok(at) != Tok::Open {
                return None;
            }
            let values = self.list(at + 1, t.mate(at), |at| self.operand(at))?;
            (values.len() == columns.len()).then_some((values, t.mate(at) + 1))
        };
        let alternatives = match t.kw(close + 1) {
            Kw::In if t.tok(close + 2) == Tok::Open && t.mate(close + 2) + 1 == last => {
                self.list(close + 3, last - 1, row)?
            }
            _ if t.tok(close + 1) == Tok::Eq => {
                let (values, next) = row(close + 2)?;
                if next != last {
                    return None;
                }
                vec![values]
            }
            _ => return None,
        };
        Some(Conjunct { columns, alternatives })
    }

    /// `a, b, c`, each read by `item`, to exactly `end`.
    fn list<T>(
        &self,
        mut at: usize,
        end: usize,
        item: impl Fn(usize) -> Option<(T, usize)>,
    ) -> Option<Vec<T>> {
        let mut all = Vec::new();
        loop {
            let (one, next) = item(at)?;
            all.push(one);
            if next == end {
                return Some(all);
            }
            if self.tokens.tok(next) != Tok::Comma || all.len() == KEYS_LIMIT {
                return None;
            }
            at = next + 1;
        }
    }

    /// A column of this table, and where to go on.
    fn own_column(&self, at: usize, subject: Subject) -> Option<(Box<str>, usize)> {
        let t = self.tokens;
        if !matches!(t.tok(at), Tok::Word | Tok::Quoted) {
            return None;
        }
        let column: Name = t.name(at)?;
        let constant = ["true", "false", "unknown"].iter().any(|word| t.is_word(at, word));
        if column.is_bare() && (constant || function::bare(self.dialect(), t.kw(at)).is_some()) {
            return None;
        }
        if column.is_bare() {
            if subject.columns == Columns::Qualified {
                return None;
            }
        } else {
            let (qualifier, label) = (t.ident(column.last - 2), t.ident(subject.table.label()));
            if !qualifier.eq_ignore_ascii_case(&label) {
                return None;
            }
        }
        let own = t.ident(column.last);
        // It may be a column that is assigned under its shorter name.
        let clipped = self.dialect() == Dialect::Postgres && own.len() > LONGEST_NAME;
        (!clipped).then(|| (own.into(), column.next()))
    }

    /// A value that is plainly one, and where to go on.
    pub fn operand(&self, at: usize) -> Option<(Operand, usize)> {
        let t = self.tokens;
        let (at, sign) = match t.tok(at) {
            Tok::Minus => (at + 1, "-"),
            Tok::Plus => (at + 1, ""),
            Tok::Param => return Some((Operand::Bound(self.bound(at)?), at + 1)),
            Tok::Str => return Some((Operand::Text(t.ident(at).into()), at + 1)),
            Tok::OddStr => return Some((Operand::Text(t.escaped(at)?.into()), at + 1)),
            _ => (at, ""),
        };
        let digits = t.text(at);
        if t.tok(at) != Tok::Num || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = if sign.is_empty() { digits.parse() } else { format!("{sign}{digits}").parse() };
        Some((Operand::Integer(number.ok()?), at + 1))
    }
}
