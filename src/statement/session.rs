//! Statements that are neither queries nor changes: transaction control, settings, `EXPLAIN`,
//! prepared statements, maintenance. What is not listed here may write anything.

use super::analysis::{Dialect, Kind, TransactionVerb, Uncacheable, Verb};
use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::{NO_ENV, Scan, unexpected};
use super::scope::Scope;
use super::tokens::Walk;

impl Scan<'_> {
    /// Any statement that the other walks do not know.
    pub fn session(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let (mysql, postgres) = (self.dialect() == Dialect::MySql, self.dialect() == Dialect::Postgres);
        self.found.kind = Some(Kind::Other);
        match t.kw(at) {
            Kw::Begin | Kw::Start | Kw::Commit | Kw::End | Kw::Rollback | Kw::Abort | Kw::Savepoint => {
                self.transaction(at, end)
            }
            Kw::Release | Kw::Xa => self.transaction(at, end),
            Kw::Prepare if t.kw(at + 1) == Kw::Transaction => self.transaction(at, end),
            Kw::Set => self.set(at, end),
            Kw::Explain | Kw::Desc | Kw::Describe => self.explain(at, end),
            Kw::Analyze | Kw::Analyse if mysql && !matches!(t.kw(at + 1), Kw::Table | Kw::Local) => {
                self.analyze(at, end)
            }
            Kw::Declare => self.declare(at, end),
            Kw::Do if mysql => self.steps(at + 1, end, NO_ENV).map(|_| ()),
            Kw::Repair if mysql => self.repair(at, end),
            Kw::Analyze
            | Kw::Analyse
            | Kw::Optimize
            | Kw::Check
            | Kw::Checksum
            | Kw::Flush
            | Kw::Lock
            | Kw::Grant
            | Kw::Revoke
            | Kw::Unlock => {
                self.found.implicit_commit = true;
                Ok(())
            }
            Kw::Reset
            | Kw::Show
            | Kw::Discard
            | Kw::Use
            | Kw::Pragma
            | Kw::Attach
            | Kw::Detach
            | Kw::Vacuum
            | Kw::Reindex
            | Kw::Cluster
            | Kw::Checkpoint
            | Kw::Notify
            | Kw::Listen
            | Kw::Unlisten
            | Kw::Comment
            | Kw::Security
            | Kw::Prepare
            | Kw::Deallocate
            | Kw::Fetch
            | Kw::Move
            | Kw::Close
            | Kw::Handler
            | Kw::Kill => Ok(()),
            Kw::Call | Kw::Do | Kw::Execute => unexpected("it runs code that the text does not show"),
            _ if postgres && t.is_word(at, "reassign") => Ok(()),
            _ => unexpected("a statement that is not known"),
        }
    }

    fn control(&mut self, verb: TransactionVerb) {
        self.found.transaction.push(verb);
        self.found.kind = Some(Kind::Transaction(verb));
    }

    /// `BEGIN` and everything that ends or marks a transaction.
    fn transaction(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let prepared = t.kw(at + 1) == Kw::Prepared;
        // `ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] x`
        let target = if matches!(t.kw(at + 1), Kw::Work | Kw::Transaction) { at + 2 } else { at + 1 };
        let verb = match t.kw(at) {
            Kw::Begin if t.kw(at + 1) == Kw::Not => return unexpected("a block of statements"),
            // START SLAVE and the like let writes of another server in.
            Kw::Start if t.kw(at + 1) != Kw::Transaction => return unexpected("a START that is not known"),
            Kw::Begin | Kw::Start => TransactionVerb::Begin,
            Kw::Commit | Kw::End if prepared => TransactionVerb::CommitPrepared,
            Kw::Commit | Kw::End => TransactionVerb::Commit,
            Kw::Rollback if t.kw(target) == Kw::To => TransactionVerb::RollbackTo,
            Kw::Rollback | Kw::Abort => TransactionVerb::Rollback,
            Kw::Savepoint => TransactionVerb::Savepoint,
            Kw::Release => TransactionVerb::Release,
            Kw::Prepare => TransactionVerb::Prepare,
            _ => self.xa(at + 1)?,
        };
        if verb == TransactionVerb::CommitPrepared {
            self.found.anything("another session's writes become visible");
        }
        self.found.implicit_commit = verb == TransactionVerb::Begin;
        self.control(verb);
        // AND CHAIN begins the next one at once.
        let is_chain = |p| t.is_word(p, "chain") && t.kw_before(p) == Kw::And;
        if t.find(at, end, is_chain).is_some() {
            self.found.transaction.push(TransactionVerb::Begin);
        }
        Ok(())
    }

    fn xa(&self, at: usize) -> Walk<TransactionVerb> {
        Ok(match self.tokens.kw(at) {
            Kw::Start | Kw::Begin => TransactionVerb::Begin,
            Kw::End | Kw::Prepare => TransactionVerb::Prepare,
            Kw::Commit => TransactionVerb::CommitPrepared,
            Kw::Rollback => TransactionVerb::Rollback,
            Kw::Recover => TransactionVerb::Other,
            _ => return unexpected("an XA statement that is not known"),
        })
    }

    fn set(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let scope = matches!(t.kw(at + 1), Kw::Session | Kw::Local | Kw::Global);
        let first = if scope { at + 2 } else { at + 1 };
        let characteristics = scope && t.is_word(at + 2, "characteristics");
        if matches!(t.kw(first), Kw::Transaction | Kw::Constraints) || characteristics {
            self.control(TransactionVerb::Other);
            return Ok(());
        }
        if self.dialect() != Dialect::MySql {
            return Ok(());
        }
        if t.kw(first) == Kw::Statement {
            let stop = t.find_kw(first, end, Kw::For).ok_or("SET STATEMENT without FOR")?;
            return self.wrapped(stop + 1, end, true);
        }
        let is_autocommit = |p| {
            t.kw(p) == Kw::Autocommit
                || (t.tok(p) == Tok::Var && t.text(p).to_ascii_lowercase().ends_with("autocommit"))
        };
        // Anywhere in the list: SET a = 1, autocommit = 1.
        let switches = t.find(first, end, |p| is_autocommit(p) || (t.is_word(p, "autocommit"))).is_some();
        self.steps(first, end, NO_ENV)?;
        if switches {
            self.found.implicit_commit = true;
            self.control(TransactionVerb::Autocommit);
        }
        Ok(())
    }

    fn explain(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let mut at = at + 1;
        let mut runs = false;
        if t.tok(at) == Tok::Open && !t.opens_query(at) && !t.tokens_are_a_query(at) {
            let close = t.mate(at);
            runs = self.analyze_option(at + 1, close);
            at = close + 1;
        }
        loop {
            match t.kw(at) {
                Kw::Analyze | Kw::Analyse => {
                    runs = true;
                    at += 1;
                }
                Kw::Verbose | Kw::Extended | Kw::Partitions => at += 1,
                Kw::Query if t.kw(at + 1) == Kw::Plan => at += 2,
                Kw::Format if t.tok(at + 1) == Tok::Eq => at += 3,
                _ => break,
            }
        }
        let statement = match t.kw(at) {
            Kw::Select
            | Kw::Values
            | Kw::Table
            | Kw::With
            | Kw::Insert
            | Kw::Replace
            | Kw::Update
            | Kw::Delete => true,
            Kw::Merge | Kw::Create | Kw::Refresh | Kw::Execute | Kw::Declare => true,
            _ => t.tok(at) == Tok::Open,
        };
        match statement {
            true => self.wrapped(at, end, runs),
            // A table to describe, or a connection.
            false if runs => unexpected("an EXPLAIN that is not known"),
            false => Ok(()),
        }
    }

    /// PostgreSQL's `EXPLAIN (ANALYZE, BUFFERS)`: whether the last such option says yes.
    fn analyze_option(&self, mut at: usize, close: usize) -> bool {
        let t = self.tokens;
        let mut runs = false;
        while at < close {
            if matches!(t.kw(at), Kw::Analyze | Kw::Analyse) {
                let text = t.ident(at + 1);
                runs = !["false", "off", "0"].iter().any(|no| text.eq_ignore_ascii_case(no));
            }
            at += 1;
        }
        runs
    }

    /// MariaDB's `ANALYZE [FORMAT=JSON] statement` runs the statement.
    fn analyze(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let at = if t.kw(at + 1) == Kw::Format { at + 4 } else { at + 1 };
        if t.is_word(at, "no_write_to_binlog") {
            return Ok(());
        }
        self.wrapped(at, end, true)
    }

    /// A statement inside another, which runs it, or only looks at how it would run.
    fn wrapped(&mut self, at: usize, end: usize, runs: bool) -> Walk<()> {
        self.found.kind = None;
        self.dispatch(at, end)?;
        self.finish_tasks()?;
        let writes = !self.found.writes.is_empty();
        if !runs {
            if writes {
                self.found.reads.clear();
            }
            self.found.writes.clear();
            self.found.transaction.clear();
        }
        for write in &mut self.found.writes {
            write.scope = Scope::Unknown;
            write.before = Vec::new();
        }
        self.found.read_scopes.clear();
        let ddl = self.found.kind == Some(Kind::Ddl) || self.found.writes.iter().any(|w| w.verb == Verb::Ddl);
        self.found.implicit_commit &= runs;
        self.found.kind = match (runs && writes, ddl) {
            (true, true) => Some(Kind::Ddl),
            (true, false) => Some(Kind::Write),
            _ => Some(Kind::Other),
        };
        self.found.refuse(Uncacheable::NotASelect);
        Ok(())
    }

    /// `DECLARE c CURSOR FOR SELECT ...`: runs when it is fetched from.
    fn declare(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        let cursor = t.find_kw(at, end, Kw::Cursor).ok_or("a DECLARE that is not known")?;
        let query = t.find_kw(cursor, end, Kw::For).ok_or("a cursor without a query")?;
        self.body(query + 1, end, NO_ENV, false)
    }

    /// `REPAIR TABLE t`: rows can get lost.
    fn repair(&mut self, at: usize, end: usize) -> Walk<()> {
        let t = self.tokens;
        self.found.implicit_commit = true;
        let mut at = t
            .find(at, end, |p| matches!(t.kw(p), Kw::Table | Kw::Tables))
            .ok_or("a REPAIR that is not known")?
            + 1;
        loop {
            let name = t.expect_name(at)?;
            self.wrote(name, Verb::Other);
            if t.tok(name.next()) != Tok::Comma {
                return Ok(());
            }
            at = name.next() + 1;
        }
    }
}

impl super::tokens::Tokens<'_> {
    /// The group here holds a query in further parentheses.
    fn tokens_are_a_query(&self, at: usize) -> bool {
        let mut at = at;
        while self.tok(at) == Tok::Open {
            if self.opens_query(at) {
                return true;
            }
            at += 1;
        }
        false
    }
}
