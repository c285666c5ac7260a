//! Answers remembered by text, so that a statement seen before costs a look-up.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use super::{Analysis, Dialect, Operand, Scope, analyse_with};

/// A text longer than this is analysed each time. Such texts are bulk inserts with one placeholder
/// for each value: as many different ones as there are batch sizes, each costing more memory to
/// keep than time to read again.
const LONGEST_TEXT: usize = 4 * 1024;

/// An answer that takes more bytes than this is not remembered, for the same reason: each value of
/// a list of rows or keys is many times as large in the answer as in the text, and there are as many
/// such texts as there are batch sizes. A list of some twenty rows or a hundred keys is lighter.
const HEAVIEST_ANSWER: u64 = 8 * 1024;

/// Functions that the user declares pure, in lower case: they compute their answer from their
/// arguments alone and write nothing. `slugify` stands for that function in any schema,
/// `my_schema.slugify` for the one in this schema.
pub type PureFunctions = HashSet<Box<str>>;

/// A bounded, concurrent map from a statement's text to its [`Analysis`].
///
/// Bounded in bytes, so that an endless stream of distinct texts (literals instead of bound
/// values) costs misses and no more memory.
#[derive(Debug)]
pub struct Memo {
    cache: Cache<Text, Arc<Analysis>, ByBytes>,
    pure: Arc<PureFunctions>,
}

impl Memo {
    /// A memo that keeps texts and answers of about this many bytes in all.
    pub fn new(bytes: u64, pure: Arc<PureFunctions>) -> Memo {
        // A statement with its answer is about a kilobyte; the estimate only sizes the tables.
        let items = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Memo { cache: Cache::with_weighter(items, bytes, ByBytes), pure }
    }

    #[cfg(test)]
    pub fn with_capacity(bytes: u64) -> Memo {
        Memo::new(bytes, Arc::default())
    }

    /// The answer for this text, from memory when it was asked before.
    pub fn analyse(&self, dialect: Dialect, sql: &str) -> Arc<Analysis> {
        if sql.len() > LONGEST_TEXT {
            return Arc::new(analyse_with(dialect, sql, &self.pure));
        }
        if let Some(known) = self.cache.get(&TextRef { dialect, sql }) {
            return known;
        }
        let fresh = Arc::new(analyse_with(dialect, sql, &self.pure));
        let text = Text { dialect, sql: sql.into() };
        if ByBytes.weight(&text, &fresh) <= HEAVIEST_ANSWER {
            self.cache.insert(text, Arc::clone(&fresh));
        }
        fresh
    }

    #[cfg(test)]
    /// How many texts are remembered.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    #[cfg(test)]
    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    #[cfg(test)]
    /// About how many bytes the remembered texts and answers take.
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

impl Default for Memo {
    /// 4 MiB: some thousand different statements.
    fn default() -> Memo {
        Memo::new(4 * 1024 * 1024, Arc::default())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    dialect: Dialect,
    sql: Box<str>,
}

/// The borrowed form, so that a hit allocates nothing.
struct TextRef<'a> {
    dialect: Dialect,
    sql: &'a str,
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        TextRef { dialect: self.dialect, sql: &self.sql }.hash(state);
    }
}

impl Hash for TextRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.dialect as u8);
        self.sql.hash(state);
    }
}

impl Equivalent<Text> for TextRef<'_> {
    fn equivalent(&self, key: &Text) -> bool {
        self.dialect == key.dialect && *self.sql == *key.sql
    }
}

/// Weighs an entry by the bytes that it keeps alive, roughly.
#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Text, Arc<Analysis>> for ByBytes {
    fn weight(&self, text: &Text, analysis: &Arc<Analysis>) -> u64 {
        // Map slot, Arc and the fixed parts of the answer.
        let mut bytes = 512 + text.sql.len() + 64 * analysis.reads.len() + 32 * analysis.calls.len();
        bytes += analysis.reads.iter().map(|read| scope_bytes(&read.scope)).sum::<usize>();
        for write in &analysis.writes {
            bytes += 192 + scope_bytes(&write.scope) + 96 * write.before.len();
            bytes += 64 * write.assigned.as_ref().map_or(0, Vec::len);
            bytes += write.filter.as_ref().map_or(0, |f| f.condition.len() + 8 * f.bound.len());
        }
        bytes as u64
    }
}

fn scope_bytes(scope: &Scope) -> usize {
    let tuples = |columns: usize, rows: &[Vec<Operand>]| 32 * columns + rows.len() * (24 + 24 * columns);
    match scope {
        Scope::Unknown => 0,
        Scope::Where(all) => all.iter().map(|c| 48 + tuples(c.columns.len(), &c.alternatives)).sum(),
        Scope::Rows { columns, rows } => tuples(columns.len(), rows),
    }
}
