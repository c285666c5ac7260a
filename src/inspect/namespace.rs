//! The keys of a namespace: what each is, and which of them a purge takes away.

use std::{collections::BTreeSet, fmt};

use super::InspectedEntry;
use crate::{
    Cache,
    cache::{bare_name, matches_pattern, stem},
    entity::{KeyClass, KeyText},
    freshness::PurgeSet,
    keys::unescaped,
    schema::TextEquality,
    store::{EntryKey, Release, Stamp, TagKey, Watch},
};

/// The keys of a cache's namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    cache: Cache,
}

/// What a key of a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyKind {
    /// A row, or "there is no such row".
    Row,
    /// The answer of a statement.
    Query,
    /// An entry of the application's own.
    Own,
    /// A session.
    Session,
    /// A tag.
    Tag,
    /// A lease.
    Lease,
    /// A rate limit.
    RateLimit,
    /// What a process writes to be told of it.
    Beat,
    /// None of these.
    Unknown,
}

/// What a purge takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeKeys {
    /// The tags that it makes absent. This is the purge.
    pub tags: Vec<TagKey>,
}

impl KeyKind {
    /// Holds an entry, with a header.
    #[must_use]
    pub fn is_entry(self) -> bool {
        matches!(self, Self::Row | Self::Query | Self::Own | Self::Session)
    }

    /// A word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Query => "query",
            Self::Own => "own",
            Self::Session => "session",
            Self::Tag => "tag",
            Self::Lease => "lease",
            Self::RateLimit => "rate_limit",
            Self::Beat => "beat",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl PurgeKeys {
    /// The purge, for a store; what is purged is read from the database for `settle` afterwards.
    #[must_use]
    pub fn release(&self, settle: std::time::Duration) -> Release {
        Release { settle, ..Release::purging(&self.tags, &[]) }
    }
}

impl From<PurgeSet> for PurgeKeys {
    fn from(set: PurgeSet) -> Self {
        Self { tags: set.tags.into_iter().collect() }
    }
}

impl Namespace {
    /// That of a cache.
    #[must_use]
    pub fn of(cache: &Cache) -> Self {
        Self { cache: cache.clone() }
    }

    /// What all its keys begin with, and no others do.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.cache.inner.keys.prefix()
    }

    /// What a key is; `None` if it belongs to another namespace.
    #[must_use]
    pub fn kind(&self, key: &str) -> Option<KeyKind> {
        Some(kind_of(key.strip_prefix(&self.prefix())?))
    }

    /// Does a key match a pattern, which is about the key without the namespace? `*` stands for any text.
    #[must_use]
    pub fn matches(&self, pattern: &str, key: &str) -> bool {
        key.strip_prefix(&self.prefix()).is_some_and(|rest| matches_pattern(pattern, rest))
    }

    /// A purge of everything.
    #[must_use]
    pub fn everything(&self) -> PurgeKeys {
        PurgeKeys { tags: vec![self.cache.inner.keys.everything()] }
    }

    /// A purge of all that was read from a table.
    #[must_use]
    pub fn table(&self, table: &str) -> PurgeKeys {
        let mut set = PurgeSet::default();
        self.cache.inner.purge_table(&mut set, &bare_name(table));
        set.into()
    }

    /// A purge of one row, and of the lists that may hold it. Without the entity it is not known what kind
    /// of values the key has, nor, of a composite key (`7,1`), in which order its columns' names are: so
    /// whatever may be meant is purged.
    #[must_use]
    pub fn row(&self, table: &str, key: &str) -> PurgeKeys {
        let keys = &self.cache.inner.keys;
        let folded = bare_name(table);
        let mut set = PurgeSet::default();
        // A row that no tag can name depends on its table's.
        set.tags.extend([keys.table(&folded), keys.index(&folded), keys.odd_rows(&folded)]);
        let tag = |parts: &[&KeyText]| {
            let parts = ["a", "b"].into_iter().zip(parts.iter().copied().cloned());
            keys.row_tag(&folded, parts.collect())
        };
        set.tags.extend(ways(key).iter().map(|key| tag(&[key])));
        match key.split(',').map(ways).collect::<Vec<_>>().as_slice() {
            [_] => {}
            [first, second] => {
                for (first, second) in first.iter().flat_map(|first| second.iter().map(move |s| (first, s))) {
                    set.tags.extend([tag(&[first, second]), tag(&[second, first])]);
                }
            }
            // Which of the commas stand in a text is not known.
            _ => {
                set.tags.insert(keys.any_row(&folded));
            }
        }
        set.into()
    }

