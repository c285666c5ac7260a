//! Splits a text into statements, has each walked, and puts the findings together.

use std::collections::HashSet;

use super::PureFunctions;
use super::analysis::{Analysis, Dialect, Kind, Read, TableName, TransactionVerb, Uncacheable, Verb, Write};
use super::keyword::Kw;
use super::lexer::{self, Tok, Token};
use super::scope::{Conjunct, Scope};
use super::tokens::{Name, Shape, Tokens, Walk};

/// What `sql` touches when a server of this dialect runs it and these functions are pure, besides
/// those that are known.
///
/// Linear in the length of the text, and never panics.
pub fn analyse_with(dialect: Dialect, sql: &str, pure: &PureFunctions) -> Analysis {
    let lexed = match lexer::lex(dialect, sql) {
        Ok(lexed) => lexed,
        Err(why) => return Analysis::anything(why),
    };
    let mut tokens = lexed.tokens;
    let casts = dialect == Dialect::Postgres && tokens.iter().any(|token| may_cast(token, sql));
    if lexed.groups == 0 {
        return Analysis { casts, ..analyse_tokens(dialect, sql, &mut tokens, pure) };
    }
    // Which of the conditional comments run depends on the server: all answers at once hold.
    let variants = (0..1u32 << lexed.groups).map(|run| {
        let sees = |t: &&Token| t.group == 0 || run & (1 << (t.group - 1)) != 0;
        let mut seen: Vec<Token> = tokens.iter().filter(sees).copied().collect();
        analyse_tokens(dialect, sql, &mut seen, pure)
    });
    let mut all = variants.reduce(either).unwrap_or_else(|| Analysis::anything("no variant"));
    all.reads = distinct(std::mem::take(&mut all.reads));
    // A select made of the condition would be one of its readings only.
    all.writes.iter_mut().for_each(|write| write.filter = None);
    all
}

/// `::`, `CAST`, and functions that make the parts of a JSON text values of any type.
fn may_cast(token: &Token, sql: &str) -> bool {
    let text = || sql.as_bytes().get(token.start as usize..token.end as usize).unwrap_or_default();
    match token.tok {
        Tok::Cast => true,
        Tok::Word | Tok::Quoted => {
            let text = text();
            text.eq_ignore_ascii_case(b"cast")
                || text.windows(7).any(|part| part.eq_ignore_ascii_case(b"_record"))
        }
        _ => false,
    }
}

fn analyse_tokens(dialect: Dialect, sql: &str, tokens: &mut [Token], pure: &PureFunctions) -> Analysis {
    match Tokens::link(dialect, sql, tokens) {
        Ok(tokens) => Scan::new(tokens, pure).text(),
        Err(why) => Analysis::anything(why),
    }
}

/// Two readings of one text, of which a server takes one.
fn either(a: Analysis, b: Analysis) -> Analysis {
    let same_rows = a.writes == b.writes;
    let same_reads = a.reads == b.reads;
    let mut writes = a.writes;
    if !same_rows {
        writes.extend(b.writes);
        for write in &mut writes {
            write.scope = Scope::Unknown;
            write.before = Vec::new();
            write.assigned = None;
            write.filter = None;
        }
        // What both readings write is the same by now.
        let mut seen = HashSet::new();
        writes.retain(|w| seen.insert((w.table.clone(), w.verb)));
    }
    let mut reads = a.reads;
    if !same_reads {
        reads.extend(b.reads);
        reads.iter_mut().for_each(|read| read.scope = Scope::Unknown);
    }
    let same_verbs = a.transaction == b.transaction;
    let mut transaction = a.transaction;
    if !same_verbs {
        transaction.extend(b.transaction);
    }
    Analysis {
        kind: weightier(a.kind, b.kind),
        transaction,
        writes,
        writes_anything: a.writes_anything || b.writes_anything,
        why_anything: a.why_anything.or(b.why_anything),
        implicit_commit: a.implicit_commit || b.implicit_commit,
        returning: a.returning && b.returning,
        answers_rows: a.answers_rows || b.answers_rows,
        reads,
        calls: together(a.calls, b.calls),
        casts: a.casts || b.casts,
        cacheable: a.cacheable.and(b.cacheable),
    }
}

/// What is in either list, each once.
fn together(mut a: Vec<Box<str>>, b: Vec<Box<str>>) -> Vec<Box<str>> {
    for name in b {
        if !a.contains(&name) {
            a.push(name);
        }
    }
    a
}

