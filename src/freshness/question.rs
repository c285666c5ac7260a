//! What a read asks of the cache, and the words for how it was answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Early, PayloadKind, entry::Shape, packing::Wrap};
use crate::{
    near::Backing,
    store::{EntryKey, Stamp, TagKey},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) key: EntryKey,
    /// The tags that any entry under this key may depend on. Every reader and filler of the key
    /// names the same ones in the same order.
    pub(crate) tags: Vec<TagKey>,
    /// Which those are.
    pub(crate) shape: Shape,
    /// Those of the tags, by position, that an entry does not depend on once it holds something:
    /// the table's tag, of a row that exists.
    pub(crate) only_if_missing: Vec<usize>,
    /// That of the tags, by position, which every invalidation of a tag by hand purges. Asked for
    /// when the content may name tags that were not stamped before the load.
    pub(crate) family: Option<usize>,
    /// Further tags that the caller knows. Readers of the same key need not agree on them: the
    /// entry names them itself.
    pub(crate) also: Vec<TagKey>,
    /// For an entry of which only the load can say what it depends on: the tags that it may turn out to
    /// name, as far as is known, whose stamps are taken before. What names others is not stored.
    pub(crate) expected: Option<Arc<[TagKey]>>,
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Duration,
    /// What may be done with an entry whose time is over, and which no write has purged.
    pub(crate) grace: Grace,
    /// Whether a valid entry is loaded anew before its time is over.
    pub(crate) early: Option<Early>,
    /// Do not look, load and refill.
    pub(crate) fresh: bool,
    /// How its entry is packed.
    pub(crate) wrap: Wrap,
    /// What some of the tags must be labelled with, and what to ask if they are not.
    pub(crate) terms: Option<Box<Terms>>,
}

/// For how long after its time an entry may still be served. It is one that no write has purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grace {
    /// While somebody else loads it anew.
    pub(crate) revalidate: Duration,
    /// If the load fails.
    pub(crate) on_error: Duration,
}

impl Grace {
    pub(crate) fn longest(self) -> Duration {
        self.revalidate.max(self.on_error)
    }
}

/// The terms on which an entry depends on narrow tags in the place of a wide one: that writers
/// which would not name the narrow ones purge the labelled tag.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Tags, and the label that their stamps must carry.
    pub(crate) labels: Vec<(TagKey, u64)>,
    /// The question with the wide tags, under a key of its own.
    pub(crate) otherwise: Question,
}

impl Question {
    /// With a lot that was drawn before, if one was.
    pub(crate) fn with_luck(mut self, luck: Option<f64>) -> Self {
        if let Some(luck) = luck {
            self.early = self.early.map(|early| early.with(luck));
            if let Some(terms) = &mut self.terms {
                terms.otherwise.early = self.early;
            }
        }
        self
    }

    /// Is it one row by its key? Its answer has one order.
    pub(super) fn is_one_row(&self) -> bool {
        !self.only_if_missing.is_empty()
    }

    #[cfg(test)]
    pub(super) fn for_tests(key: EntryKey, tags: Vec<TagKey>, wrap: Wrap) -> Self {
        Self {
            key,
            shape: Shape::of(&tags),
            tags,
            only_if_missing: Vec::new(),
            family: None,
            also: Vec::new(),
            expected: None,
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(60),
            grace: Grace::default(),
            early: None,
            fresh: false,
            wrap,
            terms: None,
        }
    }

    /// The label that the tag's stamp must carry; zero is none.
    pub(super) fn label(&self, tag: &TagKey) -> u64 {
        let labels = self.terms.iter().flat_map(|terms| &terms.labels);
        labels.into_iter().find(|(labelled, _)| labelled == tag).map_or(0, |(_, label)| *label)
    }
}

/// What a load brought: the value for the caller, and the payload for the store.
pub(crate) struct Loaded<T> {
    pub(crate) value: T,
    /// `None`: not to be stored (too big, or it would not come back as it was).
    pub(crate) payload: Option<Payload>,
}

#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) kind: PayloadKind,
    pub(crate) bytes: Vec<u8>,
    /// Tags that only the content names.
    pub(crate) more: Vec<TagKey>,
    /// The content names too many tags: depend on all of them at once.
    pub(crate) depends_on_family: bool,
    /// The content says that it lives no longer than that.
    pub(crate) at_most: Option<Duration>,
    /// How long the load took; zero if nobody will ask.
    pub(crate) took: Duration,
}

