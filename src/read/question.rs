//! From a statement to the question that it asks of the cache: which entry, and which tags.

use std::{sync::Arc, time::Duration};

use sea_orm::{Statement, Value};

use super::codec::Codec;
use crate::{
    Cache, ReadThrough,
    connection::{named, named_exactly},
    entity::{EntityDescriptor, KeyClass, KeyColumn, KeyText, TtlSpec, encode_values, value_text},
    freshness::{Bypass, Early, Grace, Question, Shape, Terms, Wrap},
    keys::KeyHash,
    schema::{Knowledge, Schema, TextEquality},
    statement::{Analysis, Read, may_mean_now},
    store::{EntryKey, TagKey},
    watched,
};

/// An answer that is pinned to more index values than this depends on the whole table.
const MOST_INDEX_VALUES: usize = 16;

/// What the caller said about one read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadOptions {
    pub(crate) ttl: Option<TtlSpec>,
    pub(crate) tags: Vec<String>,
    pub(crate) fresh: bool,
    pub(crate) stale_while_revalidate: Option<TtlSpec>,
    pub(crate) stale_if_error: Option<TtlSpec>,
    pub(crate) refresh_early: Option<f64>,
}

impl ReadOptions {
    /// May the answer be in memory? An answer there does not say which tags callers have given it.
    pub(super) fn of_memory(&self, cache: &Cache) -> bool {
        let stored = |spec| cache.inner.config.ttl(spec) >= Duration::from_millis(1);
        self.tags.is_empty() && self.ttl.is_none_or(stored)
    }
}

/// A read about to be answered.
pub(crate) struct Request<'a> {
    pub(crate) statement: &'a Statement,
    /// The entity whose policy counts; `None` for selects that have lost their entity.
    pub(crate) entity: Option<Arc<EntityDescriptor>>,
    /// The entity on the other side of a join whose rows come with it.
    pub(crate) joined: Option<Arc<EntityDescriptor>>,
    /// The primary key, if this is one row by its key and all its columns.
    pub(crate) row: Option<&'a [Value]>,
    pub(crate) options: &'a ReadOptions,
}

/// What a read goes through.
pub(crate) struct Reader<'a> {
    cache: &'a Cache,
    schema: Arc<Schema>,
    /// What tells apart sessions whose reads differ.
    session: Option<&'a str>,
}

impl<'a> Reader<'a> {
    /// Why the cache must not be asked at all, or what to ask it through.
    pub(crate) async fn of<D: ReadThrough>(db: &'a D) -> Result<Self, Bypass> {
        let cache = db.cache();
        Self::may_ask(cache)?;
        if db.in_transaction() {
            return Err(Bypass::InTransaction);
        }
        match db.knowledge().await {
            Knowledge::Known(schema) => Ok(Self { cache, schema, session: db.session() }),
            Knowledge::Unknown => Err(Bypass::SchemaUnknown),
        }
    }

    /// For who only wants to know, with the schema that is at hand.
    pub(super) fn with(cache: &'a Cache, schema: Arc<Schema>) -> Result<Self, Bypass> {
        Self::may_ask(cache)?;
        Ok(Self { cache, schema, session: None })
    }