/// The kind that counts when a text is several things.
fn weightier(a: Kind, b: Kind) -> Kind {
    let weight = |kind: Kind| match kind {
        Kind::Read => 0,
        Kind::Other => 1,
        Kind::Transaction(_) => 2,
        Kind::Write => 3,
        Kind::Ddl => 4,
    };
    if weight(a) > weight(b) { a } else { b }
}

/// Each table once, in the order of first mention.
fn distinct(mut reads: Vec<Read>) -> Vec<Read> {
    // A set pays only for long lists, which are rare.
    if reads.len() < 16 {
        let mut at = 1;
        while at < reads.len() {
            if reads[..at].iter().any(|read| read.table == reads[at].table) {
                reads.remove(at);
            } else {
                at += 1;
            }
        }
        return reads;
    }
    let mut seen = HashSet::with_capacity(reads.len());
    reads.retain(|read| seen.insert(read.table.clone()));
    reads
}

/// The names of the `WITH` clauses that a place can see: an index into [`Scan::ctes`], plus one.
pub(super) type Env = u32;

/// No `WITH` clause in sight.
pub(super) const NO_ENV: Env = 0;

/// One name that a `WITH` clause defines, and what else can be seen with it.
#[derive(Clone, Copy)]
pub(super) struct Cte {
    pub name: usize,
    pub parent: Env,
}

/// A query or statement in parentheses, to be walked later: depth costs no stack.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub at: usize,
    pub end: usize,
    pub env: Env,
}

/// PostgreSQL's `NAMEDATALEN`, less the zero at the end.
pub(super) const LONGEST_NAME: usize = 63;

/// What one statement was found to do.
#[derive(Default)]
pub(super) struct Found {
    pub kind: Option<Kind>,
    pub transaction: Vec<TransactionVerb>,
    pub writes: Vec<Write>,
    /// Every mention of a table read.
    pub reads: Vec<Read>,
    /// Functions called that a server has built in, each once.
    pub calls: Vec<Box<str>>,
    /// What the condition of a plain select says of the tables in its `FROM`.
    pub read_scopes: Vec<(TableName, Vec<Conjunct>)>,
    /// Why the statement may write anything.
    pub anything: Option<Box<str>>,
    pub uncacheable: Option<Uncacheable>,
    pub implicit_commit: bool,
}

impl Found {
    /// The first reason stays.
    pub fn refuse(&mut self, why: Uncacheable) {
        self.uncacheable.get_or_insert(why);
    }

    /// PostgreSQL cuts longer names off, so that another spelling may mean the same table or column.
    fn has_clipped_name(&self) -> bool {
        let long = |name: &str| name.len() > LONGEST_NAME;
        let table = |table: &TableName| long(&table.name) || table.schema.as_deref().is_some_and(long);
        let assigned = |write: &Write| write.assigned.iter().flatten().any(|a| long(&a.column));
        self.reads.iter().any(|read| table(&read.table))
            || self.writes.iter().any(|write| table(&write.table) || assigned(write))
    }

    pub fn anything(&mut self, why: &str) {
        self.anything.get_or_insert_with(|| why.into());
    }
}

/// The walk over one text.
pub(super) struct Scan<'a> {
    pub tokens: Tokens<'a>,
    /// What the user declares pure.
    pub pure: &'a PureFunctions,
    /// The first token of the only statement in the text.
    pub only: Option<usize>,
    /// What qualifies the columns of the table that was written last.
    pub target: Option<usize>,
    pub tasks: Vec<Task>,
    pub ctes: Vec<Cte>,
    pub found: Found,
    /// `FROM`s that belong to a function (`EXTRACT(year FROM x)`).
    pub excused: Vec<usize>,
    /// Placeholders before this token are in the arguments of a SQLite date function.
    pub dates_until: usize,
    /// A SQLite literal that makes a date function look at the clock.
    pub clock_literal: bool,
}

