//! The tokens that one kind of server sees, with their parentheses and placeholders matched up.

use std::borrow::Cow;

use super::Dialect;
use super::keyword::Kw;
use super::lexer::{LexError, NO_LINK, Tok, Token};

/// Why a text, or a part of it, is not of a known shape. Stops the walk.
pub(super) type Shape = &'static str;
/// What a step of the walk comes to: mostly the token to go on with.
pub(super) type Walk<T = usize> = Result<T, Shape>;

/// SQLite numbers named placeholders by first use; beyond so many names nobody looks.
const MOST_NAMED: usize = 64;

/// A text and its tokens, for looking around in. A place is a token's index.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub dialect: Dialect,
    pub sql: &'a str,
    list: &'a [Token],
}

/// A name with its qualifiers: the tokens `first..=last`, dots included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub first: usize,
    pub last: usize,
}

impl Name {
    /// Where to go on behind it.
    pub fn next(self) -> usize {
        self.last + 1
    }

    /// It has no schema.
    pub fn is_bare(self) -> bool {
        self.first == self.last
    }
}

const END: Token = Token { tok: Tok::End, kw: Kw::None, group: 0, start: 0, end: 0, link: NO_LINK };

impl<'a> Tokens<'a> {
    /// Matches parentheses, numbers placeholders.
    pub fn link(dialect: Dialect, sql: &'a str, list: &'a mut [Token]) -> Result<Tokens<'a>, LexError> {
        link_parentheses(sql.as_bytes(), list)?;
        number_placeholders(dialect, sql, list);
        Ok(Tokens { dialect, sql, list })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn get(&self, at: usize) -> &Token {
        self.list.get(at).unwrap_or(&END)
    }

    pub fn tok(&self, at: usize) -> Tok {
        self.get(at).tok
    }

    pub fn kw(&self, at: usize) -> Kw {
        self.get(at).kw
    }

    /// The keyword before this place.
    pub fn kw_before(&self, at: usize) -> Kw {
        at.checked_sub(1).map_or(Kw::None, |before| self.kw(before))
    }

    /// The other end of the group that opens or closes here.
    pub fn mate(&self, at: usize) -> usize {
        self.get(at).link as usize
    }

    pub fn text(&self, at: usize) -> &'a str {
        let token = self.get(at);
        self.sql.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    /// An unquoted word that is this, in any case. For words too rare to be keywords.
    pub fn is_word(&self, at: usize, word: &str) -> bool {
        self.tok(at) == Tok::Word && self.text(at).eq_ignore_ascii_case(word)
    }

    /// All of these keywords, one after the other.
    pub fn are(&self, at: usize, keywords: &[Kw]) -> bool {
        keywords.iter().enumerate().all(|(n, kw)| self.kw(at + n) == *kw)
    }

    /// `at`, or one further if this keyword is there.
    pub fn skip(&self, at: usize, kw: Kw) -> usize {
        if self.kw(at) == kw { at + 1 } else { at }
    }

    /// Behind these keywords, if all are there.
    pub fn skip_all(&self, at: usize, keywords: &[Kw]) -> usize {
        if self.are(at, keywords) { at + keywords.len() } else { at }
    }

    /// The next token, jumping over a group.
    pub fn hop(&self, at: usize) -> usize {
        match self.tok(at) {
            Tok::Open | Tok::OpenBracket => self.mate(at) + 1,
            _ => at + 1,
        }
    }

    /// The first place in the range, not inside a group, where `wanted` holds.
    pub fn find(&self, mut at: usize, end: usize, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        while at < end {
            if wanted(at) {
                return Some(at);
            }
            at = self.hop(at);
        }
        None
    }

    pub fn find_kw(&self, at: usize, end: usize, kw: Kw) -> Option<usize> {
        self.find(at, end, |place| self.kw(place) == kw)
    }

    /// Something that can stand for a name here, reserved or not.
    pub fn is_label(&self, at: usize) -> bool {
        match self.tok(at) {
            Tok::Word | Tok::Quoted => true,
            Tok::Str => self.dialect == Dialect::Sqlite,
            // MySQL under ANSI_QUOTES, and its aliases always.
            Tok::OddStr => self.dialect == Dialect::MySql && self.text(at).starts_with('"'),
            _ => false,
        }
    }

    /// A name of a table or column, with qualifiers. `None` where a reserved word stands.
    pub fn name(&self, at: usize) -> Option<Name> {
        if !self.is_label(at) || self.kw(at).is_reserved(self.dialect) {
            return None;
        }
        let mut last = at;
        while self.tok(last + 1) == Tok::Dot && self.is_label(last + 2) {
            last += 2;
        }
        Some(Name { first: at, last })
    }

