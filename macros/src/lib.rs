//! `#[derive(CacheEntity)]` and `#[cached_fn]`, the macros of the crate `sea-orm-cache`.
//!
//! Depend on `sea-orm-cache`, which re-exports both: the generated code names that crate and
//! `sea-orm`. A declaration is checked while the program is compiled, because a misspelt field in
//! a tag would otherwise be a purge that never happens.

#![forbid(unsafe_code)]

mod cached_fn;
mod declaration;
mod errors;
mod expand;
mod field;
mod lifetime;
mod literal;
mod suggestion;
mod template;
mod warm_up;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Declares how the rows of an entity are cached.
///
/// The derive goes on the entity's `Model`, beside `DeriveEntityModel` or under
/// `#[sea_orm::model]`. It implements `sea_orm_cache::CacheEntity` for the `Entity` of the same
/// module and registers the entity when the program is linked, so that a process that only writes
/// knows what its writes purge. Every attribute is optional, and so is `#[cache(...)]` itself;
/// several `#[cache(...)]` add up.
///
/// ```ignore
/// use sea_orm::entity::prelude::*;
/// use sea_orm_cache::CacheEntity;
///
/// #[derive(Clone, Debug, PartialEq, DeriveEntityModel, CacheEntity)]
/// #[sea_orm(table_name = "book")]
/// #[cache(ttl = "10m", negative_ttl = "30s", index("shelf_id"))]
/// #[cache(tags("publisher:{publisher_id}"), purges("report"))]
/// #[cache(warmup(limit = 1000, order = "title"))]
/// pub struct Model {
///     #[sea_orm(primary_key)]
///     pub id: i64,
///     pub shelf_id: i64,
///     pub publisher_id: i64,
///     pub title: String,
/// }
/// ```
///
/// # Attributes
///
/// | attribute | meaning | allowed |
/// |---|---|---|
/// | `ttl = "10m"` | how long rows and lists live | a duration from 1ms to 10 years (`"30s"`, `"1h 30m"`, `"7days"`), or a class whose duration the cache is configured with: `"short"`, `"medium"`, `"long"`, `"static"` |
/// | `negative_ttl = "30s"` | how long "there is no such row" lives | as `ttl` |
/// | `stale_while_revalidate = "30s"` | for how long after its time an entry that no write has purged is served, while one caller loads it anew | as `ttl` |
/// | `stale_if_error = "10m"` | the same, if the load fails | as `ttl` |
/// | `refresh_early`, `refresh_early = 1.5` | what is read often is loaded anew before its time is over, in the background; the number says how eagerly | alone, or a number above 0 |
/// | `namespace = "catalog"` | groups the entity's entries, to invalidate them together | letters, digits, `_` and `-` |
/// | `tags("publisher:{publisher_id}")` | user tags that entries made of this entity's rows carry | any text; `{field}` stands for a field's value, `{{` and `}}` for braces |
/// | `index("shelf_id")` | fields by which lists are read: a list that pins one depends on the rows with that value, not on the whole table | fields with a column; integers, text, UUIDs and booleans: others narrow nothing, and a warning says so |
/// | `purges("report", "analytics:*")` | user tags that any write to this entity's table purges; `analytics:*` is every tag and own entry whose name begins with `analytics:` | fixed names |
/// | `purges_on_insert("report")`, `purges_on_update(...)`, `purges_on_delete(...)` | the same for writes of one kind | fixed names |
/// | `precise`, `precise = 500` | an UPDATE or DELETE that does not name its rows by key is preceded by a select of the rows that it will touch, up to this many (1000), so that it purges these alone | a number above 0 |
/// | `also_writes("audit_log")` | tables that the triggers of this table write, purged as a whole with every write; if triggers change this table's own rows beyond what the statement says (an index column, other rows), name the table itself too | bare names |
/// | `write_through` | a row that an INSERT or UPDATE returns is stored once it is committed, so that the next read by its key is a hit | |
/// | `compress_above = 4096` | payloads of more bytes are compressed, if that makes them smaller (the cache's setting) | a number above 0 |
/// | `encrypted` | everything made of this entity's rows is encrypted in the store | |
/// | `harmless_triggers` | the triggers of this table write no other table and no other row, and of the row that is written neither the primary key nor an index column; other columns of it they may set (`updated_at`) | |
/// | `warmup` | load all rows at start-up | |
/// | `warmup(limit = 1000, batch = 200, order = "title desc")` | load at most `limit` rows, `batch` rows per query, in this order (by primary key if not given) | numbers above 0; one field, with `asc` or `desc` |
/// | `skip` | never cache this entity; its writes still purge what depends on its table | alone or with what its writes set off |
///
/// Fields are named as in the struct, also where the column has another name: `column_name`,
/// `enum_name` and `rename_all` of `#[sea_orm(...)]` are followed. A field under
/// `#[sea_orm(ignore)]` has no column and cannot be named.
///
/// # Errors
///
/// Anything else is a compile error at the attribute or literal that is wrong, with what is
/// allowed there; all errors of a declaration are reported together.
#[proc_macro_derive(CacheEntity, attributes(cache))]
pub fn derive_cache_entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Caches what an async function returns, by its arguments.
///
/// ```ignore
/// #[cached_fn(ttl = "5m", key = "price:{currency}:{day}", tags("currency:{currency}"))]
/// async fn price(db: &CachedConnection, currency: &str, day: Date) -> Result<Price, Error> {
///     // ...
/// }
/// ```
///
/// The first call runs the body and stores what it returns; later ones, in any process, get that, until
/// its time is over or a tag is invalidated. Of a `Result` only the `Ok` is stored. What it returns goes
/// through serde. Calls at the same time share one run of the body (per process), so a function must
/// not call itself with the same arguments. The promises are those of `Cache::get_or_load`.
///
/// # Attributes
///
/// | attribute | meaning |
/// |---|---|
/// | `ttl = "5m"` | how long: a duration, or a class (`"short"`, `"medium"`, `"long"`, `"static"`); without it the cache's default |
/// | `key = "price:{currency}:{day}"` | the entry's key. Placeholders are arguments, by `Display`; what is no letter, digit, `_`, `-` or `.` in them is written `%XX`. Every argument has to be in it or in `skip` |
/// | none | the key is the function's path, and a hash of all arguments, by `Serialize` |
/// | `tags("currency:{currency}")` | tags of yours, which `invalidate_tag` makes misses by |
/// | `tables("rate")` | what it is made of: a write to these tables makes it a miss |
/// | `cache = "self.db.cache()"` | where the cache is; without it, in the one argument that is a `Cache` or `CachedConnection` |
/// | `skip("trace_id", "self")` | arguments and type parameters that what it returns does not depend on |
/// | `stale_while_revalidate = "30s"`, `stale_if_error = "10m"` | as on an entity |
/// | `refresh_early` | the answer is computed anew before its time is over, by one caller; the others are served what is there |
///
/// The argument with the cache is no part of the key. `invalidate_tag("shop.prices.price:*")` makes all
/// answers of the function `shop::prices::price` misses, if it has no `key`.
///
/// # Errors
///
/// Anything else is a compile error at what is wrong.
#[proc_macro_attribute]
pub fn cached_fn(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let expanded = cached_fn::expand(attribute.into(), item.clone()).unwrap_or_else(|error| {
        // With the function as it is, or whoever calls it would have an error too.
        let error = error.into_compile_error();
        quote::quote!(#error #item)
    });
    expanded.into()
}