impl<'a> Scan<'a> {
    fn new(tokens: Tokens<'a>, pure: &'a PureFunctions) -> Scan<'a> {
        Scan {
            tokens,
            pure,
            only: None,
            target: None,
            tasks: Vec::new(),
            ctes: Vec::new(),
            found: Found::default(),
            excused: Vec::new(),
            dates_until: 0,
            clock_literal: false,
        }
    }

    pub fn dialect(&self) -> Dialect {
        self.tokens.dialect
    }

    fn text(mut self) -> Analysis {
        let mut whole: Option<Analysis> = None;
        let mut at = 0;
        while at < self.tokens.len() {
            if self.tokens.tok(at) == Tok::Semicolon {
                at += 1;
                continue;
            }
            let end = self.statement_end(at);
            self.found = Found::default();
            (self.dates_until, self.clock_literal, self.target) = (0, false, None);
            let last = || (end..self.tokens.len()).all(|place| self.tokens.tok(place) == Tok::Semicolon);
            self.only = (whole.is_none() && last()).then_some(at);
            let shape = self.statement(at, end);
            let mut part = self.answer(shape);
            let returning = self.returning(at, end);
            part.answers_rows = returning.is_some();
            part.returning = shape.is_ok()
                && part.writes.len() == 1
                && returning.is_some_and(|returning| self.returns_own_columns(at, returning, end));
            whole = Some(match whole {
                None => part,
                Some(before) => both(before, part),
            });
            at = end;
        }
        whole.unwrap_or_else(|| Analysis {
            // Nothing but white space and comments.
            writes_anything: false,
            why_anything: None,
            cacheable: Err(Uncacheable::NotASelect),
            ..Analysis::anything("")
        })
    }

    /// The semicolon that ends the statement here. Where statements hold statements (triggers,
    /// procedures, blocks) the rest of the text belongs to it.
    fn statement_end(&self, at: usize) -> usize {
        let all = self.tokens.len();
        let end = self.tokens.find(at, all, |place| self.tokens.tok(place) == Tok::Semicolon).unwrap_or(all);
        if self.holds_statements(at, end) { all } else { end }
    }

    /// Walks one statement and everything in it.
    fn statement(&mut self, at: usize, end: usize) -> Walk<()> {
        self.dispatch(at, end)?;
        self.finish_tasks()
    }

    /// Walks what was put off.
    pub fn finish_tasks(&mut self) -> Walk<()> {
        while let Some(task) = self.tasks.pop() {
            self.body(task.at, task.end, task.env, false)?;
        }
        if self.clock_literal && self.dates_until > 0 {
            self.found.refuse(Uncacheable::Volatile("'now'".into()));
        }
        Ok(())
    }

    /// Which walk a statement needs, by its first word.
    pub fn dispatch(&mut self, at: usize, end: usize) -> Walk<()> {
        match self.tokens.kw(at) {
            Kw::Select | Kw::Values | Kw::Table | Kw::With => self.body(at, end, NO_ENV, true),
            Kw::Insert | Kw::Replace | Kw::Update | Kw::Delete | Kw::Merge => {
                self.body(at, end, NO_ENV, true)
            }
            Kw::None if self.tokens.tok(at) == Tok::Open => self.body(at, end, NO_ENV, true),
            Kw::Truncate | Kw::Copy | Kw::Load | Kw::Refresh => self.mass_write(at, end),
            Kw::Create | Kw::Alter | Kw::Drop | Kw::Rename => self.definition(at, end),
            _ => self.session(at, end),
        }
    }

    /// The findings of one statement as an answer.
    fn answer(&mut self, shape: Walk<()>) -> Analysis {
        let mut found = std::mem::take(&mut self.found);
        if let Err(why) = shape {
            self.tasks.clear();
            found.anything = Some(why.into());
            found.kind = Some(Kind::Other);
            found.uncacheable = Some(Uncacheable::Unknown);
        }
        if self.dialect() == Dialect::Postgres && found.has_clipped_name() {
            found.anything("a name that is longer than the server's");
            found.refuse(Uncacheable::Unknown);
        }
        let has = |verb: Verb| found.writes.iter().any(|w| w.verb == verb);
        let kind = match found.kind {
            Some(kind) => kind,
            None if has(Verb::Ddl) => Kind::Ddl,
            None if !found.writes.is_empty() => Kind::Write,
            None => Kind::Read,
        };
        let mentions = found.reads;
        let cacheable = match found.uncacheable {
            _ if kind != Kind::Read && shape.is_ok() => Err(Uncacheable::NotASelect),
            Some(why) => Err(why),
            None if found.anything.is_some() => Err(Uncacheable::Unknown),
            None if mentions.is_empty() => Err(Uncacheable::NoTable),
            None => Ok(()),
        };
        let scopes = if cacheable.is_ok() { found.read_scopes } else { Vec::new() };
        let commits = kind == Kind::Ddl || has(Verb::Truncate) || found.implicit_commit;
        Analysis {
            kind,
            transaction: found.transaction,
            writes: found.writes,
            writes_anything: found.anything.is_some(),
            why_anything: found.anything,
            implicit_commit: self.dialect() == Dialect::MySql && commits,
            returning: false,
            answers_rows: false,
            reads: scoped(mentions, scopes),
            calls: found.calls,
            casts: false,
            cacheable,
        }
    }

    /// The table's name as the answer has it.
    pub fn table(&self, name: Name) -> TableName {
        let mut schema: Option<String> = None;
        let mut at = name.first;
        while at < name.last {
            let part = self.tokens.ident(at);
            match &mut schema {
                None => schema = Some(part.into_owned()),
                Some(all) => {
                    all.push('.');
                    all.push_str(&part);
                }
            }
            at += 2;
        }
        TableName { schema: schema.map(Into::into), name: self.tokens.ident(name.last).into() }
    }

    /// Notes a write of which no more is known than the table.
    pub fn wrote(&mut self, name: Name, verb: Verb) {
        let assigned = (!matches!(verb, Verb::Other | Verb::Upsert | Verb::Replace)).then(Vec::new);
        let table = self.table(name);
        let (scope, before) = (Scope::Unknown, Vec::new());
        self.found.writes.push(Write { table, verb, scope, before, assigned, filter: None, adjusts: false });
    }

    /// Notes a table read, and what kind of table forbids keeping what was read.
    pub fn read(&mut self, name: Name) {
        let table = self.table(name);
        if self.dialect() == Dialect::MySql
            && table.schema.is_none()
            && table.name.eq_ignore_ascii_case("dual")
        {
            return;
        }
        if let Some(why) = of_the_server(self.dialect(), &table) {
            self.found.refuse(why);
        }
        self.found.reads.push(Read { table, scope: Scope::Unknown });
    }
}

