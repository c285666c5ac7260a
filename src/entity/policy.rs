//! Policy of an entity: how long its rows live, what tags them, what its writes purge.

use std::{fmt::Write as _, time::Duration};

use sea_orm::EntityTrait;

use crate::cache::{bare_name, is_pattern_that_works};

/// A named time to live, so that an application tunes four numbers instead of forty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TtlClass {
    /// One minute unless configured otherwise.
    Short,
    /// Ten minutes unless configured otherwise.
    Medium,
    /// One hour unless configured otherwise.
    Long,
    /// One day unless configured otherwise.
    Static,
}

/// A time to live: a duration, or a class whose duration the [`Cache`](crate::Cache) is
/// configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlSpec {
    /// This long.
    For(Duration),
    /// As long as the class says.
    Class(TtlClass),
}

impl From<Duration> for TtlSpec {
    fn from(ttl: Duration) -> Self {
        Self::For(ttl)
    }
}

impl From<TtlClass> for TtlSpec {
    fn from(class: TtlClass) -> Self {
        Self::Class(class)
    }
}

/// A piece of a tag template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagPart {
    /// Literal text.
    Text(&'static str),
    /// The value of the column with this SQL name.
    Column(&'static str),
}

/// `publisher:{publisher_id}`, in pieces.
pub(crate) type TagTemplate = Vec<TagPart>;

/// What [`warm_up`](crate::CachedConnection::warm_up) loads of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUpPolicy {
    /// At most this many rows; `None` is all of them.
    pub limit: Option<u64>,
    /// Rows per query.
    pub batch: u64,
    /// Column (SQL name) to order by, and whether downwards; the primary key if `None`.
    pub order: Option<(&'static str, bool)>,
}

impl Default for WarmUpPolicy {
    fn default() -> Self {
        Self { limit: None, batch: 500, order: None }
    }
}

/// What a write does to rows, for [`EntityPolicy::purges_on`] and [`TableRule::purges_on`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// Adds rows. An upsert is an insert and an update, a `REPLACE` an insert and a delete.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows, one by one or all of them.
    Delete,
}

/// What a write to a table sets off besides purging what was read from it. For an entity it is
/// declared with the entity; for a table without one, or from outside, with
/// [`CacheBuilder::table`](crate::CacheBuilder::table).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRule {
    /// Tags to purge, and on which writes; `None` is any.
    pub(crate) purges: Vec<(Option<WriteKind>, Box<str>)>,
    /// Tables that triggers write, folded. `None`: nobody has said.
    pub(crate) also_writes: Option<Vec<Box<str>>>,
}

impl TableRule {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tag of the application's own that any write to the table purges. `"analytics:*"` stands for
    /// every tag and every own entry whose name begins with `analytics:`. A `*` elsewhere is an error when the
    /// cache is built.
    #[must_use]
    pub fn purges(mut self, tag: impl Into<String>) -> Self {
        self.purges.push((None, tag.into().into()));
        self
    }

    /// A tag that only writes of this kind purge.
    #[must_use]
    pub fn purges_on(mut self, kind: WriteKind, tag: impl Into<String>) -> Self {
        self.purges.push((Some(kind), tag.into().into()));
        self
    }

    /// The triggers of the rule's table write the table that is named here, with its schema or without. The
    /// named table is purged as a whole with every write to the rule's.
    ///
    /// Who declares anything vouches for the rule's table too: of the rows that a statement writes its
    /// triggers change neither the primary key nor an index column, and no other rows of the table at all.
    /// **If they do, name the table itself as well**: then all of it is purged with every write.
    #[must_use]
    pub fn also_writes(mut self, table: impl AsRef<str>) -> Self {
        self.also_writes.get_or_insert_default().push(bare_name(table.as_ref()).into());
        self
    }

    /// The table's triggers write no other table and no other row, and of the row that is written neither the
    /// primary key nor an index column. Other columns of that row they may set (`updated_at`): what shows the
    /// row is purged in any case. There is no warning then.
    #[must_use]
    pub fn harmless_triggers(mut self) -> Self {
        self.also_writes.get_or_insert_default();
        self
    }

    /// The first of its tags with a `*` that stands for nothing.
    pub(crate) fn bad_pattern(&self) -> Option<&str> {
        self.purges.iter().map(|(_, tag)| &**tag).find(|tag| !is_pattern_that_works(tag))
    }

    pub(crate) fn include(&mut self, other: &Self) {
        for purge in &other.purges {
            if !self.purges.contains(purge) {
                self.purges.push(purge.clone());
            }
        }
        if let Some(tables) = &other.also_writes {
            self.also_writes.get_or_insert_default().extend(tables.iter().cloned());
        }
    }
}

/// The policy of one entity, as `#[cache(...)]` declares it.
#[derive(Clone, Debug, Default)]
pub struct EntityPolicy {
    pub(crate) ttl: Option<TtlSpec>,
    pub(crate) negative_ttl: Option<TtlSpec>,
    pub(crate) stale_while_revalidate: Option<TtlSpec>,
    pub(crate) stale_if_error: Option<TtlSpec>,
    pub(crate) refresh_early: f64,
    pub(crate) namespace: Option<&'static str>,
    pub(crate) tags: Vec<TagTemplate>,
    pub(crate) index: Vec<&'static str>,
    pub(crate) rule: TableRule,
    pub(crate) precise: Option<u64>,
    pub(crate) warm_up: Option<WarmUpPolicy>,
    pub(crate) write_through: bool,
    pub(crate) compress_above: Option<usize>,
    pub(crate) encrypted: bool,
    pub(crate) skip: bool,
    pub(crate) documents: String,
}

