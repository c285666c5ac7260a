//! What the protocol keeps, searched through to the end, and what it cannot.
//!
//! The small scenes are part of every test run. The large ones take minutes and gigabytes:
//! `cargo test --release --lib freshness::model -- --ignored --nocapture --test-threads 1`.

use stateright::HasDiscoveries;

use super::{
    check::{F2, search},
    scene::{Doubt, Kind, Looking, Read, Scene, Tags, Write},
};
use crate::store::Fate;

/// Everything is kept, whatever happens.
fn keeps(scene: Scene) {
    let verdict = search(scene, HasDiscoveries::AnyFailures);
    assert!(verdict.broken.is_empty(), "see the steps above");
    assert!(verdict.states > 100, "nothing was searched");
}

/// This promise can be broken, and the search finds out how.
pub(super) fn breaks(scene: Scene, promise: &'static str) {
    // Another may be broken too, and be found sooner.
    let broken = search(scene, HasDiscoveries::AnyOf([promise].into())).broken;
    assert!(broken.iter().any(|(name, _)| *name == promise), "not found: {promise}");
}

/// One tag, one entry.
fn narrow(scene: Scene) -> Scene {
    Scene { entries: vec![Kind::of(Tags::FIRST)], ..scene }
}

fn first() -> Write {
    Write::of(Tags::FIRST)
}

fn both() -> Write {
    Write::of(Tags::BOTH)
}

/// Touches the first, and has left a mark on the second in case.
fn first_and_a_mark() -> Write {
    first().marking(Tags::SECOND)
}

#[test]
fn two_writers_and_two_readers_of_one_tag_keep_everything() {
    keeps(narrow(Scene::of("2 writers, 2 readers, 1 tag", &[first(), first()], 2)));
}

#[test]
fn an_entry_over_two_tags_keeps_everything() {
    keeps(Scene::of("1 writer, 2 readers, 2 tags", &[both()], 2));
}

#[test]
fn a_writer_that_spares_a_tag_keeps_everything() {
    keeps(Scene::of("1 writer of one tag and a mark, 2 readers, 2 tags", &[first_and_a_mark()], 2));
}

// case C5
#[test]
fn a_store_that_loses_keys_or_comes_back_with_old_data_costs_misses() {
    let scene = Scene::of("1 writer, 2 readers, 1 tag, a loss and a restart", &[first()], 2);
    keeps(narrow(scene).mishaps(0, 1, 1));
}

// case C10
#[test]
fn messages_that_are_lost_or_late_break_nothing() {
    let scene = Scene::of("1 writer, 2 readers, 1 tag, 2 silences", &[first()], 2);
    keeps(narrow(scene).mishaps(2, 0, 0));
    let scene = Scene::of("2 writers, 1 reader, 1 tag, 1 silence", &[first(), first()], 1);
    keeps(narrow(scene).mishaps(1, 0, 0));
}

#[test]
fn a_store_that_answers_one_key_after_the_other_keeps_everything() {
    let scene = Scene::of("2 writers, 1 reader, 1 tag, one by one", &[first(), first()], 1);
    keeps(Scene { looking: Looking::OneByOne, ..narrow(scene) });
    let scene = Scene::of("1 writer, 2 readers, 2 tags, one by one", &[both()], 2);
    keeps(Scene { looking: Looking::OneByOne, ..scene });
}

/// Without barriers.
fn after_commit() -> Scene {
    let scene = Scene::of("AfterCommit, 2 writers, 2 readers, 1 tag, 1 silence", &[first(), first()], 2);
    Scene { strict: false, ..narrow(scene).mishaps(1, 0, 0) }
}

#[test]
fn without_barriers_a_commit_that_has_returned_is_seen() {
    keeps(after_commit());
}

#[test]
fn without_barriers_a_read_can_go_back() {
    breaks(Scene { demanding: true, ..after_commit() }, F2);
}

fn loses_a_guard() -> Scene {
    let scene = Scene::of("a barrier lost before its COMMIT, 1 writer, 2 readers, 1 tag", &[first()], 2);
    Scene { loses_guards: true, ..narrow(scene).mishaps(0, 1, 1) }
}

#[test]
fn a_barrier_that_is_lost_before_its_commit_still_leaves_what_has_returned_visible() {
    keeps(loses_a_guard());
}

// A double fault: the store loses the barrier in the moment between it and the COMMIT.
#[test]
fn a_barrier_that_is_lost_before_its_commit_lets_a_read_go_back() {
    breaks(Scene { demanding: true, ..loses_a_guard() }, F2);
}

fn unheard() -> Scene {
    narrow(Scene::of("a COMMIT whose answer never came, 1 writer, 2 readers, 1 tag", &[first()], 2))
}

// The connection broke: the database may execute the COMMIT after the writer has given it up.
#[test]
fn a_writer_in_doubt_must_not_take_its_mark_away() {
    breaks(Scene { doubt: Doubt::Releases, ..unheard() }, F2);
    keeps(Scene { doubt: Doubt::Waits, ..unheard() });
}

/// A tag whose stamp says on what terms entries depend on it: those of the first entry also depend on
/// the second tag, those of the other one do not. The first writer names both; the other one, which
/// knows neither terms, purges the first.
fn terms(writers: usize, marks_labels: bool) -> Scene {
    let knows = Write {
        marks: Tags::BOTH,
        fates: [Fate::PurgeUnless(7), Fate::Purge],
        marks_labels,
        ..Write::of(Tags::SECOND)
    };
    let mut scene = Scene::of("two labels side by side, 2 readers, 2 tags", &[knows, first()], 2);
    scene.writers.truncate(writers);
    scene.entries = vec![
        Kind { tags: [Some(7), Some(0)], rows: Tags::SECOND },
        Kind { tags: [Some(8), None], rows: Tags::BOTH },
    ];
    scene.readers = (0..2).map(|entry| Read { entry, at_home: false }).collect();
    scene
}

