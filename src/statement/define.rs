//! Statements that change tables or whole tables' contents: `CREATE`, `ALTER`, `DROP`, `RENAME`,
//! `TRUNCATE`, `COPY`, `LOAD DATA`, `REFRESH`.

use super::analysis::{Dialect, Kind, Uncacheable, Verb};
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{NO_ENV, Scan, Task, unexpected};
use super::tokens::Walk;

impl Scan<'_> {
    /// The statement that ends at `end` may go on behind it, because it holds statements.
    pub fn holds_statements(&self, at: usize, end: usize) -> bool {
        let t = self.tokens;
        let mysql = self.dialect() == Dialect::MySql;
        match t.kw(at) {
            Kw::Create | Kw::Alter => match t.kw(self.object(at + 1, end)) {
                Kw::Trigger => self.dialect() != Dialect::Postgres,
                Kw::Function | Kw::Procedure => true,
                Kw::Event => mysql,
                _ => mysql && t.is_word(at + 1, "package"),
            },
            Kw::Begin => mysql && t.kw(at + 1) == Kw::Not,
            _ => false,
        }
    }

    /// The word that says what is created, altered or dropped.
    fn object(&self, at: usize, end: usize) -> usize {
        let t = self.tokens;
        let modifier = |at| match t.kw(at) {
            Kw::Or | Kw::Replace | Kw::Temp | Kw::Temporary | Kw::Local | Kw::Global | Kw::Unlogged => true,
            Kw::Unique | Kw::Virtual | Kw::Materialized | Kw::Recursive | Kw::Foreign | Kw::Constraint => {
                true
            }
            Kw::Ignore => self.dialect() == Dialect::MySql,
            _ => ["fulltext", "spatial", "vector", "online", "offline"].iter().any(|w| t.is_word(at, w)),
        };
        let mut place = at;
        while modifier(place) {
            place += 1;
        }
        // DEFINER = 'a'@'b', ALGORITHM = MERGE, SQL SECURITY INVOKER
        let options = ["definer", "algorithm", "sql", "aggregate"];
        if self.dialect() == Dialect::MySql && options.iter().any(|w| t.is_word(place, w)) {
            let object = |p| {
                matches!(
                    t.kw(p),
                    Kw::View | Kw::Trigger | Kw::Function | Kw::Procedure | Kw::Event | Kw::Table
                )
            };
            return t.find(place, end, object).unwrap_or(place);
        }
        place
    }

    /// `CREATE`, `ALTER`, `DROP`, `RENAME`. What is not a table, or hangs on one that is not named,
    /// may change what any query means.
    pub fn definition(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        self.found.kind = Some(Kind::Ddl);
        let object = self.object(at + 1, end);
        if matches!(t.kw(object), Kw::User | Kw::Role) {
            self.found.kind = Some(Kind::Other);
            self.found.implicit_commit = true;
            return Ok(());
        }
        let names_tables = matches!(
            t.kw(object),
            Kw::Table | Kw::Tables | Kw::View | Kw::Sequence | Kw::Index | Kw::Trigger | Kw::Policy
        );
        match t.kw(at) {
            Kw::Rename if matches!(t.kw(object), Kw::Table | Kw::Tables) => self.rename(object + 1, end),
            _ if !names_tables => {
                self.found.anything("a definition of something that is not a table");
                Ok(())
            }
            Kw::Create => self.create(object, end),
            Kw::Alter => self.alter(object, end),
            Kw::Drop => self.drop_objects(object, end),
            _ => unexpected("a definition that is not known"),
        }
    }

    fn skip_exists(&self, at: usize) -> usize {
        let t = self.tokens;
        let at = t.skip_all(at, &[Kw::If, Kw::Not, Kw::Exists]);
        t.skip_all(at, &[Kw::If, Kw::Exists])
    }

    /// What hangs on a table: an index, a trigger, a policy. The table is the name behind ON.
    fn on_table(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let on = t.find_kw(at, end, Kw::On);
        match on.and_then(|on| t.name(self.skip_only(on + 1))) {
            Some(name) => self.wrote(name, Verb::Ddl),
            None => self.found.anything("a definition that does not name its table"),
        }
        Ok(())
    }

    fn create(&mut self, object: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        match t.kw(object) {
            Kw::Trigger if t.find(object, end, |p| t.tok(p) == Tok::Semicolon).is_some() => {
                self.found.anything("a trigger");
                return Ok(());
            }
            Kw::Index | Kw::Trigger | Kw::Policy => return self.on_table(object, end),
            _ => (),
        }
        let name = t.expect_name(self.skip_exists(object + 1))?;
        self.wrote(name, Verb::Ddl);
        match t.kw(object) {
            Kw::Sequence => Ok(()),
            Kw::View => {
                // A plain view's query does not run now, so what it calls does no harm yet.
                let runs = t.kw(object - 1) == Kw::Materialized;
                let anything = self.found.anything.clone();
                self.defining_query(name.next(), end)?;
                self.finish_tasks()?;
                if !runs {
                    self.found.anything = anything;
                }
                Ok(())
            }
            _ => {
                self.parents(name.next(), end);
                self.defining_query(name.next(), end)
            }
        }
    }

    /// `INHERITS (a, b)` and `PARTITION OF a`: what is read from them changes.
    fn parents(&mut self, at: usize, end: usize) {
        let t = self.tokens;
        let of = t.find(at, end, |p| t.are(p, &[Kw::Partition, Kw::Of]));
        if let Some(parent) = of.and_then(|of| t.name(of + 2)) {
            self.wrote(parent, Verb::Ddl);
        }
        let list = t.find(at, end, |p| t.kw(p) == Kw::Inherits && t.tok(p + 1) == Tok::Open);
        if let Some(list) = list {
            let mut at = list + 2;
            while let Some(name) = t.name(at) {
                self.wrote(name, Verb::Ddl);
                at = name.next() + 1;
            }
        }
    }

    /// The query behind the definition of a table or view, with or without AS and parentheses.
    fn defining_query(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let starts = |p: usize| match t.kw(p) {
            Kw::Select | Kw::Values => true,
            Kw::Table | Kw::Execute => t.kw_before(p) == Kw::As,
            Kw::With => t.kw_before(p) == Kw::As || t.kw(p + 2) == Kw::As,
            _ => t.opens_query(p) || (t.tok(p) == Tok::Open && t.kw_before(p) == Kw::As),
        };
        let Some(query) = t.find(at, end, starts) else { return Ok(()) };
        if t.kw(query) == Kw::Execute {
            self.found.anything("a prepared statement");
            return Ok(());
        }
        // PostgreSQL and MySQL put options behind the query.
        let is_option = |p: usize| {
            t.kw(p) == Kw::With
                && (t.kw(p + 1) == Kw::No
                    || t.is_word(p + 1, "data")
                    || t.kw(p + 1) == Kw::Check
                    || t.is_word(p + 1, "cascaded")
                    || t.kw(p + 1) == Kw::Local)
        };
        let end = t.find(query, end, is_option).unwrap_or(end);
        self.tasks.push(Task { at: query, end, env: NO_ENV });
        Ok(())
    }

    fn alter(&mut self, object: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        match t.kw(object) {
            Kw::Index => {
                self.found.anything("an index does not say whose it is");
                return Ok(());
            }
            Kw::Trigger | Kw::Policy => return self.on_table(object, end),
            Kw::Table if t.kw(object + 1) == Kw::All => {
                self.found.anything("all tables");
                return Ok(());
            }
            _ => (),
        }
        let name = t.expect_name(self.skip_only(self.skip_exists(object + 1)))?;
        self.wrote(name, Verb::Ddl);
        if t.kw(object) == Kw::View {
            self.defining_query(name.next(), end)?;
        }
        let mut at = name.next();
        while at < end {
            let other = match t.kw(at) {
                Kw::Rename => self.new_name(at + 1),
                // EXCHANGE PARTITION p WITH TABLE x, CONVERT TABLE x
                Kw::Table => Some(at + 1),
                Kw::Inherit => Some(at + 1),
                Kw::Partition if matches!(t.kw_before(at), Kw::Attach | Kw::Detach) => Some(at + 1),
                // ALTER COLUMN a TYPE x USING f(a) runs the expression on each row.
                Kw::Using if self.dialect() == Dialect::Postgres => {
                    let next = t.find(at, end, |p| t.tok(p) == Tok::Comma).unwrap_or(end);
                    self.steps(at + 1, next, NO_ENV)?;
                    None
                }
                _ => None,
            };
            if let Some(name) = other.and_then(|at| t.name(at)) {
                self.wrote(name, Verb::Ddl);
            }
            at = t.hop(at);
        }
        Ok(())
    }

    /// The new name in `RENAME [TO] x`, unless a column or an index is renamed.
    fn new_name(&self, at: usize) -> Option<usize> {
        let t = self.tokens;
        match t.kw(at) {
            Kw::To | Kw::As => Some(at + 1),
            Kw::Index | Kw::Key | Kw::Constraint => None,
            _ if t.is_word(at, "column") || t.kw(at + 1) == Kw::To => None,
            _ => Some(at),
        }
    }

    fn drop_objects(&mut self, object: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        if matches!(t.kw(object), Kw::Index | Kw::Trigger | Kw::Policy) {
            return self.on_table(object, end);
        }
        let at = self.table_list(self.skip_exists(object + 1), Verb::Ddl)?;
        if t.find_kw(at, end, Kw::Cascade).is_some() && self.dialect() == Dialect::Postgres {
            self.found.anything("CASCADE drops what depends on it");
        }
        Ok(())
    }

    /// Notes `a, b *, ONLY c` as written.
    fn table_list(&mut self, mut at: usize, verb: Verb) -> Walk {
        let t = self.tokens;
        loop {
            let name = t.expect_name(self.skip_only(at))?;
            self.wrote(name, verb);
            at = name.next() + usize::from(t.tok(name.next()) == Tok::Star);
            if t.tok(at) != Tok::Comma {
                return Ok(at);
            }
            at += 1;
        }
    }

    /// `RENAME TABLE a TO b, c TO d`.
    fn rename(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let mut at = self.skip_exists(at);
        loop {
            let old = t.expect_name(at)?;
            self.wrote(old, Verb::Ddl);
            let to = t.find_kw(old.next(), end, Kw::To).ok_or("RENAME without TO")?;
            let new = t.expect_name(to + 1)?;
            self.wrote(new, Verb::Ddl);
            match t.tok(new.next()) {
                Tok::Comma => at = new.next() + 1,
                _ if new.next() >= end => return Ok(()),
                _ => return unexpected("a RENAME that is not known"),
            }
        }
    }

    /// `TRUNCATE`, `COPY`, `LOAD DATA`, `REFRESH`.
    pub fn mass_write(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        match t.kw(at) {
            Kw::Truncate => self.truncate(at, end),
            Kw::Copy => self.copy(at, end),
            Kw::Load => self.load(at, end),
            _ if t.are(at + 1, &[Kw::Materialized, Kw::View]) => {
                let name = t.expect_name(t.skip(at + 3, Kw::Concurrently))?;
                self.wrote(name, Verb::Other);
                Ok(())
            }
            _ => unexpected("a statement that is not known"),
        }
    }

    fn truncate(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let at = self.table_list(t.skip(at + 1, Kw::Table), Verb::Truncate)?;
        for place in at..end {
            let harmless = ["restart", "continue", "identity", "restrict", "wait", "nowait"];
            match t.kw(place) {
                Kw::Cascade => self.found.anything("CASCADE empties what refers to it"),
                _ if t.tok(place) == Tok::Num || harmless.iter().any(|w| t.is_word(place, w)) => (),
                _ => return unexpected("a TRUNCATE that is not known"),
            }
        }
        Ok(())
    }

    /// `COPY table FROM`, `COPY table TO`, `COPY (query) TO`.
    fn copy(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        self.found.refuse(Uncacheable::Into);
        if t.tok(at + 1) == Tok::Open {
            return self.body(at + 2, t.mate(at + 1), NO_ENV, false);
        }
        let name = t.expect_name(at + 1)?;
        let columns = name.next();
        let direction = if t.tok(columns) == Tok::Open { t.mate(columns) + 1 } else { columns };
        match t.kw(direction) {
            Kw::From => {
                self.wrote(name, Verb::Other);
                if let Some(filter) = t.find_kw(direction, end, Kw::Where) {
                    self.steps(filter, end, NO_ENV)?;
                }
            }
            Kw::To => self.read(name),
            _ => return unexpected("a COPY that is not known"),
        }
        Ok(())
    }

    /// MySQL's `LOAD DATA ... INTO TABLE x`.
    fn load(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let into = t.find(at, end, |p| t.are(p, &[Kw::Into, Kw::Table]));
        let into = into.filter(|_| self.dialect() == Dialect::MySql).ok_or("a LOAD that is not known")?;
        let name = t.expect_name(into + 2)?;
        self.wrote(name, Verb::Other);
        // CHARACTER SET comes before, without an equals sign.
        let is_set = |p| t.kw(p) == Kw::Set && !t.is_word(p - 1, "character");
        if let Some(set) = t.find(name.next(), end, is_set) {
            self.steps(set + 1, end, NO_ENV)?;
        }
        Ok(())
    }
}