    /// The same, where anything else is a shape that is not known.
    pub fn expect_name(&self, at: usize) -> Walk<Name> {
        self.name(at).ok_or("a name is missing")
    }

    /// A name's text without its quotes.
    pub fn ident(&self, at: usize) -> Cow<'a, str> {
        let text = self.text(at);
        match self.tok(at) {
            Tok::Quoted | Tok::Str | Tok::OddStr => unquote(text),
            _ => Cow::Borrowed(text),
        }
    }

    /// What PostgreSQL's `E'...'` says, if its escapes are none that spell a character by its number. SeaORM
    /// writes a text with a quote or a backslash in it like this.
    pub fn escaped(&self, at: usize) -> Option<String> {
        let text = self.text(at).strip_prefix(['e', 'E']).filter(|_| self.dialect == Dialect::Postgres)?;
        let mut rest = text.strip_prefix('\'')?.strip_suffix('\'')?.chars();
        let mut says = String::with_capacity(text.len());
        while let Some(character) = rest.next() {
            says.push(match character {
                '\\' => match rest.next()? {
                    same @ ('\\' | '\'' | '"') => same,
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    _ => return None,
                },
                // Alone it ends the literal, which goes on in another.
                '\'' => rest.next().filter(|second| *second == '\'')?,
                plain => plain,
            });
        }
        Some(says)
    }

    /// Whether two names mean the same for sure, so that one can hide the other.
    pub fn same_ident(&self, a: usize, b: usize) -> bool {
        let (left, right) = (self.ident(a), self.ident(b));
        match self.dialect {
            Dialect::Sqlite => left.eq_ignore_ascii_case(&right),
            Dialect::MySql => left == right,
            Dialect::Postgres => match (self.tok(a) == Tok::Word, self.tok(b) == Tok::Word) {
                (true, true) => left.eq_ignore_ascii_case(&right),
                (true, false) => left.to_ascii_lowercase() == right,
                (false, true) => left == right.to_ascii_lowercase(),
                (false, false) => left == right,
            },
        }
    }

    /// The group that opens here holds a query.
    pub fn opens_query(&self, at: usize) -> bool {
        self.tok(at) == Tok::Open && matches!(self.kw(at + 1), Kw::Select | Kw::With | Kw::Values | Kw::Table)
    }
}

impl Kw {
    /// Words that name no table where they stand unquoted, so that a modifier which the scan does
    /// not know is never taken for a table, and the table behind it for an alias.
    fn is_reserved(self, dialect: Dialect) -> bool {
        use Kw::*;
        match self {
            None | Abort | Atomic | Autocommit | Begin | Cascade | Checksum | Close | Cluster | Columns
            | Comment | Commit | Conflict | Connection | Constraints | Copy | Current | Cursor | Cycle
            | Deallocate | Discard | Dual | Duplicate | Event | Exchange | Exclusive | Execute | Extended
            | Fail | First | Flush | Format | Function | Global | Handler | Immediate | Inherit
            | Inherits | Isolation | Listen | Local | Matched | Minus | Move | Names | Next | No
            | Nothing | Notify | Ordinality | Outfile | Owned | Partitions | Plan | Policy | Pragma
            | Prepare | Prepared | Program | Query | Quick | Recover | Refresh | Reindex | Repeatable
            | Reset | Resume | Role | Rule | Savepoint | Schema | Search | Security | Sequence | Session
            | Share | Start | Statement | Stdin | System | SystemTime | Tables | Temp | Transaction
            | Unlisten | Unlogged | Vacuum | Value | Verbose | View | Work | Xa | Sysdate => false,
            By | Call | Database | Declare | Describe | Explain | Force | Ignore | Key | Kill | Load
            | Lock | Optimize | Partition | Procedure | Read | Release | Rename | Replace | Rows
            | Trigger | Unlock | Use | Xor => dialect == Dialect::MySql,
            // There `FROM user` is a call.
            Only | Offset | Window | Returning | Lateral | Full | TableSample | User => {
                dialect == Dialect::Postgres
            }
            _ => true,
        }
    }
}

fn unquote(text: &str) -> Cow<'_, str> {
    let mut characters = text.chars();
    let (Some(open), Some(_)) = (characters.next(), characters.next_back()) else {
        return Cow::Borrowed(text);
    };
    let inner = characters.as_str();
    if open == '[' || !inner.contains(open) {
        return Cow::Borrowed(inner);
    }
    let quote = open.to_string();
    Cow::Owned(inner.replace(&quote.repeat(2), &quote))
}

