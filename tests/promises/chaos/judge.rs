//! The checker: replays what all processes wrote down, and finds every read that was behind what
//! somebody had seen or been told before it began. A process whose memory may be behind is granted its
//! bound, for what others wrote: what it wrote itself it sees at once.

use std::collections::{BTreeMap, HashMap};

use super::journal::{Event, NEVER, Row, Stats, Time, Way};

/// Redis lost what it held at some moment from `from` to `to`: of a row, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub from: Time,
    pub to: Time,
    pub row: Option<i64>,
}

/// From when on a version of a row is known to be visible, and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    at: Time,
    version: i64,
    /// By the acknowledgement of a COMMIT, and not by a read.
    by_commit: bool,
}

/// A writer's barrier: it stood from some moment after `from` to `until` at most, and what it guarded
/// was purged at `purged`.
#[derive(Clone, Copy, Debug)]
struct Guard<'a> {
    from: Time,
    until: Time,
    /// By the writer itself, or by the queue of its process.
    purged: Option<Time>,
    /// The title that the write gives, if it is known.
    write: Option<&'a str>,
}

/// A read that was behind.
#[derive(Clone, Debug)]
pub struct Stale {
    pub way: Way,
    pub began: Time,
    pub ended: Time,
    /// What was known by then it had to show: when it began, or earlier by the bound of its process.
    pub as_of: Time,
    pub row: Row,
    pub known: i64,
    pub known_at: Time,
    pub by_commit: bool,
    /// What excuses it.
    pub excuse: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Reads of rows, by the way that they were read.
    pub reads: BTreeMap<Way, u64>,
    pub failed_reads: u64,
    pub commits: u64,
    pub not_written: u64,
    /// F1: behind a COMMIT that had been acknowledged.
    pub behind_a_commit: Vec<Stale>,
    /// F2: behind what another read had returned.
    pub behind_a_read: Vec<Stale>,
    /// F3: what was never committed.
    pub uncommitted: Vec<Row>,
    /// Two contents under one version of a row.
    pub torn: Vec<(Row, String)>,
    /// Behind, in a write whose standing barrier was lost: a double fault that the contract names.
    pub double_faults: Vec<Stale>,
    pub longest_read: Time,
    /// Behind by no more than the bound of their process, and by how much at most.
    pub within_bound: u64,
    pub farthest_behind: Time,
    pub stats: Stats,
    /// The processes, and what they counted, by what they keep in memory.
    pub memories: BTreeMap<Memory, (u64, Stats)>,
}

/// What a process keeps in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    Nothing,
    /// Answers that are served once the store has said that they are right.
    Proven,
    /// Answers that may be behind.
    Bounded,
}

impl Verdict {
    pub fn violations(&self) -> usize {
        self.behind_a_commit.len() + self.behind_a_read.len() + self.uncommitted.len() + self.torn.len()
    }

    pub fn all_reads(&self) -> u64 {
        self.reads.values().sum()
    }
}

