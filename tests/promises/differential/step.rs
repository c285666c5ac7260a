//! What is done between two comparisons: one write, or one transaction.

use super::{
    random::Random,
    read::Read,
    schema::Schema,
    tally::WriteKind,
    write::{Form, Shape, Write},
};

#[derive(Clone, Debug)]
pub enum Step {
    Write(Write),
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
        if random.below(5) > 0 {
            return Self::Write(Write::random(schema, random));
        }
        Self::Transaction(parts(schema, random, 2), End::random(random))
    }

    /// All writes, of nested transactions too.
    pub fn writes(&self) -> Vec<&Write> {
        match self {
            Self::Write(write) => vec![write],
            Self::Transaction(parts, _) => parts.iter().flat_map(Part::writes).collect(),
        }
    }

    pub fn kind(&self, changed: bool) -> WriteKind {
        let writes = self.writes();
        let indexed = !writes.is_empty() && writes.iter().all(|write| !write.table.indexes().is_empty());
        let shape = match self {
            Self::Write(write) => write.shape(),
            Self::Transaction(..) => Shape::Transaction,
        };
        WriteKind { indexed, changed, shape }
    }

    /// Does it lock whole tables until it ends, so that nobody outside can read meanwhile?
    pub fn locks_tables(&self) -> bool {
        self.writes().iter().any(|write| matches!(write.form, Form::Truncate | Form::Alter))
    }
}

impl Part {
    fn writes(&self) -> Vec<&Write> {
        match self {
            Self::Write(write) => vec![write],
            Self::Read(_) => Vec::new(),
            Self::Nested(parts, _) => parts.iter().flat_map(Self::writes).collect(),
        }
    }
}

fn parts(schema: &Schema, random: &mut Random, depth: usize) -> Vec<Part> {
    random.several(1, 4, |random| match random.below(8) {
        0..5 => Part::Write(Write::random(schema, random)),
        5 if depth > 0 => Part::Nested(parts(schema, random, depth - 1), End::random(random)),
        6 => Part::Read(Read::random(random)),
        _ => Part::Write(Write::random(schema, random)),
    })
}

impl End {
    fn random(random: &mut Random) -> Self {
        random.weighted(&[(6, Self::Commit), (2, Self::Rollback), (1, Self::Drop)])
    }
}
