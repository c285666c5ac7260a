//! The tags asked for in one round trip, each once, and their answers.

use std::{collections::HashMap, time::Duration};

use crate::store::{Found, Stamp, TagKey, TagProbe, TagState};

/// A stamp outlives every entry that refers to it by at least this much.
pub(super) const STAMP_MARGIN: Duration = Duration::from_secs(60);

pub(super) fn only_look(tag: &TagKey) -> TagProbe {
    TagProbe { key: tag.clone(), propose: None }
}

/// A fresh stamp that outlives the load and the entry; the fill extends it where it has to.
pub(super) fn proposal(tag: &TagKey, ttl: Duration, label: u64) -> TagProbe {
    let stamp = Stamp::fresh().labelled(label);
    TagProbe { key: tag.clone(), propose: Some((stamp, ttl.saturating_mul(2) + STAMP_MARGIN)) }
}

/// The tags asked for in one round trip, each once, and their answers.
#[derive(Default)]
pub(super) struct Glance {
    pub(super) probes: Vec<TagProbe>,
    states: Vec<TagState>,
    /// The life of the store that answered.
    pub(super) incarnation: u64,
    /// Position by key; only built once there are many, a scan is faster for a few.
    index: HashMap<TagKey, usize>,
}

/// From here on a map beats a scan.
const FEW: usize = 12;

impl Glance {
    pub(super) fn ask(&mut self, tag: &TagKey, probe: impl FnOnce() -> TagProbe) {
        if self.position(tag).is_some() {
            return;
        }
        self.push(probe());
    }

    pub(super) fn push(&mut self, probe: TagProbe) {
        let position = self.probes.len();
        if position == FEW {
            self.index = self.probes.iter().enumerate().map(|(i, p)| (p.key.clone(), i)).collect();
        }
        if position >= FEW {
            self.index.insert(probe.key.clone(), position);
        }
        self.probes.push(probe);
    }

    pub(super) fn position(&self, tag: &TagKey) -> Option<usize> {
        if self.probes.len() < FEW || self.index.is_empty() {
            self.probes.iter().position(|probe| probe.key == *tag)
        } else {
            self.index.get(tag).copied()
        }
    }

    /// Takes the answers; false if the store answered another number of questions.
    pub(super) fn take(&mut self, found: &Found) -> bool {
        self.states.clone_from(&found.tags);
        self.incarnation = found.incarnation;
        self.states.len() == self.probes.len()
    }

    pub(super) fn state(&self, tag: &TagKey) -> Option<TagState> {
        self.state_ref(tag).copied()
    }

    pub(super) fn state_ref(&self, tag: &TagKey) -> Option<&TagState> {
        self.states.get(self.position(tag)?)
    }

    /// Adds later answers; they replace earlier ones.
    pub(super) fn absorb(&mut self, later: Self) {
        for (probe, state) in later.probes.into_iter().zip(later.states) {
            match self.position(&probe.key) {
                Some(position) => self.states[position] = state,
                None => {
                    self.push(probe);
                    self.states.push(state);
                }
            }
        }
    }

    /// The same, and whether a stamp was proposed.
    pub(super) fn answers_to(&self) -> impl Iterator<Item = (&TagKey, bool, &TagState)> {
        let probes = self.probes.iter().map(|probe| (&probe.key, probe.propose.is_some()));
        probes.zip(&self.states).map(|((tag, proposed), state)| (tag, proposed, state))
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (&TagKey, &TagState)> {
        self.probes.iter().map(|probe| &probe.key).zip(&self.states)
    }
}
