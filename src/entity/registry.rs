//! The declared entities of this process, by type and by table.
//!
//! Declarations register themselves when the program is linked, because a process that only
//! writes must know what its writes purge before it has ever read the entity.

use std::{
    any::TypeId,
    collections::HashMap,
    fmt,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use once_cell::sync::OnceCell;
use sea_orm::{
    ColumnTrait, ColumnType, DbBackend, EntityTrait, FromQueryResult, IdenStatic, Iterable, ModelTrait,
    PrimaryKeyToColumn, QueryResult, QueryTrait, Statement, Value,
};

use super::{CacheEntity, EntityPolicy, Fingerprint, KeyClass, KeyText, TableRule};
use crate::{
    read::{NewRowOf, write_through},
    schema::TextEquality,
    warmup::{WarmUpLoader, entity_loader},
};

/// A column's name and its value in a row.
pub(crate) type NamedValue = (&'static str, Value);

/// One column of a primary key or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    pub(crate) name: &'static str,
    pub(crate) class: KeyClass,
    /// The driver reads it as what the class says, without the entity's help.
    pub(crate) plain: bool,
    /// It is part of the primary key.
    pub(crate) in_key: bool,
}

impl KeyColumn {
    /// Which of its values may be equal that are not written alike: only texts may, as the caller knows of them.
    pub(crate) fn equality(&self, of_texts: impl FnOnce() -> TextEquality) -> TextEquality {
        if self.class == KeyClass::Text { of_texts() } else { TextEquality::ToTheLetter }
    }
}

/// All that the crate needs to know of one entity type, with the type erased.
#[derive(Clone)]
pub struct EntityDescriptor {
    pub(crate) type_id: TypeId,
    /// Table name as declared.
    pub(crate) table: &'static str,
    /// The same as tags and statistics know it.
    pub(crate) folded: Box<str>,
    pub(crate) schema: Option<String>,
    pub(crate) key: Vec<KeyColumn>,
    /// The declared index columns.
    pub(crate) index: Vec<KeyColumn>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) policy: EntityPolicy,
    pub(crate) warm_up: Option<WarmUpLoader>,
    /// Makes entries of rows that writes return.
    pub(crate) new_row: Option<NewRowOf>,
    /// `SELECT all columns FROM table`, as the entity sends it.
    pub(crate) select: fn(DbBackend) -> String,
    /// The values of a whole row.
    pub(crate) values: fn(&QueryResult) -> Option<Vec<NamedValue>>,
    /// The text of a select of one row by its key, per backend, once it was needed.
    by_key: Arc<[OnceCell<String>; 3]>,
}

impl EntityDescriptor {
    /// Describes an entity with a declared policy. Called by what the derive generates.
    pub fn of<E>() -> Self
    where
        E: CacheEntity,
        E::ActiveModel: sea_orm::TryIntoModel<E::Model>,
        E::Model: Send + Sync,
    {
        let policy = E::cache_policy();
        let warm_up = policy.warm_up.clone().map(|warm_up| entity_loader::<E>(warm_up));
        let mut descriptor = Self::with_policy::<E>(policy);
        descriptor.warm_up = warm_up;
        descriptor.new_row = if descriptor.policy.write_through { write_through::<E>() } else { None };
        descriptor
    }

    /// Describes an entity that nobody declared: the defaults.
    pub(crate) fn undeclared<E: EntityTrait>() -> Self {
        Self::with_policy::<E>(EntityPolicy::default())
    }

    fn with_policy<E: EntityTrait>(policy: EntityPolicy) -> Self {
        let entity = E::default();
        let column = |column: E::Column| KeyColumn {
            name: column.as_str(),
            class: KeyClass::of(column.def().get_column_type()),
            plain: is_plain(column.def().get_column_type()),
            in_key: E::PrimaryKey::iter().any(|key| key.into_column().as_str() == column.as_str()),
        };
        Self {
            type_id: TypeId::of::<E>(),
            table: entity.table_name(),
            folded: entity.table_name().to_lowercase().into(),
            schema: entity.schema_name().map(str::to_owned),
            key: E::PrimaryKey::iter().map(|key| column(key.into_column())).collect(),
            index: E::Column::iter()
                .filter(|column| policy.index.contains(&column.as_str()))
                .map(column)
                .collect(),
            fingerprint: Fingerprint::of::<E>(&policy.documents),
            policy,
            warm_up: None,
            new_row: None,
            select: |backend| backend.build(&E::find().into_query()).sql,
            values: |row| {
                let model = E::Model::from_query_result(row, "").ok()?;
                Some(E::Column::iter().map(|column| (column.as_str(), model.get(column))).collect())
            },
            by_key: Arc::default(),
        }
    }