/// Judges the journals, one per process. `believed` stands for the bounds that processes were given, to
/// see that they matter.
pub fn judge(
    journals: &[Vec<Event>],
    losses: &[Loss],
    barrier_life: Time,
    believed: Option<Time>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut known: HashMap<i64, Vec<Known>> = HashMap::new();
    let mut contents: HashMap<(i64, i64), &str> = HashMap::new();
    for event in journals.iter().flatten() {
        let (row, at, by_commit) = match event {
            Event::Read { ended, row, .. } => (row, *ended, false),
            Event::Committed { at, row } => (row, *at, true),
            _ => continue,
        };
        if row.title.starts_with(NEVER) {
            verdict.uncommitted.push(row.clone());
            continue;
        }
        known.entry(row.id).or_default().push(Known { at, version: row.version, by_commit });
        let title = contents.entry((row.id, row.version)).or_insert(&row.title);
        if *title != row.title {
            verdict.torn.push((row.clone(), (*title).to_owned()));
        }
    }
    known.values_mut().for_each(in_order);
    let guards = guards(journals, barrier_life);
    for events in journals {
        let mut stats = Stats::default();
        let bound = events.iter().find_map(|event| match event {
            Event::Began { bound } => *bound,
            _ => None,
        });
        let memory = match bound {
            None => Memory::Nothing,
            Some(0) => Memory::Proven,
            Some(_) => Memory::Bounded,
        };
        let bound = bound.filter(|bound| *bound > 0).map(|bound| granted(believed.unwrap_or(bound)));
        let own = own_commits(events);
        for event in events {
            match event {
                Event::Read { way, began, ended, row } => {
                    *verdict.reads.entry(*way).or_default() += 1;
                    verdict.longest_read = verdict.longest_read.max(ended - began);
                    if row.title.starts_with(NEVER) {
                        continue;
                    }
                    // Past the cache nothing is in memory.
                    let bound = bound.filter(|_| *way != Way::Plain).unwrap_or(0);
                    let demands = [(&known, began.saturating_sub(bound)), (&own, *began)];
                    let missed = demands.into_iter().take(if bound == 0 { 1 } else { 2 });
                    let missed = missed.filter_map(|(known, as_of)| {
                        let before = known_before(known, row.id, as_of)?;
                        (row.version < before.version).then_some((before, as_of))
                    });
                    let mut stale: Vec<_> = missed
                        .map(|(before, as_of)| {
                            let mut stale = Stale {
                                way: *way,
                                began: *began,
                                ended: *ended,
                                as_of,
                                row: row.clone(),
                                known: before.version,
                                known_at: before.at,
                                by_commit: before.by_commit,
                                excuse: None,
                            };
                            let since: Vec<_> = (row.version + 1..=before.version)
                                .map(|version| contents.get(&(row.id, version)).copied())
                                .collect();
                            stale.excuse = excuse(&stale, &since, &guards, losses);
                            stale
                        })
                        .collect();
                    stale.sort_by_key(|stale| stale.excuse.is_some());
                    match stale.into_iter().next() {
                        None => {
                            let known = known.get(&row.id).map(Vec::as_slice).unwrap_or_default();
                            let later = known.iter().find(|it| it.version > row.version);
                            if let Some(later) = later.filter(|later| later.at < *began) {
                                verdict.within_bound += 1;
                                verdict.farthest_behind = verdict.farthest_behind.max(began - later.at);
                            }
                        }
                        Some(stale) if stale.excuse.is_some() => verdict.double_faults.push(stale),
                        Some(stale) if stale.by_commit => verdict.behind_a_commit.push(stale),
                        Some(stale) => verdict.behind_a_read.push(stale),
                    }
                }
                Event::Failed { began, ended } => {
                    verdict.failed_reads += 1;
                    verdict.longest_read = verdict.longest_read.max(ended - began);
                }
                Event::Committed { .. } => verdict.commits += 1,
                Event::NotWritten { .. } => verdict.not_written += 1,
                Event::Stats(now) => stats = *now,
                Event::Began { .. } | Event::Arming { .. } | Event::Armed { .. } | Event::Purged { .. } => {}
            }
        }
        verdict.stats.add(stats);
        let (processes, counted) = verdict.memories.entry(memory).or_default();
        *processes += 1;
        counted.add(stats);
    }
    verdict
}

/// By time, and only what says more than all before it.
fn in_order(known: &mut Vec<Known>) {
    known.sort_by_key(|it| (it.at, it.version));
    let mut newest = i64::MIN;
    known.retain(|it| {
        it.version > newest && {
            newest = it.version;
            true
        }
    });
}

/// A process measures its bound by another clock than the one that its journal is kept by, which may be
/// slowed or hastened by half a thousandth.
fn granted(bound: Time) -> Time {
    bound + bound / 1000
}

/// What a process was told that it has committed.
fn own_commits(events: &[Event]) -> HashMap<i64, Vec<Known>> {
    let mut own: HashMap<i64, Vec<Known>> = HashMap::new();
    for event in events {
        if let Event::Committed { at, row } = event {
            own.entry(row.id).or_default().push(Known { at: *at, version: row.version, by_commit: true });
        }
    }
    own.values_mut().for_each(in_order);
    own
}

fn known_before(known: &HashMap<i64, Vec<Known>>, row: i64, began: Time) -> Option<Known> {
    let known = known.get(&row)?;
    known[..known.partition_point(|it| it.at < began)].last().copied()
}

