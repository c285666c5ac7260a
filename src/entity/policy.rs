//! Policy of an entity: how long its rows live, what tags them, what its writes purge.

use std::{fmt::Write as _, time::Duration};

use sea_orm::EntityTrait;

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

/// The policy of one entity, as `#[cache(...)]` declares it.
#[derive(Clone, Debug, Default)]
pub struct EntityPolicy {
    pub(crate) ttl: Option<TtlSpec>,
    pub(crate) negative_ttl: Option<TtlSpec>,
    pub(crate) namespace: Option<&'static str>,
    pub(crate) tags: Vec<TagTemplate>,
    pub(crate) index: Vec<&'static str>,
    pub(crate) purges: Vec<&'static str>,
    pub(crate) warm_up: Option<WarmUpPolicy>,
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

    /// A column by which lists are read. It is checked and remembered for the release that narrows
    /// the purge of such lists; today a list depends on its whole table.
    #[must_use]
    pub fn index(mut self, column: &'static str) -> Self {
        self.index.push(column);
        self
    }

    /// A user tag that any write to this entity's table purges.
    #[must_use]
    pub fn purges(mut self, tag: &'static str) -> Self {
        self.purges.push(tag);
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