    /// The key as tags name it, where the texts of its columns compare like this; `None` if a tag cannot
    /// name it.
    pub(crate) fn key_text(
        &self,
        key: &[Value],
        equality: impl Fn(&KeyColumn) -> TextEquality,
    ) -> Option<Vec<(&'static str, KeyText)>> {
        let columns = self.key.iter().zip(key);
        columns
            .map(|(column, value)| Some((column.name, column.class.tag_text(value, equality(column))?)))
            .collect()
    }

    /// The same with its texts to the letter; `None` if it has none.
    pub(crate) fn exact_key_text(&self, key: &[Value]) -> Option<Vec<(&'static str, KeyText)>> {
        let named = self.key_text(key, |_| TextEquality::ToTheLetter)?;
        to_the_letter(&named, self.key.iter().zip(key), |column, value| column.class.exact_text(value))
    }

    /// The key values of a statement that selects one whole row by its primary key, with nothing
    /// else to it; `None` for any other statement.
    pub(crate) fn selects_by_key<'s>(
        &self,
        statement: &'s Statement,
        by_key: impl FnOnce() -> String,
    ) -> Option<&'s [Value]> {
        let backend = match statement.db_backend {
            DbBackend::Postgres => 0,
            DbBackend::MySql => 1,
            DbBackend::Sqlite => 2,
            _ => return None,
        };
        if *self.by_key[backend].get_or_init(by_key) != statement.sql {
            return None;
        }
        let values = &statement.values.as_ref()?.0;
        // The key's values come first, the limit last.
        (values.len() == self.key.len() + 1).then(|| &values[..self.key.len()])
    }
}

/// The columns of a key as a tag names them that says its texts to the letter; `None` if it has none, or one
/// that is not known. `named`: as its other tag names them.
pub(crate) fn to_the_letter<'k, V>(
    named: &[(&'static str, KeyText)],
    columns: impl Iterator<Item = (&'k KeyColumn, V)>,
    exact: impl Fn(&KeyColumn, V) -> Option<KeyText>,
) -> Option<Vec<(&'static str, KeyText)>> {
    let mut any = false;
    let mut all = Vec::with_capacity(named.len());
    for ((column, value), (name, text)) in columns.zip(named) {
        let is_text = column.class == KeyClass::Text;
        any |= is_text;
        all.push((*name, if is_text { exact(column, value)? } else { text.clone() }));
    }
    any.then_some(all)
}

impl fmt::Debug for EntityDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityDescriptor")
            .field("table", &self.table)
            .field("key", &self.key)
            .field("fingerprint", &self.fingerprint)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What the derive leaves in the program for a cache to find when it is built.
pub struct EntityRegistration {
    describe: fn() -> EntityDescriptor,
}

impl EntityRegistration {
    /// Registers what `describe` answers.
    pub const fn new(describe: fn() -> EntityDescriptor) -> Self {
        Self { describe }
    }
}

inventory::collect!(EntityRegistration);

/// What is known of a table, over all entities declared on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TablePolicy {
    /// The primary key, if all entities on the table agree on it.
    pub(crate) key: Option<Vec<KeyColumn>>,
    /// Index columns that tags can name, over all entities that agree on them.
    pub(crate) index: Vec<KeyColumn>,
    /// What stamps of the table's index tag are labelled with: a hash of `index`. Code that
    /// declares other columns, or holds one of them for another type, has another label.
    pub(crate) index_label: u64,
    /// What a write sets off.
    pub(crate) rule: TableRule,
    /// Rows that a write by an arbitrary filter may be preceded by a select of.
    pub(crate) precise: Option<u64>,
    /// The entities, whose row entries a write by key unlinks.
    pub(crate) entities: Vec<Arc<EntityDescriptor>>,
}

/// Entities by type and tables by folded name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    // A std lock: held for a map look-up, never across an await.
    known: RwLock<Known>,
    any_encrypted: AtomicBool,
}

/// Names and types are the program's own, so the quicker hash will do; each read and write looks some up.
type Quick = quick_cache::DefaultHashBuilder;

#[derive(Debug, Default)]
struct Known {
    by_type: HashMap<TypeId, Arc<EntityDescriptor>, Quick>,
    by_table: HashMap<Box<str>, Arc<TablePolicy>, Quick>,
}

impl Registry {
    /// All entities that were linked into this program.
    pub(crate) fn linked() -> Self {
        let registry = Self::default();
        for registration in inventory::iter::<EntityRegistration> {
            registry.add((registration.describe)());
        }
        registry
    }

