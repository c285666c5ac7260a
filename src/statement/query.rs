//! Selects: `WITH` and the clauses of a query.

use super::analysis::{Dialect, Kind, Uncacheable, Verb};
use super::condition::Columns;
use super::from::{FromList, TableRef};
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{Cte, Env, NO_ENV, Scan, Task, unexpected};
use super::tokens::{Name, Walk};

/// More `WITH` names than this in one text are not looked through.
const MOST_CTES: usize = 256;
/// In a join of more tables than this nobody asks what the condition says of each.
const MOST_SCOPED: usize = 16;

impl Scan<'_> {
    /// Walks a query, or a statement that may stand where a query may, with the `WITH` before it.
    pub fn body(&mut self, at: usize, end: usize, env: Env, top: bool) -> Walk<()> {
        let (at, env) = if self.tokens.kw(at) == Kw::With { self.with(at, env)? } else { (at, env) };
        match self.tokens.kw(at) {
            Kw::Insert | Kw::Replace => self.insert(at, end, env),
            Kw::Update => self.update(at, end, env),
            Kw::Delete => self.delete(at, end, env),
            Kw::Merge => self.merge(at, end, env),
            Kw::Select | Kw::Values | Kw::Table => self.query(at, end, env, top),
            _ if self.tokens.tok(at) == Tok::Open => self.query(at, end, env, top),
            _ => unexpected("a statement that is not known"),
        }
    }

    /// Walks a `WITH` clause; comes back with the statement's place and what it can see.
    fn with(&mut self, at: usize, outer: Env) -> Walk<(usize, Env)> {
        let t = self.tokens;
        let recursive = t.kw(at + 1) == Kw::Recursive;
        let mut at = t.skip(at + 1, Kw::Recursive);
        // MariaDB does not show outer names to the queries of an inner WITH; MySQL does.
        let mut inside = if self.dialect() == Dialect::MySql { NO_ENV } else { outer };
        let mut behind = outer;
        loop {
            let name = t.name(at).filter(|n| n.is_bare()).ok_or("a WITH query without a name")?.first;
            at += 1;
            if t.tok(at) == Tok::Open {
                at = t.mate(at) + 1;
            }
            if t.kw(at) != Kw::As {
                return unexpected("a WITH query without AS");
            }
            at = t.skip(t.skip(at + 1, Kw::Not), Kw::Materialized);
            if t.tok(at) != Tok::Open {
                return unexpected("a WITH query without parentheses");
            }
            let (body, close) = (at + 1, t.mate(at));
            let with_itself = self.define(name, inside)?;
            let sees_itself = recursive || self.dialect() == Dialect::Sqlite;
            let env = if sees_itself { with_itself } else { inside };
            self.tasks.push(Task { at: body, end: close, env });
            behind = if inside == behind { with_itself } else { self.define(name, behind)? };
            inside = with_itself;
            at = self.search_and_cycle(close + 1)?;
            if t.tok(at) != Tok::Comma {
                return Ok((at, behind));
            }
            at += 1;
        }
    }

    fn define(&mut self, name: usize, parent: Env) -> Walk<Env> {
        if self.ctes.len() == MOST_CTES {
            return unexpected("too many WITH queries");
        }
        self.ctes.push(Cte { name, parent });
        Ok(self.ctes.len() as Env)
    }

    /// PostgreSQL's `SEARCH ... SET ...` and `CYCLE ... SET ... USING ...` behind a `WITH` query.
    fn search_and_cycle(&self, mut at: usize) -> Walk {
        let t = self.tokens;
        if !matches!(t.kw(at), Kw::Search | Kw::Cycle) {
            return Ok(at);
        }
        while at < t.len() {
            let next_query = t.tok(at) == Tok::Comma && {
                let behind = if t.tok(at + 2) == Tok::Open { t.mate(at + 2) + 1 } else { at + 2 };
                t.kw(behind) == Kw::As
            };
            match t.kw(at) {
                Kw::Select | Kw::Values | Kw::Table | Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge => {
                    return Ok(at);
                }
                _ if next_query || t.tok(at) == Tok::Open => return Ok(at),
                _ => at += 1,
            }
        }
        unexpected("a WITH without a statement")
    }

    /// The name is that of a `WITH` query that can be seen here.
    pub fn is_cte(&self, name: Name, mut env: Env) -> bool {
        while name.is_bare() && env != NO_ENV {
            let cte = self.ctes[env as usize - 1];
            if self.tokens.same_ident(cte.name, name.first) {
                return true;
            }
            env = cte.parent;
        }
        false
    }

    /// Walks a query's clauses, with all that a set operation strings together.
    pub fn query(&mut self, mut at: usize, end: usize, env: Env, top: bool) -> Walk<()> {
        let t = self.tokens;
        let mut inner = at; // tokens before this one stand in parentheses
        let mut wants_from = false;
        let mut queries = 0;
        let mut from = FromList::default();
        let mut condition: Option<usize> = None;
        while at < end {
            if at >= inner {
                match t.kw(at) {
                    Kw::Select => {
                        wants_from = true;
                        queries += 1;
                        at += 1;
                        continue;
                    }
                    Kw::From if !self.is_distinct_from(at) => {
                        if !std::mem::take(&mut wants_from) {
                            return unexpected("FROM where none is expected");
                        }
                        from = FromList::default();
                        at = self.tables_listed(at + 1, end, env, &mut from)?;
                        self.read_all(&from.tables);
                        continue;
                    }
                    Kw::Into => {
                        at = self.select_into(at, end, top)?;
                        continue;
                    }
                    Kw::Where if condition.is_none() => condition = Some(at + 1),
                    Kw::Union | Kw::Intersect | Kw::Except | Kw::Minus => queries += 1,
                    _ => (),
                }
                if t.tok(at) == Tok::Open {
                    inner = t.mate(at) + 1;
                }
            }
            at = self.step(at, end, env)?;
        }
        // Also of a query inside another: rows that its WHERE keeps out have no part in its answer.
        if let (true, 1, Some(condition)) = (env == NO_ENV, queries, condition) {
            self.scopes_read(&from, condition, end);
        }
        Ok(())
    }

    /// What the condition of a plain select says of each table in its `FROM`.
    fn scopes_read(&mut self, from: &FromList, condition: usize, end: usize) {
        if from.tables.len() > MOST_SCOPED {
            return;
        }
        for table in from.tables.iter().filter(|table| !table.is_cte) {
            let columns = match from.only_table() {
                Some(_) => Columns::Any,
                None if self.is_called_alone(table, from) => Columns::Qualified,
                None => continue,
            };
            let conjuncts = self.conditions(condition, end, *table, columns);
            if !conjuncts.is_empty() {
                let name = self.table(table.name);
                self.found.read_scopes.push((name, conjuncts));
            }
        }
    }

    /// The `FROM` of `IS [NOT] DISTINCT FROM`.
    pub fn is_distinct_from(&self, at: usize) -> bool {
        let t = self.tokens;
        at >= 2 && t.kw(at - 1) == Kw::Distinct && matches!(t.kw(at - 2), Kw::Is | Kw::Not)
    }

    pub fn read_all(&mut self, tables: &[TableRef]) {
        for table in tables.iter().filter(|t| !t.is_cte) {
            self.read(table.name);
        }
    }

    /// `SELECT ... INTO`: a new table in PostgreSQL, a file or variables in MySQL.
    fn select_into(&mut self, at: usize, end: usize, top: bool) -> Walk {
        let t = self.tokens;
        let mut at = at + 1;
        self.found.refuse(Uncacheable::Into);
        match self.dialect() {
            Dialect::Postgres if top => {
                let modifier =
                    |at| matches!(t.kw(at), Kw::Temp | Kw::Temporary | Kw::Unlogged | Kw::Local | Kw::Global);
                let closes = [
                    Kw::From,
                    Kw::Where,
                    Kw::Group,
                    Kw::Having,
                    Kw::Window,
                    Kw::Order,
                    Kw::Limit,
                    Kw::Offset,
                    Kw::Fetch,
                    Kw::For,
                    Kw::Union,
                    Kw::Intersect,
                    Kw::Except,
                ];
                let clause = |at| closes.contains(&t.kw(at));
                while modifier(at) && t.is_label(at + 1) && !clause(at + 1) {
                    at += 1;
                }
                let name = t.expect_name(t.skip(at, Kw::Table))?;
                self.wrote(name, Verb::Ddl);
                Ok(name.next())
            }
            Dialect::MySql if top && matches!(t.kw(at), Kw::Outfile | Kw::Dumpfile) => {
                self.found.kind = Some(Kind::Other);
                Ok(at + 1)
            }
            Dialect::MySql if top && t.tok(at) == Tok::Var => {
                self.found.kind = Some(Kind::Other);
                Ok(t.find(at, end, |p| !matches!(t.tok(p), Tok::Var | Tok::Comma)).unwrap_or(end))
            }
            _ => unexpected("INTO where none is expected"),
        }
    }
}
