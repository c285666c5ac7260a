//! Every key that the crate puts into the store is made here.
//!
//! ```text
//! bookshop:row:book:7@1f3a9c20          one row, by primary key and schema fingerprint
//! bookshop:q:book:<hash>@1f3a9c20       the answer of a statement, by text and bound values
//! bookshop:e:dashboard%3A7              an entry of the application's own
//! bookshop:t:book                       tag: changed by any write to the table
//! bookshop:t:book:*                     tag: changed by a write whose rows are not known
//! bookshop:t:book:7                     tag: one row
//! bookshop:t:book:~                     tag: rows whose text key is not plain (see `key_text`)
//! bookshop:t:shelf:=A-3                 tag: one row by its text key, to the letter
//! bookshop:i:book                       tag: changed by a write whose index values are not known
//! bookshop:i:book:shelf_id=3            tag: rows with this value in an index column
//! bookshop:i:book:isbn=~                tag: rows whose text in an index column is not plain
//! bookshop:i:book:isbn==97-X            tag: rows with this text in an index column, to the letter
//! bookshop:u:report                     tag of the application's own
//! bookshop:u:report:*                   tag: what is named `report:...`, tags and own entries
//! bookshop:u                            tag: purged with every tag of the application's own
//! bookshop:g:catalog                    tag of an entity group (`#[cache(namespace = "...")]`)
//! bookshop:t                            tag: everything in the namespace
//! bookshop:l:warmup                     a lease
//! bookshop:r:login:user%3A7             a rate limit
//! bookshop:s:web:<hash>                 a session, by the hash of its id
//! bookshop:s:web:i:<hash>               tag: the id of a session
//! bookshop:s:web:l:<login>              tag: a login
//! bookshop:s:web:u:ann                  tag: all sessions of a user
//! bookshop:~<process>:<n>               written to be told of it, by the feed of changes
//! bookshop:~feed                        there while somebody hears of changes by publish/subscribe
//! ```
//!
//! Parts are percent-escaped, so that no separator can be smuggled in and no two different keys
//! are written alike; a part that is too long is replaced by its hash behind a `#`, which escaping
//! never produces. Tag keys carry no fingerprint: old and new code running side by side purge each
//! other.

use std::fmt::Write as _;

use crate::{
    entity::{Fingerprint, KeyText},
    store::{EntryKey, TagKey},
};

/// Longest part that stands in a key as it is, in bytes after escaping.
const LONGEST_PART: usize = 128;

/// The namespace, and the keys inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyspace {
    namespace: String,
    everything: TagKey,
}

/// 128 bits of BLAKE3: stable across processes, platforms and versions, and hard to aim at, since
/// the bound values of a query may come from strangers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash([u8; 16]);

impl KeyHash {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            // The length goes first, so that ("ab", "c") and ("a", "bc") differ.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut out = [0; 16];
        out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(out)
    }
}

impl std::fmt::Display for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Keyspace {
    /// `namespace` may be any text that is not empty.
    pub(crate) fn new(namespace: &str) -> Self {
        let mut escaped = String::with_capacity(namespace.len());
        push_part(&mut escaped, namespace);
        Self::of_escaped(escaped)
    }

    /// The same for Redis Cluster, where the text between braces is what decides on a key's slot:
    /// all keys of the namespace are in one.
    pub(crate) fn in_one_slot(namespace: &str) -> Self {
        Self::of_escaped(format!("{{{}}}", Self::hash_tag(namespace)))
    }

    fn of_escaped(namespace: String) -> Self {
        Self { everything: TagKey::from_full(format!("{namespace}:t")), namespace }
    }

    /// What stands between the braces.
    pub(crate) fn hash_tag(namespace: &str) -> String {
        Self::new(namespace).namespace
    }

    /// What every key begins with; the separator included, so that `shop` is not the beginning
    /// of `shop2`.
    pub(crate) fn prefix(&self) -> String {
        format!("{}:", self.namespace)
    }

