//! Random writes, as values: what they do does not depend on what is in the database.

use sea_orm::{ExprTrait, Value, sea_query::SimpleExpr};

use super::{
    random::Random,
    schema::Schema,
    tables::{Key, Table},
    values::{self, Filter, LAST_ID, Row, of},
};
use crate::support::Backend;

/// How a statement reaches the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `execute` of a query built by hand.
    Built,
    /// `execute_unprepared`: the values stand in the text.
    Text,
    /// `execute_raw`, values bound.
    Bound,
    /// `query_all_raw` with RETURNING, where the database has it.
    Returning,
    /// `stream_raw` with RETURNING, read to the end.
    Stream,
    /// `stream_raw` with RETURNING, dropped after the first row.
    HalfStream,
}

/// How SeaORM's own statements are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Exec,
    WithoutReturning,
    WithReturning,
    WithReturningKeys,
}

#[derive(Clone, Debug)]
pub enum Change {
    To(Value),
    Plus(i64),
}

pub type Changes = Vec<(&'static str, Change)>;

#[derive(Clone, Debug)]
pub enum Conflict {
    /// The statement fails.
    None,
    DoNothing,
    Update(&'static [&'static str], Vec<&'static str>),
}

#[derive(Clone, Debug)]
pub struct Write {
    pub table: Table,
    pub form: Form,
}

#[derive(Clone, Debug)]
pub enum Form {
    /// `ActiveModel::insert`
    ActiveInsert(Row),
    /// `ActiveModel::save`, the key given by the database.
    ActiveSave(Row),
    /// `ActiveModel::update` of a model that was not read before.
    ActiveUpdate(Key, Row),
    ActiveUpdateWithoutReturning(Key, Row),
    /// Reads the model, changes it, `save`.
    ReadAndSave(Key, Row),
    ActiveDelete(Key),
    /// Reads the model, then `Model::delete` by way of its active model.
    ReadAndDelete(Key),
    Insert(Row, How),
    InsertMany(Vec<Row>, Conflict, How),
    Update(Key, Row, How),
    UpdateMany(Filter, Changes, How),
    DeleteById(Key, How),
    DeleteMany(Filter, How),

    RawInsert(Vec<Row>, Conflict, Via),
    RawUpdate(Filter, Changes, Via),
    RawDelete(Filter, Via),
    /// REPLACE, or what comes nearest to it.
    Replace(Row, Via),
    /// Copies of rows of a table, under other keys.
    InsertSelect(Filter, i64, Via),
    /// UPDATE ... FROM, or of a join: rows whose join leads to a row of this group.
    UpdateJoined(i64, i64),
    /// WITH ... UPDATE / DELETE
    WithUpdate(Filter, Changes),
    /// Two statements in one text.
    Script(Box<Write>, Box<Write>),
    Truncate,
    /// A column added and dropped, an index made: changes no row.
    Alter,
}

impl Write {
    pub fn random(schema: &Schema, random: &mut Random) -> Self {
        let mut table = schema.table_of_interest(random);
        if schema.sources(table).len() > 1 || (table == Table::View && !schema.view_takes_writes()) {
            table = schema.sources(table)[0];
        }
        Self { table, form: Form::random(table, schema, random) }
    }

    /// Itself, or the statements of a script.
    pub fn parts(&self) -> Vec<&Self> {
        match &self.form {
            Form::Script(first, second) => vec![&**first, &**second],
            _ => vec![self],
        }
    }

    /// May it delete rows, or change the keys that foreign keys name?
    pub fn may_change_keys(&self) -> bool {
        let keys = self.table.key_columns();
        match &self.form {
            Form::UpdateMany(_, changes, _)
            | Form::RawUpdate(_, changes, _)
            | Form::WithUpdate(_, changes) => changes.iter().any(|(column, _)| keys.contains(column)),
            Form::ActiveDelete(_)
            | Form::ReadAndDelete(_)
            | Form::DeleteById(..)
            | Form::DeleteMany(..)
            | Form::RawDelete(..)
            | Form::Replace(..)
            | Form::Truncate => true,
            _ => false,
        }
    }

    /// Can it be sent as one text?
    fn is_text(&self) -> bool {
        matches!(
            self.form,
            Form::RawInsert(_, _, Via::Text)
                | Form::RawUpdate(_, _, Via::Text)
                | Form::RawDelete(_, Via::Text)
        )
    }
}

impl Form {
    fn random(table: Table, schema: &Schema, random: &mut Random) -> Self {
        let key = values::key(table, random);
        let new = |random: &mut Random| {
            let key = (!table.is_node() || !random.once_in(4)).then(|| values::key(table, random));
            let row = values::row(table, key.as_ref(), random);
            if random.once_in(4) { values::some_of(row, random) } else { row }
        };
        let via = random.weighted(&[
            (4, Via::Text),
            (3, Via::Bound),
            (3, Via::Built),
            (1, Via::Returning),
            (1, Via::Stream),
            (1, Via::HalfStream),
        ]);
        let how = random.weighted(&[
            (4, How::Exec),
            (2, How::WithoutReturning),
            (2, How::WithReturning),
            (1, How::WithReturningKeys),
        ]);
        match random.below(100) {
            0..9 => Self::ActiveInsert(new(random)),
            9..11 if table.is_node() => Self::ActiveSave(values::row(table, None, random)),
            11..23 => Self::ActiveUpdate(key, changed(table, random)),
            23..25 => Self::ActiveUpdateWithoutReturning(key, changed(table, random)),
            25..29 => Self::ReadAndSave(key, changed(table, random)),
            29..32 => Self::ActiveDelete(key),
            32..34 => Self::ReadAndDelete(key),
            34..38 => Self::Insert(new(random), how),
            38..45 => Self::InsertMany(several(table, random), Conflict::random(table, schema, random), how),
            45..49 => Self::Update(key, changed(table, random), how),
            49..58 => Self::UpdateMany(Filter::random(table, random), changes(table, random), how),
            58..61 => Self::DeleteById(key, how),
            61..65 => Self::DeleteMany(narrow(table, random), how),
            65..71 => Self::RawInsert(several(table, random), Conflict::random(table, schema, random), via),
            71..80 => Self::RawUpdate(Filter::random(table, random), changes(table, random), via),
            80..84 => Self::RawDelete(narrow(table, random), via),
            84..87 => Self::Replace(new(random), via),
            87..90 => Self::InsertSelect(narrow(table, random), random.number(1, 5), via),
            90..92 => Self::UpdateJoined(values::group(random), random.number(1, 50)),
            92..94 => Self::WithUpdate(Filter::random(table, random), changes(table, random)),
            94..97 => {
                let part = |random: &mut Random| loop {
                    let write = Write::random(schema, random);
                    if write.is_text() {
                        return Box::new(write);
                    }
                };
                Self::Script(part(random), part(random))
            }
            97 if random.once_in(6) => Self::Truncate,
            98 if random.once_in(10) => Self::Alter,
            _ => Self::RawUpdate(Filter::Key(key), changes(table, random), via),
        }
    }
}

impl Conflict {
    fn random(table: Table, schema: &Schema, random: &mut Random) -> Self {
        let unique = random.pick(&schema.unique_columns(table));
        let contents = values::contents(table);
        match random.below(4) {
            0 => Self::None,
            1 => Self::DoNothing,
            _ => {
                let mut columns = random.several(1, 3, |random| random.pick(&contents));
                columns.sort_unstable();
                columns.dedup();
                Self::Update(unique, columns)
            }
        }
    }
}

/// One to three rows with the same columns.
fn several(table: Table, random: &mut Random) -> Vec<Row> {
    let given = !table.is_node() || !random.once_in(4);
    random.several(1, 3, |random| {
        let key = given.then(|| values::key(table, random));
        values::row(table, key.as_ref(), random)
    })
}

/// What a delete is to hit: not too much, or the tables would be empty most of the time.
fn narrow(table: Table, random: &mut Random) -> Filter {
    match Filter::random(table, random) {
        Filter::All if !random.once_in(3) => Filter::LateKeys,
        Filter::Is("group_id", _) | Filter::AmountOdd | Filter::In("group_id", _) if !random.once_in(4) => {
            Filter::AmountBelow(random.number(0, 100))
        }
        other => other,
    }
}

/// New values for one to three columns that are not the key.
fn changed(table: Table, random: &mut Random) -> Row {
    let mut row: Row = Vec::new();
    for _ in 0..random.number(1, 3) {
        let column = match random.below(3) {
            0 => random.pick(&values::contents(table)),
            _ => random.pick(&["amount", "title", "group_id"]),
        };
        if row.iter().all(|(there, _)| *there != column) {
            row.push((column, values::value(column, random)));
        }
    }
    row
}

fn changes(table: Table, random: &mut Random) -> Changes {
    let mut changes: Changes =
        changed(table, random).into_iter().map(|(column, value)| (column, Change::To(value))).collect();
    match random.below(12) {
        0..3 => {
            changes.retain(|(column, _)| *column != "amount");
            changes.push(("amount", Change::Plus(random.number(1, 9))));
        }
        3 => {
            changes.retain(|(column, _)| *column != "group_id");
            changes.push(("group_id", Change::Plus(1)));
        }
        // The key itself.
        4 => {
            let key = values::key(table, random);
            let column = random.below(table.key_columns().len());
            changes.push((table.key_columns()[column], Change::To(key.values()[column].clone())));
        }
        5 if table.is_node() && random.once_in(3) => changes.push(("id", Change::Plus(LAST_ID))),
        _ => {}
    }
    changes
}

/// The right side of an assignment.
pub fn assigned(table: Table, column: &str, change: &Change, backend: Backend) -> SimpleExpr {
    match change {
        Change::To(value) => value.clone().into(),
        // In PostgreSQL's ON CONFLICT the name alone would be ambiguous; here the table's will do.
        Change::Plus(number) if backend == Backend::Sqlite => {
            SimpleExpr::from(sea_orm::sea_query::Expr::col(sea_orm::sea_query::Alias::new(column)))
                .add(*number)
        }
        Change::Plus(number) => of(table, column).add(*number),
    }
}

/// What a write says of the rows that it touches, for the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    Insert,
    UpdateByKey,
    DeleteByKey,
    ByIndex,
    ByFilter,
    Upsert,
    Other,
    Transaction,
}

