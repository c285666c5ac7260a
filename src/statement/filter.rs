//! The condition of an `UPDATE` or `DELETE`, made fit for a `SELECT`.

use super::analysis::{Dialect, Filter};
use super::from::TableRef;
use super::keyword::Kw;
use super::lexer::{NO_LINK, Tok};
use super::scan::{NO_ENV, Scan};

impl Scan<'_> {
    /// The condition at `at` of a statement that writes this one table and has no `WITH`; `None`
    /// when a select by it could find other rows.
    pub fn filter(&mut self, table: TableRef, at: usize, end: usize) -> Option<Filter> {
        let t = self.tokens;
        let stop = t.find_kw(at, end, Kw::Returning).unwrap_or(end);
        let plain = at < stop
            && (stop == end || self.begins_returning(stop))
            && self.is_spelled_as_stored(table.name.last)
            && !(at..stop).any(|place| self.is_odd_in_filter(place))
            && t.find(at, stop, |place| self.ends_condition(place)).is_none()
            && self.is_pure(at, stop);
        if plain { self.renumbered(at, stop) } else { None }
    }

    /// Gives the write that was noted last its filter.
    pub fn filtered_by(&mut self, filter: Option<Filter>) {
        if let Some(write) = self.found.writes.last_mut() {
            write.filter = filter;
        }
    }

    /// The `RETURNING` of the write at `at`, if it is the only statement in the text.
    pub fn returning(&self, at: usize, end: usize) -> Option<usize> {
        let t = self.tokens;
        let writes = matches!(t.kw(at), Kw::Insert | Kw::Replace | Kw::Update | Kw::Delete);
        let clause = |place| t.kw(place) == Kw::Returning && self.begins_returning(place);
        if self.only == Some(at) && writes { t.find(at, end, clause) } else { None }
    }

    /// What comes back under the name of a column of the written table is this column, as it is: no expression,
    /// no other name, no column of a table that is joined.
    pub fn returns_own_columns(&self, at: usize, returning: usize, end: usize) -> bool {
        let t = self.tokens;
        let joins = |place| {
            t.kw(place) == Kw::Using
                || t.kw(place) == Kw::From
                    && t.kw_before(place) != Kw::Delete
                    && !self.is_distinct_from(place)
        };
        let inserts = matches!(t.kw(at), Kw::Insert | Kw::Replace);
        let alone = inserts || t.find(at, returning, joins).is_none();
        let mut place = returning + 1;
        loop {
            let next = match t.tok(place) {
                Tok::Star if alone => Some(place + 1),
                Tok::Word | Tok::Quoted => self.past_own_column(place),
                _ => None,
            };
            match next {
                Some(next) if next >= end => return true,
                Some(next) if t.tok(next) == Tok::Comma => place = next + 1,
                _ => return false,
            }
        }
    }

    /// Behind `column`, `t.column`, `t.*` or `CAST(column AS text)`, which SeaORM writes where it reads an
    /// enumeration; behind the column's own name besides.
    fn past_own_column(&self, at: usize) -> Option<usize> {
        let t = self.tokens;
        let casts = t.is_word(at, "cast") && t.tok(at + 1) == Tok::Open;
        let name = t.name(if casts { at + 2 } else { at })?;
        let mut next = name.next();
        if t.tok(next) == Tok::Dot && t.tok(next + 1) == Tok::Star {
            return (name.is_bare() && self.is_target(name.last)).then_some(next + 2);
        }
        let own = name.is_bare() || name.last == name.first + 2 && self.is_target(name.first);
        if casts {
            // Another type could be too short for the value.
            let text = t.kw(next) == Kw::As && t.is_word(next + 1, "text") && t.mate(at + 1) == next + 2;
            next = text.then_some(next + 3)?;
        }
        if t.kw(next) == Kw::As {
            next = (t.is_label(next + 1) && t.same_ident(name.last, next + 1)).then_some(next + 2)?;
        }
        own.then_some(next)
    }

    /// The qualifier here is that of the written table, and not PostgreSQL's `old`, the row as it was.
    fn is_target(&self, at: usize) -> bool {
        let t = self.tokens;
        let (old, new) = (t.is_word(at, "old"), t.is_word(at, "new"));
        self.target.is_some_and(|target| t.same_ident(target, at)) && !old && !new
    }

    /// The `RETURNING` here is the clause, and not a name, as which MySQL and labels may have it.
    fn begins_returning(&self, at: usize) -> bool {
        let t = self.tokens;
        if self.dialect() != Dialect::MySql {
            return t.kw_before(at) != Kw::As;
        }
        let before = at.checked_sub(1).is_some_and(|before| match t.tok(before) {
            Tok::Word => matches!(t.kw(before), Kw::None | Kw::Null | Kw::Default),
            other => matches!(
                other,
                Tok::Quoted | Tok::Close | Tok::Num | Tok::Str | Tok::OddStr | Tok::Param | Tok::Star
            ),
        });
        let value = matches!(t.tok(at + 1), Tok::Star | Tok::Num | Tok::Str | Tok::Open);
        before && (value || t.name(at + 1).is_some())
    }

    /// PostgreSQL folds a name without quotes; its spelling in quotes would be another table.
    fn is_spelled_as_stored(&self, at: usize) -> bool {
        let t = self.tokens;
        let folded = self.dialect() == Dialect::Postgres && t.tok(at) == Tok::Word;
        !folded || t.text(at).bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase())
    }

    /// Tokens that make the walk's silence no proof, or that mean nothing in a select.
    fn is_odd_in_filter(&self, at: usize) -> bool {
        let t = self.tokens;
        match t.tok(at) {
            Tok::Assign | Tok::Var => true,
            // PostgreSQL's OPERATOR(schema.name) calls the user's own function.
            Tok::Word if t.kw(at) == Kw::None => t.is_word(at, "operator"),
            Tok::Word => matches!(t.kw(at), Kw::Of | Kw::Default),
            _ => false,
        }
    }

    /// The condition reads no other table and calls nothing that is not known to be pure.
    fn is_pure(&mut self, at: usize, stop: usize) -> bool {
        let found = std::mem::take(&mut self.found);
        let dates = (self.dates_until, self.clock_literal);
        (self.dates_until, self.clock_literal) = (0, false);
        let (tasks, excused) = (self.tasks.len(), self.excused.len());
        let walked = self.steps(at, stop, NO_ENV).is_ok();
        let clock = self.clock_literal && self.dates_until > 0;
        let alone = self.tasks.len() == tasks && self.found.reads.is_empty();
        let known = self.found.anything.is_none() && self.found.uncacheable.is_none();
        self.tasks.truncate(tasks);
        self.excused.truncate(excused);
        (self.dates_until, self.clock_literal) = dates;
        self.found = found;
        walked && alone && known && !clock
    }

    /// The text from `at` to `stop`. `None` where a comment stands in it, or a placeholder of which
    /// it is not certain whose value it takes.
    fn renumbered(&self, at: usize, stop: usize) -> Option<Filter> {
        let t = self.tokens;
        let mut condition = String::new();
        let mut bound: Vec<usize> = Vec::new();
        let mut plain = None;
        for place in at..stop {
            if place > at {
                let between = t.sql.get(t.get(place - 1).end as usize..t.get(place).start as usize)?;
                if !between.bytes().all(|b| b.is_ascii_whitespace() || b == 0x0b) {
                    return None;
                }
                condition.push_str(between);
            }
            let text = t.text(place);
            if t.tok(place) != Tok::Param {
                condition.push_str(text);
                continue;
            }
            let link = Some(t.get(place).link).filter(|link| *link != NO_LINK)? as usize;
            // Mixed forms are counted differently by servers and drivers.
            if *plain.get_or_insert(text == "?") != (text == "?") {
                return None;
            }
            if text == "?" {
                bound.push(link);
                condition.push('?');
                continue;
            }
            // A name has no number to be given another.
            let (sigil, number) = text.split_at_checked(1)?;
            if !matches!(sigil, "$" | "?") || !number.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let number = match bound.iter().position(|known| *known == link) {
                Some(known) => known,
                None => {
                    bound.push(link);
                    bound.len() - 1
                }
            };
            condition.push_str(sigil);
            condition.push_str(&(number + 1).to_string());
        }
        Some(Filter { condition: condition.into(), bound })
    }
}
