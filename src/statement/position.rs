//! Words of syntax that servers do not reserve: in their place they are syntax, anywhere else a
//! parenthesis behind them makes them functions, which are the user's own.

use super::keyword::Kw;
use super::lexer::Tok;
use super::scan::Scan;

/// A list behind `GROUP BY` is followed back for no more tokens than this.
const LONGEST_GROUPING: usize = 256;

impl Scan<'_> {
    /// The word at `at`, in lower case `word` and with a parenthesis behind it, stands where syntax has
    /// it and a function cannot be called.
    pub fn is_in_its_syntax(&self, at: usize, word: &str) -> bool {
        let t = self.tokens;
        let Some(before) = at.checked_sub(1) else { return false };
        match word {
            "by" => matches!(t.kw(before), Kw::Group | Kw::Order | Kw::Partition),
            "key" => t.kw(before) == Kw::Foreign || t.is_word(before, "primary"),
            "conflict" => t.kw(before) == Kw::On,
            "set" => t.kw(before) == Kw::Update,
            "first" | "next" => t.kw(before) == Kw::Fetch,
            "materialized" => matches!(t.kw(before), Kw::As | Kw::Not),
            "sets" => t.is_word(before, "grouping"),
            "zone" => t.is_word(before, "time"),
            "of" => t.is_word(before, "member"),
            "varying" => ["character", "char", "nchar", "bit"].iter().any(|kind| t.is_word(before, kind)),
            "over" => self.ends_value(before) || t.is_word(before, "nulls"),
            "filter" => self.ends_value(before) && t.kw(at + 2) == Kw::Where,
            "columns" => self.ends_value(before) || t.kw_before(before) == Kw::As,
            "passing" | "escape" | "against" => self.ends_value(before),
            "ilike" | "glob" | "rlike" | "regexp" | "match" => self.is_infix(before),
            "cube" | "rollup" => self.is_grouped_by(before),
            "operator" => self.names_operator(at + 1),
            _ => false,
        }
    }

    /// A value ends here, so that no function can be called behind it.
    fn ends_value(&self, at: usize) -> bool {
        let t = self.tokens;
        match t.tok(at) {
            Tok::Str | Tok::OddStr | Tok::Num | Tok::Param => true,
            // `DISTINCT ON (a) f(x)` and `a OPERATOR(+) f(x)`.
            Tok::Close => t
                .mate(at)
                .checked_sub(1)
                .is_some_and(|word| t.kw(word) != Kw::On && !t.is_word(word, "operator")),
            _ => false,
        }
    }

    /// A value, and perhaps `NOT`, ends here: what follows is an operator.
    fn is_infix(&self, at: usize) -> bool {
        let t = self.tokens;
        let at = if t.kw(at) == Kw::Not { at.saturating_sub(1) } else { at };
        let is_name = t.tok(at) == Tok::Quoted || (t.tok(at) == Tok::Word && t.kw(at) == Kw::None);
        is_name || self.ends_value(at)
    }

    /// The place behind this one is in the list of a `GROUP BY`, or of `GROUPING SETS` there.
    fn is_grouped_by(&self, mut at: usize) -> bool {
        let t = self.tokens;
        for _ in 0..LONGEST_GROUPING {
            match t.tok(at) {
                Tok::Close => at = t.mate(at),
                Tok::Open => return t.is_word(at.saturating_sub(1), "sets"),
                Tok::Word => match t.kw(at) {
                    Kw::By => return t.kw_before(at) == Kw::Group,
                    Kw::Select | Kw::From | Kw::Where | Kw::Having | Kw::Order | Kw::Window => return false,
                    _ => (),
                },
                _ => (),
            }
            let Some(before) = at.checked_sub(1) else { return false };
            at = before;
        }
        false
    }

    /// `OPERATOR(schema.+)`: what is in the parentheses ends with a sign, as no argument does.
    fn names_operator(&self, open: usize) -> bool {
        let t = self.tokens;
        let last = t.mate(open).saturating_sub(1);
        matches!(t.tok(last), Tok::Op | Tok::Eq | Tok::Minus | Tok::Plus | Tok::Star | Tok::Pipes)
    }
}
