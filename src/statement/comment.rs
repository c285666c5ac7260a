//! Comments, also those that MySQL and MariaDB run.

use super::analysis::Dialect;
use super::lexer::{DIGIT, LexError, Lexer, OpenComment};

impl Lexer<'_> {
    /// MySQL wants white space or a control character behind the dashes.
    pub(super) fn dashes_are_a_comment(&self) -> bool {
        !self.is_mysql() || self.text.get(self.at + 2).is_none_or(|b| *b <= b' ' || *b == 0x7f)
    }

    pub(super) fn skip_line(&mut self) {
        let ends = |b: &u8| *b == b'\n' || (*b == b'\r' && self.dialect == Dialect::Postgres);
        self.at = self.text[self.at..].iter().position(ends).map_or(self.text.len(), |n| self.at + n);
    }

    pub(super) fn comment(&mut self) -> Result<(), LexError> {
        if self.is_mysql() {
            let (maria, bang) = (self.peek(2) == b'M' && self.peek(3) == b'!', self.peek(2) == b'!');
            if maria || bang {
                return self.executable_comment(maria);
            }
        }
        let nests = self.dialect == Dialect::Postgres;
        let mut depth = 1;
        let mut at = self.at + 2;
        loop {
            match self.text.get(at..) {
                Some([b'*', b'/', ..]) => {
                    at += 2;
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                Some([b'/', b'*', ..]) if nests => {
                    at += 2;
                    depth += 1;
                }
                Some([_, ..]) => at += 1,
                // SQLite lets the last comment run to the end.
                _ if self.dialect == Dialect::Sqlite => break,
                _ => return Err("a comment does not end"),
            }
        }
        self.at = at;
        Ok(())
    }

    /// `/*! ... */`, `/*!50700 ... */`, `/*M! ... */`: what is in it runs, on some servers or all.
    pub(super) fn executable_comment(&mut self, maria: bool) -> Result<(), LexError> {
        if self.comment.is_some() {
            return Err("an executable comment in another");
        }
        let skip_to = self.skipped_end().ok_or("a comment does not end")?;
        let header = self.at + 2;
        self.at += if maria { 4 } else { 3 };
        let digits = (0..7).take_while(|n| self.class(*n) == DIGIT).count();
        if digits > 6 {
            return Err("an executable comment of unknown version");
        }
        let version = if digits >= 5 { &self.text[self.at..self.at + digits] } else { &[] };
        self.at += version.len();
        // Every server in use is newer than these, and runs the comment as if it were none.
        let everywhere = !maria && (version.is_empty() || (version.len() == 5 && *version < b"50500"[..]));
        let group = if everywhere { 0 } else { self.group_of(header)? };
        self.comment = Some(OpenComment { group, skip_to });
        Ok(())
    }

    pub(super) fn group_of(&mut self, header: usize) -> Result<u8, LexError> {
        let name = &self.text[header..self.at];
        if let Some(at) = self.groups.iter().position(|g| *g == name) {
            return Ok(at as u8 + 1);
        }
        if self.groups.len() >= 3 {
            return Err("executable comments of many versions");
        }
        self.groups.push(name);
        Ok(self.groups.len() as u8)
    }

    /// Where a server that skips the comment here sees its end: comments in it nest one deep.
    pub(super) fn skipped_end(&self) -> Option<usize> {
        let mut at = self.at + 2;
        let mut inner = false;
        loop {
            match self.text.get(at..)? {
                [b'*', b'/', ..] if inner => {
                    inner = false;
                    at += 2;
                }
                [b'*', b'/', ..] => return Some(at + 2),
                [b'/', b'*', ..] if !inner => {
                    inner = true;
                    at += 2;
                }
                [_, ..] => at += 1,
                [] => return None,
            }
        }
    }

    pub(super) fn close_comment(&mut self) -> Result<(), LexError> {
        self.at += 2;
        match self.comment.take() {
            // A literal in the comment that holds its end would read otherwise where it is skipped.
            Some(open) if open.group != 0 && open.skip_to != self.at => Err("a comment with two ends"),
            _ => Ok(()),
        }
    }
}
