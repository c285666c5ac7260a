//! What a SQL text touches: tables read, tables written, rows pinned, cacheable or not.
//!
//! A lexer for the dialect and a conservative scan over its tokens. The scan answers "anything"
//! for every shape it does not know. It knows nothing of entities, values or Redis: a bound value
//! is a placeholder's position, and the caller resolves it.
//!
//! # The rule
//! An answer may be too wide, never too narrow. A statement whose shape is not known sets
//! [`Analysis::writes_anything`]; a row scope that leaves any doubt is [`Scope::Unknown`]; a
//! `SELECT` with anything in it that is not known to be repeatable is [`Uncacheable`].
//!
//! # What the text cannot say
//! * Triggers, cascades, views, partitions and inherited tables: the database's catalogue knows.
//! * Whether two key values are equal. `'5'`, `5` and `' 5'` may be one key or three, as the
//!   column's type and collation have it: see [`Operand`].
//! * Server modes that change how text is read: MySQL's `NO_BACKSLASH_ESCAPES` and PostgreSQL's
//!   `standard_conforming_strings = off`. The defaults are assumed.
//! * SQLite constraints declared `ON CONFLICT REPLACE`, by which a plain `INSERT` deletes rows.
//! * Functions of the user's own that have the name of a built-in one: [`Analysis::calls`] has the
//!   names, and the catalogue knows the functions.
//!
//! # The files
//! `lexer` makes tokens (with `keyword`, `literal` and `comment`), `tokens` looks around in them,
//! `scan` splits statements and puts the parts together. `query` and `from` walk selects, `insert`
//! and `write` the statements that change rows, `define` those that change tables, `session` the
//! rest; `expression` walks what stands in all of them, `condition` finds the rows that a `WHERE`
//! pins, `filter` the text of a condition that a select can use, `function` knows which functions are
//! safe, `position` where words that are not reserved are no functions. `memo` remembers answers by text.

mod analysis;
mod comment;
mod condition;
mod define;
mod expression;
mod filter;
mod from;
mod function;
mod insert;
mod keyword;
mod lexer;
mod literal;
mod memo;
mod position;
mod query;
mod scan;
mod scope;
mod session;
mod tokens;
mod write;

pub use analysis::{Analysis, Assignment, Dialect, Kind, Read, TableName, TransactionVerb, Verb, Write};
pub use function::{is_built_in, may_mean_now};
pub use memo::{Memo, PureFunctions};
#[allow(unused_imports)] // By benches and the fuzz target, as below.
pub(crate) use scope::may_be_same_column;
pub use scope::{Operand, Scope};
// Benches and the fuzz target compile this module as their own, and ask for more than the crate.
#[allow(unused_imports)]
pub use {
    analysis::{Filter, Uncacheable},
    scan::analyse_with,
    scope::Conjunct,
};

#[cfg(test)]
fn analyse(dialect: Dialect, sql: &str) -> Analysis {
    analyse_with(dialect, sql, &PureFunctions::new())
}

#[cfg(test)]
mod catalogue_test;
#[cfg(test)]
mod corpus_test;
#[cfg(test)]
mod differential_test;
#[cfg(test)]
mod filter_test;
#[cfg(test)]
mod function_test;
#[cfg(test)]
mod promises_test;
#[cfg(test)]
mod robustness_test;
#[cfg(test)]
mod rows_test;
#[cfg(test)]
mod second_opinion;