/// Why a read did not use the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The cache is switched off.
    Disabled,
    /// The read is inside a transaction.
    InTransaction,
    /// The statement cannot be cached.
    Uncacheable,
    /// The entity is declared `skip`.
    Skipped,
    /// The store is away or answered with an error.
    StoreAway,
    /// A writer's COMMIT is in flight on one of the tags.
    Barrier,
    /// A purge of one of the tags has not been delivered yet.
    PurgePending,
    /// The database's catalogue could not be read: what the tables depend on is not known.
    SchemaUnknown,
    /// Which rows it reads depends on who asks, and the connection has no session key.
    RowSecurity,
    /// The store took no stamp for one of the tags.
    NoStamp,
    /// Another process has put one of the tags on other terms. The wide question is asked then.
    OtherTerms,
}

impl std::fmt::Display for Bypass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disabled => "the cache is switched off",
            Self::InTransaction => "inside a transaction",
            Self::Uncacheable => "the statement cannot be cached",
            Self::Skipped => "the entity is declared skip",
            Self::StoreAway => "the cache store is away",
            Self::Barrier => "a write to it is being committed",
            Self::PurgePending => "a purge of it has not been delivered yet",
            Self::SchemaUnknown => "the database's catalogue could not be read",
            Self::RowSecurity => "the table has row-level security and the connection no session key",
            Self::NoStamp => "the cache store took no stamp",
            Self::OtherTerms => "another process declares other index columns",
        })
    }
}

/// How a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// From the store.
    Hit,
    /// From this process's memory.
    Near,
    /// Loaded, and handed to the store.
    Miss,
    /// By the load of another task that asked for the same at the same time.
    Joined,
    /// From the database alone.
    Bypass(Bypass),
}

/// An answered read.
#[derive(Debug)]
pub(crate) struct Fetched<T> {
    pub(crate) value: T,
    pub(crate) outcome: Outcome,
    /// What keeps it right, if it may be kept in memory.
    pub(crate) backing: Option<Backing>,
}

/// Stamps taken before a load.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    /// No later than when the stamps were read.
    pub(super) taken_at: Instant,
    /// The same on the clock of the feed of changes.
    pub(super) moment: u64,
    /// It took two round trips to get them.
    pub(super) looked_twice: bool,
    /// The life of the store that they are from.
    pub(super) incarnation: u64,
    /// One for each tag that was asked for; `None` of one that only a missing row depends on, and that
    /// had none to take.
    pub(super) asked: Vec<Option<Stamp>>,
    /// Of the further tags that the caller named, in that order; behind them, of those that the
    /// entry's content named when it was last seen.
    pub(super) more: Vec<(TagKey, Stamp)>,
}

impl<T> Fetched<T> {
    /// Not to be kept in memory.
    pub(super) fn passing(value: T, outcome: Outcome) -> Self {
        Self { value, outcome, backing: None }
    }
}

impl Stamps {
    /// Those that a writer took while its row was locked.
    pub(super) fn of_a_writer(
        incarnation: u64,
        asked: Vec<Option<Stamp>>,
        more: Vec<(TagKey, Stamp)>,
    ) -> Self {
        Self { taken_at: Instant::now(), moment: 0, looked_twice: true, incarnation, asked, more }
    }

    /// May it be said, on the strength of these, that there is no such row?
    pub(super) fn cover_missing(&self) -> bool {
        self.asked.iter().all(Option::is_some)
    }

    /// Were the stamps of all these tags taken before the load?
    pub(super) fn cover(&self, tags: &[TagKey]) -> bool {
        tags.iter().all(|tag| self.more.iter().any(|(there, _)| there == tag))
    }

    /// What a flight is known by: the life of the store, and the stamps of all tags that the caller
    /// named. Those that only a hint named are left out, since two callers may have different hints;
    /// unless these alone say what the load may depend on.
    pub(super) fn flight(&self, question: &Question) -> Vec<u64> {
        let count = if question.expected.is_some() { self.more.len() } else { question.also.len() };
        let named = self.more.iter().take(count).map(|(_, stamp)| stamp);
        let asked = self.asked.iter().map(|stamp| stamp.map_or(0, Stamp::get));
        std::iter::once(self.incarnation).chain(asked).chain(named.map(|stamp| stamp.get())).collect()
    }
}