impl Write {
    pub fn shape(&self) -> Shape {
        let table = self.table;
        let filtered = |filter: &Filter, by_key| match filter {
            Filter::Key(_) | Filter::Keys(_) | Filter::KeyAndGroup(..) => by_key,
            Filter::Is(column, _) | Filter::In(column, _) | Filter::IsAnd(column, ..)
                if table.indexes().contains(column) =>
            {
                Shape::ByIndex
            }
            _ => Shape::ByFilter,
        };
        // A changed key is not a write by key: which row it was before, nobody has said.
        let updated = |filter: &Filter, changes: &Changes| match filtered(filter, Shape::UpdateByKey) {
            Shape::UpdateByKey if changes.iter().any(|(column, _)| table.key_columns().contains(column)) => {
                Shape::ByFilter
            }
            shape => shape,
        };
        match &self.form {
            Form::ActiveInsert(_) | Form::ActiveSave(_) | Form::Insert(..) => Shape::Insert,
            Form::InsertMany(_, Conflict::None, _) | Form::RawInsert(_, Conflict::None, _) => Shape::Insert,
            Form::InsertMany(..) | Form::RawInsert(..) | Form::Replace(..) => Shape::Upsert,
            Form::ActiveUpdate(..)
            | Form::ActiveUpdateWithoutReturning(..)
            | Form::ReadAndSave(..)
            | Form::Update(..) => Shape::UpdateByKey,
            Form::ActiveDelete(_) | Form::ReadAndDelete(_) | Form::DeleteById(..) => Shape::DeleteByKey,
            Form::UpdateMany(filter, changes, _) | Form::RawUpdate(filter, changes, _) => {
                updated(filter, changes)
            }
            Form::DeleteMany(filter, _) | Form::RawDelete(filter, _) => filtered(filter, Shape::DeleteByKey),
            Form::UpdateJoined(..) | Form::WithUpdate(..) => Shape::ByFilter,
            Form::InsertSelect(..) | Form::Script(..) | Form::Truncate | Form::Alter => Shape::Other,
        }
    }
}
