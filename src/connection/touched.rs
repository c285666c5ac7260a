//! Which rows a write touched, and which values they had and have: from the statement's text, its
//! bound values, and what is known of the rows besides.

use std::collections::BTreeSet;

use sea_orm::Value;

use super::{
    descent::{Found, New},
    images::{Image, Images},
};
use crate::{
    entity::{KeyClass, KeyColumn, KeyText, TablePolicy, to_the_letter, value_text},
    keys::Keyspace,
    schema::{Action, ColumnDefault, ForeignKey, Schema, TextEquality},
    statement::{Assignment, Operand, Scope, Verb, Write, may_be_same_column},
    store::TagKey,
};

/// A write to one table, and what is known of the rows it touched.
pub(super) struct Touched<'a> {
    pub(super) write: &'a Write,
    pub(super) values: &'a [Value],
    pub(super) images: &'a Images,
    /// The server may make values fit that do not: the new ones are not those that the text says.
    adjusts: bool,
    schema: &'a Schema,
}

/// A row by its primary key.
pub(super) struct RowKey {
    /// As its tag names it.
    pub(super) named: Vec<(&'static str, KeyText)>,
    /// As its other tag does, if a part of it is text: to the letter.
    pub(super) to_the_letter: Option<Vec<(&'static str, KeyText)>>,
    /// As its entry names it, if that is known.
    pub(super) exact: Option<Vec<String>>,
    /// Some part is text.
    pub(super) has_text: bool,
}

/// The values that a statement gives to a column, one or more; `None` if another name may mean it too.
fn values_assigned<'a>(assigned: &'a [Assignment], column: &str) -> Option<Vec<&'a Operand>> {
    let may_be = assigned.iter().filter(|assignment| may_be_same_column(&assignment.column, column));
    let values = may_be.map(|a| a.column.eq_ignore_ascii_case(column).then_some(&a.value));
    values.collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())
}

/// The table's primary key, if all agree on one.
pub(super) fn primary_key(policy: &TablePolicy) -> Option<&[KeyColumn]> {
    policy.key.as_deref().filter(|key| !key.is_empty())
}

impl<'a> Touched<'a> {
    pub(super) fn new(write: &'a Write, values: &'a [Value], images: &'a Images, schema: &'a Schema) -> Self {
        let adjusts = write.adjusts || schema.adjusts_values(&write.table.fold());
        Self { write, values, images, adjusts, schema }
    }
}

