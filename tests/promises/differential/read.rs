//! Random reads, each of which can be asked through the cache and past it.

use std::fmt::Debug;

use sea_orm::{
    DatabaseConnection, DbErr, EntityTrait, JoinType, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Related,
    sea_query::{ExprTrait, UnionType},
};
use sea_orm_cache::{CachedConnection, CachedEntity, CachedQuery, CachedTransaction, EntryOptions};

use super::{
    random::Random,
    schema::Schema,
    tables::{Chained, Key, Table, Tracked, column, with_entity},
    values::{self, Filter, of},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub table: Table,
    pub form: Form,
}

/// What is read. Every answer is in an order that the rows alone decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    ById(Key),
    ByIds(Vec<Key>),
    List(Filter),
    Largest(Filter),
    First(Filter),
    Count(Filter),
    Page(u64),
    PageOf(Filter, u64),
    Joined(Filter),
    Families(Filter),
    /// A join over three tables, some columns of each.
    Three(Filter),
    /// One line for each group.
    Groups,
    Titles(Filter),
    Json(Filter),
    Union(Filter, Filter),
    /// An entry of the application's own.
    Own,
}

/// What kind of entry a read makes, for the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A row by its key, of an entity that declares indexes, or `precise`.
    Row,
    /// A row by its key, of an entity that declares nothing.
    PlainRow,
    /// "There is no such row."
    NoRow,
    /// `cached_by_ids`: rows, which are counted by themselves.
    Rows,
    /// All rows with a value in an index column.
    IndexList,
    /// Some of them, or some of their columns, or how many there are.
    IndexPart,
    List,
    Count,
    Join,
    Own,
    /// Anything read from the view.
    View,
}

impl Kind {
    /// Those that the figures show.
    pub const COUNTED: [Self; 10] = [
        Self::Row,
        Self::PlainRow,
        Self::NoRow,
        Self::IndexList,
        Self::IndexPart,
        Self::List,
        Self::Count,
        Self::Join,
        Self::Own,
        Self::View,
    ];
}