/// The barriers of each row; those of all rows are under `None`.
fn guards(journals: &[Vec<Event>], life: Time) -> HashMap<Option<i64>, Vec<Guard<'_>>> {
    let mut guards: HashMap<Option<i64>, Vec<Guard<'_>>> = HashMap::new();
    for events in journals {
        let mut mine: HashMap<&str, (Guard<'_>, &[i64])> = HashMap::new();
        for event in events {
            match event {
                Event::Arming { at, writer, rows, write } => {
                    let write = write.as_deref();
                    let fresh = Guard { from: *at, until: at + life, purged: None, write };
                    mine.entry(writer).or_insert((fresh, rows)).0.until = at + life;
                }
                Event::Armed { at, writer } => {
                    if let Some((guard, _)) = mine.get_mut(writer.as_str()) {
                        guard.until = at + life;
                    }
                }
                Event::Purged { at, writer, rows } => {
                    for (name, (guard, armed)) in &mut mine {
                        let covers = rows.is_empty()
                            || !armed.is_empty() && armed.iter().all(|row| rows.contains(row));
                        if *name == writer {
                            guard.purged = Some(*at);
                            guard.until = guard.until.min(*at);
                        } else if covers {
                            // A purge that was queued comes under another name, for all that waited.
                            guard.purged.get_or_insert(*at);
                        }
                    }
                }
                _ => {}
            }
        }
        for (guard, rows) in mine.into_values() {
            let keys = if rows.is_empty() { vec![None] } else { rows.iter().map(|row| Some(*row)).collect() };
            keys.into_iter().for_each(|row| guards.entry(row).or_default().push(guard));
        }
    }
    guards
}