impl Touched<'_> {
    /// Which values of this column may be equal that are not written alike.
    fn equality(&self, column: &KeyColumn) -> TextEquality {
        let table = &self.write.table;
        column.equality(|| self.schema.texts(&table.fold(), table.schema.is_some(), column.name))
    }

    /// The keys that the touched rows have or had; `None` if some are not known.
    pub(super) fn keys(&self, policy: &TablePolicy) -> Option<Vec<RowKey>> {
        let key = primary_key(policy)?;
        match self.write.verb {
            Verb::Update | Verb::Delete | Verb::Upsert => {}
            Verb::Insert | Verb::Replace | Verb::Truncate | Verb::Ddl | Verb::Other => return None,
        }
        let names: Vec<_> = key.iter().map(|column| column.name).collect();
        if let Some(keys) = self.write.scope.keys(&names) {
            return keys.iter().map(|operands| self.key_of_operands(key, operands)).collect();
        }
        if self.keeps_key(policy) {
            let images = self.images.before.as_ref().filter(|_| self.write.verb != Verb::Upsert);
            let images = images.or(self.images.returned.as_ref())?;
            return images.iter().map(|image| self.key_of_image(key, image)).collect();
        }
        self.changed_keys(key)
    }

    /// A key of one column that the statement changes: the old ones and the new one.
    fn changed_keys(&self, key: &[KeyColumn]) -> Option<Vec<RowKey>> {
        let [column] = key else { return None };
        if self.write.verb != Verb::Update || self.adjusts {
            return None;
        }
        let mut keys = match &self.images.before {
            Some(before) => {
                before.iter().map(|image| self.key_of_image(key, image)).collect::<Option<Vec<_>>>()?
            }
            None => {
                let before = Scope::Where(self.write.before.clone());
                let old = before.keys(&[column.name])?;
                old.iter().map(|operands| self.key_of_operands(key, operands)).collect::<Option<_>>()?
            }
        };
        let assigned = self.write.assigned.as_ref()?;
        for value in values_assigned(assigned, column.name)? {
            keys.push(self.key_of_operands(key, &[value])?);
        }
        Some(keys)
    }

    fn key_of_operands(&self, key: &[KeyColumn], operands: &[&Operand]) -> Option<RowKey> {
        let columns = || key.iter().zip(operands);
        let named = columns().map(|(column, operand)| Some((column.name, self.named(column, operand)?)));
        let named: Vec<_> = named.collect::<Option<_>>()?;
        Some(RowKey {
            to_the_letter: to_the_letter(&named, columns(), |column, operand| {
                named_exactly(column, operand, self.values)
            }),
            named,
            exact: operands.iter().map(|operand| self.exact(operand)).collect(),
            has_text: has_text(key),
        })
    }

    fn key_of_image(&self, key: &[KeyColumn], image: &Image) -> Option<RowKey> {
        key_of_image(key, image, |column| self.equality(column))
    }

    /// Does every touched row keep its key?
    pub(super) fn keeps_key(&self, policy: &TablePolicy) -> bool {
        let folded = self.write.table.fold();
        let keeps = |column: &KeyColumn| self.keeps(column.name, self.schema.generates(&folded, column.name));
        primary_key(policy).is_some_and(|key| key.iter().all(keeps))
    }

    /// Does every row that was there before keep its value in a column?
    pub(super) fn keeps(&self, column: &str, generated: bool) -> bool {
        let assigns = match &self.write.assigned {
            Some(list) => list.iter().any(|assignment| may_be_same_column(&assignment.column, column)),
            None => true,
        };
        match self.write.verb {
            Verb::Delete => true,
            Verb::Update | Verb::Upsert => !assigns && !generated,
            _ => false,
        }
    }

    /// The values that the touched rows had in a column, without NULL; `None` if they are not known.
    pub(super) fn old_values(&self, column: &KeyColumn, generated: bool) -> Option<BTreeSet<KeyText>> {
        match self.write.verb {
            Verb::Insert => Some(BTreeSet::new()),
            Verb::Update | Verb::Delete => {
                let keeps = self.keeps(column.name, generated);
                let returned = self.images.returned.as_ref().filter(|_| keeps);
                let images = self.images.before.as_ref().or(returned);
                if let Some(values) =
                    images.and_then(|images| values_of_images(images, column, self.equality(column)))
                {
                    return Some(values);
                }
                if let Some(values) = self.values_of_scope(&self.write.scope, column) {
                    return Some(values);
                }
                self.values_of_scope(&Scope::Where(self.write.before.clone()), column)
            }
            Verb::Upsert if self.keeps(column.name, generated) => {
                values_of_images(self.images.returned.as_ref()?, column, self.equality(column))
            }
            _ => None,
        }
    }

    /// The values that the touched rows have now, without NULL; `None` if they are not known.
    fn new_values(&self, column: &KeyColumn, generated: bool) -> Option<BTreeSet<KeyText>> {
        if self.write.verb == Verb::Delete {
            return Some(BTreeSet::new());
        }
        // What was returned may lack the column.
        let returned = self.images.returned.as_ref();
        if let Some(values) =
            returned.and_then(|images| values_of_images(images, column, self.equality(column)))
        {
            return Some(values);
        }
        match self.write.verb {
            Verb::Insert if !generated && !self.adjusts && !self.is_numbered(column) => {
                self.values_of_scope(&self.write.scope, column)
            }
            Verb::Update if self.keeps(column.name, generated) => self.old_values(column, generated),
            Verb::Update if !generated && !self.adjusts => {
                let assigned = values_assigned(self.write.assigned.as_ref()?, column.name)?;
                let mut values = BTreeSet::new();
                for value in assigned {
                    self.add_value(&mut values, column, value)?;
                }
                Some(values)
            }
            _ => None,
        }
    }

    /// The values of a column that an INSERT leaves to its default; `None` if it names the column.
    fn default_values(&self, column: &KeyColumn, default: &ColumnDefault) -> Option<BTreeSet<KeyText>> {
        let Scope::Rows { columns, .. } = &self.write.scope else { return None };
        // Servers fold and cut names that are not short and plain in ways of their own.
        let may_be =
            |name: &str| name.eq_ignore_ascii_case(column.name) || !name.is_ascii() || name.len() > 63;
        let names = columns.iter().any(|name| may_be(name));
        if self.write.verb != Verb::Insert || names || column.in_key {
            return None;
        }
        values_of_default(column, default, self.equality(column))
    }

    /// Does it give an index column a value that neither its text nor its bound values say?
    pub(super) fn computes_index(&self, policy: &TablePolicy, generates: impl Fn(&str) -> bool) -> bool {
        self.write.verb == Verb::Update
            && policy.index.iter().any(|column| {
                let generated = generates(column.name);
                !self.keeps(column.name, generated) && self.new_values(column, generated).is_none()
            })
    }

    /// The tags of all values that the touched rows had or have in the table's index columns; `None`
    /// if they are not all known.
    pub(super) fn index_tags(
        &self,
        keys: &Keyspace,
        policy: &TablePolicy,
        schema: &Schema,
    ) -> Option<BTreeSet<TagKey>> {
        let folded = self.write.table.fold();
        let mut tags = BTreeSet::new();
        for column in &policy.index {
            let generated = schema.generates(&folded, column.name);
            let mut values = self.old_values(column, generated)?;
            let new = self.new_values(column, generated);
            let default = || {
                let default = schema.default_of(&self.write.table, column.name).filter(|_| !generated)?;
                self.default_values(column, default)
            };
            values.extend(new.or_else(default)?);
            add_tags(&mut tags, keys, &folded, column, values);
        }
        Some(tags)
    }

    /// The index tags of the rows of another table that refer to the touched ones by a foreign key,
    /// where the database deletes or changes them too; `None` if they are not all known.
    pub(super) fn referrers_tags(
        &self,
        keys: &Keyspace,
        key: &ForeignKey,
        (parent, child): (&TablePolicy, &TablePolicy),
        folded: &str,
        schema: &Schema,
    ) -> Option<BTreeSet<TagKey>> {
        let ([referring], [name], [index]) = (&key.columns[..], &key.referenced[..], &child.index[..]) else {
            return None;
        };
        if !index.name.eq_ignore_ascii_case(referring)
            || key.on_delete == Action::SetDefault
            || key.on_update == Action::SetDefault
            // Its triggers may give the rows any value.
            || !schema.is_plain(folded)
        {
            return None;
        }
        // The same values, as the other table's column names them.
        let column = |name| KeyColumn { name, class: index.class, plain: index.plain, in_key: false };
        let referenced = parent.key.iter().flatten().chain(&parent.index);
        let referenced = referenced.map(|column| column.name).find(|n| n.eq_ignore_ascii_case(name))?;
        let generated = schema.generates(&self.write.table.fold(), referenced);
        let mut values = self.old_values(&column(referenced), generated)?;
        if self.write.verb == Verb::Update {
            values.extend(self.new_values(&column(referenced), generated)?);
        }
        // The other table's columns may compare in another way: who reads by the letter there needs letters.
        let equality = equality_in_child(schema, folded, index);
        if index.class == KeyClass::Text
            && !is_loose(equality)
            && is_loose(self.equality(&column(referenced)))
        {
            return None;
        }
        if is_loose(equality) && values.contains(&KeyText::Odd) {
            return None;
        }
        let mut tags = BTreeSet::new();
        add_tags(&mut tags, keys, folded, index, values);
        Some(tags)
    }

    /// The index tags of rows of another table, or of this one, that the database touches because of those of
    /// the statement; `None` if the values that they had and have are not all known.
    pub(super) fn found_tags(
        &self,
        keys: &Keyspace,
        policy: &TablePolicy,
        found: &Found,
        folded: &str,
        schema: &Schema,
    ) -> Option<BTreeSet<TagKey>> {
        let mut tags = BTreeSet::new();
        for column in &policy.index {
            let equality = equality_in_child(schema, folded, column);
            let mut values = values_of_images(found.images(), column, equality)?;
            if schema.generates(folded, column.name) && found.sets_any() {
                return None;
            }
            for new in found.new_values(column.name) {
                match new {
                    New::Null => {}
                    New::OfOrigin(name) => values.extend(self.assigned_to(name, column, equality)?),
                    New::Default => {
                        let default = schema.child_default_of(folded, column.name)?;
                        values.extend(values_of_default(column, default, equality)?);
                    }
                    New::Unknown => return None,
                }
            }
            add_tags(&mut tags, keys, folded, column, values);
        }
        Some(tags)
    }

    /// The value that the statement gives to a column, as another column names it that gets the same.
    fn assigned_to(
        &self,
        name: &str,
        named_as: &KeyColumn,
        equality: TextEquality,
    ) -> Option<BTreeSet<KeyText>> {
        let assigned = values_assigned(self.write.assigned.as_deref()?, name)?;
        let [value] = assigned[..] else { return None };
        if self.adjusts {
            return None;
        }
        if let Operand::Bound(position) = value
            && is_null(self.values.get(*position)?)
        {
            return Some(BTreeSet::new());
        }
        let text = named(named_as, value, self.values, equality)?;
        let text = Some(text).filter(|text| is_told_apart(text, equality))?;
        Some([text].into_iter().chain(named_exactly(named_as, value, self.values)).collect())
    }

    /// May the server give the column a number of its own, in the place of a NULL or a zero?
    fn is_numbered(&self, column: &KeyColumn) -> bool {
        let numbered = |operand: &&Operand| match operand {
            Operand::Bound(position) => self
                .values
                .get(*position)
                .is_none_or(|value| value_text(value).is_none_or(|text| text == "0")),
            Operand::Integer(number) => *number == 0,
            Operand::Text(_) | Operand::Other => false,
        };
        column.class == KeyClass::Integer
            && self
                .write
                .scope
                .keys(&[column.name])
                .is_some_and(|keys| column.in_key && keys.iter().flatten().any(numbered))
    }

    fn values_of_scope(&self, scope: &Scope, column: &KeyColumn) -> Option<BTreeSet<KeyText>> {
        let mut values = BTreeSet::new();
        for tuple in scope.keys(&[column.name])? {
            self.add_value(&mut values, column, tuple.first()?)?;
        }
        Some(values)
    }

    fn add_value(&self, values: &mut BTreeSet<KeyText>, column: &KeyColumn, operand: &Operand) -> Option<()> {
        if let Operand::Bound(position) = operand
            && is_null(self.values.get(*position)?)
        {
            return Some(());
        }
        values.insert(self.named(column, operand)?);
        values.extend(named_exactly(column, operand, self.values));
        Some(())
    }

    /// The tag text of an operand; `None` when the value it names is not known for sure.
    fn named(&self, column: &KeyColumn, operand: &Operand) -> Option<KeyText> {
        let equality = self.equality(column);
        named(column, operand, self.values, equality).filter(|text| is_told_apart(text, equality))
    }

    /// The exact text of an operand, for the key of the row's entry.
    fn exact(&self, operand: &Operand) -> Option<String> {
        match operand {
            Operand::Bound(position) => value_text(self.values.get(*position)?),
            Operand::Integer(number) => Some(number.to_string()),
            Operand::Text(text) => Some(text.to_string()),
            Operand::Other => None,
        }
    }
}

