//! Primary keys and index values as text: exact for entry keys, and for tags as databases compare them.
//!
//! A tag must be found by every statement that can touch the row, and databases compare text more
//! loosely than Rust does: MySQL's default collations ignore case, accents and trailing spaces,
//! PostgreSQL has `citext`, SQLite `COLLATE NOCASE`. So the tag of a text key is folded, and all
//! keys that are not plain ASCII share one tag which every write by a text key purges too.
//!
//! Where the database's catalogue says more, it is less or more than that, by what is known of the column's
//! [`TextEquality`]. Processes that know the catalogue and processes that do not agree all the same:
//!
//! - A reader who knows that a text is equal to itself alone depends on a tag of its own, which says the
//!   text to the letter. Writers purge it besides, whatever they know: the one that is written is the one that
//!   is touched.
//! - A reader who knows how accents are left out depends on the tag without them. Who writes a text with
//!   accents and knows it purges that tag and the shared one, and who does not know it purges all rows.
//! - A reader who knows nothing good of the column depends on the shared tag, which is purged by all.

use sea_orm::Value;
use sea_orm::sea_query::ColumnType;
use unicode_normalization::UnicodeNormalization;

use crate::schema::TextEquality;

/// What kind of value a key column holds, as far as tags care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyClass {
    /// Any integer.
    Integer,
    /// Text, character or enum.
    Text,
    /// UUID.
    Uuid,
    /// Boolean.
    Bool,
    /// Anything else: equal values may be written in different ways (1.0 and 1.00, time zones),
    /// so a row cannot be named by it in a tag.
    Opaque,
}

/// A key value that a tag can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum KeyText {
    /// Folded text that stands for this value and those the database may hold equal to it.
    Named(String),
    /// Text that is not plain: it shares the tag of all such keys.
    Odd,
    /// Text to the letter, which stands for this value alone.
    Exact(String),
}

impl KeyClass {
    pub(crate) fn of(column: &ColumnType) -> Self {
        use ColumnType as T;
        match column {
            T::TinyInteger
            | T::SmallInteger
            | T::Integer
            | T::BigInteger
            | T::TinyUnsigned
            | T::SmallUnsigned
            | T::Unsigned
            | T::BigUnsigned => Self::Integer,
            T::Char(_) | T::String(_) | T::Text | T::Enum { .. } => Self::Text,
            T::Uuid => Self::Uuid,
            T::Boolean => Self::Bool,
            _ => Self::Opaque,
        }
    }

    /// The tag text for a bound value in a column of this class. `None` when the two do not fit
    /// (`id = '7'` on an integer column, `code = 7` on a text column): the database converts by
    /// rules of its own, so the row is not known.
    pub(crate) fn tag_text(self, value: &Value, equality: TextEquality) -> Option<KeyText> {
        match self {
            Self::Integer => integer(value).map(KeyText::Named),
            Self::Text => text(value).map(|text| fold(text, equality)),
            // Quoted by the SQL literal writer; the variant itself exists only with SeaORM's
            // `with-uuid`, which this crate does not ask for.
            Self::Uuid => {
                let literal = value.to_string();
                let text = literal.strip_prefix('\'')?.strip_suffix('\'')?.to_ascii_lowercase();
                let is_uuid = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
                (is_uuid && self::text(value).is_none()).then_some(KeyText::Named(text))
            }
            Self::Bool => match value {
                Value::Bool(Some(v)) => Some(KeyText::Named(v.to_string())),
                _ => None,
            },
            Self::Opaque => None,
        }
    }

    /// A text to the letter, but for spaces at its end; `None` for what is not a text.
    pub(crate) fn exact_text(self, value: &Value) -> Option<KeyText> {
        (self == Self::Text).then(|| text(value).map(exact))?
    }

    /// The same for a string literal in the SQL text.
    pub(crate) fn exact_literal(self, value: &str) -> Option<KeyText> {
        (self == Self::Text).then(|| exact(value))
    }

    /// The folded tag text for an integer that stands in the SQL text.
    pub(crate) fn tag_integer(self, value: i64) -> Option<KeyText> {
        (self == Self::Integer).then(|| KeyText::Named(value.to_string()))
    }

