//! The decisions of readers, without the asking: may an entry be served, may stamps be taken, may what
//! was loaded be stored. No I/O, no clock.
//!
//! What happens to the tags meanwhile is in `store/cell.rs`. The model checker runs the two together,
//! with readers and writers whose steps interleave in every order.

use super::Bypass;
use crate::store::{Stamp, TagState};

/// Does the tag still carry the stamp that an entry recorded?
pub(super) fn stands(recorded: u64, now: TagState) -> bool {
    matches!(now, TagState::Stamp(stamp) if stamp.get() == recorded)
}

/// May an entry be served, as far as the tags go that every reader of its key asks for? They are in the
/// same order in both; zero is a tag that the entry does not depend on.
///
/// A store that came back with older data (a snapshot, a replica that was behind) may hold entries and
/// stamps that match and are both too old: it is in another incarnation then.
pub(super) fn holds(made_in: u64, recorded: &[u64], incarnation: u64, now: &[TagState]) -> bool {
    made_in == incarnation
        && recorded.len() == now.len()
        && recorded.iter().zip(now).all(|(recorded, now)| *recorded == 0 || stands(*recorded, *now))
}

/// The stamp of a tag, to load and store under. The label must be the reader's own; `None` is a tag
/// that may carry any.
pub(super) fn takes(now: Option<TagState>, label: Option<u64>) -> Result<Stamp, Bypass> {
    match now {
        Some(TagState::Stamp(stamp)) if label.is_none_or(|label| label == stamp.label()) => Ok(stamp),
        Some(TagState::Stamp(_)) => Err(Bypass::OtherTerms),
        Some(TagState::Barrier) => Err(Bypass::Barrier),
        Some(TagState::Absent) | None => Err(Bypass::NoStamp),
    }
}

/// A stamp that was seen before something began, and what is there after it: has nobody come in
/// between? Each with the store's incarnation.
pub(super) fn untouched(before: (u64, Stamp), after: (u64, Option<Stamp>)) -> bool {
    before.0 == after.0 && after.1 == Some(before.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_taken_only_where_one_stands_on_the_readers_own_terms() {
        let stamp = Stamp::fresh().labelled(5);
        assert_eq!(takes(Some(TagState::Stamp(stamp)), Some(5)), Ok(stamp));
        assert_eq!(takes(Some(TagState::Stamp(stamp)), None), Ok(stamp));
        assert_eq!(takes(Some(TagState::Stamp(stamp)), Some(0)), Err(Bypass::OtherTerms));
        assert_eq!(takes(Some(TagState::Barrier), None), Err(Bypass::Barrier));
        assert_eq!(takes(Some(TagState::Absent), Some(0)), Err(Bypass::NoStamp));
        assert_eq!(takes(None, None), Err(Bypass::NoStamp));
    }

    #[test]
    fn what_another_incarnation_says_is_no_proof() {
        let (one, other) = (Stamp::fresh(), Stamp::fresh());
        assert!(untouched((1, one), (1, Some(one))));
        assert!(!untouched((1, one), (2, Some(one))));
        assert!(!untouched((1, one), (1, Some(other))));
        assert!(!untouched((1, one), (1, None)));
    }
}