/// The tag text of an operand, odd or not.
pub(crate) fn named(
    column: &KeyColumn,
    operand: &Operand,
    values: &[Value],
    equality: TextEquality,
) -> Option<KeyText> {
    match operand {
        Operand::Bound(position) => column.class.tag_text(values.get(*position)?, equality),
        Operand::Integer(number) => column.class.tag_integer(*number),
        Operand::Text(text) => column.class.tag_literal(text, equality),
        Operand::Other => None,
    }
}

/// The text of an operand to the letter; `None` if it is none.
pub(crate) fn named_exactly(column: &KeyColumn, operand: &Operand, values: &[Value]) -> Option<KeyText> {
    match operand {
        Operand::Bound(position) => column.class.exact_text(values.get(*position)?),
        Operand::Text(text) => column.class.exact_literal(text),
        Operand::Integer(_) | Operand::Other => None,
    }
}

fn equality_in_child(schema: &Schema, folded: &str, column: &KeyColumn) -> TextEquality {
    column.equality(|| schema.child_texts(folded, column.name))
}

fn has_text(key: &[KeyColumn]) -> bool {
    key.iter().any(|column| column.class == KeyClass::Text)
}

/// May a value be equal to another that is not written alike? Then one that is not plain may have been meant.
fn is_loose(equality: TextEquality) -> bool {
    equality != TextEquality::ToTheLetter
}