    /// What the keys of an entity's rows have in common. `table` is the name as declared, `folded` the
    /// lower-cased bare one.
    pub(crate) fn rows(
        &self,
        group: Option<&str>,
        schema: Option<&str>,
        (table, folded): (&str, &str),
        fingerprint: Fingerprint,
        has_tags: bool,
    ) -> RowKeys {
        let mut entry = self.entry_start(group);
        entry.push_str("row:");
        push_table(&mut entry, schema, table);
        entry.push(':');
        let group = group.map(|group| self.group(group));
        let any_user = has_tags.then(|| self.any_user_tag());
        RowKeys {
            shared: std::iter::once(self.everything()).chain(group).chain(any_user).collect(),
            any_row: self.any_row(folded),
            table: self.table(folded),
            index: self.index(folded),
            odd: self.odd_rows(folded),
            entry,
            suffix: format!("@{fingerprint}"),
            tag: self.one("t", folded) + ":",
        }
    }

    /// The entry of a statement's answer.
    pub(crate) fn query(
        &self,
        group: Option<&str>,
        table: &str,
        hash: KeyHash,
        fingerprint: Fingerprint,
    ) -> EntryKey {
        let mut out = self.entry_start(group);
        out.push_str("q:");
        push_part(&mut out, table);
        let _ = write!(out, ":{hash}@{fingerprint}");
        EntryKey::from_full(out)
    }

    /// An entry of the application's own.
    pub(crate) fn user_entry(&self, key: &str) -> EntryKey {
        EntryKey::from_full(self.one("e", key))
    }

    /// A lease of the crate's own.
    pub(crate) fn lease(&self, name: &str) -> EntryKey {
        EntryKey::from_full(self.one("l", name))
    }

    /// A rate limit, for one of those whom it limits.
    pub(crate) fn rate(&self, limit: &str, key: &str) -> EntryKey {
        let mut out = self.one("r", limit);
        out.push(':');
        push_part(&mut out, key);
        EntryKey::from_full(out)
    }

    /// A session, by the hash of its id.
    pub(crate) fn session(&self, sessions: &str, digest: &str) -> EntryKey {
        EntryKey::from_full(format!("{}:{digest}", self.one("s", sessions)))
    }

    /// What a session depends on; `kind` is one letter, and no hash.
    pub(crate) fn session_tag(&self, sessions: &str, kind: &str, of: &str) -> TagKey {
        let mut out = self.one("s", sessions);
        let _ = write!(out, ":{kind}:");
        push_part(&mut out, of);
        TagKey::from_full(out)
    }

    /// What the keys of all tags begin with, and what keys begin with that a process writes to hear from
    /// itself, which sorts behind them.
    pub(crate) fn watched(&self, process: u64) -> (Vec<String>, String) {
        let tags = ["g:", "i:", "t", "u"].map(|kind| format!("{}:{kind}", self.namespace));
        (tags.into(), format!("{}:~{process:016x}:", self.namespace))
    }

    /// Everything in the namespace.
    pub(crate) fn everything(&self) -> TagKey {
        self.everything.clone()
    }

    /// Any write to the table. `folded` is the lower-cased bare table name.
    pub(crate) fn table(&self, folded: &str) -> TagKey {
        TagKey::from_full(self.one("t", folded))
    }

    /// Writes whose rows are not known.
    pub(crate) fn any_row(&self, folded: &str) -> TagKey {
        let mut out = self.one("t", folded);
        out.push_str(":*");
        TagKey::from_full(out)
    }

    /// One row, by the columns of its key. They stand in the order of their names, so that code
    /// which declares them in another order means the same row. A key with an odd part shares the
    /// table's tag for odd keys.
    pub(crate) fn row_tag(&self, folded: &str, key: Vec<(&str, KeyText)>) -> TagKey {
        let mut out = self.one("t", folded);
        out.push(':');
        if push_row(&mut out, key) { TagKey::from_full(out) } else { self.odd_rows(folded) }
    }

    /// All rows of the table whose key a collation might hold equal to another text.
    pub(crate) fn odd_rows(&self, folded: &str) -> TagKey {
        let mut out = self.one("t", folded);
        out.push_str(":~");
        TagKey::from_full(out)
    }

    /// Writes whose values in the table's index columns are not known.
    pub(crate) fn index(&self, folded: &str) -> TagKey {
        TagKey::from_full(self.one("i", folded))
    }

