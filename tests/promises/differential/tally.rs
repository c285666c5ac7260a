//! Precision: of the entries that a write purged, how many had really changed.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{read, tables::Table, write::Shape};

/// Needless purges that are reported, of each kind of write.
const EXAMPLES: usize = 6;

/// What a write was, for the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteKind {
    pub group: Group,
    /// It changed rows. What failed, found no row, or wrote what was there did not.
    pub changed: bool,
    pub reaches: Reaches,
    pub shape: Shape,
}

/// What else the database may have written with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaches {
    Nothing,
    /// Rows that refer to those of the statement, to any depth.
    Referrers,
    /// Whatever triggers write, which is known by its table alone; perhaps referrers too.
    Triggers,
}

/// What is declared of the tables that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Indexes, and the key and these columns are integers.
    Indexed,
    /// Indexes, and the key or one of these columns is text: several texts share a tag.
    IndexedText,
    NotIndexed,
    /// Several tables, of several groups.
    Mixed,
}

impl Group {
    pub fn of(tables: impl IntoIterator<Item = Table>) -> Self {
        let group = |table| match table {
            Table::Node0 | Table::Node1 => Self::Indexed,
            Table::Node4 | Table::Label => Self::IndexedText,
            Table::Node2 | Table::Node3 | Table::Link | Table::View => Self::NotIndexed,
        };
        let mut groups = tables.into_iter().map(group);
        let Some(first) = groups.next() else { return Self::Mixed };
        if groups.all(|group| group == first) { first } else { Self::Mixed }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Valid before, gone after, and the answer is another.
    pub changed: u64,
    /// Valid before, gone after, and the answer is the same.
    pub needless: u64,
    /// Valid before and after.
    pub kept: u64,
}

/// All figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub writes: u64,
    pub failed: u64,
    pub compared: u64,
    pub in_transactions: u64,
    pub hits: u64,
    pub schemas: u64,
    /// Some of the purges by writes pinned by key that were needless.
    pub needless: BTreeMap<(Group, Reaches), Vec<String>>,
    pub entries: BTreeMap<(WriteKind, read::Kind), Count>,
}

impl Tally {
    pub fn count(&mut self, write: WriteKind, read: read::Kind, purged: bool, changed: bool) {
        let count = self.entries.entry((write, read)).or_default();
        match (purged, changed) {
            (true, true) => count.changed += 1,
            (true, false) => count.needless += 1,
            (false, _) => count.kept += 1,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.writes += other.writes;
        self.failed += other.failed;
        self.compared += other.compared;
        self.in_transactions += other.in_transactions;
        self.hits += other.hits;
        self.schemas += other.schemas;
        for (kind, examples) in &other.needless {
            let all = self.needless.entry(*kind).or_default();
            all.extend(examples.iter().cloned());
            all.truncate(EXAMPLES);
        }
        for (kind, count) in &other.entries {
            self.entries.entry(*kind).or_default().add(*count);
        }
    }

    pub fn sum(&self, chosen: impl Fn(WriteKind, read::Kind) -> bool) -> Count {
        let mut sum = Count::default();
        for ((write, read), count) in &self.entries {
            if chosen(*write, *read) {
                sum.add(*count);
            }
        }
        sum
    }

    /// Is it one of those that ought to be precise: index lists, and rows of entities that ask for it,
    /// after a write by key that changed something?
    fn is_pinned(write: WriteKind, read: read::Kind) -> bool {
        write.changed
            && matches!(write.shape, Shape::Insert | Shape::UpdateByKey | Shape::DeleteByKey)
            && matches!(read, read::Kind::Row | read::Kind::IndexList)
    }

    /// Remembers a needless purge, if one would not have expected it.
    pub fn example(&mut self, write: WriteKind, read: read::Kind, text: impl FnOnce() -> String) {
        let has_indexes = matches!(write.group, Group::Indexed | Group::IndexedText);
        let expected = !has_indexes || write.reaches == Reaches::Triggers || !Self::is_pinned(write, read);
        let examples = self.needless.entry((write.group, write.reaches)).or_default();
        if !expected && examples.len() < EXAMPLES {
            examples.push(text());
        }
    }

    /// Writes by key that changed something, on entities with indexes; what is read by key or by
    /// an index column.
    pub fn pinned(&self, chosen: impl Fn(WriteKind) -> bool) -> Count {
        self.sum(|write, read| chosen(write) && Self::is_pinned(write, read))
    }

    pub fn report(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} steps in {} schemas, {} statements ({} refused by the database), {} answers compared \
             ({} of them hits), {} more inside transactions",
            self.steps,
            self.schemas,
            self.writes,
            self.failed,
            self.compared,
            self.hits,
            self.in_transactions
        );
        let mut kinds: Vec<WriteKind> = self.entries.keys().map(|(write, _)| *write).collect();
        kinds.dedup();
        let columns: Vec<String> = read::Kind::COUNTED.iter().map(|kind| format!(" {kind:?} |")).collect();
        let _ = writeln!(text, "| writes | entity | rows changed | other tables |{} all |", columns.concat());
        let _ = writeln!(text, "|---|---|---|---|{}---|", "---|".repeat(columns.len()));
        for kind in kinds {
            let yes = |yes: bool| if yes { "yes" } else { "no" };
            let changed = yes(kind.changed);
            let _ = write!(text, "| {:?} | {:?} | {changed} | {:?} |", kind.shape, kind.group, kind.reaches);
            for column in read::Kind::COUNTED {
                let _ = write!(text, " {} |", self.sum(|write, read| write == kind && read == column).text());
            }
            let _ = writeln!(text, " {} |", self.sum(|write, _| write == kind).text());
        }
        let _ = writeln!(text, "overall: {}", self.sum(|_, _| true).long_text());
        let _ =
            writeln!(text, "writes that changed rows: {}", self.sum(|write, _| write.changed).long_text());
        for group in [Group::Indexed, Group::IndexedText] {
            for reaches in [Reaches::Nothing, Reaches::Referrers, Reaches::Triggers] {
                let _ = writeln!(
                    text,
                    "writes pinned by key, {group:?}, besides written: {reaches:?}, rows and index lists: {}",
                    self.pinned(|write| write.group == group && write.reaches == reaches).long_text()
                );
            }
        }
        let has_indexes = |write: WriteKind| matches!(write.group, Group::Indexed | Group::IndexedText);
        let _ = writeln!(
            text,
            "writes pinned by key, entities with indexes, without triggers, rows and index lists: {}",
            self.pinned(|write| has_indexes(write) && write.reaches != Reaches::Triggers).long_text()
        );
        for ((group, reaches), examples) in &self.needless {
            for example in examples {
                let _ = writeln!(text, "needless ({group:?}, besides written: {reaches:?}): {example}");
            }
        }
        text
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.needless += other.needless;
        self.kept += other.kept;
    }

    #[allow(clippy::cast_precision_loss, reason = "a share, not a count")]
    pub fn precision(self) -> Option<f64> {
        let purged = self.changed + self.needless;
        (purged > 0).then(|| 100.0 * self.changed as f64 / purged as f64)
    }

    fn text(self) -> String {
        self.precision().map_or_else(
            || "-".to_owned(),
            |share| format!("{share:.1} % of {}", self.changed + self.needless),
        )
    }

    fn long_text(self) -> String {
        let share = self.precision().map_or_else(|| "-".to_owned(), |share| format!("{share:.2} %"));
        format!(
            "{share} ({} of {} purged entries had changed, {} were kept and had not)",
            self.changed,
            self.changed + self.needless,
            self.kept
        )
    }
}