/// May a text that shares its tag with others be one of them for the database? Then it is not known which.
fn is_told_apart(text: &KeyText, equality: TextEquality) -> bool {
    *text != KeyText::Odd || !is_loose(equality)
}

fn values_of_default(
    column: &KeyColumn,
    default: &ColumnDefault,
    equality: TextEquality,
) -> Option<BTreeSet<KeyText>> {
    let (text, exact) = match default {
        ColumnDefault::Null => return Some(BTreeSet::new()),
        ColumnDefault::Integer(number) => (column.class.tag_integer(*number), None),
        ColumnDefault::Text(text) => {
            (column.class.tag_literal(text, equality), column.class.exact_literal(text))
        }
    };
    let text = text.filter(|text| is_told_apart(text, equality))?;
    Some([text].into_iter().chain(exact).collect())
}

fn is_null(value: &Value) -> bool {
    value_text(value).is_none()
}

impl Found {
    /// The keys of the rows; `None` if some are not known, or change.
    pub(super) fn keys(&self, policy: &TablePolicy, folded: &str, schema: &Schema) -> Option<Vec<RowKey>> {
        let key = primary_key(policy)?;
        if key.iter().any(|column| self.new_values(column.name).next().is_some()) {
            return None;
        }
        let equality = |column: &KeyColumn| equality_in_child(schema, folded, column);
        self.images().map(|image| key_of_image(key, image, equality)).collect()
    }
}

