//! Text to tokens, by the rules of the dialect.
//!
//! Whatever the lexer cannot read as the server would read it is an error: a comment or literal
//! that does not end, a backslash outside a literal, a NUL. The caller then answers "anything".

use super::Dialect;
use super::keyword::{self, Kw};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tok {
    /// Nothing: past the end.
    End,
    /// An unquoted name or keyword.
    Word,
    /// A quoted name.
    Quoted,
    /// A string literal in which only a doubled quote is special.
    Str,
    /// A literal that needs more than that to decode (escapes, bytes, bits, MySQL's `"..."`).
    OddStr,
    /// A number.
    Num,
    /// A placeholder; `link` is its zero-based position, [`NO_LINK`] when that is not certain.
    Param,
    /// A session or system variable: `@x`, `@@x`.
    Var,
    Comma,
    Dot,
    Semicolon,
    /// `(` or `[`; `link` is the token that closes it.
    Open,
    OpenBracket,
    /// `)` or `]`; `link` is the token that it closes.
    Close,
    Eq,
    Minus,
    Plus,
    Star,
    /// `||`: concatenation, or "or" in MySQL.
    Pipes,
    /// `::`
    Cast,
    /// `:=`
    Assign,
    /// Any other operator.
    Op,
}

/// `link` of a token that has none.
pub(super) const NO_LINK: u32 = u32::MAX;

/// One token. Comments and white space make none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub tok: Tok,
    /// The keyword that it is, unless it is quoted or stands behind a dot.
    pub kw: Kw,
    /// 0, or the number of the conditional comment group that it stands in.
    pub group: u8,
    pub start: u32,
    pub end: u32,
    pub link: u32,
}

/// A text as tokens.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    pub tokens: Vec<Token>,
    /// How many groups of conditional comments there are. A server may run or skip each.
    pub groups: u8,
}

/// Why a text could not be read.
pub(super) type LexError = &'static str;

/// Reads the whole text.
pub(super) fn lex(dialect: Dialect, sql: &str) -> Result<Lexed, LexError> {
    if sql.len() >= NO_LINK as usize {
        return Err("the text is too long");
    }
    // SQLite and PostgreSQL take the text to end there, wherever it stands.
    if dialect != Dialect::MySql && sql.as_bytes().contains(&0) {
        return Err("a NUL");
    }
    let tokens = Vec::with_capacity(sql.len() / 4 + 8);
    let mut lexer =
        Lexer { dialect, text: sql.as_bytes(), at: 0, out: tokens, groups: Vec::new(), comment: None };
    lexer.run()?;
    Ok(Lexed { tokens: lexer.out, groups: lexer.groups.len() as u8 })
}

/// An executable comment that is open.
#[derive(Clone, Copy)]
pub(super) struct OpenComment {
    pub group: u8,
    /// Where a server that skips it sees its end.
    pub skip_to: usize,
}

pub(super) struct Lexer<'a> {
    pub dialect: Dialect,
    pub text: &'a [u8],
    pub at: usize,
    pub out: Vec<Token>,
    /// The headers of conditional comments seen, `50700` or `M100100`.
    pub groups: Vec<&'a [u8]>,
    pub comment: Option<OpenComment>,
}

pub(super) const SPACE: u8 = 1;
pub(super) const LETTER: u8 = 2;
pub(super) const DIGIT: u8 = 4;
pub(super) const DOLLAR: u8 = 8;
const OPERATOR: u8 = 16;

pub(super) static CLASS: [u8; 256] = {
    let mut class = [0u8; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        class[b] = match c {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => LETTER,
            b'0'..=b'9' => DIGIT,
            b'$' => DOLLAR,
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'%' | b'^'
            | b'&' | b'|' | b'?' => OPERATOR,
            _ => 0,
        };
        b += 1;
    }
    class
};

/// The operators of MySQL and SQLite that are longer than one character, longest first.
const LONG_OPERATORS: [&[u8]; 13] =
    [b"<=>", b"->>", b"->", b"<>", b"<=", b">=", b"!=", b"==", b"||", b"&&", b"<<", b">>", b":="];

