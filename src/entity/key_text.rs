//! Primary keys and index values as text: exact for entry keys, and for tags as databases compare them.
//!
//! A tag must be found by every statement that can touch the row, and databases compare text more
//! loosely than Rust does: MySQL's default collations ignore case, accents and trailing spaces,
//! PostgreSQL has `citext`, SQLite `COLLATE NOCASE`. So the tag of a text key is folded, and all
//! keys that are not plain ASCII share one tag which every write by a text key purges too.
//!
//! Where the database's catalogue says that a text is equal to itself alone, readers depend on another
//! tag, which says the text to the letter. Writers purge both, whatever they know of the catalogue: if a
//! text is equal to itself alone, then the one that is written is the one that is touched.

use sea_orm::Value;
use sea_orm::sea_query::ColumnType;

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
    pub(crate) fn tag_text(self, value: &Value) -> Option<KeyText> {
        match self {
            Self::Integer => integer(value).map(KeyText::Named),
            Self::Text => text(value).map(fold),
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
    pub(crate) fn tag_literal(self, value: &str) -> Option<KeyText> {
        (self == Self::Text).then(|| fold(value))
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

/// Lower case, no trailing spaces; what is not printable ASCII is odd. In MariaDB's compiled
/// collations, no two printable ASCII characters are equal but for case (in the Lithuanian and the
/// classical Latin one also some letters), and none is ignored.
fn fold(text: &str) -> KeyText {
    let text = text.trim_end_matches(' ');
    let plain = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if plain && !text.is_empty() { KeyText::Named(text.to_ascii_lowercase()) } else { KeyText::Odd }
}

fn exact(text: &str) -> KeyText {
    KeyText::Exact(text.trim_end_matches(' ').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // case E11
    #[test]
    fn a_value_of_another_type_than_the_column_names_no_row() {
        assert_eq!(KeyClass::Integer.tag_text(&Value::from("7")), None);
        assert_eq!(KeyClass::Text.tag_text(&Value::from(7)), None);
        assert_eq!(KeyClass::Integer.tag_text(&Value::BigInt(None)), None);
        assert_eq!(KeyClass::Opaque.tag_text(&Value::from(7)), None);
        assert_eq!(KeyClass::Integer.tag_literal("7"), None);
        assert_eq!(KeyClass::Text.tag_integer(7), None);
    }

    #[test]
    fn integers_of_any_width_name_the_same_row() {
        for value in [Value::from(7i8), Value::from(7i64), Value::from(7u16), Value::from(7u64)] {
            assert_eq!(KeyClass::Integer.tag_text(&value), Some(KeyText::Named("7".into())));
        }
    }

    // case E23
    #[test]
    fn text_keys_that_a_collation_may_hold_equal_share_a_tag() {
        let tag = |text: &str| KeyClass::Text.tag_text(&Value::from(text));
        assert_eq!(tag("ABC"), tag("abc"));
        assert_eq!(tag("abc "), tag("abc"));
        assert_eq!(tag("é"), Some(KeyText::Odd));
        assert_eq!(tag("a.b"), Some(KeyText::Named("a.b".into())));
        assert_eq!(tag("A b@c"), Some(KeyText::Named("a b@c".into())));
        assert_eq!(tag("a\tb"), Some(KeyText::Odd));
        assert_eq!(tag(""), Some(KeyText::Odd));
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
