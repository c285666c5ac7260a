//! What stands under a tag's key, marks and all.

use crate::store::{Stamp, TagState};

/// What stands under a tag's key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagStanding {
    /// Nothing: whatever depends on it is a miss.
    Absent,
    /// A stamp: entries that recorded the same one stand.
    Stamp(Stamp),
    /// Writers are between the beginning of their COMMIT and the end of their purge; readers ask the
    /// database.
    Barrier {
        /// The stamp that it covers, which stands again if the writer touched nothing after all.
        covers: Option<Stamp>,
        /// A mark for each writer.
        marks: Vec<Mark>,
    },
    /// A value that this crate did not write. Readers take it for a barrier.
    Foreign,
}

/// The mark that a writer leaves on a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The writer's random id.
    pub writer: String,
    /// When the mark ends by itself, in milliseconds since 1970, by the store's clock.
    pub until: u64,
}

impl TagStanding {
    /// Reads what Redis holds under a tag's key. `now` is the store's clock, in milliseconds since 1970:
    /// marks that are over by then are left out.
    #[must_use]
    pub fn read(raw: Option<&[u8]>, now: u64) -> Self {
        match TagState::parse(raw) {
            TagState::Absent => Self::Absent,
            TagState::Stamp(stamp) => Self::Stamp(stamp),
            TagState::Barrier => raw.and_then(|raw| barrier(raw, now)).unwrap_or(Self::Foreign),
        }
    }

    /// A word for it: `absent`, `stamp`, `barrier` or `foreign`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stamp(_) => "stamp",
            Self::Barrier { .. } => "barrier",
            Self::Foreign => "foreign",
        }
    }

    /// Does an entry stand that recorded this stamp?
    #[must_use]
    pub fn keeps(&self, recorded: Stamp) -> bool {
        matches!(self, Self::Stamp(stamp) if stamp.get() == recorded.get())
    }
}

/// `b`, then words: `s...@until` is the stamp that it covers, `w...@until` a mark. As in `barrier.lua`.
fn barrier(raw: &[u8], now: u64) -> Option<TagStanding> {
    let mut words = std::str::from_utf8(raw).ok()?.split(' ');
    if words.next() != Some("b") {
        return None;
    }
    let (mut covers, mut marks) = (None, Vec::new());
    for word in words {
        let (what, until) = word.split_once('@')?;
        let until: u64 = until.parse().ok()?;
        match TagState::parse(Some(what.as_bytes())) {
            TagState::Stamp(stamp) => covers = (until > now).then_some(stamp),
            _ if what.starts_with('w') => {
                if until > now {
                    marks.push(Mark { writer: what.to_owned(), until });
                }
            }
            _ => return None,
        }
    }
    Some(if marks.is_empty() { TagStanding::Absent } else { TagStanding::Barrier { covers, marks } })
}

#[cfg(test)]
mod tests {
    use super::*;

    // feature D9
    #[test]
    fn a_tag_is_read_as_the_script_wrote_it() {
        let stamp = Stamp::fresh();
        let raw = format!("b {stamp}@500 w0123456789abcdef@200 w00000000000000aa@300");
        let mark = |writer: &str, until| Mark { writer: writer.to_owned(), until };
        let at = |now| TagStanding::read(Some(raw.as_bytes()), now);
        assert_eq!(
            at(100),
            TagStanding::Barrier {
                covers: Some(stamp),
                marks: vec![mark("w0123456789abcdef", 200), mark("w00000000000000aa", 300)]
            }
        );
        assert_eq!(
            at(200),
            TagStanding::Barrier { covers: Some(stamp), marks: vec![mark("w00000000000000aa", 300)] }
        );
        assert_eq!(at(300), TagStanding::Absent, "its marks are over, whatever it covers");
        assert_eq!(TagStanding::read(Some(stamp.to_string().as_bytes()), 0), TagStanding::Stamp(stamp));
        assert_eq!(TagStanding::read(None, 0), TagStanding::Absent);
        for foreign in [&b"7"[..], b"b x", b"b w1", b"b w1@x", b"\xff"] {
            assert_eq!(TagStanding::read(Some(foreign), 0), TagStanding::Foreign, "{foreign:?}");
        }
    }
}