    /// Adds an entity; a second declaration of the same type changes nothing.
    pub(crate) fn add(&self, descriptor: EntityDescriptor) -> Arc<EntityDescriptor> {
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(there) = known.by_type.get(&descriptor.type_id) {
            return there.clone();
        }
        self.any_encrypted.fetch_or(descriptor.policy.encrypted, Ordering::AcqRel);
        let descriptor = Arc::new(descriptor);
        known.by_type.insert(descriptor.type_id, descriptor.clone());
        let table: Box<str> = descriptor.table.to_lowercase().into();
        let mut policy = known.by_table.get(&table).map(|t| TablePolicy::clone(t)).unwrap_or_default();
        policy.include(descriptor.clone());
        known.by_table.insert(table, Arc::new(policy));
        descriptor
    }

    /// The descriptor of an entity type; learns an undeclared one, so that from then on its
    /// writes by key purge by key.
    pub(crate) fn entity<E: EntityTrait>(&self) -> Arc<EntityDescriptor> {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(there) = known.by_type.get(&TypeId::of::<E>()) {
            return there.clone();
        }
        drop(known);
        self.add(EntityDescriptor::undeclared::<E>())
    }

    /// Adds a rule for a table, with or without an entity.
    pub(crate) fn add_rule(&self, table: &str, rule: &TableRule) {
        let mut known = self.known.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let table: Box<str> = table.to_lowercase().into();
        let mut policy = known.by_table.get(&table).map(|t| TablePolicy::clone(t)).unwrap_or_default();
        policy.rule.include(rule);
        known.by_table.insert(table, Arc::new(policy));
    }

    /// What is known of a table, by its folded name.
    pub(crate) fn table(&self, folded: &str) -> Option<Arc<TablePolicy>> {
        self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner()).by_table.get(folded).cloned()
    }

    /// Is one of the table's entities to be encrypted?
    pub(crate) fn encrypts(&self, folded: &str) -> bool {
        // Hardly anybody asks for it, and every read asks here.
        self.any_encrypted.load(Ordering::Acquire)
            && self
                .table(folded)
                .is_some_and(|table| table.entities.iter().any(|entity| entity.policy.encrypted))
    }

    /// Every known entity, in the order of table names.
    pub(crate) fn entities(&self) -> Vec<Arc<EntityDescriptor>> {
        let known = self.known.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut all: Vec<_> = known.by_type.values().cloned().collect();
        all.sort_by_key(|descriptor| descriptor.table);
        all
    }
}

impl TablePolicy {
    fn include(&mut self, descriptor: Arc<EntityDescriptor>) {
        // Two entities on one table with different keys: no key can be trusted to name a row.
        self.key = match (self.entities.is_empty(), &self.key) {
            (true, _) => Some(descriptor.key.clone()),
            (false, Some(key)) if *key == descriptor.key => Some(key.clone()),
            (false, _) => None,
        };
        self.rule.include(&descriptor.policy.rule);
        self.precise = self.precise.max(descriptor.policy.precise);
        self.entities.push(descriptor);
        self.index = index(&self.entities);
        self.index_label = index_label(&self.index);
    }
}

/// The index columns of all the entities. One that two of them hold for different types is left out,
/// and so is one whose values no tag can name.
fn index(entities: &[Arc<EntityDescriptor>]) -> Vec<KeyColumn> {
    let declared = || entities.iter().flat_map(|entity| &entity.index);
    let mut columns: Vec<KeyColumn> = Vec::new();
    for column in declared() {
        let same_name = |other: &KeyColumn| other.name.eq_ignore_ascii_case(column.name);
        let agreed = declared().filter(|other| same_name(other)).all(|other| other.class == column.class);
        if agreed && column.class != KeyClass::Opaque && !columns.iter().any(same_name) {
            columns.push(column.clone());
        }
    }
    columns
}

fn is_plain(column: &ColumnType) -> bool {
    // A native enum is not text to the driver.
    !matches!(column, ColumnType::Enum { .. })
        && matches!(KeyClass::of(column), KeyClass::Integer | KeyClass::Text | KeyClass::Bool)
}

/// Zero for no columns, as it is for a stamp.
fn index_label(columns: &[KeyColumn]) -> u64 {
    if columns.is_empty() {
        return 0;
    }
    let mut names: Vec<_> =
        columns.iter().map(|column| format!("{}:{:?}", column.name.to_lowercase(), column.class)).collect();
    names.sort_unstable();
    let hash = blake3::hash(names.join(",").as_bytes());
    let mut half = [0; 8];
    half.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(half).max(1)
}