fn key_of_image(
    key: &[KeyColumn],
    image: &Image,
    equality: impl Fn(&KeyColumn) -> TextEquality,
) -> Option<RowKey> {
    let cells = key.iter().map(|column| Some((column, image.value(column.name)?)));
    let cells: Vec<_> = cells.collect::<Option<_>>()?;
    let named = cells.iter().map(|(column, value)| {
        let equality = equality(column);
        let text = column.class.tag_text(value, equality).filter(|text| is_told_apart(text, equality))?;
        Some((column.name, text))
    });
    let named: Vec<_> = named.collect::<Option<_>>()?;
    Some(RowKey {
        to_the_letter: to_the_letter(&named, cells.iter().copied(), |column, value| {
            column.class.exact_text(value)
        }),
        named,
        exact: cells.iter().map(|(_, value)| value_text(value)).collect(),
        has_text: has_text(key),
    })
}

fn values_of_images<'i>(
    images: impl IntoIterator<Item = &'i Image>,
    column: &KeyColumn,
    equality: TextEquality,
) -> Option<BTreeSet<KeyText>> {
    let mut values = BTreeSet::new();
    for image in images {
        let value = image.value(column.name)?;
        if !is_null(value) {
            let text = column.class.tag_text(value, equality);
            values.insert(text.filter(|text| is_told_apart(text, equality))?);
            values.extend(column.class.exact_text(value));
        }
    }
    Some(values)
}

fn add_tags(
    tags: &mut BTreeSet<TagKey>,
    keys: &Keyspace,
    folded: &str,
    column: &KeyColumn,
    values: BTreeSet<KeyText>,
) {
    let name = column.name.to_lowercase();
    if column.class == KeyClass::Text && !values.is_empty() {
        // What a reader may depend on who knows less of the column, or worse: processes need not agree.
        tags.insert(keys.index_value(folded, &name, &KeyText::Odd));
    }
    tags.extend(values.iter().map(|value| keys.index_value(folded, &name, value)));
}
