//! Can the checker fail? Faults put into the protocol, one at a time: each must be found.

use super::{
    check::{F1, F2, F3, F4, F5},
    promises::breaks,
    scene::{Fault, Kind, Scene, Tags, Write},
};

fn one_tag(name: &'static str, writers: usize, readers: usize) -> Scene {
    let writers = vec![Write::of(Tags::FIRST); writers];
    Scene { entries: vec![Kind::of(Tags::FIRST)], ..Scene::of(name, &writers, readers) }
}

#[test]
fn a_stamp_taken_after_the_load_is_found() {
    breaks(one_tag("stamp after load", 1, 2).with(Fault::StampAfterLoad), F1);
}

#[test]
fn a_barrier_released_by_another_writer_is_found() {
    breaks(one_tag("releases others", 2, 1).with(Fault::ReleasesOthers), F2);
}

#[test]
fn a_purge_before_the_commit_is_found() {
    breaks(one_tag("purge before commit", 1, 1).with(Fault::PurgesBeforeCommit), F2);
}

#[test]
fn a_barrier_that_expires_into_the_stamp_is_found() {
    breaks(one_tag("expiry restores", 1, 1).with(Fault::ExpiryRestores), F4);
}

#[test]
fn a_writer_that_restores_what_another_purged_is_found() {
    let spares = Write::of(Tags::SECOND).marking(Tags::FIRST);
    let scene = Scene {
        entries: vec![Kind::of(Tags::FIRST)],
        ..Scene::of("spares blindly", &[Write::of(Tags::FIRST), spares], 1)
    };
    breaks(scene.with(Fault::SparesBlindly), F1);
}

#[test]
fn an_entry_of_another_incarnation_is_found() {
    breaks(one_tag("unbound entries", 1, 1).mishaps(0, 0, 1).with(Fault::UnboundEntries), F5);
}

#[test]
fn a_load_of_what_is_not_committed_is_found() {
    breaks(one_tag("loads uncommitted", 1, 1).with(Fault::LoadsUncommitted), F3);
}

/// Writers of one row that store it.
fn storing(name: &'static str, writers: usize) -> Scene {
    let scene = one_tag(name, writers, 1);
    Scene { writers: vec![Write::of(Tags::FIRST).storing(0); writers], ..scene }
}

#[test]
fn a_row_that_is_stored_although_another_writer_came_by_is_found() {
    breaks(storing("renews blindly", 2).with(Fault::RenewsBlindly), F1);
}

#[test]
fn a_row_that_is_stored_behind_a_mark_which_was_away_is_found() {
    breaks(storing("renews after a renewal", 2).mishaps(1, 0, 0).with(Fault::RenewsAfterRenewal), F2);
}

#[test]
fn a_row_that_is_stored_under_stamps_of_after_its_commit_is_found() {
    let any = Write { marks: Tags::SECOND, ..Write::of(Tags::FIRST) };
    let any = Write { fates: [crate::store::Fate::Spare, crate::store::Fate::Purge], ..any };
    let scene = storing("looks after its commit", 1);
    let entries = vec![Kind { tags: [Some(0), Some(0)], rows: Tags::FIRST }];
    let writers = vec![scene.writers[0], any];
    breaks(Scene { entries, writers, ..scene }.with(Fault::LooksAfterCommit), F1);
}
