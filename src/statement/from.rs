//! The list of tables behind `FROM`: joins, groups, aliases, hints.

use super::analysis::{Dialect, Uncacheable};
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{Env, Scan, Task, unexpected};
use super::tokens::{Name, Walk};

/// A table in a `FROM` list.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableRef {
    pub name: Name,
    pub alias: Option<usize>,
    /// It is the name of a `WITH` query, not a table.
    pub is_cte: bool,
}

/// What stands in a `FROM` list.
#[derive(Default)]
pub(super) struct FromList {
    pub tables: Vec<TableRef>,
    /// Tables, functions and subqueries together.
    pub items: usize,
    /// What qualifies a column of an item or a join: the alias, or the name of a table or function.
    pub labels: Vec<usize>,
}

impl FromList {
    /// The list is this one table and nothing else.
    pub fn only_table(&self) -> Option<TableRef> {
        match self.tables[..] {
            [table] if self.items == 1 => Some(table),
            _ => None,
        }
    }
}

impl TableRef {
    /// What qualifies its columns. An alias hides the name.
    pub fn label(&self) -> usize {
        self.alias.unwrap_or(self.name.last)
    }
}

impl Scan<'_> {
    /// Nothing else in the list has this table's name, in whatever case.
    pub fn is_called_alone(&self, table: &TableRef, list: &FromList) -> bool {
        let t = self.tokens;
        let label = t.ident(table.label());
        list.labels.iter().filter(|other| t.ident(**other).eq_ignore_ascii_case(&label)).count() == 1
    }

    /// Walks the list of tables behind `FROM` (or `USING`, or MySQL's `UPDATE`) to the word that
    /// ends it. Groups are walked flat: a parenthesis only counts the depth.
    pub fn tables_listed(&mut self, mut at: usize, end: usize, env: Env, list: &mut FromList) -> Walk {
        let t = self.tokens;
        let mut closes: Vec<usize> = Vec::new();
        loop {
            // An item, unless it opens a group of items.
            if t.tok(at) == Tok::Open && !t.opens_query(at) {
                closes.push(t.mate(at));
                at += 1;
                continue;
            }
            at = self.item_listed(at, end, env, list)?;
            // What may stand between items.
            loop {
                let inside = closes.last().copied();
                match t.kw(at) {
                    // Nothing that is SQL leaves a group but by its end; going back to it would never end.
                    _ if inside.is_some_and(|close| close < at) => {
                        return unexpected("a FROM list that is not known");
                    }
                    _ if at >= end => return Ok(at),
                    _ if inside == Some(at) => {
                        closes.pop();
                        let (behind, alias) = self.alias(at + 1);
                        list.labels.extend(alias);
                        at = behind;
                        continue;
                    }
                    Kw::Natural | Kw::Inner | Kw::Cross | Kw::Left | Kw::Right | Kw::Full | Kw::Outer => {
                        at += 1
                    }
                    Kw::Join | Kw::StraightJoin => break,
                    Kw::On if !self.is_on_conflict(at) => {
                        at = self.join_condition(at + 1, inside.unwrap_or(end), env)?;
                    }
                    Kw::Using if t.tok(at + 1) == Tok::Open => {
                        at = t.mate(at + 1) + 1;
                        if t.kw(at) == Kw::As && t.is_label(at + 1) {
                            list.labels.push(at + 1);
                            at += 2;
                        }
                    }
                    Kw::Union | Kw::Intersect | Kw::Except | Kw::Minus if inside.is_some() => {
                        at = if matches!(t.kw(at + 1), Kw::All | Kw::Distinct) { at + 1 } else { at };
                        break;
                    }
                    _ if t.tok(at) == Tok::Comma => break,
                    _ if self.ends_from(at) => match inside {
                        // ORDER BY and the like of a set operation in a group.
                        Some(close) => at = self.steps(at, close, env)?,
                        None => return Ok(at),
                    },
                    _ => return unexpected("a FROM list that is not known"),
                }
            }
            at += 1;
        }
    }

    /// One table, function or subquery with what belongs to it.
    fn item_listed(&mut self, at: usize, end: usize, env: Env, list: &mut FromList) -> Walk {
        let t = self.tokens;
        list.items += 1;
        if t.kw(at) == Kw::Select && at > 0 {
            // The rest of a set operation in a group.
            let close = t.find(at, end, |p| t.tok(p) == Tok::Close).unwrap_or(end);
            self.tasks.push(Task { at, end: close, env });
            return Ok(close);
        }
        let postgres = self.dialect() == Dialect::Postgres;
        let lateral = t.kw(at) == Kw::Lateral && (postgres || t.tok(at + 1) == Tok::Open);
        let mut at = if lateral { at + 1 } else { at };
        if postgres && t.kw(at) == Kw::Only {
            at += 1;
            if t.tok(at) == Tok::Open && t.name(at + 1).is_some_and(|n| n.next() == t.mate(at)) {
                let close = t.mate(at);
                return self.table_item(at + 1, Some(close), env, list);
            }
        }
        if t.opens_query(at) {
            let close = t.mate(at);
            self.tasks.push(Task { at: at + 1, end: close, env });
            return self.behind_unnamed(close + 1, env, list);
        }
        if t.are(at, &[Kw::Rows, Kw::From]) && t.tok(at + 2) == Tok::Open {
            let close = t.mate(at + 2);
            self.steps(at + 3, close, env)?;
            return self.behind_unnamed(close + 1, env, list);
        }
        self.table_item(at, None, env, list)
    }

    /// A table, or a function that returns rows.
    fn table_item(&mut self, at: usize, close: Option<usize>, env: Env, list: &mut FromList) -> Walk {
        let t = self.tokens;
        let name = t.expect_name(at)?;
        if t.tok(name.next()) == Tok::Open {
            self.call(name)?;
            let close = t.mate(name.next());
            self.steps(name.next() + 1, close, env)?;
            let at = t.skip_all(close + 1, &[Kw::With, Kw::Ordinality]);
            list.labels.push(name.last);
            return self.behind_unnamed(at, env, list);
        }
        let (at, alias) = self.behind_item(close.map_or(name.next(), |c| c + 1), env)?;
        let table = TableRef { name, alias, is_cte: self.is_cte(name, env) };
        list.tables.push(table);
        list.labels.push(table.label());
        Ok(at)
    }

    /// What may stand behind a subquery or function.
    fn behind_unnamed(&mut self, at: usize, env: Env, list: &mut FromList) -> Walk {
        let (at, alias) = self.behind_item(at, env)?;
        list.labels.extend(alias);
        Ok(at)
    }

    /// `*`, partitions, the alias with its columns, index hints, sampling.
    pub fn behind_item(&mut self, mut at: usize, env: Env) -> Walk<(usize, Option<usize>)> {
        let t = self.tokens;
        let mysql = self.dialect() == Dialect::MySql;
        if self.dialect() == Dialect::Postgres && t.tok(at) == Tok::Star {
            at += 1;
        }
        if mysql && t.kw(at) == Kw::Partition && t.tok(at + 1) == Tok::Open {
            at = t.mate(at + 1) + 1;
        }
        if (mysql && t.are(at, &[Kw::For, Kw::SystemTime])) || t.are(at, &[Kw::As, Kw::Of]) {
            at = self.past_version(at, env)?;
        }
        let (behind, alias) = self.alias(at);
        at = behind;
        while mysql
            && matches!(t.kw(at), Kw::Use | Kw::Force | Kw::Ignore)
            && matches!(t.kw(at + 1), Kw::Index | Kw::Key)
        {
            at = t.skip(at + 2, Kw::For);
            at = t.skip(at, Kw::Join);
            at = t.skip_all(t.skip_all(at, &[Kw::Order, Kw::By]), &[Kw::Group, Kw::By]);
            if t.tok(at) != Tok::Open {
                return unexpected("an index hint that is not known");
            }
            at = t.mate(at) + 1;
        }
        if self.dialect() == Dialect::Sqlite && t.are(at, &[Kw::Indexed, Kw::By]) && t.is_label(at + 2) {
            at += 3;
        }
        if self.dialect() == Dialect::Sqlite && t.are(at, &[Kw::Not, Kw::Indexed]) {
            at += 2;
        }
        if t.kw(at) == Kw::TableSample && t.tok(at + 2) == Tok::Open {
            self.found.refuse(Uncacheable::Sample);
            let close = t.mate(at + 2);
            self.steps(at + 3, close, env)?;
            at = close + 1;
            if t.kw(at) == Kw::Repeatable && t.tok(at + 1) == Tok::Open {
                let close = t.mate(at + 1);
                self.steps(at + 2, close, env)?;
                at = close + 1;
            }
        }
        Ok((at, alias))
    }

    /// `FOR SYSTEM_TIME ...` in MariaDB, `AS OF SYSTEM TIME ...` in what looks like PostgreSQL.
    fn past_version(&mut self, at: usize, env: Env) -> Walk {
        let t = self.tokens;
        self.found.refuse(Uncacheable::PastVersion);
        let mut at = at + 2;
        at = t.skip_all(at, &[Kw::As, Kw::Of]);
        while at < t.len() && !matches!(t.tok(at), Tok::Comma | Tok::Close | Tok::Semicolon) {
            let joins = matches!(
                t.kw(at),
                Kw::Join
                    | Kw::Natural
                    | Kw::Inner
                    | Kw::Cross
                    | Kw::Left
                    | Kw::Right
                    | Kw::As
                    | Kw::On
                    | Kw::Using
            );
            if joins || self.ends_from(at) {
                break;
            }
            let behind = t.hop(at);
            self.steps(at, behind, env)?;
            at = behind;
        }
        Ok(at)
    }

    /// An alias with its column list, if there is one.
    fn alias(&self, at: usize) -> (usize, Option<usize>) {
        let t = self.tokens;
        let explicit = t.kw(at) == Kw::As;
        let at = if explicit { at + 1 } else { at };
        let is_name = t.is_label(at) && (explicit || !self.is_no_alias(at));
        let (at, alias) = if is_name { (at + 1, Some(at)) } else { (at, None) };
        let columns = t.tok(at) == Tok::Open && (is_name || explicit);
        if columns { (t.mate(at) + 1, alias) } else { (at, alias) }
    }

    /// A word that stands behind a table without being its alias.
    fn is_no_alias(&self, at: usize) -> bool {
        let t = self.tokens;
        let (mysql, sqlite) = (self.dialect() == Dialect::MySql, self.dialect() == Dialect::Sqlite);
        match t.kw(at) {
            Kw::None => false,
            Kw::Join | Kw::StraightJoin | Kw::Natural | Kw::Inner | Kw::Cross | Kw::Left | Kw::Right => true,
            Kw::Full | Kw::Outer => matches!(t.kw(at + 1), Kw::Join | Kw::Outer),
            Kw::On | Kw::Using | Kw::TableSample => true,
            Kw::Use | Kw::Force | Kw::Ignore | Kw::Partition => mysql,
            Kw::Indexed => sqlite,
            Kw::Not => true,
            Kw::With => t.kw(at + 1) == Kw::Ordinality,
            _ => self.ends_from(at),
        }
    }

    /// The clause behind a `FROM` list begins. A false "yes" would lose tables, so a word that
    /// some dialect lets stand for an alias must be followed by what makes it a clause.
    fn ends_from(&self, at: usize) -> bool {
        let t = self.tokens;
        let next = t.kw(at + 1);
        let (mysql, postgres) = (self.dialect() == Dialect::MySql, self.dialect() == Dialect::Postgres);
        match t.kw(at) {
            Kw::Where | Kw::Having | Kw::Limit | Kw::Into => true,
            Kw::Set => !postgres,
            Kw::Group | Kw::Order => next == Kw::By,
            Kw::Union | Kw::Intersect | Kw::Except | Kw::Minus => {
                let query =
                    matches!(next, Kw::All | Kw::Distinct | Kw::Select | Kw::Values | Kw::Table | Kw::With);
                query || t.tok(at + 1) == Tok::Open
            }
            Kw::For => matches!(next, Kw::Update | Kw::Share | Kw::No | Kw::Key),
            Kw::Offset => postgres || matches!(t.tok(at + 1), Tok::Num | Tok::Param),
            Kw::Fetch => matches!(next, Kw::First | Kw::Next),
            Kw::Window => t.kw(at + 2) == Kw::As,
            Kw::On => self.is_on_conflict(at),
            Kw::When => next == Kw::Matched || (next == Kw::Not && t.kw(at + 2) == Kw::Matched),
            Kw::Lock => mysql && next == Kw::In,
            Kw::Procedure => mysql,
            Kw::Returning => {
                let value = matches!(t.tok(at + 1), Tok::Star | Tok::Quoted | Tok::Num | Tok::Open);
                !mysql || value || (t.tok(at + 1) == Tok::Word && t.name(at + 1).is_some())
            }
            _ => false,
        }
    }

    /// `ON CONFLICT` or `ON DUPLICATE KEY`, and not a join on a column of that name.
    pub fn is_on_conflict(&self, at: usize) -> bool {
        let t = self.tokens;
        if t.kw(at) != Kw::On {
            return false;
        }
        match t.kw(at + 1) {
            Kw::Duplicate => t.kw(at + 2) == Kw::Key,
            Kw::Conflict if t.tok(at + 2) == Tok::Open => {
                matches!(t.kw(t.mate(at + 2) + 1), Kw::Do | Kw::Where)
            }
            Kw::Conflict => t.kw(at + 2) == Kw::Do || t.are(at + 2, &[Kw::On, Kw::Constraint]),
            _ => false,
        }
    }

    /// Walks the condition behind `ON` to the next item, join or clause.
    fn join_condition(&mut self, mut at: usize, end: usize, env: Env) -> Walk {
        let t = self.tokens;
        let start = at;
        let mut inner = at;
        let mut cases = 0usize;
        while at < end {
            if at >= inner {
                match t.kw(at) {
                    Kw::Case => cases += 1,
                    Kw::End => cases = cases.saturating_sub(1),
                    Kw::Join | Kw::StraightJoin => return Ok(at),
                    Kw::On if at > start => return Ok(at),
                    // The first word of a condition is an operand, even one named like a clause.
                    _ if at == start || cases > 0 => (),
                    _ if self.ends_from(at) => return Ok(at),
                    _ => (),
                }
                match t.tok(at) {
                    Tok::Comma => return Ok(at),
                    Tok::Open | Tok::OpenBracket => inner = t.mate(at) + 1,
                    _ => (),
                }
            }
            at = self.step(at, end, env)?;
        }
        Ok(at)
    }
}
