//! Literals and quoted names: where each ends, and whether its text is plain.

use super::analysis::Dialect;
use super::lexer::{CLASS, DIGIT, DOLLAR, LETTER, LexError, Lexer, SPACE, Tok};

impl Lexer<'_> {
    /// A literal with letters before its quote: `E'..'`, `U&'..'`, `X'..'`, `B'..'`, `N'..'`.
    pub(super) fn prefixed(&mut self, start: usize, end: usize) -> Option<Result<(), LexError>> {
        let postgres = self.dialect == Dialect::Postgres;
        let quote = self.text[end];
        let letter = self.text[start].to_ascii_lowercase();
        if end != start + 1 {
            return None;
        }
        match (letter, quote) {
            (b'e', b'\'') if postgres => {
                self.at = end;
                Some(self.escaped_string(start))
            }
            (b'u', b'&') if postgres && self.text.get(end + 1) == Some(&b'\'') => {
                self.at = end + 1;
                Some(self.string(start, b'\'', false, true))
            }
            // Its escapes could spell any name, so it is none that can be compared.
            (b'u', b'&') if postgres && self.text.get(end + 1) == Some(&b'"') => {
                Some(Err("a name with Unicode escapes"))
            }
            (b'x' | b'b' | b'n', b'\'') => {
                self.at = end;
                Some(self.string(start, b'\'', self.is_mysql(), true))
            }
            _ => None,
        }
    }

    pub(super) fn number(&mut self) {
        let start = self.at;
        let digits = |lexer: &mut Self| {
            while lexer.class(0) == DIGIT || (lexer.peek(0) == b'_' && lexer.class(1) == DIGIT) {
                lexer.at += 1;
            }
        };
        if self.peek(0) == b'0' && matches!(self.peek(1) | 0x20, b'x' | b'o' | b'b') {
            let end = self.name_end(start);
            // MySQL reads `0xfg` as a name; all agree that the digits here are digits.
            if self.text[start + 2..end].iter().all(|b| b.is_ascii_hexdigit() || *b == b'_')
                && end > start + 2
            {
                self.at = end;
                return self.push(Tok::Num, start);
            }
        }
        digits(self);
        // In MySQL a name may begin with digits.
        if self.is_mysql() && self.class(0) & (LETTER | DOLLAR) != 0 && !self.exponent_here() {
            self.at = self.name_end(self.at);
            return self.push(Tok::Word, start);
        }
        if self.peek(0) == b'.' {
            self.at += 1;
            digits(self);
        }
        if self.exponent_here() {
            self.at += 2;
            digits(self);
        }
        self.push(Tok::Num, start);
    }

    /// `e5`, `e+5`, and nothing that would make it a name.
    pub(super) fn exponent_here(&self) -> bool {
        let signed = matches!(self.peek(1), b'+' | b'-');
        let digit = if signed { 2 } else { 1 };
        if self.peek(0) | 0x20 != b'e' || self.class(digit) != DIGIT {
            return false;
        }
        let rest = &self.text[self.at + digit..self.name_end(self.at + digit)];
        !self.is_mysql() || rest.iter().all(u8::is_ascii_digit)
    }

    /// A literal that starts at `start`, with the quote at the current place.
    pub(super) fn string(
        &mut self,
        start: usize,
        quote: u8,
        escapes: bool,
        odd: bool,
    ) -> Result<(), LexError> {
        let mut odd = odd;
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                None => return Err("a literal does not end"),
                Some(b'\\') if escapes => {
                    odd = true;
                    self.at += 2;
                }
                Some(b) if *b == quote => {
                    self.at += 1;
                    if self.peek(0) != quote {
                        break;
                    }
                    self.at += 1;
                }
                Some(_) => self.at += 1,
            }
        }
        self.push(if odd { Tok::OddStr } else { Tok::Str }, start);
        Ok(())
    }

    /// PostgreSQL's `E'...'`, which goes on, escapes and all, in a literal on the next line.
    pub(super) fn escaped_string(&mut self, start: usize) -> Result<(), LexError> {
        loop {
            self.string(start, b'\'', true, true)?;
            let end = self.at;
            let mut newline = false;
            loop {
                match self.peek(0) {
                    b'-' if self.peek(1) == b'-' => self.skip_line(),
                    b'\n' | b'\r' => {
                        newline = true;
                        self.at += 1;
                    }
                    _ if self.class(0) == SPACE => self.at += 1,
                    _ => break,
                }
            }
            if !(newline && self.peek(0) == b'\'') {
                self.at = end;
                return Ok(());
            }
        }
    }

    pub(super) fn quoted(&mut self, start: usize, quote: u8) -> Result<(), LexError> {
        self.string(start, quote, false, false).map_err(|_| "a quoted name does not end")?;
        if let Some(token) = self.out.last_mut() {
            token.tok = Tok::Quoted;
        }
        Ok(())
    }

    pub(super) fn bracketed(&mut self) -> Result<(), LexError> {
        let length = self.text[self.at..].iter().position(|b| *b == b']');
        self.take(Tok::Quoted, length.ok_or("a quoted name does not end")? + 1);
        Ok(())
    }

    pub(super) fn dollar(&mut self) -> Result<(), LexError> {
        match self.dialect {
            Dialect::MySql => self.word(),
            Dialect::Sqlite => self.named_param(),
            Dialect::Postgres if self.class(1) == DIGIT => {
                let start = self.at;
                self.at += 1;
                while self.class(0) == DIGIT {
                    self.at += 1;
                }
                self.push(Tok::Param, start);
                Ok(())
            }
            Dialect::Postgres => self.dollar_quoted(),
        }
    }

    pub(super) fn dollar_quoted(&mut self) -> Result<(), LexError> {
        let start = self.at;
        let mut tag = start + 1;
        while self.text.get(tag).is_some_and(|b| CLASS[*b as usize] & (LETTER | DIGIT) != 0) {
            tag += 1;
        }
        if self.text.get(tag) != Some(&b'$') {
            return Err("a dollar that is not SQL");
        }
        let fence = &self.text[start..=tag];
        let body = tag + 1;
        self.at = find(&self.text[body..], fence).ok_or("a literal does not end")? + body + fence.len();
        self.push(Tok::OddStr, start);
        Ok(())
    }
}

/// The first place of `needle`, in linear time because a fence holds `$` only at its ends.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = haystack[from..].iter().position(|b| *b == b'$')? + from;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}
