//! The answer: what a statement is, what it touches, and whether its result may be kept.

use std::borrow::Cow;
use std::fmt;

use super::scope::{Conjunct, Operand, Scope};

/// The SQL that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL and what speaks its wire protocol.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
}

/// A table's name as the statement wrote it, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// What stood before the last dot: a schema, a database, or `database.schema`.
    pub schema: Option<Box<str>>,
    /// The bare name.
    pub name: Box<str>,
}

impl TableName {
    /// The name that tags use: bare and in lower case.
    ///
    /// Schema and case are dropped on purpose. Servers disagree about both, and two tables that
    /// share a tag only purge each other too often.
    pub fn fold(&self) -> Cow<'_, str> {
        if self.name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
            Cow::Owned(self.name.to_lowercase())
        } else {
            Cow::Borrowed(&self.name)
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a text is, as a whole. Of several statements the most consequential one counts:
/// unknown, then DDL, write, transaction control, other, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Returns rows and writes no table (unless [`Analysis::writes_anything`]: it calls a function
    /// that is not known).
    Read,
    /// Changes rows.
    Write,
    /// Changes tables. In MySQL this also commits the transaction that is open.
    Ddl,
    /// Begins, ends or marks a transaction. With several verbs in the text this is the last one;
    /// [`Analysis::transaction`] has them all, also when they stand among writes.
    Transaction(TransactionVerb),
    /// Anything else: session settings, `EXPLAIN`, `CALL`, and every shape that is not known.
    Other,
}

/// What a transaction-control statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionVerb {
    /// `BEGIN`, `START TRANSACTION`, `XA START`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT` (also `ROLLBACK PREPARED` and `XA ROLLBACK`).
    Rollback,
    /// `SAVEPOINT x`.
    Savepoint,
    /// `RELEASE [SAVEPOINT] x`.
    Release,
    /// `ROLLBACK TO [SAVEPOINT] x`.
    RollbackTo,
    /// `PREPARE TRANSACTION`, `XA END`, `XA PREPARE`: the writes so far wait for a commit that any
    /// session may send.
    Prepare,
    /// `COMMIT PREPARED`, `XA COMMIT`: another session's writes become visible, so this comes with
    /// [`Analysis::writes_anything`].
    CommitPrepared,
    /// `SET autocommit = ...`: switching it on commits the transaction that is open.
    Autocommit,
    /// `SET TRANSACTION`, `SET CONSTRAINTS`, `XA RECOVER`: no boundary.
    Other,
}

/// What one statement does to one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Adds rows, touches no row that was there (`ON CONFLICT DO NOTHING`, `INSERT IGNORE` too).
    Insert,
    /// Adds rows or updates those that conflict.
    Upsert,
    /// Adds rows and deletes those that conflict (`REPLACE`, `INSERT OR REPLACE`, `UPDATE OR REPLACE`).
    Replace,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// Removes every row.
    Truncate,
    /// Creates, alters, renames or drops the table, or something that hangs on it.
    Ddl,
    /// Any of the above: `MERGE`, `COPY FROM`, `LOAD DATA`, `REFRESH`, `REPAIR`.
    Other,
}

/// A column that an `UPDATE ... SET` or an upsert's `SET` gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The column as written, without qualifier.
    pub column: Box<str>,
    /// The new value when the statement says it plainly, [`Operand::Other`] when it is computed.
    pub value: Operand,
}

/// One table that a statement writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which table.
    pub table: TableName,
    /// What happens to its rows.
    pub verb: Verb,
    /// What is true of every touched row, **before and after** the statement. Conditions on columns
    /// that the statement itself assigns are not here but in [`before`](Self::before), so
    /// [`Scope::keys`] never names only half of a changed key.
    pub scope: Scope,
    /// What was true of the touched rows before, and need not be after: the conjuncts of `WHERE`
    /// on assigned columns. With [`assigned`](Self::assigned) it names old and new value.
    pub before: Vec<Conjunct>,
    /// The columns that `SET` assigns; `None` when they are not known. Empty for a plain insert; `None`
    /// for one that leaves what is there as it is by an update to itself, whose triggers run.
    pub assigned: Option<Vec<Assignment>>,
    /// The condition of a plain `UPDATE` or `DELETE`, to select the touched rows by. `None` wherever
    /// a select with it could find other rows than the statement does.
    pub filter: Option<Filter>,
    /// MySQL's `IGNORE`: a value that does not fit its column is made to fit (a zero for a NULL, a text
    /// cut short), so that the new values are not those that the statement says.
    pub adjusts: bool,
}

/// The condition of an `UPDATE` or `DELETE`, so that `SELECT ... FROM table WHERE condition` finds,
/// in the same transaction and before the statement runs, exactly the rows that it touches.
///
/// It holds no subquery, no variable, and no function that is not known to be pure. The table has no
/// alias, so its name qualifies columns here too. [`Write::table`] is spelled as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// As written, its numbered placeholders numbered anew from 1.
    pub condition: Box<str>,
    /// For each placeholder in order of number, the zero-based position of its value among those
    /// of the statement.
    pub bound: Vec<usize>,
}

/// One table or view that a statement reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which table.
    pub table: TableName,
    /// What `WHERE` says of every row of this table that can influence the answer: that of the query,
    /// at any depth, in whose `FROM` it stands. [`Scope::Unknown`] unless the text is one select that
    /// names the table once; in a join only columns that the table's name or alias qualifies count.
    pub scope: Scope,
}

