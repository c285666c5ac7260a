//! Where an answer is in memory: by what was asked, and not by the text of a store's key, which would
//! have to be made first.

use std::{
    any::TypeId,
    hash::{Hash, Hasher},
};

use quick_cache::Equivalent;
use smallvec::SmallVec;

/// A key of one or two columns needs no memory of its own.
type Values = SmallVec<[u8; 24]>;

/// What was asked, borrowed: to look it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot<'a> {
    /// The kind of answer, entity included.
    pub(crate) kind: TypeId,
    /// The statement; empty for one row by its key.
    pub(crate) text: &'a str,
    /// The statement's values, or the row's key, written down so that no two are alike.
    pub(crate) values: Values,
    /// What tells apart sessions whose reads differ.
    pub(crate) session: Option<&'a str>,
}

/// What was asked, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NearKey {
    kind: TypeId,
    text: Box<str>,
    values: Values,
    session: Option<Box<str>>,
}

impl Spot<'_> {
    pub(crate) fn to_key(&self) -> NearKey {
        NearKey {
            kind: self.kind,
            text: self.text.into(),
            values: self.values.clone(),
            session: self.session.map(Into::into),
        }
    }
}

impl NearKey {
    pub(super) fn bytes(&self) -> u64 {
        (self.text.len() + self.values.len() + self.session.as_ref().map_or(0, |session| session.len()))
            as u64
    }
}

fn hash(kind: &TypeId, text: &str, values: &[u8], session: Option<&str>, state: &mut impl Hasher) {
    kind.hash(state);
    values.hash(state);
    text.hash(state);
    session.hash(state);
}

impl Hash for Spot<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.kind, self.text, &self.values, self.session, state);
    }
}

impl Hash for NearKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.kind, &self.text, &self.values, self.session.as_deref(), state);
    }
}

impl Equivalent<NearKey> for Spot<'_> {
    fn equivalent(&self, key: &NearKey) -> bool {
        self.kind == key.kind
            && self.values == key.values
            && *self.text == *key.text
            && self.session == key.session.as_deref()
    }
}
