//! What names of entries, tags and tables say.

/// `report` of `report:7`: what stands before the first colon.
pub(crate) fn stem(name: &str) -> Option<&str> {
    name.split_once(':').map(|(stem, _)| stem)
}

/// `report` of `report:*`, and of `report:2024:*`, which purges a little more than it says.
pub(super) fn stem_of_pattern(tag: &str) -> Option<&str> {
    tag.strip_suffix(":*").map(|rest| stem(rest).unwrap_or(rest))
}

/// Is it a name without a `*`, or all names behind a colon (`report:*`)? The derive refuses others too.
pub(crate) fn is_pattern_that_works(tag: &str) -> bool {
    match tag.strip_suffix(":*") {
        Some(stem) => !stem.is_empty() && !stem.contains('*'),
        None => !tag.contains('*'),
    }
}

/// A table's name as tags know it: lower case, without the schema.
pub(crate) fn bare_name(table: &str) -> String {
    table.rsplit('.').next().unwrap_or(table).trim_matches(['"', '`', '[', ']']).to_lowercase()
}

/// Is this the key of something else than an entry, namespace taken off: a tag, a lease, a rate limit, a
/// session?
pub(crate) fn is_no_entry(key: &str) -> bool {
    key.starts_with('~') || matches!(key.split(':').next(), Some("t" | "i" | "u" | "g" | "l" | "r" | "s"))
}

/// `*` matches any text; everything else matches itself. Linear in the text for each `*`.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_keys() {
        for (pattern, text, expected) in [
            ("row:book:*", "row:book:7@1", true),
            ("row:book:*", "row:bookmark:7@1", false),
            ("*book*", "row:book:7@1", true),
            ("e:a*b*c", "e:a1b2c", true),
            ("e:a*b*c", "e:acb", false),
            ("e:x", "e:x", true),
            ("e:x", "e:xy", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }
}