    /// The rows with a value in an index column; the column's name in lower case.
    pub(crate) fn index_value(&self, folded: &str, column: &str, value: &KeyText) -> TagKey {
        let mut out = self.one("i", folded);
        out.push(':');
        push_part(&mut out, column);
        out.push('=');
        match value {
            KeyText::Named(text) => push_part(&mut out, text),
            KeyText::Exact(text) => push_exact(&mut out, text),
            KeyText::Odd => out.push('~'),
        }
        TagKey::from_full(out)
    }

    /// A tag of the application's own.
    pub(crate) fn user_tag(&self, tag: &str) -> TagKey {
        TagKey::from_full(self.one("u", tag))
    }

    /// Every tag and every entry of the application's own whose name begins with this stem and a colon.
    pub(crate) fn stem(&self, stem: &str) -> TagKey {
        let mut out = self.one("u", stem);
        out.push_str(":*");
        TagKey::from_full(out)
    }

    /// Purged with every tag of the application's own.
    pub(crate) fn any_user_tag(&self) -> TagKey {
        TagKey::from_full(format!("{}:u", self.namespace))
    }

    /// All entries of the entities in a group.
    pub(crate) fn group(&self, group: &str) -> TagKey {
        TagKey::from_full(self.one("g", group))
    }

    fn one(&self, kind: &str, part: &str) -> String {
        let mut out = String::with_capacity(self.namespace.len() + part.len() + 16);
        out.extend([&*self.namespace, ":", kind, ":"]);
        push_part(&mut out, part);
        out
    }

    fn entry_start(&self, group: Option<&str>) -> String {
        let mut out = self.prefix();
        if let Some(group) = group {
            // `@` cannot begin any other kind of key, so a group named `row` collides with nothing.
            out.push('@');
            push_part(&mut out, group);
            out.push(':');
        }
        out
    }
}

/// What the keys of an entity's rows have in common, written once.
#[derive(Debug)]
pub(crate) struct RowKeys {
    /// The tags of everything that an entity answers.
    pub(crate) shared: Box<[TagKey]>,
    pub(crate) any_row: TagKey,
    pub(crate) table: TagKey,
    pub(crate) index: TagKey,
    pub(crate) odd: TagKey,
    /// Before and behind the key in that of an entry.
    entry: String,
    suffix: String,
    /// Before the key in that of a tag.
    tag: String,
}

impl RowKeys {
    /// The tags that a row asks for, with one for all in the place of its own: of those that are named
    /// to the letter, or of the others.
    pub(crate) fn asked(&self, to_the_letter: bool) -> Vec<TagKey> {
        let own = TagKey::from_full(if to_the_letter { self.tag.clone() + "=" } else { self.tag.clone() });
        self.shared.iter().cloned().chain([self.any_row.clone(), own, self.table.clone()]).collect()
    }

    /// The entry of one row. `key` holds the exact text of each primary-key column.
    pub(crate) fn entry(&self, key: &[String]) -> EntryKey {
        let mut out = String::with_capacity(self.entry.len() + self.suffix.len() + 24);
        out.push_str(&self.entry);
        for (i, part) in key.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            push_part(&mut out, part);
        }
        out.push_str(&self.suffix);
        EntryKey::from_full(out)
    }

    /// See [`Keyspace::row_tag`].
    pub(crate) fn tag(&self, key: Vec<(&str, KeyText)>) -> TagKey {
        let mut out = String::with_capacity(self.tag.len() + 24);
        out.push_str(&self.tag);
        if push_row(&mut out, key) { TagKey::from_full(out) } else { self.odd.clone() }
    }
}

/// Appends a row's key, columns in the order of their names; false if a part of it is odd.
fn push_row(out: &mut String, mut key: Vec<(&str, KeyText)>) -> bool {
    key.sort_unstable_by_key(|(column, _)| *column);
    for (i, (_, part)) in key.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match part {
            KeyText::Named(text) => push_part(out, text),
            KeyText::Exact(text) => push_exact(out, text),
            KeyText::Odd => return false,
        }
    }
    true
}