impl EntityPolicy {
    /// The defaults: the cache's default lifetimes, no tags, no dependents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long rows and lists live.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<TtlSpec>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// How long "there is no such row" lives.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: impl Into<TtlSpec>) -> Self {
        self.negative_ttl = Some(ttl.into());
        self
    }

    /// For so long after its time, an entry that no write has purged is still served, while one
    /// caller loads it anew.
    #[must_use]
    pub fn stale_while_revalidate(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.stale_while_revalidate = Some(grace.into());
        self
    }

    /// For so long after its time, an entry that no write has purged is served if the load fails.
    #[must_use]
    pub fn stale_if_error(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.stale_if_error = Some(grace.into());
        self
    }

    /// Load rows and lists anew before their time is over, in the background, so that what is read often
    /// does not expire under its readers; see
    /// [`CachedSelect::refresh_early`](crate::CachedSelect::refresh_early). Zero, the default: not at all.
    #[must_use]
    pub fn refresh_early(mut self, beta: f64) -> Self {
        self.refresh_early = beta;
        self
    }

    /// Groups the entity's entries, so that
    /// [`invalidate_group`](crate::Cache::invalidate_group) drops them together.
    #[must_use]
    pub fn namespace(mut self, group: &'static str) -> Self {
        self.namespace = Some(group);
        self
    }

    /// A tag that every entry made of this entity's rows carries, filled in from the row.
    #[must_use]
    pub fn tag(mut self, template: Vec<TagPart>) -> Self {
        self.tags.push(template);
        self
    }

    /// A column by which lists are read. A cached select whose filter pins it (`shelf_id = 3`, or an
    /// `IN` of a few values) depends on the rows with these values instead of the whole table. A write
    /// purges what depends on the old and the new value; where a statement does not say the old one
    /// (the column is changed, the row deleted, or the database does not return it), it is read
    /// first, in the same transaction.
    ///
    /// Integers, text, UUIDs and booleans. A column of another type (a date, a float, a decimal) narrows
    /// nothing: its lists depend on the whole table, and a warning says so when the cache is built. Nor does
    /// one of a PostgreSQL enum.
    #[must_use]
    pub fn index(mut self, column: &'static str) -> Self {
        self.index.push(column);
        self
    }

    /// A user tag that any write to this entity's table purges; see [`TableRule::purges`].
    #[must_use]
    pub fn purges(mut self, tag: &'static str) -> Self {
        self.rule = self.rule.purges(tag);
        self
    }

    /// A user tag that writes of one kind to this entity's table purge.
    #[must_use]
    pub fn purges_on(mut self, kind: WriteKind, tag: &'static str) -> Self {
        self.rule = self.rule.purges_on(kind, tag);
        self
    }

    /// A table that the triggers of this entity's table write. If they change the entity's own table beyond
    /// what the statement says, name that too; see [`TableRule::also_writes`].
    #[must_use]
    pub fn also_writes(mut self, table: &'static str) -> Self {
        self.rule = self.rule.also_writes(table);
        self
    }

    /// The triggers of this entity's table write no other table and no other row, and neither the primary key
    /// nor an index column of the row that is written; see [`TableRule::harmless_triggers`].
    #[must_use]
    pub fn harmless_triggers(mut self) -> Self {
        self.rule = self.rule.harmless_triggers();
        self
    }

    /// An UPDATE or DELETE that does not name its rows by key is preceded by a select of the rows
    /// that it will touch, in the same transaction, so that it purges these alone; up to `limit`
    /// rows, above which it purges all of the table's. Rows that the database deletes or changes because of
    /// others are found in the same way, also where the entity declares an index.
    #[must_use]
    pub fn precise(mut self, limit: u64) -> Self {
        self.precise = Some(limit);
        self
    }

    /// Load rows at start-up.
    #[must_use]
    pub fn warm_up(mut self, policy: WarmUpPolicy) -> Self {
        self.warm_up = Some(policy);
        self
    }

    /// What is inside a column that holds a document, as text: fields of an older release are not
    /// read as those of a newer one. The derive says it for every column whose type is read by
    /// serde.
    #[must_use]
    pub fn document(mut self, column: &'static str, fields: &str) -> Self {
        if !fields.is_empty() {
            let _ = write!(self.documents, "{column} {fields};");
        }
        self
    }

    /// A row that an INSERT or UPDATE returns is stored when the write has been committed, so that the
    /// next read of it by its key is a hit. Under [`Consistency::Strict`](crate::Consistency::Strict),
    /// for statements on their own, and where the database returns rows (PostgreSQL, SQLite); all other
    /// writes purge. An UPDATE stores a row that had an entry, or had one not long ago. No further round
    /// trip to the store.
    #[must_use]
    pub fn write_through(mut self) -> Self {
        self.write_through = true;
        self
    }

    /// Payloads of more bytes are compressed, if that makes them smaller; `usize::MAX`: none.
    #[must_use]
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.compress_above = Some(bytes);
        self
    }

    /// Everything that is made of this entity's rows is encrypted in the store, with
    /// [`CacheBuilder::encryption_keys`](crate::CacheBuilder::encryption_keys). Keys and tags are not:
    /// they hold the primary key, the values of index columns and tags.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Never store this entity's rows. Its writes still purge what depends on its table.
    #[must_use]
    pub fn skip(mut self) -> Self {
        self.skip = true;
        self
    }
}

/// An entity with a declared policy. Derived with `#[derive(CacheEntity)]` on the `Model`.
///
/// The policy must be a function of the code alone: every process of a namespace that runs the
/// same code must answer the same.
pub trait CacheEntity: EntityTrait {
    /// The declared policy.
    fn cache_policy() -> EntityPolicy;
}