impl Lexer<'_> {
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn class(&self, ahead: usize) -> u8 {
        CLASS[self.peek(ahead) as usize]
    }

    pub(super) fn is_mysql(&self) -> bool {
        self.dialect == Dialect::MySql
    }

    pub(super) fn push(&mut self, tok: Tok, start: usize) {
        let group = self.comment.map_or(0, |c| c.group);
        let (start, end) = (start as u32, self.at as u32);
        self.out.push(Token { tok, kw: Kw::None, group, start, end, link: NO_LINK });
    }

    /// Takes `length` bytes as one token.
    pub(super) fn take(&mut self, tok: Tok, length: usize) {
        let start = self.at;
        self.at += length;
        self.push(tok, start);
    }

    fn run(&mut self) -> Result<(), LexError> {
        while self.at < self.text.len() {
            let b = self.text[self.at];
            match CLASS[b as usize] {
                SPACE => self.at += 1,
                LETTER => self.word()?,
                DIGIT => self.number(),
                DOLLAR => self.dollar()?,
                OPERATOR => self.operator(b)?,
                _ => self.punctuation(b)?,
            }
        }
        if self.comment.is_some() {
            return Err("a comment does not end");
        }
        Ok(())
    }

    fn punctuation(&mut self, b: u8) -> Result<(), LexError> {
        match b {
            b'(' => self.take(Tok::Open, 1),
            b')' => self.take(Tok::Close, 1),
            b',' => self.take(Tok::Comma, 1),
            b'.' if self.class(1) == DIGIT && !self.after_name() => self.number(),
            b'.' => self.take(Tok::Dot, 1),
            b';' => self.take(Tok::Semicolon, 1),
            b'\'' => return self.string(self.at, b'\'', self.is_mysql(), false),
            b'"' if self.is_mysql() => return self.string(self.at, b'"', true, true),
            b'"' => return self.quoted(self.at, b'"'),
            b'`' if self.dialect != Dialect::Postgres => return self.quoted(self.at, b'`'),
            b'[' if self.dialect == Dialect::Sqlite => return self.bracketed(),
            b'[' if self.dialect == Dialect::Postgres => self.take(Tok::OpenBracket, 1),
            b']' if self.dialect == Dialect::Postgres => self.take(Tok::Close, 1),
            b'{' | b'}' if self.is_mysql() => self.take(Tok::Op, 1),
            b':' => self.colon()?,
            _ => return Err("a character that is not SQL"),
        }
        Ok(())
    }

    /// A name comes right before, so a dot here qualifies (`t.1a` in MySQL).
    fn after_name(&self) -> bool {
        let last = self.out.last();
        last.is_some_and(|t| matches!(t.tok, Tok::Word | Tok::Quoted) && t.end as usize == self.at)
    }

    fn colon(&mut self) -> Result<(), LexError> {
        match (self.peek(1), self.dialect) {
            (b':', _) => self.take(Tok::Cast, 2),
            (b'=', _) => self.take(Tok::Assign, 2),
            (_, Dialect::Sqlite) if self.class(1) & (LETTER | DIGIT) != 0 => return self.named_param(),
            (_, Dialect::Sqlite) => return Err("a colon that is not SQL"),
            _ => self.take(Tok::Op, 1),
        }
        Ok(())
    }

    /// Where the name that goes on at `at` ends.
    pub(super) fn name_end(&self, mut at: usize) -> usize {
        while self.text.get(at).is_some_and(|b| CLASS[*b as usize] & (LETTER | DIGIT | DOLLAR) != 0) {
            at += 1;
        }
        at
    }

    pub(super) fn word(&mut self) -> Result<(), LexError> {
        let start = self.at;
        let end = self.name_end(start);
        let quote = self.text.get(end).is_some_and(|b| matches!(b, b'\'' | b'"' | b'&'));
        if let Some(done) = quote.then(|| self.prefixed(start, end)).flatten() {
            return done;
        }
        self.at = end;
        let after_dot = self.out.last().is_some_and(|t| t.tok == Tok::Dot);
        self.push(Tok::Word, start);
        if let (false, Some(token)) = (after_dot, self.out.last_mut()) {
            token.kw = keyword::lookup(&self.text[start..end]);
        }
        Ok(())
    }

    /// SQLite's `:name`, `@name`, `$name`, and `#name`, which its manual does not mention.
    pub(super) fn named_param(&mut self) -> Result<(), LexError> {
        let start = self.at;
        self.at = self.name_end(start + 1);
        // Tcl's array syntax, `$a::b(c)`, hides parentheses in a name.
        if self.at == start + 1 || self.peek(0) == b'(' || (self.peek(0) == b':' && self.peek(1) == b':') {
            return Err("a placeholder that is not SQL");
        }
        self.push(Tok::Param, start);
        Ok(())
    }

    fn operator(&mut self, b: u8) -> Result<(), LexError> {
        match (b, self.peek(1)) {
            (b'-', b'-') if self.dashes_are_a_comment() => {
                self.skip_line();
                return Ok(());
            }
            (b'#', _) if self.is_mysql() => {
                self.skip_line();
                return Ok(());
            }
            (b'/', b'*') => return self.comment(),
            (b'*', b'/') if self.comment.is_some() => return self.close_comment(),
            (b'?', _) if self.dialect != Dialect::Postgres => {
                let start = self.at;
                self.at += 1;
                while self.dialect == Dialect::Sqlite && self.class(0) == DIGIT {
                    self.at += 1;
                }
                self.push(Tok::Param, start);
                return Ok(());
            }
            (b'@', _) if self.is_mysql() => return self.variable(),
            (b'@' | b'#', _) if self.dialect == Dialect::Sqlite => return self.named_param(),
            _ => (),
        }
        let length = match self.dialect {
            Dialect::Postgres => self.postgres_operator(),
            _ => {
                let rest = &self.text[self.at..];
                LONG_OPERATORS.iter().find(|op| rest.starts_with(op)).map_or(1, |op| op.len())
            }
        };
        let tok = match &self.text[self.at..self.at + length] {
            b"=" => Tok::Eq,
            b"==" if self.dialect == Dialect::Sqlite => Tok::Eq,
            b"-" => Tok::Minus,
            b"+" => Tok::Plus,
            b"*" => Tok::Star,
            b"||" => Tok::Pipes,
            _ => Tok::Op,
        };
        self.take(tok, length);
        Ok(())
    }

    /// PostgreSQL takes the longest run of operator characters, up to a comment, and gives back
    /// trailing signs unless the run holds a character that SQL's own operators do not use.
    fn postgres_operator(&self) -> usize {
        let rest = &self.text[self.at..];
        let mut length = 0;
        while length < rest.len() && CLASS[rest[length] as usize] == OPERATOR {
            if length > 0 && matches!(&rest[length..], [b'-', b'-', ..] | [b'/', b'*', ..]) {
                break;
            }
            length += 1;
        }
        let special = |b: &u8| matches!(b, b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'?');
        if !rest[..length].iter().any(special) {
            while length > 1 && matches!(rest[length - 1], b'+' | b'-') {
                length -= 1;
            }
        }
        length
    }

    fn variable(&mut self) -> Result<(), LexError> {
        let start = self.at;
        while self.peek(0) == b'@' {
            self.at += 1;
        }
        match self.peek(0) {
            quote @ (b'\'' | b'"' | b'`') => {
                self.string(start, quote, quote != b'`', true)?;
                if let Some(token) = self.out.last_mut() {
                    token.tok = Tok::Var;
                }
            }
            _ => {
                while self.class(0) & (LETTER | DIGIT | DOLLAR) != 0 || self.peek(0) == b'.' {
                    self.at += 1;
                }
                self.push(Tok::Var, start);
            }
        }
        Ok(())
    }
}