/// What excuses a read that is behind: the barrier of one of the writes that it does not show was lost
/// while it stood, and none of these writes has purged since. One purge would do, for the entry is
/// older than all of them.
fn excuse(
    stale: &Stale,
    since: &[Option<&str>],
    guards: &HashMap<Option<i64>, Vec<Guard<'_>>>,
    losses: &[Loss],
) -> Option<String> {
    let of_the_row = [Some(stale.row.id), None];
    let guards = || of_the_row.iter().filter_map(|row| guards.get(row)).flatten();
    let is_missing = |guard: &Guard<'_>| guard.write.is_some_and(|write| since.contains(&Some(write)));
    if guards().any(|guard| is_missing(guard) && guard.purged.is_some_and(|at| at <= stale.as_of)) {
        return None;
    }
    // Whose write a background task has finished, nobody knows.
    let may_be_missing = |guard: &Guard<'_>| match guard.write {
        Some(_) => is_missing(guard),
        None => since.contains(&None) || guard.from < stale.known_at,
    };
    guards().filter(|guard| may_be_missing(guard)).find_map(|guard| {
        let open = guard.from < stale.ended && guard.purged.is_none_or(|at| at > stale.as_of);
        let loss = losses.iter().find(|loss| {
            loss.row.is_none_or(|row| row == stale.row.id)
                && loss.to >= guard.from
                && loss.from <= guard.until
                && loss.from <= stale.ended
        });
        loss.filter(|_| open).map(|loss| format!("{guard:?}, {loss:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(way: Way, began: Time, version: i64) -> Event {
        Event::Read { way, began, ended: began + 1, row: row(version) }
    }

    fn row(version: i64) -> Row {
        Row { id: 1, version, title: format!("v{version}") }
    }

    fn found(events: Vec<Event>, losses: &[Loss]) -> (usize, usize, usize) {
        let verdict = judge(&[events], losses, 100, None);
        (verdict.behind_a_commit.len(), verdict.behind_a_read.len(), verdict.double_faults.len())
    }

    #[test]
    fn a_read_behind_an_acknowledged_commit_is_found() {
        let commit = Event::Committed { at: 10, row: row(2) };
        assert_eq!(found(vec![commit.clone(), read(Way::ById, 11, 1)], &[]), (1, 0, 0));
        assert_eq!(found(vec![commit.clone(), read(Way::ById, 9, 1)], &[]), (0, 0, 0), "it began before");
        assert_eq!(found(vec![commit, read(Way::ById, 11, 2)], &[]), (0, 0, 0));
    }

    #[test]
    fn a_read_behind_another_read_is_found_whoever_made_it() {
        for way in [Way::Plain, Way::ById, Way::List, Way::Load] {
            let events = [vec![read(way, 10, 2)], vec![read(Way::ById, 20, 1)]];
            let verdict = judge(&events, &[], 100, None);
            assert_eq!(verdict.behind_a_read.len(), 1);
            assert_eq!((verdict.behind_a_read[0].known, verdict.violations()), (2, 1));
        }
    }

    #[test]
    fn a_bound_is_granted_for_what_others_wrote_and_no_longer() {
        let of_others = |way, began, bound: Option<Time>, believed| {
            let writer = vec![Event::Committed { at: 1_000, row: row(2) }];
            let reader = vec![Event::Began { bound }, read(way, began, 1)];
            let verdict = judge(&[writer, reader], &[], 100, believed);
            (verdict.behind_a_commit.len(), verdict.within_bound, verdict.farthest_behind)
        };
        assert_eq!(of_others(Way::ById, 1_300, Some(300), None), (0, 1, 300));
        assert_eq!(of_others(Way::List, 1_301, Some(300), None), (1, 0, 0), "longer than the bound");
        assert_eq!(of_others(Way::ById, 1_300, Some(300), Some(100)), (1, 0, 0), "believed to be shorter");
        assert_eq!(of_others(Way::Plain, 1_300, Some(300), None), (1, 0, 0), "not from memory");
        for none in [None, Some(0)] {
            assert_eq!(of_others(Way::ById, 1_001, none, None), (1, 0, 0));
            assert_eq!(of_others(Way::ById, 1_001, none, Some(100)), (1, 0, 0));
        }
    }

    #[test]
    fn no_bound_is_granted_for_what_a_process_wrote_itself() {
        let began = Event::Began { bound: Some(300) };
        let own = |version| vec![began.clone(), Event::Committed { at: 10, row: row(version) }];
        let stale = |mut events: Vec<Event>, others: Vec<Event>| {
            events.push(read(Way::ById, 11, 2));
            judge(&[events, others], &[], 100, None).behind_a_commit.len()
        };
        assert_eq!(stale(own(3), Vec::new()), 1);
        assert_eq!(stale(own(2), vec![Event::Committed { at: 10, row: row(3) }]), 0, "another's is newer");
        assert_eq!(stale(own(3), vec![Event::Committed { at: 10, row: row(4) }]), 1, "but its own is missed");
    }

    #[test]
    fn what_was_never_committed_and_two_contents_of_one_version_are_found() {
        let never = Row { title: format!("{NEVER}-x"), ..row(3) };
        let other = Row { title: "other".to_owned(), ..row(2) };
        let read = |row| Event::Read { way: Way::ById, began: 1, ended: 2, row };
        let verdict = judge(&[vec![read(never), read(row(2)), read(other)]], &[], 100, None);
        assert_eq!((verdict.uncommitted.len(), verdict.torn.len(), verdict.violations()), (1, 1, 2));
    }

    #[test]
    fn only_a_barrier_that_was_lost_while_it_stood_excuses_and_only_until_the_purge() {
        let writer = "w1".to_owned();
        let write = |purged| {
            vec![
                Event::Arming { at: 10, writer: writer.clone(), rows: vec![1], write: Some("v2".to_owned()) },
                Event::Armed { at: 11, writer: writer.clone() },
                read(Way::Plain, 30, 2),
                read(Way::ById, 40, 1),
                Event::Purged { at: purged, writer: writer.clone(), rows: vec![1] },
            ]
        };
        let loss = |at, row| Loss { from: at, to: at, row };
        assert_eq!(found(write(50), &[]), (0, 1, 0));
        assert_eq!(found(write(50), &[loss(20, None)]), (0, 0, 1));
        assert_eq!(found(write(50), &[loss(20, Some(1))]), (0, 0, 1));
        assert_eq!(found(write(50), &[loss(20, Some(2))]), (0, 1, 0), "another row's");
        assert_eq!(found(write(50), &[loss(5, None)]), (0, 1, 0), "before it stood");
        assert_eq!(found(write(50), &[loss(45, None)]), (0, 1, 0), "after the read");
        assert_eq!(found(write(35), &[loss(20, None)]), (0, 1, 0), "it was purged before the read");
        // A writer that was killed with its barrier lost does not excuse what others wrote and purged.
        let mut both = write(50);
        both.push(Event::Arming {
            at: 12,
            writer: "w2".to_owned(),
            rows: vec![1],
            write: Some("v3".to_owned()),
        });
        both.push(Event::Purged { at: 14, writer: "w2".to_owned(), rows: vec![1] });
        both.push(Event::Committed { at: 15, row: row(3) });
        assert_eq!(found(both, &[loss(20, None)]), (2, 0, 0), "version 3 was purged");
    }
}