#[test]
fn a_label_spares_the_entries_that_depend_on_what_the_writer_has_named() {
    keeps(terms(1, false));
}

// Open: a stamp that was spared for its label is purged by another writer, and put down again under
// another label, before the COMMIT of the first one. docs/protocol.md, "Open".
#[test]
fn a_spared_stamp_that_another_writer_purges_guards_nothing() {
    breaks(terms(2, false), F2);
    keeps(terms(2, true));
}

/// Rows that depend on the first tag, and on the second, which stands for rows that are not known.
fn row_and_any() -> Kind {
    Kind { tags: [Some(0), Some(0)], rows: Tags::FIRST }
}

/// Changes the first row, and knows it only as one of all.
fn any_row() -> Write {
    Write { marks: Tags::SECOND, fates: [Fate::Spare, Fate::Purge], ..Write::of(Tags::FIRST) }
}

#[test]
fn writers_that_store_their_row_keep_everything() {
    let storing = first().storing(0);
    let scene = Scene::of("2 writers that store their row, 1 reader, 1 tag", &[storing, storing], 1);
    keeps(narrow(scene));
    let scene = Scene::of("1 writer that stores its row, 2 readers, 1 tag, 1 silence", &[storing], 2);
    keeps(narrow(scene).mishaps(1, 0, 0));
    let scene = Scene::of("1 writer that stores its row, one of any row, 1 reader", &[storing, any_row()], 1);
    keeps(Scene { entries: vec![row_and_any()], ..scene });
    let scene = Scene::of("1 writer that stores its row, 1 reader, a loss and a restart", &[storing], 1);
    keeps(narrow(scene).mishaps(0, 1, 1));
    let scene = Scene::of("a writer in doubt that would store its row, 2 readers, 1 tag", &[storing], 2);
    keeps(Scene { doubt: Doubt::Waits, ..narrow(scene) });
}

#[test]
fn what_the_search_leaves_out_makes_no_difference() {
    let small = [
        narrow(Scene::of("in full: 1 writer, 2 readers, 1 tag", &[first()], 2)),
        narrow(Scene::of("in full: 1 writer, 1 reader, a loss and a restart", &[first()], 1))
            .mishaps(0, 1, 1),
        Scene { doubt: Doubt::Releases, ..unheard() },
        Scene { demanding: true, ..loses_a_guard() },
    ];
    for scene in small {
        let full = search(Scene { reduced: false, ..scene.clone() }, HasDiscoveries::AnyFailures);
        let reduced = search(scene, HasDiscoveries::AnyFailures);
        assert_eq!(full.broken.is_empty(), reduced.broken.is_empty());
        assert!(!full.broken.is_empty() || full.states > reduced.states, "nothing was left out");
    }
}

#[test]
#[ignore = "minutes"]
fn large_two_writers_two_readers_two_tags() {
    keeps(Scene::of("2 writers, 2 readers, 2 tags", &[both(), both()], 2));
    keeps(Scene::of(
        "2 writers, one with a mark to spare, 2 readers, 2 tags",
        &[first_and_a_mark(), both()],
        2,
    ));
}

#[test]
#[ignore = "minutes"]
fn large_writers_that_store_their_row() {
    let storing = first().storing(0);
    let scene = Scene::of("2 writers that store their row, 2 readers, 1 tag", &[storing, storing], 2);
    keeps(narrow(scene));
    let scene = Scene::of("2 that store their row, 1 reader, 1 tag, 1 silence", &[storing, storing], 1);
    keeps(narrow(scene).mishaps(1, 0, 0));
    let scene = Scene::of("1 that stores its row, one of any row, 2 readers", &[storing, any_row()], 2);
    keeps(Scene { entries: vec![row_and_any()], ..scene });
    let scene = Scene::of("3 that store their row, 1 reader, 1 tag", &[storing, storing, storing], 1);
    keeps(narrow(scene));
    let scene = Scene::of("1 that stores its row, 2 readers, 1 tag, all mishaps", &[storing], 2);
    keeps(narrow(scene).mishaps(1, 1, 1));
}

#[test]
#[ignore = "minutes"]
fn large_three_writers_one_reader() {
    keeps(narrow(Scene::of("3 writers, 1 reader, 1 tag", &[first(), first(), first()], 1)));
}

#[test]
#[ignore = "very many minutes"]
fn large_three_writers_one_reader_two_tags() {
    let writers = [first_and_a_mark(), both(), Write::of(Tags::SECOND)];
    keeps(Scene::of("3 writers, 1 reader, 2 tags", &writers, 1));
}

#[test]
#[ignore = "minutes"]
fn large_everything_goes_wrong() {
    let scene = Scene::of("2 writers, 2 readers, 1 tag, all mishaps", &[first(), first()], 2);
    keeps(narrow(scene).mishaps(1, 1, 1));
    let scene = Scene::of("1 writer, 2 readers, 2 tags, all mishaps", &[both()], 2);
    keeps(scene.mishaps(1, 1, 1));
    let scene = Scene::of("2 writers in doubt that wait, 2 readers, 1 tag", &[first(), first()], 2);
    keeps(Scene { doubt: Doubt::Waits, ..narrow(scene) });
    let scene = Scene::of("AfterCommit, 2 writers, 2 readers, 1 tag, all mishaps", &[first(), first()], 2);
    keeps(Scene { strict: false, ..narrow(scene).mishaps(1, 1, 1) });
    let scene = after_commit();
    keeps(Scene { looking: Looking::OneByOne, ..scene });
}
