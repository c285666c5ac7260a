//! What the processes of a run write down: one line per event, each written at once, for its writer
//! may be killed at any moment. Times are nanoseconds of the machine's clock, which all share.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

pub type Time = u64;

pub fn now() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as Time
}

/// How a row was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From the database, past the cache.
    Plain,
    ById,
    List,
    Load,
}

/// A row as somebody saw or wrote it. The version goes up by one with every write; the title names
/// the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    pub version: i64,
    pub title: String,
}

/// What begins the title of a row that is never committed.
pub const NEVER: &str = "never";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first of a process: by how much what it keeps in memory may be behind; `None` if it keeps
    /// nothing there.
    Began {
        bound: Option<Time>,
    },
    Read {
        way: Way,
        began: Time,
        ended: Time,
        row: Row,
    },
    /// A read that was not answered.
    Failed {
        began: Time,
        ended: Time,
    },
    /// COMMIT was acknowledged.
    Committed {
        at: Time,
        row: Row,
    },
    /// A write was refused, or failed: nobody knows, or it is not there.
    NotWritten {
        at: Time,
    },
    /// A barrier was sent, on these rows; none named is all. The write is named by the title that it
    /// gives, or not at all, if a background task finishes it.
    Arming {
        at: Time,
        writer: String,
        rows: Vec<i64>,
        write: Option<String>,
    },
    Armed {
        at: Time,
        writer: String,
    },
    /// A purge was acknowledged.
    Purged {
        at: Time,
        writer: String,
        rows: Vec<i64>,
    },
    Stats(Stats),
}

/// The counters of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub reads: u64,
    pub hits: u64,
    /// Of these, answered from memory.
    pub near: u64,
    pub bypasses: u64,
    /// Of these, because the store was away.
    pub away: u64,
    pub unguarded: u64,
    pub delayed: u64,
    pub lapsed: u64,
    /// The longest time without a hit, in milliseconds.
    pub longest_bypass: u64,
}

impl Stats {
    pub fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.hits += other.hits;
        self.near += other.near;
        self.bypasses += other.bypasses;
        self.away += other.away;
        self.unguarded += other.unguarded;
        self.delayed += other.delayed;
        self.lapsed += other.lapsed;
        self.longest_bypass = self.longest_bypass.max(other.longest_bypass);
    }
}

fn ids(rows: &[i64]) -> String {
    let words: Vec<_> = rows.iter().map(ToString::to_string).collect();
    if words.is_empty() { "*".to_owned() } else { words.join(",") }
}

impl Event {
    fn line(&self) -> String {
        match self {
            Self::Began { bound: Some(bound) } => format!("B {bound}"),
            Self::Began { bound: None } => "B -".to_owned(),
            Self::Read { way, began, ended, row } => {
                format!("R {way:?} {began} {ended} {} {} {}", row.id, row.version, row.title)
            }
            Self::Failed { began, ended } => format!("F {began} {ended}"),
            Self::Committed { at, row } => format!("C {at} {} {} {}", row.id, row.version, row.title),
            Self::NotWritten { at } => format!("N {at}"),
            Self::Arming { at, writer, rows, write } => {
                format!("a {at} {writer} {} {}", ids(rows), write.as_deref().unwrap_or("-"))
            }
            Self::Armed { at, writer } => format!("A {at} {writer}"),
            Self::Purged { at, writer, rows } => format!("P {at} {writer} {}", ids(rows)),
            Self::Stats(it) => format!(
                "S {} {} {} {} {} {} {} {} {}",
                it.reads,
                it.hits,
                it.near,
                it.bypasses,
                it.away,
                it.unguarded,
                it.delayed,
                it.lapsed,
                it.longest_bypass
            ),
        }
    }

    /// `None` for half a line, which a killed process may leave at the end.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let mut word = || words.next();
        fn number<T: std::str::FromStr>(word: Option<&str>) -> Option<T> {
            word?.parse().ok()
        }
        let rows = |word: Option<&str>| -> Option<Vec<i64>> {
            match word? {
                "*" => Some(Vec::new()),
                ids => ids.split(',').map(|id| id.parse().ok()).collect(),
            }
        };
        Some(match kind {
            "R" => {
                let way = word()?;
                let way = [Way::Plain, Way::ById, Way::List, Way::Load]
                    .into_iter()
                    .find(|it| format!("{it:?}") == way)?;
                let (began, ended) = (number(word())?, number(word())?);
                let row = Row { id: number(word())?, version: number(word())?, title: word()?.to_owned() };
                Self::Read { way, began, ended, row }
            }
            "B" => match word()? {
                "-" => Self::Began { bound: None },
                bound => Self::Began { bound: Some(bound.parse().ok()?) },
            },
            "F" => Self::Failed { began: number(word())?, ended: number(word())? },
            "C" => Self::Committed {
                at: number(word())?,
                row: Row { id: number(word())?, version: number(word())?, title: word()?.to_owned() },
            },
            "N" => Self::NotWritten { at: number(word())? },
            "a" => Self::Arming {
                at: number(word())?,
                writer: word()?.to_owned(),
                rows: rows(word())?,
                write: Some(word()?.to_owned()).filter(|write| write != "-"),
            },
            "A" => Self::Armed { at: number(word())?, writer: word()?.to_owned() },
            "P" => Self::Purged { at: number(word())?, writer: word()?.to_owned(), rows: rows(word())? },
            "S" => Self::Stats(Stats {
                reads: number(word())?,
                hits: number(word())?,
                near: number(word())?,
                bypasses: number(word())?,
                away: number(word())?,
                unguarded: number(word())?,
                delayed: number(word())?,
                lapsed: number(word())?,
                longest_bypass: number(word())?,
            }),
            _ => return None,
        })
    }
}

/// The file of one process.
#[derive(Debug)]
pub struct Journal(Mutex<File>);

impl Journal {
    pub fn create(path: &Path) -> Self {
        Self(Mutex::new(File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))))
    }

    pub fn note(&self, event: &Event) {
        let line = event.line() + "\n";
        self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }

    pub fn read(path: &Path) -> Vec<Event> {
        let text = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .split_inclusive('\n')
            .filter_map(|line| Event::parse(line.strip_suffix('\n')?))
            .collect()
    }
}

#[test]
fn events_come_back_as_they_were_written() {
    let row = Row { id: 3, version: 7, title: "w1-2".to_owned() };
    let events = [
        Event::Began { bound: None },
        Event::Began { bound: Some(0) },
        Event::Read { way: Way::List, began: 1, ended: 2, row: row.clone() },
        Event::Failed { began: 1, ended: 2 },
        Event::Committed { at: 5, row },
        Event::NotWritten { at: 5 },
        Event::Arming { at: 1, writer: "w".to_owned(), rows: vec![1, 2], write: None },
        Event::Armed { at: 1, writer: "w".to_owned() },
        Event::Purged { at: 1, writer: "w".to_owned(), rows: Vec::new() },
        Event::Stats(Stats { reads: 1, longest_bypass: 9, ..Stats::default() }),
    ];
    for event in events {
        assert_eq!(Event::parse(&event.line()), Some(event));
    }
    assert_eq!(Event::parse("R ById 1 2 3"), None);
}
