//! Where an answer is in memory: by what was asked, and not by the text of a store's key, which would
//! have to be made first.

use std::{
    any::TypeId,
    hash::{Hash, Hasher},
};

use quick_cache::Equivalent;

/// The values that a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Values {
    /// A key of one `i64`, which is what most keys are: compared without looking elsewhere.
    Number(u64),
    /// Everything else, written down.
    Bytes(Box<[u8]>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Number(_) => 8,
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

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

/// What was asked, to be kept. Small, for there are many, and a look-up compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NearKey {
    kind: TypeId,
    values: Values,
    /// The statement and the session, unless it is one row by its key, the same for everybody.
    rest: Option<Box<Rest>>,
}

/// What most keys have none of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    text: Box<str>,
    session: Option<Box<str>>,
}

impl Spot<'_> {
    pub(crate) fn to_key(&self) -> NearKey {
        let plain = self.text.is_empty() && self.session.is_none();
        let rest = || Box::new(Rest { text: self.text.into(), session: self.session.map(Into::into) });
        NearKey { kind: self.kind, values: self.values.clone(), rest: (!plain).then(rest) }
    }
}

impl NearKey {
    fn rest(&self) -> (&str, Option<&str>) {
        self.rest.as_deref().map_or(("", None), |rest| (&*rest.text, rest.session.as_deref()))
    }

    pub(super) fn bytes(&self) -> u64 {
        let (text, session) = self.rest();
        (text.len() + self.values.len() + session.map_or(0, str::len)) as u64
    }
}

fn hash(kind: &TypeId, text: &str, values: &Values, session: Option<&str>, state: &mut impl Hasher) {
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
        let (text, session) = self.rest();
        hash(&self.kind, text, &self.values, session, state);
    }
}

impl Equivalent<NearKey> for Spot<'_> {
    fn equivalent(&self, key: &NearKey) -> bool {
        // Not by comparing two empty texts: a masked load at a pointer to nothing, which is how some
        // processors compare them, costs as much as all the rest.
        let rest = match &key.rest {
            None => self.text.is_empty() && self.session.is_none(),
            Some(rest) => *self.text == *rest.text && self.session == rest.session.as_deref(),
        };
        rest && self.kind == key.kind && self.values == key.values
    }
}
