//! Write-through: a row that its writer has in hand is stored when its tag is purged, so that the next
//! read of it is a hit.
//!
//! The row was returned by the statement and is locked until the COMMIT. The stamps of the tags that it
//! depends on besides its own are taken in between, together with the marks. So whoever changes the row
//! has either committed before, and is in it, or commits later, and purges what is stored here.
//!
//! Its own tag carries the writer's mark until the purge, which puts a new stamp there in the place of
//! the one that the mark covers. Not if another writer has come by: that one may have committed a newer
//! row, and purged it already. And not if the mark may have been away for a moment: it was left once,
//! before the COMMIT, and never renewed, or it is not relied upon.

use std::{future::Future, sync::Arc, time::Duration};

use super::{
    Freshness, Payload, PurgeSet, Question, Stamps,
    fill::{LateStamps, Needed},
    glance::{Glance, STAMP_MARGIN, only_look, proposal},
    rules,
};
use crate::store::{EntryWrite, Fate, Stamp, TagKey};

/// A row as its writer has it, and the question that it answers.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) question: Question,
    pub(crate) payload: Payload,
    /// The tag of this row alone.
    pub(crate) tag: TagKey,
}

/// An entry to store with the purge.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) write: EntryWrite,
    /// The stamp that its own tag gets then; none if the tag has one already, of a row that is new.
    renewed: Option<(TagKey, Stamp)>,
    life: Duration,
    /// How long the stamps of the other tags have to live.
    pub(super) keep: Vec<Needed>,
}

impl Offer {
    /// What becomes of which tag.
    pub(super) fn fate(&self) -> Option<(&TagKey, Fate)> {
        let (tag, stamp) = self.renewed.as_ref()?;
        let life = u64::try_from(self.life.as_millis()).unwrap_or(u64::MAX);
        Some((tag, Fate::Renew(*stamp, life)))
    }
}

impl Freshness {
    /// Takes the stamps that the rows depend on, and makes entries of them. One round trip. Rows for which
    /// that cannot be done are left out: they are a miss later.
    pub(super) fn offers(
        self: &Arc<Self>,
        rows: Vec<NewRow>,
        purged: &PurgeSet,
    ) -> impl Future<Output = Vec<Offer>> + Send + use<> {
        let mut glance = Glance::default();
        for NewRow { question, payload, tag } in &rows {
            for needed in needed(question, payload) {
                match (needed == tag, purged.tags.contains(needed)) {
                    // It gets one with the purge.
                    (true, true) => {}
                    (true, false) => glance.ask(needed, || proposal(needed, question.ttl, 0)),
                    (false, _) => glance.ask(needed, || only_look(needed)),
                }
            }
        }
        let rows: Vec<_> =
            rows.into_iter().map(|row| (purged.tags.contains(&row.tag).then(Stamp::fresh), row)).collect();
        let this = self.clone();
        async move {
            match this.store.read(&[], &glance.probes).await {
                Ok(found) if glance.take(&found) => {}
                _ => return Vec::new(),
            }
            rows.into_iter().filter_map(|(renewed, row)| this.offer(renewed, row, &glance)).collect()
        }
    }

    fn offer(&self, renewed: Option<Stamp>, row: NewRow, glance: &Glance) -> Option<Offer> {
        let NewRow { question, payload, tag } = row;
        let stamp = |needed: &TagKey| match renewed {
            Some(stamp) if *needed == tag => Some(stamp),
            _ => rules::takes(glance.state(needed), None).ok(),
        };
        let asked = question.tags.iter().enumerate().map(|(position, tag)| {
            let dispensable = question.only_if_missing.contains(&position);
            if dispensable { Some(None) } else { stamp(tag).map(Some) }
        });
        let asked = asked.collect::<Option<Vec<_>>>()?;
        let more = payload.more.iter().map(|tag| Some((tag.clone(), stamp(tag)?)));
        let stamps = Stamps::of_a_writer(glance.incarnation, asked, more.collect::<Option<_>>()?);
        let (write, keep) = self.prepare(&question, stamps, &payload, &LateStamps::default())?;
        let life = write.ttl.saturating_mul(2) + STAMP_MARGIN;
        let keep = keep.into_iter().filter(|(needed, ..)| *needed != tag).collect();
        Some(Offer { write, renewed: renewed.map(|stamp| (tag, stamp)), life, keep })
    }

    /// Sees to it that the stamps of what was stored live long enough. Seldom anything to do.
    pub(super) fn outlive(self: &Arc<Self>, offers: Vec<Offer>) {
        let keep = self.longer_lives(offers.into_iter().flat_map(|offer| offer.keep));
        if keep.is_empty() {
            return;
        }
        let this = self.clone();
        self.runtime.spawn(async move {
            if let Err(error) = this.store.write(&[], &keep).await {
                tracing::debug!(%error, "stamps may end before the entries that depend on them");
            }
        });
    }
}

/// The tags whose stamps the entry records.
fn needed<'a>(question: &'a Question, payload: &'a Payload) -> impl Iterator<Item = &'a TagKey> {
    let tags = question.tags.iter().enumerate();
    let tags = tags.filter(|(position, _)| !question.only_if_missing.contains(position));
    tags.map(|(_, tag)| tag).chain(&payload.more)
}
