//! What is done between two comparisons: one write, or one transaction.

use super::{
    random::Random,
    read::Read,
    schema::Schema,
    tables::Table,
    tally::{Group, Reaches, WriteKind},
    write::{Form, Shape, Write},
};

#[derive(Clone, Debug)]
pub enum Step {
    Write(Write),
    /// A write, and cached reads at the same time: what these store must not outlive it.
    Race(Write, Vec<Read>),
    Transaction(Vec<Part>, End),
}

/// Something that is done inside a transaction.
#[derive(Clone, Debug)]
pub enum Part {
    Write(Write),
    /// Compared twice: inside the transaction, and outside, where nothing of it may be seen.
    Read(Read),
    Nested(Vec<Part>, End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Commit,
    Rollback,
    Drop,
}

impl Step {
    pub fn random(schema: &Schema, random: &mut Random) -> Self {
        match random.below(20) {
            0..14 => Self::Write(Write::random(schema, random)),
            14..16 => {
                let write = Write::random(schema, random);
                Self::Race(write, random.several(1, 3, |random| Read::random(schema, random)))
            }
            _ => Self::Transaction(parts(schema, random, 2), End::random(random)),
        }
    }

    /// All writes, of nested transactions and of scripts too.
    fn writes(&self) -> Vec<&Write> {
        match self {
            Self::Write(write) | Self::Race(write, _) => write.parts(),
            Self::Transaction(parts, _) => parts.iter().flat_map(Part::writes).collect(),
        }
    }

    /// What it counts as; `None` for what is not counted.
    pub fn kind(&self, changed: bool, schema: &Schema) -> Option<WriteKind> {
        let writes = self.writes();
        let reaches = writes.iter().map(|write| schema.reaches(write.table, write.may_change_keys()));
        let reaches = reaches.max().unwrap_or(Reaches::Nothing);
        let group = Group::of(writes.iter().map(|write| write.table));
        let shape = match self {
            Self::Write(write) => write.shape(),
            Self::Race(..) => return None,
            Self::Transaction(..) => Shape::Transaction,
        };
        Some(WriteKind { group, changed, reaches, shape })
    }

    /// Does it lock whole tables until it ends, so that nobody outside can read meanwhile?
    pub fn locks_tables(&self) -> bool {
        self.writes().iter().any(|write| matches!(write.form, Form::Truncate | Form::Alter))
    }

    /// The tables that the statements name, and those that the database may write with them.
    pub fn tables(&self, schema: &Schema) -> Vec<Table> {
        let mut tables = Vec::new();
        for write in self.writes() {
            tables.extend(schema.reach(write.table, write.may_change_keys()));
        }
        tables
    }

    /// The step with one thing less, in every way.
    pub fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Write(_) => Vec::new(),
            Self::Race(write, _) => vec![Self::Write(write.clone())],
            Self::Transaction(parts, end) => {
                let mut all: Vec<Self> =
                    smaller(parts).into_iter().map(|parts| Self::Transaction(parts, *end)).collect();
                if let [Part::Write(write)] = &parts[..]
                    && *end == End::Commit
                {
                    all.push(Self::Write(write.clone()));
                }
                all
            }
        }
    }
}

fn smaller(parts: &[Part]) -> Vec<Vec<Part>> {
    let mut all = Vec::new();
    for position in 0..parts.len() {
        let mut less = parts.to_vec();
        if let Part::Nested(inner, end) = less.remove(position) {
            for inner in smaller(&inner) {
                let mut other = parts.to_vec();
                other[position] = Part::Nested(inner, end);
                all.push(other);
            }
        }
        all.push(less);
    }
    all
}

impl Part {
    fn writes(&self) -> Vec<&Write> {
        match self {
            Self::Write(write) => write.parts(),
            Self::Read(_) => Vec::new(),
            Self::Nested(parts, _) => parts.iter().flat_map(Self::writes).collect(),
        }
    }
}

fn parts(schema: &Schema, random: &mut Random, depth: usize) -> Vec<Part> {
    random.several(1, 4, |random| match random.below(8) {
        0..5 => Part::Write(Write::random(schema, random)),
        5 if depth > 0 => Part::Nested(parts(schema, random, depth - 1), End::random(random)),
        6 => Part::Read(Read::random(schema, random)),
        _ => Part::Write(Write::random(schema, random)),
    })
}

impl End {
    fn random(random: &mut Random) -> Self {
        random.weighted(&[(6, Self::Commit), (2, Self::Rollback), (1, Self::Drop)])
    }
}
