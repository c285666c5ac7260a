//! `verify`: is every entry whole, does it end, do its tags stand.

use std::{collections::BTreeSet, io::IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget};
use sea_orm_cache::{
    inspect::{InspectedEntry, KeyKind, TagStanding, Unreadable},
    stores::{EntryKey, Store},
};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    server::{MOST_KEYS, Server},
};

const NOT_COMPARED: &str =
    "values were not compared with the database, which the application does: verify_one_in";

#[derive(Default)]
struct Counts {
    valid: usize,
    /// A tag was purged; they wait for their end.
    purged: usize,
    /// By another release.
    other_format: usize,
    /// Gone before they were read.
    expired: usize,
}

pub async fn run(server: &Server, sample: usize, output: &mut Output) -> Result<(), Failure> {
    let scanned = server.scan(MOST_KEYS).await?;
    let entries: Vec<&str> =
        scanned.keys.iter().filter(|(_, kind)| kind.is_entry()).map(|(key, _)| key.as_str()).collect();
    // Evenly, not the first ones.
    let step = entries.len().div_ceil(sample.max(1)).max(1);
    let sampled: Vec<&str> = entries.iter().copied().step_by(step).collect();
    let progress = ProgressBar::new(sampled.len() as u64);
    if output.is_json() || !std::io::stderr().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    let (mut counts, mut wrong, mut whole) = (Counts::default(), Vec::new(), Vec::new());
    for keys in sampled.chunks(100) {
        let of_entries: Vec<_> = keys.iter().map(|key| EntryKey::from_full(*key)).collect();
        let found = server.store.read(&of_entries, &[]).await?;
        let left = server.left(keys).await?;
        for ((key, bytes), left) in of_entries.iter().zip(&found.entries).zip(left) {
            if left.is_none() {
                wrong.push((key.as_str().to_owned(), "it has no time to live".to_owned()));
            }
            match bytes.as_ref().map(|bytes| InspectedEntry::read(key, bytes)) {
                None if left == Some(0) => counts.expired += 1,
                None => wrong.push((key.as_str().to_owned(), "it holds another type of value".to_owned())),
                Some(Err(Unreadable::Format(_))) => counts.other_format += 1,
                Some(Err(why)) => wrong.push((key.as_str().to_owned(), why.to_string())),
                Some(Ok(entry)) => whole.push((entry, found.incarnation)),
            }
        }
        progress.inc(keys.len() as u64);
    }
    progress.finish_and_clear();
    // After the entries: the stamps of one that was made meanwhile are older than it is.
    let (stamped, all_tags) = server.stamped().await?;
    for (entry, incarnation) in &whole {
        let of_entry = entry.asked.iter().flatten().chain(entry.named.iter().map(|(_, stamp)| stamp));
        let stands = entry.incarnation == *incarnation
            && entry.left().is_some()
            && of_entry.into_iter().all(|stamp| stamped.get(&stamp.get()).is_some_and(|(_, stands)| *stands));
        *(if stands { &mut counts.valid } else { &mut counts.purged }) += 1;
    }
    wrong.extend(foreign_tags(server).await?.into_iter().map(|tag| (tag, "it holds no tag".to_owned())));

    let document = json!({
        "namespace": server.name,
        "entries": entries.len(),
        "sampled": sampled.len(),
        "complete": scanned.complete && all_tags && sampled.len() == entries.len(),
        "valid": counts.valid,
        "purged": counts.purged,
        "other_format": counts.other_format,
        "expired": counts.expired,
        "wrong": wrong.iter().map(|(key, why)| json!({ "key": key, "why": why })).collect::<Vec<_>>(),
        "note": NOT_COMPARED,
    });
    output.answer(&document, |output| {
        output.line(format!("{} of {} entries looked at", sampled.len(), entries.len()))?;
        output.line(format!("  {} valid, {} purged or over", counts.valid, counts.purged))?;
        output.line(format!(
            "  {} of another format, {} expired meanwhile",
            counts.other_format, counts.expired
        ))?;
        wrong.iter().try_for_each(|(key, why)| output.line(format!("wrong: {key}: {why}")))?;
        output.line(format!("note: {NOT_COMPARED}"))
    })?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Found) }
}

/// Keys in the place of tags that hold something else: readers take them for barriers.
async fn foreign_tags(server: &Server) -> Result<BTreeSet<String>, Failure> {
    let scanned = server.scan(MOST_KEYS).await?;
    let tags: Vec<&str> =
        scanned.keys.iter().filter(|(_, kind)| *kind == KeyKind::Tag).map(|(key, _)| key.as_str()).collect();
    let standing = server.standing(&tags).await?;
    let foreign = tags.iter().zip(standing).filter(|(_, standing)| *standing == TagStanding::Foreign);
    Ok(foreign.map(|(tag, _)| (*tag).to_owned()).collect())
}
