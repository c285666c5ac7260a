//! What the cache makes of a statement, in words: the analysis itself speaks, so that what it says
//! is what happens.

use std::{fmt, time::Duration};

/// What the cache makes of a statement. Made by [`Cache::explain`](crate::Cache::explain) and
/// [`CachedSelect::explain`](crate::CachedSelect::explain); its [`Display`](fmt::Display) is for people.
///
/// It names keys, which hold primary keys and index values: show it to operators, not in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// `read`, `write`, `ddl`, `transaction` or `other`.
    pub kind: &'static str,
    /// What it reads.
    pub reads: Vec<ExplainedRead>,
    /// What it writes.
    pub writes: Vec<ExplainedWrite>,
    /// Why it is not answered from the cache; `None` if it can be. Of what is not a select it says that.
    pub bypass: Option<String>,
    /// The entry; `None` if there is none, or if it is not known what the rows are read into
    /// ([`Cache::explain`](crate::Cache::explain)).
    pub key: Option<String>,
    /// The tags that the entry depends on. Where a row that is there and one that is not depend on
    /// different tags, all of them.
    pub tags: Vec<String>,
    /// How long the entry lives at most.
    pub ttl: Option<Duration>,
    /// The keys that are purged once it is committed, if nothing more becomes known than its text
    /// and values say.
    pub purges: Vec<String>,
    /// Tags that are purged only if another process has put them on other terms: it declares other
    /// index columns.
    pub purges_unless_labelled: Vec<String>,
    /// The select that is sent before it, in the same transaction, to purge less than that.
    pub preceded_by: Option<String>,
    /// It returns the rows it wrote, which may narrow the purge further.
    pub returns_rows: bool,
    /// Why it purges the whole namespace, if it does.
    pub purges_everything: Option<String>,
}

/// A table that a statement reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedRead {
    /// Its name, as tags use it.
    pub table: String,
    /// What the rows are pinned to, by the text.
    pub scope: String,
    /// The tables behind it, if it is a view.
    pub behind: Vec<String>,
}

/// A table that a statement writes, or that the database writes because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedWrite {
    /// Its name, as tags use it.
    pub table: String,
    /// What happens to its rows.
    pub what: String,
    /// What the rows are pinned to, by the text; for a table that the database writes by itself, why.
    pub scope: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kind: {}", self.kind)?;
        for read in &self.reads {
            write!(f, "reads: {} ({})", read.table, read.scope)?;
            match &read.behind[..] {
                [] => writeln!(f)?,
                behind => writeln!(f, ", a view of {}", behind.join(", "))?,
            }
        }
        for write in &self.writes {
            writeln!(f, "writes: {}: {} ({})", write.table, write.what, write.scope)?;
        }
        match (&self.bypass, self.kind) {
            (Some(why), "read") => writeln!(f, "cached: no, {why}")?,
            (None, "read") => writeln!(f, "cached: yes")?,
            _ => {}
        }
        if let Some(key) = &self.key {
            writeln!(f, "key: {key}")?;
        }
        if let Some(ttl) = self.ttl {
            writeln!(f, "lives: {ttl:?} at most")?;
        }
        list(f, "depends on", &self.tags)?;
        if let Some(why) = &self.purges_everything {
            writeln!(f, "purges everything: {why}")?;
        }
        if let Some(select) = &self.preceded_by {
            writeln!(f, "preceded by: {select}")?;
        }
        if self.returns_rows {
            writeln!(f, "returns its rows, which may narrow the purge")?;
        }
        list(f, "purges", &self.purges)?;
        list(f, "purges, if others declare other index columns", &self.purges_unless_labelled)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, keys: &[String]) -> fmt::Result {
    if keys.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    keys.iter().try_for_each(|key| writeln!(f, "  {key}"))
}