    fn may_ask(cache: &Cache) -> Result<(), Bypass> {
        if cache.inner.config.enabled { Ok(()) } else { Err(Bypass::Disabled) }
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The question that the read asks, or why it must not ask.
    pub(crate) fn question<C: Codec>(
        &self,
        request: &Request<'_>,
        entity: Option<&Arc<EntityDescriptor>>,
        analysis: &Analysis,
    ) -> Result<Question, Bypass> {
        let config = &self.cache.inner.config;
        let skipped = |entity: &Arc<EntityDescriptor>| entity.policy.skip;
        // A select that has lost its entity may hold columns of any table that it reads.
        let any_skipped =
            request.entity.is_none() && declared(self.cache, analysis).any(|entity| entity.policy.skip);
        if entity.is_some_and(skipped) || request.joined.as_ref().is_some_and(skipped) || any_skipped {
            return Err(Bypass::Skipped);
        }
        if let Err(reason) = &analysis.cacheable {
            tracing::debug!(%reason, "a select that cannot be cached goes to the database");
            return Err(Bypass::Uncacheable);
        }
        if let Some(function) = self.schema.own_call(analysis) {
            tracing::debug!(function, "a select that calls a function of your own goes to the database");
            return Err(Bypass::Uncacheable);
        }
        let mut values = request.statement.values.iter().flat_map(|values| &values.0);
        if analysis.casts && values.any(may_be_the_time) {
            tracing::debug!("a select with a bound text that may mean now goes to the database");
            return Err(Bypass::Uncacheable);
        }
        if request.options.ttl.is_some_and(|spec| config.ttl(spec) < Duration::from_millis(1)) {
            return Err(Bypass::Uncacheable);
        }
        let mut question = match (request.row, entity) {
            (Some(key), Some(entity)) => self.row(entity, key)?,
            _ => None,
        };
        if question.is_none() {
            question = self.query::<C>(request, entity, analysis)?;
        }
        let mut question = question.ok_or(Bypass::Uncacheable)?;
        self.apply(request.options, &mut question);
        watched::depends(&self.cache.inner.freshness, &question.also);
        Ok(question)
    }

    fn apply(&self, options: &ReadOptions, question: &mut Question) {
        if let Some(spec) = options.ttl {
            question.ttl = self.cache.inner.config.ttl(spec);
            question.negative_ttl = question.negative_ttl.min(question.ttl);
        }
        question.fresh = options.fresh;
        let config = &self.cache.inner.config;
        if let Some(spec) = options.stale_while_revalidate {
            question.grace.revalidate = config.ttl(spec);
        }
        if let Some(spec) = options.stale_if_error {
            question.grace.on_error = config.ttl(spec);
        }
        if let Some(beta) = options.refresh_early {
            question.early = Early::drawn(beta);
        }
        for tag in options.tags.iter().flat_map(|tag| self.cache.inner.user_tags(tag)) {
            if !question.also.contains(&tag) {
                question.also.push(tag);
            }
        }
        if let Some(terms) = &mut question.terms {
            self.apply(options, &mut terms.otherwise);
        }
    }

    /// One row by its primary key. `None` if the key holds a NULL.
    pub(crate) fn row(
        &self,
        entity: &Arc<EntityDescriptor>,
        key: &[Value],
    ) -> Result<Option<Question>, Bypass> {
        let inner = &self.cache.inner;
        let rows = inner.rows(entity);
        let keys = &rows.keys;
        let folded = &*entity.folded;
        let exact: Option<Vec<String>> = key.iter().map(value_text).collect();
        let Some(exact) = exact.filter(|exact| exact.len() == entity.key.len() && !exact.is_empty()) else {
            return Ok(None);
        };
        let mut tags = Vec::with_capacity(keys.shared.len() + 3);
        tags.extend(keys.shared.iter().cloned());
        let behind = self.tables_behind(folded)?;
        tags.extend(behind.iter().map(|table| inner.keys.table(table)));
        tags.push(keys.any_row.clone());
        let own = self.row_tag(entity, key);
        let (has_tag, own_shape) = (own.is_some(), own.as_ref().map(|(_, shape)| *shape));
        tags.extend(own.map(|(tag, _)| tag));
        let table = tags.len();
        tags.push(keys.table.clone());
        let shape = own_shape.filter(|_| behind.is_empty()).unwrap_or_else(|| Shape::of(&tags));
        let mut question = self.bare(self.in_session(keys.entry(&exact)), (tags, shape), Some(entity));
        if watched::is_watched() {
            watched::reads_as(self.session);
            // The table's tag stands for the row's: a write to the row purges both.
            watched::depends(&inner.freshness, keys.shared.iter().chain([&keys.table]));
            let behind: Vec<_> = behind.iter().map(|table| inner.keys.table(table)).collect();
            watched::depends(&inner.freshness, &behind);
        }
        // A row that is there changes only with its own tags; one that is not there may come with any
        // insert into the table. A row that no tag can name depends on the table, since other code
        // may know a key that names it.
        if has_tag {
            question.only_if_missing = vec![table];
        }
        Ok(Some(question))
    }

    /// The tag of the row alone, of the question for it; `None` if no tag can name it.
    pub(super) fn own_tag(question: &Question) -> Option<&TagKey> {
        // It stands before the table's.
        question.tags.get(question.only_if_missing.first()?.checked_sub(1)?)
    }

    /// The tag of this row alone, and the shape of the question for it; `None` if no tag can name it.
    fn row_tag(&self, entity: &EntityDescriptor, key: &[Value]) -> Option<(TagKey, Shape)> {
        let rows = self.cache.inner.rows(entity);
        let mut texts = entity.key.iter().filter(|column| column.class == KeyClass::Text).peekable();
        if texts.peek().is_some()
            && texts.all(|column| self.texts(entity, column) == TextEquality::ToTheLetter)
            && let Some(key) = entity.exact_key_text(key)
        {
            return Some((rows.keys.tag(key), rows.shape_to_the_letter));
        }
        Some((rows.keys.tag(entity.key_text(key, |column| self.texts(entity, column))?), rows.shape))
    }

    /// Which texts in a column of the entity's key may be equal.
    fn texts(&self, entity: &EntityDescriptor, column: &KeyColumn) -> TextEquality {
        column.equality(|| self.schema.texts(&entity.folded, entity.schema.is_some(), column.name))
    }

    /// The tags of the tables that a statement reads: every purge of what it shows purges one of them.
    ///
    /// # Errors
    /// What it says is not a function of tables that are known, or must not be stored.
    pub(crate) fn tables_of(&self, analysis: &Analysis) -> Result<Vec<TagKey>, Bypass> {
        let own_call = self.schema.own_call(analysis).is_some();
        if analysis.cacheable.is_err() || analysis.reads.is_empty() || own_call {
            return Err(Bypass::Uncacheable);
        }
        if declared(self.cache, analysis).any(|entity| entity.policy.skip) {
            return Err(Bypass::Skipped);
        }
        let keys = &self.cache.inner.keys;
        let mut tags = Vec::new();
        for read in &analysis.reads {
            let folded = read.table.fold();
            add(&mut tags, keys.table(&folded));
            let behind = self.tables_behind(&folded)?;
            behind.iter().for_each(|table| add(&mut tags, keys.table(table)));
        }
        Ok(tags)
    }

    /// The tags that all row entries of an entity ask for, whatever their key.
    pub(crate) fn table_tags(&self, entity: &Arc<EntityDescriptor>) -> Result<Vec<TagKey>, Bypass> {
        let keys = &self.cache.inner.keys;
        let folded = entity.table.to_lowercase();
        let mut tags = self.shared_tags(Some(entity));
        tags.extend(self.tables_behind(&folded)?.iter().map(|table| keys.table(table)));
        tags.push(keys.any_row(&folded));
        tags.push(keys.table(&folded));
        Ok(tags)
    }

    /// The answer of a statement.
    fn query<C: Codec>(
        &self,
        request: &Request<'_>,
        entity: Option<&Arc<EntityDescriptor>>,
        analysis: &Analysis,
    ) -> Result<Option<Question>, Bypass> {
        if analysis.reads.is_empty() {
            return Ok(None);
        }
        let statement = request.statement;
        let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
        let mut wide = Vec::new();
        let mut narrow = Vec::new();
        // Whatever is shown of a row that is to be encrypted.
        let mut encrypt = false;
        let mut labels = Vec::new();
        for read in &analysis.reads {
            let folded = read.table.fold();
            let keys = &self.cache.inner.keys;
            add(&mut wide, keys.table(&folded));
            let behind = self.tables_behind(&folded)?;
            let registry = &self.cache.inner.registry;
            encrypt |= registry.encrypts(&folded) || behind.iter().any(|table| registry.encrypts(table));
            for table in &behind {
                add(&mut wide, keys.table(table));
                add(&mut narrow, keys.table(table));
            }
            match self.index_tags(read, &folded, values).filter(|_| behind.is_empty()) {
                Some((label, tags)) => {
                    labels.push((keys.index(&folded), label));
                    add(&mut narrow, keys.index(&folded));
                    tags.into_iter().for_each(|tag| add(&mut narrow, tag));
                }
                None => add(&mut narrow, keys.table(&folded)),
            }
        }
        let Some(question) = self.query_with::<C>(request, entity, analysis, (wide, encrypt), false) else {
            return Ok(None);
        };
        watched::reads_as(self.session);
        watched::depends(&self.cache.inner.freshness, &question.tags);
        if labels.is_empty() {
            return Ok(Some(question));
        }
        let narrow = self.query_with::<C>(request, entity, analysis, (narrow, encrypt), true);
        Ok(narrow.map(|narrow| {
            let terms = Terms { labels, otherwise: question };
            Question { terms: Some(Box::new(terms)), ..narrow }
        }))
    }

    /// The answer of a statement that depends on these tags.
    fn query_with<C: Codec>(
        &self,
        request: &Request<'_>,
        entity: Option<&Arc<EntityDescriptor>>,
        analysis: &Analysis,
        (depends, encrypt): (Vec<TagKey>, bool),
        narrow: bool,
    ) -> Option<Question> {
        let inner = &self.cache.inner;
        let statement = request.statement;
        let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
        let encoded = encode_values(values).ok()?;
        let backend = format!("{:?}", statement.db_backend);
        let on_terms: &[u8] = if narrow { b"narrow" } else { b"" };
        let parts = [C::NAME.as_bytes(), backend.as_bytes(), statement.sql.as_bytes(), &encoded, on_terms];
        let hash = KeyHash::of(if narrow { &parts } else { &parts[..4] });
        let group = entity.and_then(|entity| entity.policy.namespace);
        let label = label(entity.map(|entity| &**entity), analysis);
        let key = inner.keys.query(group, &label, hash, C::fingerprint(&inner.registry));
        let mut tags = self.shared_tags(entity);
        depends.into_iter().for_each(|tag| add(&mut tags, tag));
        let any_user = inner.keys.any_user_tag();
        let has_family = tags.contains(&any_user);
        // Tag templates of rows that cannot be asked for their columns: of a joined entity, or of any
        // table behind a select that has lost its entity. Such an answer depends on all user tags.
        let has_tags = |entity: &Arc<EntityDescriptor>| !entity.policy.tags.is_empty();
        let lost = request.entity.is_none() && declared(self.cache, analysis).any(|entity| has_tags(&entity));
        let on_all = request.joined.as_ref().is_some_and(has_tags) || lost;
        if on_all && !has_family {
            tags.push(any_user);
        }
        let shape = Shape::of(&tags);
        let mut question = self.bare(self.in_session(key), (tags, shape), entity);
        question.wrap.encrypt = encrypt;
        if on_all {
            question.family = None;
        }
        Some(question)
    }

    /// The tags of the index values to which the statement pins the rows of a table, by the column
    /// with the fewest, and the label of the table's index tag; `None` if it pins none.
    fn index_tags(&self, read: &Read, folded: &str, values: &[Value]) -> Option<(u64, Vec<TagKey>)> {
        let inner = &self.cache.inner;
        let policy = inner.registry.table(folded).filter(|policy| policy.index_label != 0)?;
        let pinned = policy.index.iter().filter_map(|column| {
            let keys = read.scope.keys(&[column.name])?;
            let qualified = read.table.schema.is_some();
            let equality = column.equality(|| self.schema.texts(folded, qualified, column.name));
            let exactly = |operand| {
                named_exactly(column, operand, values).filter(|_| equality == TextEquality::ToTheLetter)
            };
            let named = |operand| exactly(operand).or_else(|| named(column, operand, values, equality));
            let values: Option<Vec<_>> = keys.iter().map(|operands| named(operands.first()?)).collect();
            let name = column.name.to_lowercase();
            let tag = |value: KeyText| inner.keys.index_value(folded, &name, &value);
            let mut tags = Vec::new();
            values?.into_iter().for_each(|value| add(&mut tags, tag(value)));
            (tags.len() <= MOST_INDEX_VALUES && column.class != KeyClass::Opaque).then_some(tags)
        });
        Some((policy.index_label, pinned.min_by_key(Vec::len)?))
    }

    /// The tables behind a view, none for a table; or why it cannot be cached.
    fn tables_behind(&self, folded: &str) -> Result<Vec<Box<str>>, Bypass> {
        let behind = match self.schema.behind(folded) {
            Some(view) if !view.cacheable => return Err(Bypass::Uncacheable),
            Some(view) => view.reads.into_iter().collect(),
            None => Vec::new(),
        };
        let all = behind.iter().map(|table| &**table).chain([folded]);
        for table in all.filter_map(|table| self.schema.table(table)) {
            if table.foreign || table.changes_by_itself {
                return Err(Bypass::Uncacheable);
            }
            if table.row_security && self.session.is_none() {
                return Err(Bypass::RowSecurity);
            }
        }
        Ok(behind)
    }

    /// The key under which sessions of this kind keep the entry.
    fn in_session(&self, key: EntryKey) -> EntryKey {
        match self.session {
            None => key,
            Some(session) => {
                EntryKey::from_full(format!("{}~{}", key.as_str(), KeyHash::of(&[session.as_bytes()])))
            }
        }
    }

    /// The tags that every entry of an entity has.
    fn shared_tags(&self, entity: Option<&Arc<EntityDescriptor>>) -> Vec<TagKey> {
        let keys = &self.cache.inner.keys;
        let mut tags = Vec::with_capacity(6);
        tags.push(keys.everything());
        let Some(entity) = entity else { return tags };
        if let Some(group) = entity.policy.namespace {
            tags.push(keys.group(group));
        }
        if !entity.policy.tags.is_empty() {
            tags.push(keys.any_user_tag());
        }
        tags
    }

    fn bare(
        &self,
        key: EntryKey,
        (tags, shape): (Vec<TagKey>, Shape),
        entity: Option<&Arc<EntityDescriptor>>,
    ) -> Question {
        let config = &self.cache.inner.config;
        let policy = entity.map(|entity| &entity.policy);
        let or = |spec: Option<TtlSpec>, default| config.ttl(spec.unwrap_or(TtlSpec::For(default)));
        let ttl = or(policy.and_then(|policy| policy.ttl), config.default_ttl);
        let negative = or(policy.and_then(|policy| policy.negative_ttl), config.negative_ttl);
        let family = policy.filter(|policy| !policy.tags.is_empty()).and_then(|_| {
            let any = self.cache.inner.keys.any_user_tag();
            tags.iter().position(|tag| *tag == any)
        });
        Question {
            key,
            tags,
            shape,
            only_if_missing: Vec::new(),
            family,
            also: Vec::new(),
            expected: None,
            ttl,
            negative_ttl: negative.min(ttl),
            grace: Grace {
                revalidate: or(policy.and_then(|policy| policy.stale_while_revalidate), Duration::ZERO),
                on_error: or(policy.and_then(|policy| policy.stale_if_error), Duration::ZERO),
            },
            early: policy.and_then(|policy| Early::drawn(policy.refresh_early)),
            fresh: false,
            wrap: Wrap {
                compress_above: policy
                    .and_then(|policy| policy.compress_above)
                    .unwrap_or(config.compress_above),
                encrypt: entity.is_some_and(|entity| self.cache.inner.registry.encrypts(&entity.folded)),
            },
            terms: None,
        }
    }
}

fn add(tags: &mut Vec<TagKey>, tag: TagKey) {
    if !tags.contains(&tag) {
        tags.push(tag);
    }
}

/// The entities declared on the tables that a select reads.
fn declared<'a>(
    cache: &'a Cache,
    analysis: &'a Analysis,
) -> impl Iterator<Item = Arc<EntityDescriptor>> + 'a {
    let policies = analysis.reads.iter().filter_map(|read| cache.inner.registry.table(&read.table.fold()));
    policies.flat_map(|policy| policy.entities.clone())
}

/// The entity declared on the first table that a select reads.
pub(super) fn entity_of(cache: &Cache, analysis: &Analysis) -> Option<Arc<EntityDescriptor>> {
    let table = &analysis.reads.first()?.table;
    cache.inner.registry.table(&table.fold())?.entities.first().cloned()
}

/// Under which table's name the read is counted.
pub(super) fn label(entity: Option<&EntityDescriptor>, analysis: &Analysis) -> String {
    match (entity, analysis.reads.first()) {
        (Some(entity), _) => entity.table.to_lowercase(),
        (None, Some(read)) => read.table.fold().into_owned(),
        (None, None) => "(none)".to_owned(),
    }
}

/// A text, or one within, that PostgreSQL takes for the time if it makes a date of it.
fn may_be_the_time(value: &Value) -> bool {
    match value {
        Value::String(Some(text)) => may_mean_now(text),
        Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Bytes(_) => false,
        // Arrays and JSON among them, where the features of SeaORM have them.
        _ => may_mean_now(&format!("{value:?}")),
    }
}