    /// The folded tag text for a string literal in the SQL text.
    pub(crate) fn tag_literal(self, value: &str, equality: TextEquality) -> Option<KeyText> {
        (self == Self::Text).then(|| fold(value, equality))
    }
}

/// A value as exact text, for entry keys and tag templates: integers and text as they are, other
/// types as their SQL literal without quotes. `None` for NULL.
pub(crate) fn value_text(value: &Value) -> Option<String> {
    if let Some(text) = integer(value) {
        return Some(text);
    }
    if let Some(text) = text(value) {
        return Some(text.to_owned());
    }
    let literal = value.to_string();
    if literal == "NULL" {
        return None;
    }
    Some(match literal.strip_prefix('\'').and_then(|l| l.strip_suffix('\'')) {
        Some(inner) => inner.to_owned(),
        None => literal,
    })
}

fn integer(value: &Value) -> Option<String> {
    match value {
        Value::TinyInt(v) => v.map(|v| v.to_string()),
        Value::SmallInt(v) => v.map(|v| v.to_string()),
        Value::Int(v) => v.map(|v| v.to_string()),
        Value::BigInt(v) => v.map(|v| v.to_string()),
        Value::TinyUnsigned(v) => v.map(|v| v.to_string()),
        Value::SmallUnsigned(v) => v.map(|v| v.to_string()),
        Value::Unsigned(v) => v.map(|v| v.to_string()),
        Value::BigUnsigned(v) => v.map(|v| v.to_string()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(v) => v.as_deref(),
        Value::Enum(sea_orm::sea_query::OptionEnum::Some(v)) => Some(v.value.as_ref()),
        _ => None,
    }
}

/// Lower case, no trailing spaces; what is not printable ASCII is odd, unless it is known how accents are
/// left out.
fn fold(text: &str, equality: TextEquality) -> KeyText {
    let text = text.trim_end_matches(' ');
    let is_plain = || text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let folded = match equality {
        TextEquality::Unforeseen => None,
        _ if is_plain() => Some(text.to_ascii_lowercase()),
        // Who reads this to the letter has another tag; it may be that others do not know that they could.
        TextEquality::ToTheLetter | TextEquality::IgnoresAccents => {
            text.chars().map(without_case_or_accent).collect()
        }
        TextEquality::IgnoresCase => None,
    };
    folded.filter(|text| !text.is_empty()).map_or(KeyText::Odd, KeyText::Named)
}

/// What a character has in common with those that a collation may hold equal to it if it follows no
/// language's rules: its first part in Unicode's canonical decomposition, in lower case. `None` for
/// characters of which that is not known, or which such a collation leaves out or writes as several.
fn without_case_or_accent(character: char) -> Option<char> {
    match character {
        ' '..='~' => Some(character.to_ascii_lowercase()),
        // Ideographs and the syllables of Hangul have neither.
        '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}' => Some(character),
        // At the end of a word.
        '\u{3c2}' => Some('\u{3c3}'),
        '\u{c0}'..='\u{24f}' => letter(character).filter(char::is_ascii_lowercase),
        '\u{386}'..='\u{3ce}' | '\u{400}'..='\u{45f}' => letter(character),
        _ => None,
    }
}

fn letter(character: char) -> Option<char> {
    let bare = std::iter::once(character).nfd().next()?;
    bare.is_alphabetic().then(|| bare.to_lowercase().next())?
}

fn exact(text: &str) -> KeyText {
    KeyText::Exact(text.trim_end_matches(' ').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING_KNOWN: TextEquality = TextEquality::IgnoresCase;

    // case E11
    #[test]
    fn a_value_of_another_type_than_the_column_names_no_row() {
        assert_eq!(KeyClass::Integer.tag_text(&Value::from("7"), NOTHING_KNOWN), None);
        assert_eq!(KeyClass::Text.tag_text(&Value::from(7), NOTHING_KNOWN), None);
        assert_eq!(KeyClass::Integer.tag_text(&Value::BigInt(None), NOTHING_KNOWN), None);
        assert_eq!(KeyClass::Opaque.tag_text(&Value::from(7), NOTHING_KNOWN), None);
        assert_eq!(KeyClass::Integer.tag_literal("7", NOTHING_KNOWN), None);
        assert_eq!(KeyClass::Text.tag_integer(7), None);
    }

    #[test]
    fn integers_of_any_width_name_the_same_row() {
        for value in [Value::from(7i8), Value::from(7i64), Value::from(7u16), Value::from(7u64)] {
            assert_eq!(KeyClass::Integer.tag_text(&value, NOTHING_KNOWN), Some(KeyText::Named("7".into())));
        }
    }

    // case E23
    #[test]
    fn text_keys_that_a_collation_may_hold_equal_share_a_tag() {
        let tag = |text: &str| KeyClass::Text.tag_text(&Value::from(text), NOTHING_KNOWN);
        assert_eq!(tag("ABC"), tag("abc"));
        assert_eq!(tag("abc "), tag("abc"));
        assert_eq!(tag("é"), Some(KeyText::Odd));
        assert_eq!(tag("a.b"), Some(KeyText::Named("a.b".into())));
        assert_eq!(tag("A b@c"), Some(KeyText::Named("a b@c".into())));
        assert_eq!(tag("a\tb"), Some(KeyText::Odd));
        assert_eq!(tag(""), Some(KeyText::Odd));
    }

    // case E23
    #[test]
    fn where_accents_are_left_out_texts_share_a_tag_that_differ_in_them() {
        let tag = |text: &str| KeyClass::Text.tag_literal(text, TextEquality::IgnoresAccents);
        let named = |text: &str| Some(KeyText::Named(text.into()));
        for (text, folded) in [
            ("M\u{fc}ller ", "muller"),
            ("\u{c9}LAN", "elan"),
            ("\u{17b}\u{f3}\u{17c}", "zoz"),
            ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c3}"),
            ("\u{3bf}\u{3b4}\u{3cc}\u{3c2}", "\u{3bf}\u{3b4}\u{3bf}\u{3c3}"),
            ("\u{401}\u{439}", "\u{435}\u{438}"),
            ("\u{6771}\u{4eac} 1", "\u{6771}\u{4eac} 1"),
            ("\u{c11c}\u{c6b8}", "\u{c11c}\u{c6b8}"),
        ] {
            assert_eq!(tag(text), named(folded), "{text}");
        }
        // Written as several letters, as a letter and its accent apart, left out, or of other scripts.
        for odd in ["stra\u{df}e", "\u{e6}", "\u{f8}", "\u{142}", "e\u{301}", "a\u{200b}", "\u{3042}", ""] {
            assert_eq!(tag(odd), Some(KeyText::Odd), "{odd}");
        }
    }

    // case E23
    #[test]
    fn where_any_text_may_be_equal_to_any_other_all_share_one_tag() {
        for text in ["a", "7", "\u{e9}"] {
            let tag = KeyClass::Text.tag_text(&Value::from(text), TextEquality::Unforeseen);
            assert_eq!(tag, Some(KeyText::Odd), "{text}");
        }
        let integer = KeyClass::Integer.tag_text(&Value::from(7), TextEquality::Unforeseen);
        assert_eq!(integer, Some(KeyText::Named("7".into())));
    }

    #[test]
    fn to_the_letter_texts_are_told_apart_by_everything_but_spaces_at_the_end() {
        let tag = |text: &str| KeyClass::Text.exact_text(&Value::from(text));
        assert_ne!(tag("ABC"), tag("abc"));
        assert_ne!(tag("\u{e9}"), tag("e\u{301}"));
        assert_eq!(tag("abc "), tag("abc"));
        assert_eq!(tag("abc"), KeyClass::Text.exact_literal("abc"));
        assert_eq!(KeyClass::Text.exact_text(&Value::from(7)), None);
        assert_eq!(KeyClass::Text.exact_text(&Value::String(None)), None);
        assert_eq!(KeyClass::Integer.exact_text(&Value::from(7)), None);
        assert_eq!(KeyClass::Integer.exact_literal("7"), None);
    }
}
