//! One text for one JSON value: in the spirit of RFC 8785 (JSON Canonicalization Scheme).

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Integers up to here are exact in every JSON reader, and `1.0` is the same as `1`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends the canonical text. Members of objects are sorted by UTF-16 code units, as RFC 8785 has it,
/// and there is no white space. Unlike there, large integers keep all their digits, so that no two that
/// differ are one.
pub(super) fn push_canonical(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => push_number(out, number),
        Value::String(text) => push_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                push_canonical(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push('{');
            for (position, (name, value)) in members.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                push_string(out, name);
                out.push(':');
                push_canonical(out, value);
            }
            out.push('}');
        }
    }
}

fn push_number(out: &mut String, number: &Number) {
    let _ = if let Some(whole) = number.as_u64() {
        write!(out, "{whole}")
    } else if let Some(whole) = number.as_i64() {
        write!(out, "{whole}")
    } else {
        match number.as_f64() {
            // Also -0, which is 0.
            Some(float) if float.fract() == 0.0 && float.abs() < EXACT => write!(out, "{}", float as i64),
            // The shortest digits that read back as the same.
            Some(float) if float.is_finite() => write!(out, "{float:e}"),
            _ => write!(out, "{number}"),
        }
    };
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canonical(value: &Value) -> String {
        let mut out = String::new();
        push_canonical(&mut out, value);
        out
    }

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn the_order_of_members_and_white_space_do_not_count_but_that_of_items_does() {
        assert_eq!(of(r#" { "b" : [ 1, 2 ], "a" : null } "#), r#"{"a":null,"b":[1,2]}"#);
        assert_ne!(of("[1,2]"), of("[2,1]"));
        assert_ne!(of(r#"{"a":null}"#), of("{}"));
        // By code units: U+1F600 is written with surrogates, which sort before U+FB33.
        assert_eq!(of("{\"\u{fb33}\":1,\"\u{1f600}\":2}"), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn a_number_is_its_value_and_not_its_spelling() {
        for same in [["1", "1.0"], ["100", "1e2"], ["0", "-0.0"], ["0.5", "5e-1"], ["-3", "-3.0"]] {
            assert_eq!(of(same[0]), of(same[1]), "{same:?}");
        }
        for different in [
            ["9007199254740992", "9007199254740993"],
            ["18446744073709551615", "18446744073709551614"],
            ["-9007199254740993", "-9007199254740992"],
            ["0.1", "0.10000000000000002"],
            ["1", "\"1\""],
            ["0", "false"],
        ] {
            assert_ne!(of(different[0]), of(different[1]), "{different:?}");
        }
    }

    #[test]
    fn what_is_canonical_reads_back_as_the_same_value() {
        let value = json!({ "a\"\\\n\u{7f}é": [1.5e300, -7, u64::MAX, 2.5e-8, true, null, {}, [], ""] });
        let back: Value = serde_json::from_str(&canonical(&value)).unwrap();
        assert_eq!(back, value);
        assert_eq!(canonical(&back), canonical(&value));
    }
}