    /// A purge of a tag of the application's own, or of all of a stem (`report:*`).
    #[must_use]
    pub fn tag(&self, tag: &str) -> PurgeKeys {
        let mut set = PurgeSet::default();
        self.cache.inner.purge_user_tag(&mut set, tag);
        set.into()
    }

    /// What to watch to be told of every change of a tag.
    #[must_use]
    pub fn watch(&self, pace: std::time::Duration) -> Watch {
        let (prefixes, own) = self.cache.inner.keys.watched(Stamp::fresh().get());
        Watch { prefixes, own, pace }
    }

    /// The names of the tags that readers of an entry ask for, where its key gives them away: of rows
    /// with a key of one column, of the application's own entries, and of statements that read one table and are pinned to no index
    /// column. `None` if not.
    #[must_use]
    pub fn asked(&self, key: &str, entry: &InspectedEntry) -> Option<Vec<TagKey>> {
        let keys = &self.cache.inner.keys;
        let rest = key.strip_prefix(&self.prefix())?;
        let (group, rest) = match rest.strip_prefix('@') {
            Some(rest) => rest.split_once(':').map(|(group, rest)| (Some(group), rest))?,
            None => (None, rest),
        };
        let mut parts = rest.split(':');
        let (kind, name) = (parts.next()?, unescaped(parts.next()?)?);
        let mut candidates = Vec::new();
        let shared = |any_user: bool| {
            let group = group.and_then(unescaped).map(|group| keys.group(&group));
            let any_user = any_user.then(|| keys.any_user_tag());
            std::iter::once(keys.everything()).chain(group).chain(any_user)
        };
        match kind {
            "e" => {
                candidates.push(shared(false).collect());
                candidates.extend(stem(&name).map(|stem| shared(false).chain([keys.stem(stem)]).collect()));
            }
            "q" => {
                let table = keys.table(&name.to_lowercase());
                for any_user in [false, true] {
                    candidates.push(shared(any_user).chain([table.clone()]).collect());
                }
                candidates.push(shared(false).chain([table, keys.any_user_tag()]).collect());
            }
            "row" => {
                let table = rest.split(':').nth(1)?;
                let table = table.split_once('/').map_or(table, |(_, table)| table);
                let table = unescaped(table)?.to_lowercase();
                let text = parts.next()?.split('@').next()?;
                if text.contains(',') {
                    // The order of the columns' names is not known.
                    return None;
                }
                let text = unescaped(text)?;
                // Readers of rows with tags of their own ask with one for all in its place.
                let named = [(":", as_text(&text)), (":=", as_exact_text(&text))]
                    .map(|(end, own)| (end, keys.row_tag(&table, vec![("", own)])));
                for any_user in [false, true] {
                    let row = |own: Option<TagKey>| -> Vec<TagKey> {
                        let any_row = std::iter::once(keys.any_row(&table));
                        shared(any_user).chain(any_row).chain(own).chain([keys.table(&table)]).collect()
                    };
                    for (asked_as, own) in &named {
                        let asked_as = TagKey::from_full(format!("{}{asked_as}", keys.table(&table)));
                        if entry.asks_for(&row(Some(asked_as))) {
                            return Some(row(Some(own.clone())));
                        }
                        // Of a view.
                        candidates.push(row(Some(own.clone())));
                    }
                    // Of a key that no tag can name.
                    candidates.push(row(None));
                }
            }
            _ => {}
        }
        candidates.into_iter().find(|tags: &Vec<TagKey>| entry.asks_for(tags))
    }

    /// A key of this namespace as that of an entry.
    #[must_use]
    pub fn entry_key(&self, key: &str) -> Option<EntryKey> {
        self.kind(key).map(|_| EntryKey::from_full(key))
    }
}

/// As a tag names a text, and an integer, a UUID or a boolean that is written as the cache writes it.
fn as_text(part: &str) -> KeyText {
    KeyClass::Text.tag_literal(part, TextEquality::IgnoresAccents).unwrap_or(KeyText::Odd)
}

/// As the other tag of the same text names it, to the letter.
fn as_exact_text(part: &str) -> KeyText {
    KeyClass::Text.exact_literal(part).unwrap_or(KeyText::Odd)
}

/// As tags may name a part of a key: somebody may have typed an integer in another way than the cache writes
/// it.
fn ways(part: &str) -> BTreeSet<KeyText> {
    let integer = part.trim().parse::<i128>().ok().map(|number| KeyText::Named(number.to_string()));
    [as_text(part), as_exact_text(part)].into_iter().chain(integer).collect()
}