fn link_parentheses(text: &[u8], list: &mut [Token]) -> Result<(), LexError> {
    let mut open: Vec<usize> = Vec::new();
    for at in 0..list.len() {
        match list[at].tok {
            Tok::Open | Tok::OpenBracket => open.push(at),
            Tok::Close => {
                let round = text[list[at].start as usize] == b')';
                let mate = open.pop().ok_or("a parenthesis that is not open is closed")?;
                if (list[mate].tok == Tok::Open) != round {
                    return Err("parentheses that do not match");
                }
                list[mate].link = at as u32;
                list[at].link = mate as u32;
            }
            Tok::Semicolon if !open.is_empty() => return Err("a statement ends in parentheses"),
            _ => (),
        }
    }
    if open.is_empty() { Ok(()) } else { Err("a parenthesis is not closed") }
}

fn number_placeholders(dialect: Dialect, sql: &str, list: &mut [Token]) {
    let params = list.iter_mut().filter(|t| t.tok == Tok::Param);
    match dialect {
        Dialect::MySql => params.enumerate().for_each(|(n, token)| token.link = n as u32),
        Dialect::Postgres => {
            for token in params {
                token.link = numbered(&sql[token.start as usize + 1..token.end as usize]);
            }
        }
        Dialect::Sqlite => number_sqlite(sql, params),
    }
}

/// `1` means the first bound value.
fn numbered(digits: &str) -> u32 {
    digits.parse::<u32>().ok().and_then(|n| n.checked_sub(1)).unwrap_or(NO_LINK)
}

/// SQLite gives a plain `?` the number after the largest so far and a name the next free one;
/// drivers count plain ones on their own and read `$2` as a number. Where the two disagree nobody
/// can say which value is meant.
fn number_sqlite<'t>(sql: &str, params: impl Iterator<Item = &'t mut Token>) {
    let (mut largest, mut plain) = (0u32, 0u32);
    let mut names: Vec<(&str, u32)> = Vec::new();
    for token in params {
        let text = &sql[token.start as usize..token.end as usize];
        let digits = &text[1..];
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if text == "?" {
            largest = largest.saturating_add(1);
            token.link = if largest == plain + 1 { plain } else { NO_LINK };
            plain += 1;
        } else if text.starts_with('?') {
            token.link = numbered(digits);
            largest = largest.max(token.link.wrapping_add(1));
        } else {
            let known = names.iter().find(|(name, _)| *name == text).map(|(_, at)| *at);
            let at = known.unwrap_or(largest);
            if known.is_none() {
                largest = largest.saturating_add(1);
                if names.len() == MOST_NAMED {
                    // From here on two uses of a name could get two numbers.
                    largest = NO_LINK;
                } else {
                    names.push((text, at));
                }
            }
            let agrees = !(text.starts_with('$') && is_number) || numbered(digits) == at;
            token.link = if agrees && largest != NO_LINK { at } else { NO_LINK };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::lex;
    use super::*;

    fn links(dialect: Dialect, sql: &str) -> Vec<u32> {
        let mut lexed = lex(dialect, sql).unwrap().tokens;
        Tokens::link(dialect, sql, &mut lexed).unwrap();
        lexed.iter().filter(|t| t.tok == Tok::Param).map(|t| t.link).collect()
    }

    #[test]
    fn placeholders_have_the_number_that_server_and_driver_agree_on() {
        assert_eq!(links(Dialect::Postgres, "$2, $1, $0, $99999999999"), [1, 0, NO_LINK, NO_LINK]);
        assert_eq!(links(Dialect::MySql, "?, '?', ?"), [0, 1]);
        assert_eq!(links(Dialect::Sqlite, "?, ?, ?"), [0, 1, 2]);
        assert_eq!(links(Dialect::Sqlite, "?2, ?1"), [1, 0]);
        assert_eq!(links(Dialect::Sqlite, ":b, :a, :b"), [0, 1, 0]);
        assert_eq!(links(Dialect::Sqlite, "$1, $2"), [0, 1]);
        assert_eq!(links(Dialect::Sqlite, "$2, $1"), [NO_LINK, NO_LINK]);
        assert_eq!(links(Dialect::Sqlite, "?5, ?"), [4, NO_LINK]);
    }

    #[test]
    fn a_name_loses_its_quotes_and_keeps_doubled_ones_once() {
        assert_eq!(unquote("\"quo\"\"ted\""), "quo\"ted");
        assert_eq!(unquote("[weird table]"), "weird table");
        assert_eq!(unquote("`a`"), "a");
    }
}