/// One statement behind the other.
fn both(a: Analysis, b: Analysis) -> Analysis {
    let kind = match (a.writes_anything && a.kind == Kind::Other, b.writes_anything && b.kind == Kind::Other)
    {
        (false, false) => weightier(a.kind, b.kind),
        _ => Kind::Other,
    };
    let mut transaction = a.transaction;
    transaction.extend(b.transaction);
    let mut writes = a.writes;
    writes.extend(b.writes);
    // What one statement says of its rows does not hold for the other.
    let mut reads = a.reads;
    reads.extend(b.reads);
    reads.iter_mut().for_each(|read| read.scope = Scope::Unknown);
    Analysis {
        kind,
        transaction,
        writes,
        writes_anything: a.writes_anything || b.writes_anything,
        why_anything: a.why_anything.or(b.why_anything),
        implicit_commit: a.implicit_commit || b.implicit_commit,
        returning: false,
        answers_rows: false,
        reads: distinct(reads),
        calls: together(a.calls, b.calls),
        casts: a.casts || b.casts,
        cacheable: Err(Uncacheable::Several),
    }
}

/// Each table once, with its scope if it is mentioned once. Names that may mean the same table
/// count as mentions of one.
fn scoped(mentions: Vec<Read>, scopes: Vec<(TableName, Vec<Conjunct>)>) -> Vec<Read> {
    let scopes: Vec<_> = scopes
        .into_iter()
        .filter(|(table, _)| mentions.iter().filter(|read| read.table.fold() == table.fold()).count() == 1)
        .collect();
    let mut reads = distinct(mentions);
    for (table, conjuncts) in scopes {
        if let Some(read) = reads.iter_mut().find(|read| read.table == table) {
            read.scope = Scope::Where(conjuncts);
        }
    }
    reads
}

/// Tables that describe the database, or that each session has its own of.
fn of_the_server(dialect: Dialect, table: &TableName) -> Option<Uncacheable> {
    let is = |text: &str, names: &[&str]| names.iter().any(|n| text.eq_ignore_ascii_case(n));
    let begins =
        |prefix: &str| table.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let schema = table.schema.as_deref().unwrap_or("");
    let schema = schema.rsplit('.').next().unwrap_or(schema);
    let (catalog, session) = match dialect {
        Dialect::Postgres => (
            is(schema, &["information_schema", "pg_catalog"]) || (schema.is_empty() && begins("pg_")),
            schema.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("pg_temp")),
        ),
        Dialect::MySql => (is(schema, &["information_schema", "performance_schema", "mysql", "sys"]), false),
        Dialect::Sqlite => (begins("sqlite_") || begins("pragma_"), is(schema, &["temp"])),
    };
    let name = || table.to_string().into();
    match (catalog, session) {
        (true, _) => Some(Uncacheable::Catalog(name())),
        (_, true) => Some(Uncacheable::Session(name())),
        _ => None,
    }
}

/// A walk that ended where it should have gone on.
pub(super) fn unexpected<T>(what: Shape) -> Walk<T> {
    Err(what)
}