/// Where a read is asked.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Cache(&'a CachedConnection),
    CacheInTransaction(&'a CachedTransaction),
    Database(&'a DatabaseConnection),
    DatabaseInTransaction(&'a CachedTransaction),
}

impl Read {
    pub fn random(schema: &Schema, random: &mut Random) -> Self {
        let table = if schema.has_view() && random.once_in(10) {
            Table::View
        } else {
            schema.table_of_interest(random)
        };
        let filter = |random: &mut Random| Filter::random(table, random);
        let listed = |random: &mut Random| match table.indexes() {
            [] => Filter::random(table, random),
            indexes => {
                let column = random.pick(indexes);
                Filter::Is(column, some(values::value(column, random)))
            }
        };
        let form = match random.below(40) {
            0..11 => Form::ById(values::key(table, random)),
            11..13 => Form::ByIds(random.several(1, 4, |random| values::key(table, random))),
            13..18 => Form::List(listed(random)),
            18..21 => Form::List(filter(random)),
            21 => Form::Largest(listed(random)),
            22 => Form::First(filter(random)),
            23 => Form::Count(listed(random)),
            24 => Form::Count(filter(random)),
            25 => Form::Page(random.below(3) as u64),
            26 => Form::PageOf(listed(random), random.below(2) as u64),
            27..30 => Form::Joined(filter(random)),
            30..32 => Form::Families(filter(random)),
            32..34 => Form::Three(filter(random)),
            34 => Form::Groups,
            35 => Form::Titles(listed(random)),
            36 => Form::Json(filter(random)),
            37 => Form::Union(filter(random), filter(random)),
            38 => Form::Own,
            _ => Form::List(Filter::All),
        };
        Self { table, form }
    }

    /// The tables whose rows decide the answer.
    pub fn tables(&self, schema: &Schema) -> Vec<Table> {
        let mut tables = schema.sources(self.table);
        let mut filters: Vec<&Filter> = Vec::new();
        match &self.form {
            Form::ById(_) | Form::ByIds(_) | Form::Page(_) | Form::Groups | Form::Own => {}
            Form::List(filter)
            | Form::Largest(filter)
            | Form::First(filter)
            | Form::Count(filter)
            | Form::PageOf(filter, _)
            | Form::Titles(filter)
            | Form::Json(filter) => filters.push(filter),
            Form::Joined(filter) | Form::Families(filter) => {
                tables.push(self.table.next().1);
                filters.push(filter);
            }
            Form::Three(filter) => {
                let next = self.table.next().1;
                tables.extend([next, next.next().1]);
                filters.push(filter);
            }
            Form::Union(left, right) => filters.extend([left, right]),
        }
        tables.extend(filters.iter().filter_map(|filter| filter.other_table(self.table)));
        tables
    }

    /// What kind of entry was made when the answer was this.
    pub fn kind(&self, answer: &str) -> Kind {
        let pinned = |filter: &Filter| match filter {
            Filter::Is(column, _) | Filter::In(column, _) => self.table.indexes().contains(column),
            _ => false,
        };
        let also_pinned = |filter: &Filter| match filter {
            Filter::IsAnd(column, ..) => self.table.indexes().contains(column),
            other => pinned(other),
        };
        match &self.form {
            Form::ByIds(_) => Kind::Rows,
            _ if self.table == Table::View => Kind::View,
            Form::ById(_) if answer == "Ok(None)" => Kind::NoRow,
            Form::ById(_) if self.table == Table::Node3 => Kind::PlainRow,
            Form::ById(_) => Kind::Row,
            Form::List(filter) if pinned(filter) => Kind::IndexList,
            Form::List(filter)
            | Form::Largest(filter)
            | Form::First(filter)
            | Form::PageOf(filter, _)
            | Form::Titles(filter)
            | Form::Json(filter)
            | Form::Count(filter)
                if also_pinned(filter) =>
            {
                Kind::IndexPart
            }
            Form::Count(_) | Form::Groups => Kind::Count,
            Form::Joined(_) | Form::Families(_) | Form::Three(_) => Kind::Join,
            Form::Own => Kind::Own,
            _ => Kind::List,
        }
    }

    /// How many cached reads it counts as.
    pub fn parts(&self) -> u64 {
        let Form::ByIds(keys) = &self.form else { return 1 };
        let mut distinct: Vec<&Key> = Vec::new();
        for key in keys {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        distinct.len() as u64
    }

    /// The answer, as text.
    pub async fn answer(&self, source: Source<'_>, schema: &Schema) -> String {
        with_entity!(self.table, E => self.answer_of::<E>(source, schema).await)
    }

    async fn answer_of<E: Tracked>(&self, source: Source<'_>, schema: &Schema) -> String
    where
        E::Next: Related<<E::Next as Chained>::Next>,
    {
        macro_rules! read {
            ($select:expr, $end:ident) => {
                match source {
                    Source::Cache(db) => show($select.cached().$end(db).await),
                    Source::CacheInTransaction(db) => show($select.cached().$end(db).await),
                    Source::Database(db) => show($select.$end(db).await),
                    Source::DatabaseInTransaction(db) => show($select.$end(db).await),
                }
            };
        }
        let table = self.table;
        let by_key = |mut select: sea_orm::Select<E>| {
            for name in table.key_columns() {
                select = select.order_by_asc(column::<E>(name));
            }
            select
        };
        let find = |filter: &Filter| by_key(E::find().filter(filter.condition(table)));
        let next = table.next().1;
        match &self.form {
            Form::ById(key) => read!(E::find_by_id(E::key(key)), one),
            Form::ByIds(keys) => {
                let ids: Vec<_> = keys.iter().map(E::key).collect();
                match source {
                    Source::Cache(db) => show(E::cached_by_ids(ids, db).await),
                    Source::CacheInTransaction(db) => show(E::cached_by_ids(ids, db).await),
                    Source::Database(db) => show(one_by_one::<E, _>(keys, db).await),
                    Source::DatabaseInTransaction(db) => show(one_by_one::<E, _>(keys, db).await),
                }
            }
            Form::List(filter) => read!(find(filter), all),
            Form::Largest(filter) => {
                let rows = E::find().filter(filter.condition(table));
                read!(by_key(rows.order_by_desc(column::<E>("amount"))).limit(3), all)
            }
            Form::First(filter) => read!(find(filter), one),
            Form::Count(filter) => read!(E::find().filter(filter.condition(table)), count),
            Form::Page(page) => {
                let rows = by_key(E::find().order_by_asc(column::<E>("title")));
                match source {
                    Source::Cache(db) => show(rows.cached().paginate(db, 4).fetch_page(*page).await),
                    Source::CacheInTransaction(db) => {
                        show(rows.cached().paginate(db, 4).fetch_page(*page).await)
                    }
                    Source::Database(db) => show(rows.paginate(db, 4).fetch_page(*page).await),
                    Source::DatabaseInTransaction(db) => show(rows.paginate(db, 4).fetch_page(*page).await),
                }
            }
            Form::PageOf(filter, page) => read!(find(filter).limit(2).offset(page * 2), all),
            Form::Joined(filter) => read!(find(filter).find_also_related(E::Next::default()), all),
            Form::Families(filter) => {
                let mut families = find(filter).find_with_related(E::Next::default());
                for name in next.key_columns() {
                    families = families.order_by(column::<E::Next>(name), Order::Asc);
                }
                read!(families, all)
            }
            Form::Three(filter) => {
                let third = next.next().1;
                let rows = find(filter)
                    .select_only()
                    .expr_as(of(table, "title"), "first")
                    .join(JoinType::LeftJoin, E::to())
                    .expr_as(of(next, "title"), "second")
                    .join(JoinType::LeftJoin, <E::Next as Related<<E::Next as Chained>::Next>>::to())
                    .expr_as(of(third, "amount"), "third");
                read!(rows.into_tuple::<(String, Option<String>, Option<i64>)>(), all)
            }
            Form::Groups => {
                let groups = E::find()
                    .select_only()
                    .column(column::<E>("group_id"))
                    .column_as(of(table, "amount").count(), "rows_of_it")
                    .column_as(of(table, "amount").max(), "largest")
                    .group_by(column::<E>("group_id"))
                    .order_by_asc(column::<E>("group_id"));
                read!(groups.into_tuple::<(i64, i64, Option<i64>)>(), all)
            }
            Form::Titles(filter) => {
                let titles = find(filter).select_only().column(column::<E>("title"));
                read!(titles.into_tuple::<String>(), all)
            }
            Form::Json(filter) => read!(find(filter).into_json(), all),
            Form::Union(left, right) => {
                let mut rows = E::find().filter(left.condition(table));
                let other = E::find().filter(right.condition(table)).into_query();
                QueryTrait::query(&mut rows).union(UnionType::Distinct, other);
                // An order by position: the columns of a union have no table.
                for position in 1..=table.key_columns().len() {
                    let position = sea_orm::sea_query::Expr::cust(position.to_string());
                    QueryTrait::query(&mut rows).order_by_expr(position, Order::Asc);
                }
                read!(rows, all)
            }
            Form::Own => {
                let load =
                    async |db: &CachedConnection| by_key(E::find()).all(db.inner()).await.map(titles::<E>);
                match source {
                    Source::Cache(db) => {
                        let sources = schema.sources(table);
                        let options = EntryOptions::new().entity(E::default());
                        // Of the tables behind a view an own entry knows nothing: it must name them.
                        let options =
                            sources.iter().fold(options, |options, source| options.table(source.name()));
                        let key = format!("titles of {}", table.name());
                        show(db.cache().get_or_load(&key, options, async || load(db).await).await)
                    }
                    Source::Database(db) => show(by_key(E::find()).all(db).await.map(titles::<E>)),
                    // Own entries know nothing of transactions.
                    Source::CacheInTransaction(_) | Source::DatabaseInTransaction(_) => String::new(),
                }
            }
        }
    }
}

/// `find_by_id` for each key: what `cached_by_ids` promises to give.
async fn one_by_one<E: Tracked, C: sea_orm::ConnectionTrait>(
    keys: &[Key],
    db: &C,
) -> Result<Vec<Option<E::Model>>, DbErr> {
    let mut rows = Vec::new();
    for key in keys {
        rows.push(E::find_by_id(E::key(key)).one(db).await?);
    }
    Ok(rows)
}

fn titles<E: EntityTrait>(rows: Vec<E::Model>) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}")).collect()
}

/// Errors by what they say, without where in its source the database found them.
fn show<T: Debug>(answer: Result<T, DbErr>) -> String {
    match answer {
        Ok(answer) => format!("Ok({answer:?})"),
        Err(error) => {
            let text = error.to_string();
            format!("Err({})", text.split(" at line ").next().unwrap_or_default())
        }
    }
}

/// A search for NULL by `=` finds nothing.
fn some(value: sea_orm::Value) -> sea_orm::Value {
    match value {
        sea_orm::Value::BigInt(None) => 1i64.into(),
        other => other,
    }
}