impl Write {
    #[cfg(test)]
    /// Whether the statement may give `column` a new value in a row that was there before.
    pub fn assigns(&self, column: &str) -> bool {
        match &self.assigned {
            Some(list) => list.iter().any(|a| a.column.eq_ignore_ascii_case(column)),
            None => true,
        }
    }
}

/// Everything the text of a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// What the text is.
    pub kind: Kind,
    /// Every transaction-control verb in the text, in order.
    pub transaction: Vec<TransactionVerb>,
    /// The tables written. A table can be here more than once, with different scopes: all hold.
    pub writes: Vec<Write>,
    /// The statement may write tables that are not listed: purge the namespace.
    pub writes_anything: bool,
    /// Why [`writes_anything`](Self::writes_anything) is set, in a few words.
    pub why_anything: Option<Box<str>>,
    /// In MySQL: committing whatever transaction is open is a side effect (DDL, `TRUNCATE`,
    /// `LOCK TABLES`, `BEGIN`, ...).
    pub implicit_commit: bool,
    /// The text is one `INSERT`, `UPDATE`, `DELETE` or `REPLACE` that writes one table, has no
    /// `WITH` in front, and returns what it wrote by `RETURNING`: columns of that table, each under its own
    /// name and as it is, and nothing else under such a name.
    pub returning: bool,
    /// It may have a `RETURNING`, of whatever.
    pub answers_rows: bool,
    /// The tables and views read, each once. A table that is only written is not here.
    pub reads: Vec<Read>,
    /// The functions called that a server has built in, in lower case, each once: those that the user
    /// declares pure are not here. The user may have made one of the same name.
    pub calls: Vec<Box<str>>,
    /// In PostgreSQL: a text may be made a value of another type, so that a bound `now` may be the time.
    pub casts: bool,
    /// Whether the result may be kept, and if not, why.
    pub cacheable: Result<(), Uncacheable>,
}

impl Analysis {
    /// The answer for a text that is not understood.
    pub fn anything(why: &str) -> Analysis {
        Analysis {
            kind: Kind::Other,
            transaction: Vec::new(),
            writes: Vec::new(),
            writes_anything: true,
            why_anything: Some(why.into()),
            implicit_commit: false,
            returning: false,
            answers_rows: false,
            reads: Vec::new(),
            calls: Vec::new(),
            casts: false,
            cacheable: Err(Uncacheable::Unknown),
        }
    }

    /// The same, now that this function is known to be the user's own.
    pub fn calling_unknown(&self, function: &str) -> Analysis {
        let mut own = self.clone();
        own.writes_anything = true;
        own.why_anything.get_or_insert_with(|| format!("the function {function} is not known").into());
        own.writes.iter_mut().for_each(|write| write.filter = None);
        own.cacheable = own.cacheable.and_then(|()| Err(Uncacheable::UnknownFunction(function.into())));
        own
    }

    #[cfg(test)]
    /// For a select from one table: what its `WHERE` says of the rows it returns.
    pub fn read_scope(&self) -> &Scope {
        match &self.reads[..] {
            [read] => &read.scope,
            _ => &Scope::Unknown,
        }
    }

    /// Neither a table nor "anything" is written.
    pub fn is_read_only(&self) -> bool {
        self.writes.is_empty() && !self.writes_anything
    }
}

/// Why the result of a statement must not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncacheable {
    /// Not a select.
    NotASelect,
    /// More than one statement in the text.
    Several,
    /// Takes row locks, or is asked not to wait for them.
    Locking,
    /// This function or keyword answers differently each time.
    Volatile(Box<str>),
    /// This function, variable or table belongs to the session.
    Session(Box<str>),
    /// This function is not known: it may be volatile, and it may write.
    UnknownFunction(Box<str>),
    /// This table describes the database itself, and changes without a write to it.
    Catalog(Box<str>),
    /// Reads no table, so no write would ever purge it.
    NoTable,
    /// `TABLESAMPLE`: other rows each time.
    Sample,
    /// Reads a past version of the rows (`AS OF`, `FOR SYSTEM_TIME`).
    PastVersion,
    /// The statement itself asks not to be cached (`SQL_NO_CACHE`).
    AskedNotTo,
    /// The rows go to a table, a file or a variable, not to the caller.
    Into,
    /// The shape is not known.
    Unknown,
}

impl fmt::Display for Uncacheable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uncacheable::NotASelect => f.write_str("it is not a select"),
            Uncacheable::Several => f.write_str("the text holds several statements"),
            Uncacheable::Locking => f.write_str("it locks the rows it reads"),
            Uncacheable::Volatile(name) => write!(f, "{name} answers differently each time"),
            Uncacheable::Session(name) => write!(f, "{name} depends on the session"),
            Uncacheable::UnknownFunction(name) => {
                write!(f, "the function {name} is not known: it may be volatile and it may write")
            }
            Uncacheable::Catalog(name) => write!(f, "{name} describes the database itself"),
            Uncacheable::NoTable => f.write_str("it reads no table, so no write would purge it"),
            Uncacheable::Sample => f.write_str("it samples its rows at random"),
            Uncacheable::PastVersion => f.write_str("it reads a past version of the rows"),
            Uncacheable::AskedNotTo => f.write_str("the statement asks not to be cached"),
            Uncacheable::Into => f.write_str("its rows go elsewhere than to the caller"),
            Uncacheable::Unknown => f.write_str("its shape is not known"),
        }
    }
}

impl std::error::Error for Uncacheable {}
