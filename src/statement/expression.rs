//! Expressions: the flat walk that finds subqueries, calls, and whatever forbids keeping a result.
//!
//! Parentheses are stepped into, not descended: a subquery becomes a task for later, so nesting
//! costs neither stack nor a second look.

use super::analysis::{Dialect, Uncacheable};
use super::function::{self, Class};
use super::keyword::Kw;
use super::lexer::{NO_LINK, Tok};
use super::scan::{Env, Scan, Task, analyse_with, unexpected};
use super::tokens::{Name, Walk};

impl Scan<'_> {
    /// Walks a range of expressions.
    pub fn steps(&mut self, mut at: usize, end: usize, env: Env) -> Walk {
        while at < end {
            at = self.step(at, end, env)?;
        }
        Ok(at)
    }

    /// Looks at one token; comes back with the next to look at.
    pub fn step(&mut self, at: usize, end: usize, env: Env) -> Walk {
        let t = self.tokens;
        match t.tok(at) {
            Tok::Word if t.kw(at) == Kw::None => return self.plain_word(at),
            Tok::Word => return self.keyword(at, end, env),
            Tok::Quoted if t.tok(at + 1) == Tok::Open => return self.plain_word(at),
            Tok::Open if t.opens_query(at) => {
                let close = t.mate(at);
                self.tasks.push(Task { at: at + 1, end: close, env });
                return Ok(close + 1);
            }
            // The type behind it may have a name like a function.
            Tok::Cast => return Ok(t.name(at + 1).map_or(at + 1, Name::next)),
            Tok::Param if at < self.dates_until => {
                self.found.refuse(Uncacheable::Volatile("a bound date that may be 'now'".into()));
            }
            Tok::Var => self.found.refuse(Uncacheable::Session(t.text(at).into())),
            Tok::Str | Tok::OddStr => self.literal(at),
            // SQLite takes a name in double quotes that no column has for a literal.
            Tok::Quoted if at < self.dates_until => self.literal(at),
            _ => (),
        }
        Ok(at + 1)
    }

    /// Literals that mean the time at which they are read.
    fn literal(&mut self, at: usize) {
        let text = self.tokens.text(at);
        match self.dialect() {
            Dialect::Postgres if text.len() < 64 && function::may_mean_now(text) => {
                self.found.refuse(Uncacheable::Volatile(text.into()));
            }
            Dialect::Sqlite if text.len() < 16 => {
                let word = text.trim_matches(['\'', '"', ' ']);
                // Without a time before it, a modifier for fractions of a second is one of the time that is now.
                let clock = ["now", "localtime", "utc", "subsec", "subsecond"];
                self.clock_literal |= clock.iter().any(|c| word.eq_ignore_ascii_case(c));
            }
            _ => (),
        }
    }

    /// A name: of a column, or of a function.
    fn plain_word(&mut self, at: usize) -> Walk {
        let t = self.tokens;
        if t.is_word(at, "previous") && t.are(at + 1, &[Kw::Value, Kw::For]) {
            self.found.refuse(Uncacheable::Session("PREVIOUS VALUE FOR".into()));
            return Ok(at + 3);
        }
        if t.tok(at + 1) == Tok::Open {
            // The qualifiers, if any, were stepped over before.
            let mut first = at;
            while first >= 2 && t.tok(first - 1) == Tok::Dot {
                first -= 2;
            }
            self.call(Name { first, last: at })?;
        }
        Ok(at + 1)
    }

    fn keyword(&mut self, at: usize, end: usize, env: Env) -> Walk {
        let t = self.tokens;
        let kw = t.kw(at);
        match kw {
            // An alias or a type, whatever it is called.
            Kw::As => return Ok(t.name(at + 1).map_or(t.next_label(at + 1), Name::next)),
            Kw::Select => {
                let close = t.find(at, end, |p| t.tok(p) == Tok::Close).unwrap_or(end);
                self.tasks.push(Task { at, end: close, env });
                return Ok(close);
            }
            Kw::Table => {
                let name = t.expect_name(at + 1)?;
                self.read_unless_cte(name, env);
                return Ok(name.next());
            }
            Kw::In if self.dialect() == Dialect::Sqlite && t.is_label(at + 1) => {
                let name = t.expect_name(at + 1)?;
                if t.tok(name.next()) == Tok::Open {
                    self.call(name)?;
                } else {
                    self.read_unless_cte(name, env);
                }
                return Ok(name.next());
            }
            Kw::From => return self.stray_from(at),
            Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge | Kw::Replace => return self.write_word(at),
            Kw::With => {
                let query =
                    t.kw(at + 1) == Kw::Recursive || t.kw(at + 2) == Kw::As || t.tok(at + 2) == Tok::Open;
                return if query { unexpected("WITH where none is expected") } else { Ok(at + 1) };
            }
            Kw::Join | Kw::Into => return unexpected("JOIN or INTO where none is expected"),
            Kw::For => self.for_clause(at),
            Kw::Lock if t.kw(at + 1) == Kw::In => self.found.refuse(Uncacheable::Locking),
            Kw::SqlNoCache => self.found.refuse(Uncacheable::AskedNotTo),
            Kw::Procedure if self.dialect() == Dialect::MySql => {
                self.found.refuse(Uncacheable::Volatile("PROCEDURE".into()));
            }
            Kw::Next if t.are(at + 1, &[Kw::Value, Kw::For]) => {
                self.found.refuse(Uncacheable::Volatile("NEXT VALUE FOR".into()));
                return Ok(at + 3);
            }
            _ => match function::bare(self.dialect(), kw) {
                Some(Class::Session) => self.found.refuse(Uncacheable::Session(t.text(at).into())),
                Some(_) => self.found.refuse(Uncacheable::Volatile(t.text(at).into())),
                None if t.tok(at + 1) == Tok::Open => return self.plain_word(at),
                None => (),
            },
        }
        Ok(at + 1)
    }

    fn read_unless_cte(&mut self, name: Name, env: Env) {
        if !self.is_cte(name, env) {
            self.read(name);
        }
    }

    /// `FROM` inside a function's arguments, or of `IS DISTINCT FROM`.
    fn stray_from(&mut self, at: usize) -> Walk {
        if let Some(place) = self.excused.iter().rposition(|e| *e == at) {
            self.excused.swap_remove(place);
        } else if !self.is_distinct_from(at) {
            return unexpected("FROM where none is expected");
        }
        Ok(at + 1)
    }

    /// A word that begins a write stands in an expression. Where it has no other meaning nobody
    /// knows what the server makes of it.
    fn write_word(&mut self, at: usize) -> Walk {
        let t = self.tokens;
        let called = t.tok(at + 1) == Tok::Open;
        let belongs = matches!(t.kw_before(at), Kw::For | Kw::Key | Kw::Do | Kw::Then);
        let function = match t.kw(at) {
            // PostgreSQL knows no such statement.
            Kw::Replace => called || self.dialect() == Dialect::Postgres,
            Kw::Insert => called && self.dialect() == Dialect::MySql,
            _ => false,
        };
        match (belongs, function) {
            (true, _) => Ok(at + 1),
            (_, true) if called => self.plain_word(at),
            (_, true) => Ok(at + 1),
            _ => unexpected("a write where none is expected"),
        }
    }

    /// `FOR UPDATE` and its kin.
    fn for_clause(&mut self, at: usize) {
        match self.tokens.kw(at + 1) {
            Kw::Update | Kw::Share | Kw::Key | Kw::No => self.found.refuse(Uncacheable::Locking),
            Kw::SystemTime => self.found.refuse(Uncacheable::PastVersion),
            _ => (),
        }
    }

    /// A call: what the function's name says about it.
    pub fn call(&mut self, name: Name) -> Walk<()> {
        let t = self.tokens;
        let open = name.next();
        let (bare, text) = (name.is_bare(), t.ident(name.last));
        let mut lower = [0u8; function::LONGEST];
        let Some(lower) = function::lower_case(&text, &mut lower) else {
            self.unknown_function(name);
            return Ok(());
        };
        if bare && t.tok(name.last) == Tok::Word {
            if function::is_reserved_word(self.dialect(), lower) || self.is_in_its_syntax(name.last, lower) {
                self.excuse_from(lower, open);
                return Ok(());
            }
        } else if self.quotes_change(name.last, lower) {
            self.unknown_function(name);
            return Ok(());
        }
        if !bare {
            let catalog = name.first + 2 == name.last && self.dialect() == Dialect::Postgres;
            if !(catalog && t.ident(name.first).eq_ignore_ascii_case("pg_catalog")) {
                self.unknown_function(name);
                return Ok(());
            }
        }
        self.excuse_from(lower, open);
        if function::runs_its_argument(self.dialect(), lower) && self.is_read_only_text(open + 1) {
            self.found.refuse(Uncacheable::Volatile(lower.into()));
            self.note_call(name, lower);
            return Ok(());
        }
        let class = function::class(self.dialect(), lower);
        if bare && class != Class::Unknown {
            self.note_call(name, lower);
        }
        match class {
            Class::Pure => (),
            Class::Clock => self.clock_function(lower, open),
            Class::Volatile => self.found.refuse(Uncacheable::Volatile((&*text).into())),
            Class::Session => self.found.refuse(Uncacheable::Session((&*text).into())),
            Class::Unknown => self.unknown_function(name),
        }
        Ok(())
    }

    /// The argument here is a literal, and a query that writes nothing.
    fn is_read_only_text(&mut self, at: usize) -> bool {
        let t = self.tokens;
        // Quotes inside quotes are doubled, so this does not go deep.
        if t.tok(at) != Tok::Str || !matches!(t.tok(at + 1), Tok::Comma | Tok::Close) {
            return false;
        }
        let inner = analyse_with(self.dialect(), &t.ident(at), self.pure);
        inner.calls.iter().for_each(|call| self.note_name(call));
        inner.is_read_only()
    }

    /// Only the catalogue knows whether the user has a function of this name too. SQLite's has none.
    fn note_call(&mut self, name: Name, lower: &str) {
        if self.dialect() != Dialect::Sqlite && !self.is_declared_pure(name) {
            self.note_name(lower);
        }
    }

    fn note_name(&mut self, lower: &str) {
        if !self.found.calls.iter().any(|call| **call == *lower) {
            self.found.calls.push(lower.into());
        }
    }

    /// Notes the `FROM` that some functions have among their arguments.
    fn excuse_from(&mut self, lower: &str, open: usize) {
        if function::takes_from(lower) {
            let close = self.tokens.mate(open);
            self.excused.extend(self.tokens.find_kw(open + 1, close, Kw::From));
        }
    }

    /// In quotes the name may be that of another function: PostgreSQL tells capitals apart there, and to
    /// MySQL many of its own functions are words of syntax, which they no longer are.
    fn quotes_change(&self, at: usize, lower: &str) -> bool {
        let t = self.tokens;
        t.tok(at) != Tok::Word
            && match self.dialect() {
                Dialect::Postgres => t.ident(at) != lower,
                Dialect::MySql => true,
                Dialect::Sqlite => false,
            }
    }

    /// The user says that this function is pure.
    fn is_declared_pure(&self, name: Name) -> bool {
        if self.pure.is_empty() {
            return false;
        }
        let t = self.tokens;
        let spelled = |at: usize| {
            let folds = t.tok(at) == Tok::Word || self.dialect() != Dialect::Postgres;
            if folds { t.ident(at).to_lowercase() } else { t.ident(at).into_owned() }
        };
        let parts: Vec<String> = (name.first..=name.last).step_by(2).map(spelled).collect();
        let bare = parts.last().is_some_and(|bare| self.pure.contains(bare.as_str()));
        bare || self.pure.contains(parts.join(".").as_str())
    }

    fn unknown_function(&mut self, name: Name) {
        if self.is_declared_pure(name) {
            return;
        }
        let name = self.table(name).to_string();
        self.found.anything(&format!("the function {name} is not known"));
        self.found.refuse(Uncacheable::UnknownFunction(name.into()));
    }

    /// Functions that look at the clock for want of an argument.
    fn clock_function(&mut self, name: &str, open: usize) {
        let t = self.tokens;
        let close = t.mate(open);
        let single = || t.find(open + 1, close, |p| t.tok(p) == Tok::Comma).is_none();
        let looks = match self.dialect() {
            Dialect::Postgres => single(), // age(x)
            Dialect::MySql => open + 1 == close,
            Dialect::Sqlite => {
                self.dates_until = self.dates_until.max(close);
                open + 1 == close || (name == "strftime" && single())
            }
        };
        if looks {
            self.found.refuse(Uncacheable::Volatile(name.into()));
        }
    }

    /// The placeholder's position among the bound values, when it is certain.
    pub fn bound(&self, at: usize) -> Option<usize> {
        let link = self.tokens.get(at).link;
        (link != NO_LINK).then_some(link as usize)
    }
}

impl super::tokens::Tokens<'_> {
    /// Behind a label that may be a reserved word (PostgreSQL's `AS from`), if one is there.
    fn next_label(&self, at: usize) -> usize {
        if matches!(self.tok(at), Tok::Word | Tok::Quoted | Tok::Str | Tok::OddStr) { at + 1 } else { at }
    }
}