/// What is escaped never begins with this sign.
fn push_exact(out: &mut String, text: &str) {
    out.push('=');
    push_part(out, text);
}

fn push_table(out: &mut String, schema: Option<&str>, table: &str) {
    if let Some(schema) = schema {
        push_part(out, schema);
        out.push('/');
    }
    push_part(out, table);
}

/// Appends one part: letters, digits, `_`, `-` and `.` as they are, the rest as `%XX`.
fn push_part(out: &mut String, part: &str) {
    let start = out.len();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if out.len() - start > LONGEST_PART {
        out.truncate(start);
        let _ = write!(out, "#{}", KeyHash::of(&[part.as_bytes()]));
    }
}

/// The other way; `None` of a part that stands as its hash.
#[cfg(feature = "cli")]
pub(crate) fn unescaped(part: &str) -> Option<String> {
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'#' => return None,
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> KeyText {
        KeyText::Named(text.to_owned())
    }

    // case F2, F6: these texts are what earlier releases wrote; a change makes deploys blind to
    // each other's purges.
    #[test]
    fn keys_look_like_the_documented_ones_for_ever() {
        let keys = Keyspace::new("bookshop");
        let print = Fingerprint::of_type::<u8>("golden");
        let row = keys.rows(None, None, ("book", "book"), print, false).entry(&["7".into()]);
        assert_eq!(row.as_str(), format!("bookshop:row:book:7@{print}"));
        let rows = keys.rows(Some("catalog"), Some("shop"), ("book", "book"), print, false);
        let row = rows.entry(&["7".into(), "a:b".into()]);
        assert_eq!(row.as_str(), format!("bookshop:@catalog:row:shop/book:7,a%3Ab@{print}"));
        assert_eq!(keys.everything().as_str(), "bookshop:t");
        assert_eq!(keys.rate("login", "user:7").as_str(), "bookshop:r:login:user%3A7");
        assert_eq!(keys.session("web", "0af1").as_str(), "bookshop:s:web:0af1");
        assert_eq!(keys.session_tag("web", "u", "a:b").as_str(), "bookshop:s:web:u:a%3Ab");
        assert_eq!(keys.table("book").as_str(), "bookshop:t:book");
        assert_eq!(keys.any_row("book").as_str(), "bookshop:t:book:*");
        assert_eq!(keys.row_tag("book", vec![("id", named("7"))]).as_str(), "bookshop:t:book:7");
        assert_eq!(
            keys.row_tag("book", vec![("a", named("7")), ("b", KeyText::Odd)]).as_str(),
            "bookshop:t:book:~"
        );
        let exact = KeyText::Exact("A-3".into());
        assert_eq!(keys.row_tag("shelf", vec![("code", exact.clone())]).as_str(), "bookshop:t:shelf:=A-3");
        assert_eq!(keys.index_value("book", "isbn", &exact).as_str(), "bookshop:i:book:isbn==A-3");
        assert_eq!(keys.index("book").as_str(), "bookshop:i:book");
        assert_eq!(keys.index_value("book", "shelf_id", &named("3")).as_str(), "bookshop:i:book:shelf_id=3");
        assert_eq!(keys.user_tag("report").as_str(), "bookshop:u:report");
        assert_eq!(keys.stem("report").as_str(), "bookshop:u:report:*");
        assert_eq!(keys.group("catalog").as_str(), "bookshop:g:catalog");
        assert_eq!(keys.user_entry("dashboard:7").as_str(), "bookshop:e:dashboard%3A7");
        let hash = KeyHash::of(&[b"SELECT 1", b"\x03\x01\x0e"]);
        assert_eq!(hash.to_string(), "49180ffeab84fd3fb8dc98b0a73bf2bd");
    }

    // case F10
    #[test]
    fn in_a_cluster_the_namespace_is_the_hash_tag_of_every_key() {
        let keys = Keyspace::in_one_slot("book{shop}");
        assert_eq!(keys.table("b{o}ok").as_str(), "{book%7Bshop%7D}:t:b%7Bo%7Dok");
        let print = Fingerprint::of_type::<u8>("golden");
        let (prefixes, own) = keys.watched(7);
        let mut all = vec![
            keys.prefix(),
            keys.everything().to_string(),
            keys.rows(Some("g"), None, ("b", "b"), print, true).entry(&["1".into()]).to_string(),
            keys.query(None, "b", KeyHash::of(&[]), print).to_string(),
            keys.user_entry("e").to_string(),
            keys.lease("l").to_string(),
            own.clone(),
        ];
        all.extend(prefixes.iter().cloned());
        let tag = format!("{{{}}}:", Keyspace::hash_tag("book{shop}"));
        for key in &all {
            assert!(key.starts_with(&tag) && key.matches(['{', '}']).count() == 2, "{key}");
        }
        assert!(prefixes.iter().all(|prefix| *prefix < own), "the own prefix is told of last");
    }

    // case F1
    #[test]
    fn separators_inside_a_part_cannot_make_two_keys_alike() {
        let keys = Keyspace::new("ns");
        let print = Fingerprint::of_type::<u8>("");
        let row = |table: &str, key: &[&str]| {
            let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
            keys.rows(None, None, (table, table), print, false).entry(&key).to_string()
        };
        let all = [
            row("a", &["1", "23"]),
            row("a", &["12", "3"]),
            row("a", &["1,23"]),
            row("a:1", &["23"]),
            row("a", &["1:23"]),
            row("a", &["1@23"]),
            row("a", &["%31"]),
            row("a/b", &["1"]),
            keys.rows(None, Some("a"), ("b", "b"), print, false).entry(&["1".into()]).to_string(),
            keys.rows(Some("a"), None, ("b", "b"), print, false).entry(&["1".into()]).to_string(),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:#?}");

        let tags = [
            keys.everything(),
            keys.table("a"),
            keys.table("a:*"),
            keys.any_row("a"),
            keys.row_tag("a", vec![("id", named("*"))]),
            keys.row_tag("a", vec![("id", named("~"))]),
            keys.odd_rows("a"),
            keys.row_tag("a", vec![("id", named("b=1"))]),
            keys.row_tag("a", vec![("id", named("=b"))]),
            keys.row_tag("a", vec![("id", KeyText::Exact("b".into()))]),
            keys.row_tag("a", vec![("id", KeyText::Exact(String::new()))]),
            keys.row_tag("a", vec![("id", named("b"))]),
            keys.index("a"),
            keys.index_value("a", "b", &named("1")),
            keys.index_value("a", "b", &named("~")),
            keys.index_value("a", "b", &KeyText::Odd),
            keys.index_value("a", "b", &KeyText::Exact("1".into())),
            keys.index_value("a", "b", &KeyText::Exact(String::new())),
            keys.index_value("a", "b", &KeyText::Exact("~".into())),
            keys.index_value("a", "b=1", &named("")),
            keys.index_value("a:b", "", &named("1")),
            keys.user_tag("a"),
            keys.user_tag("a:*"),
            keys.stem("a"),
            keys.group("a"),
        ];
        let distinct: std::collections::HashSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len(), "{tags:#?}");
    }

    // case F3
    #[test]
    fn a_namespace_is_never_the_beginning_of_another() {
        for (one, other) in [("shop", "shop:t"), ("shop", "shop2"), ("a:b", "a"), ("a%3Ab", "a:b")] {
            let (one, other) = (Keyspace::new(one), Keyspace::new(other));
            assert!(!one.table("x").as_str().starts_with(&other.prefix()));
            assert!(!other.table("x").as_str().starts_with(&one.prefix()));
        }
    }

    // case F11
    #[test]
    fn keys_are_bounded_however_long_their_parts_are() {
        let keys = Keyspace::new(&"n".repeat(10_000));
        let long = "k".repeat(1 << 20);
        let print = Fingerprint::of_type::<u8>("");
        let rows = keys.rows(None, None, ("book", "book"), print, false);
        let row = rows.entry(&[long.clone(), "\0\u{1}ü".repeat(500)]);
        assert!(row.as_str().len() < 300, "{}", row.as_str().len());
        assert_ne!(keys.user_entry(&long), keys.user_entry(&format!("{long}x")));
        assert!(keys.user_tag(&long).as_str().len() < 200);
    }
}