/// What a key is, namespace taken off.
fn kind_of(rest: &str) -> KeyKind {
    if rest.starts_with('~') {
        return KeyKind::Beat;
    }
    if rest.contains("~lease.") {
        return KeyKind::Lease;
    }
    let rest = match rest.strip_prefix('@').map(|rest| rest.split_once(':')) {
        Some(Some((_, rest))) => rest,
        Some(None) => return KeyKind::Unknown,
        None => rest,
    };
    let (kind, behind) = rest.split_once(':').map_or((rest, None), |(kind, behind)| (kind, Some(behind)));
    match (kind, behind) {
        ("t" | "u", _) | ("i" | "g", Some(_)) => KeyKind::Tag,
        // A session's tags have a letter between its name and their own.
        ("s", Some(behind)) if behind.split(':').count() > 2 => KeyKind::Tag,
        ("s", Some(_)) => KeyKind::Session,
        ("row", Some(_)) => KeyKind::Row,
        ("q", Some(_)) => KeyKind::Query,
        ("e", Some(_)) => KeyKind::Own,
        ("l", Some(_)) => KeyKind::Lease,
        ("r", Some(_)) => KeyKind::RateLimit,
        _ => KeyKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // feature D9
    #[test]
    fn every_documented_key_has_its_kind() {
        for (key, kind) in [
            ("row:book:7@1f3a9c20", KeyKind::Row),
            ("@catalog:row:shelf:1@77aa0c1e", KeyKind::Row),
            ("q:book:0af1@1f3a9c20", KeyKind::Query),
            ("e:dashboard%3A7", KeyKind::Own),
            ("t", KeyKind::Tag),
            ("t:book:7", KeyKind::Tag),
            ("i:book:shelf_id=3", KeyKind::Tag),
            ("u", KeyKind::Tag),
            ("u:report:*", KeyKind::Tag),
            ("g:catalog", KeyKind::Tag),
            ("l:warmup", KeyKind::Lease),
            ("row:book:7@1f3a9c20~lease.0123456789abcdef", KeyKind::Lease),
            ("r:login:user%3A7", KeyKind::RateLimit),
            ("s:web:0af1", KeyKind::Session),
            ("s:web:u:ann", KeyKind::Tag),
            ("~0123456789abcdef:1", KeyKind::Beat),
            ("x:y", KeyKind::Unknown),
            ("", KeyKind::Unknown),
        ] {
            assert_eq!(kind_of(key), kind, "{key}");
        }
    }

    // feature D9
    #[tokio::test]
    async fn a_row_is_purged_whatever_its_key_may_be() {
        let cache = Cache::builder().namespace("n").build().await.unwrap();
        let namespace = Namespace::of(&cache);
        let tags = |key: &str| -> Vec<String> {
            namespace.row("Shop.Book", key).tags.iter().map(|tag| tag.as_str().to_owned()).collect()
        };
        assert_eq!(tags("7"), ["n:i:book", "n:t:book", "n:t:book:7", "n:t:book:=7", "n:t:book:~"]);
        // An integer, or a text of these digits.
        assert_eq!(
            tags("007"),
            ["n:i:book", "n:t:book", "n:t:book:007", "n:t:book:7", "n:t:book:=007", "n:t:book:~"]
        );
        assert!(tags("1,+2").contains(&"n:t:book:2,1".to_owned()));
        assert!(tags("1,A").contains(&"n:t:book:=A,1".to_owned()), "one of both a text");
        assert!(tags("Ab c").contains(&"n:t:book:ab%20c".to_owned()));
        assert!(tags("Ab c").contains(&"n:t:book:=Ab%20c".to_owned()));
        assert!(tags("7,1").contains(&"n:t:book:7,1".to_owned()));
        assert!(tags("7,1").contains(&"n:t:book:1,7".to_owned()));
        assert!(tags("7,1").contains(&"n:t:book:7%2C1".to_owned()), "one text with a comma in it");
        assert!(tags("A-3,0b5C").contains(&"n:t:book:=A-3,0b5c".to_owned()), "a text, and what is none");
        assert!(!tags("1,2").contains(&"n:t:book:*".to_owned()));
        assert!(
            tags("a,b,7").contains(&"n:t:book:*".to_owned()),
            "a text with a comma in it, or three parts"
        );
    }
}
