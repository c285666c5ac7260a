//! What a query answers, as a payload: which codec writes it is decided by the query's type.

use std::{fmt::Write, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use sea_orm::{EntityTrait, IdenStatic, Iterable, ModelTrait};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    same_text::{differ_in_order, text_of, writes},
    shape::shape_of,
};
use crate::{
    cache::Inner,
    entity::{
        CodecError, EntityDescriptor, Fingerprint, Rebuild, Registry, RowReader, RowWriter, TagPart,
        same_optionals, value_text,
    },
    freshness::{Payload, PayloadKind},
    near::{Backing, Kept},
    store::TagKey,
};

/// An entry whose content names more tags than this depends on all content tags at once.
const MOST_CONTENT_TAGS: usize = 16;

/// Room for one row of the usual size, so that it is not moved while it is written.
const USUAL_BYTES: usize = 512;

/// Writes and reads the answer of one kind of query.
pub(crate) trait Codec: Sized + 'static {
    type Value;

    /// The answer as it is kept in memory and handed around: shared where it can be.
    type Shared: Share<Self>;

    /// Part of the query's key: two kinds of answers never share an entry.
    const NAME: &'static str;

    fn fingerprint(registry: &Registry) -> Fingerprint;

    /// `None` is "there is no such row".
    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError>;

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError>;

    /// Writes the value down as its `Debug` says it, if it has one.
    fn debug(_value: &Self::Value, _out: &mut dyn Write) {}

    /// Is what was read back the same, as far as that can be told by more than writing it again?
    fn same(_value: &Self::Value, _back: &Self::Value) -> bool {
        true
    }

    /// Calls back with every row that was read of the entity that tags its entries.
    fn rows(_value: &Self::Value, _with: &mut dyn FnMut(&dyn ColumnText)) {}
}

/// An answer as it is handed around, and how it is kept in memory.
pub(crate) trait Share<C: Codec>: Send {
    fn share(value: C::Value) -> Self;

    fn unshare(self) -> C::Value;

    /// What is kept of the answer in memory.
    fn keep(&self, backing: &Backing) -> Kept;

    /// What was kept.
    fn kept(kept: &Kept) -> Option<Self>
    where
        Self: Sized;
}

impl<C: Codec> Share<C> for Arc<C::Value>
where
    C::Value: Clone + Send + Sync + 'static,
{
    fn share(value: C::Value) -> Self {
        Self::new(value)
    }

    fn unshare(self) -> C::Value {
        Self::unwrap_or_clone(self)
    }

    fn keep(&self, _: &Backing) -> Kept {
        Some(self.clone())
    }

    fn kept(kept: &Kept) -> Option<Self> {
        Arc::downcast(kept.clone()?).ok()
    }
}

/// One row, or that there is none.
impl<C: Codec<Value = Option<M>>, M: Clone + Send + Sync + 'static> Share<C> for Option<Arc<M>> {
    fn share(value: Option<M>) -> Self {
        value.map(Arc::new)
    }

    fn unshare(self) -> Option<M> {
        self.map(Arc::unwrap_or_clone)
    }

    fn keep(&self, _: &Backing) -> Kept {
        self.clone().map(|row| row as _)
    }

    fn kept(kept: &Kept) -> Option<Self> {
        let Some(row) = kept else { return Some(None) };
        Arc::downcast(row.clone()).ok().map(Some)
    }
}

/// A value of which nobody says that it can be shared, or copied: what is kept of it is packed.
pub(crate) struct Packed<C: Codec>(C::Value);

impl<C: Codec<Shared = Self>> Share<C> for Packed<C>
where
    C::Value: Send,
{
    fn share(value: C::Value) -> Self {
        Self(value)
    }

    fn unshare(self) -> C::Value {
        self.0
    }

    fn keep(&self, backing: &Backing) -> Kept {
        Some(Arc::new((backing.kind, backing.payload.clone())))
    }

    fn kept(kept: &Kept) -> Option<Self> {
        let (kind, payload) = kept.as_ref()?.downcast_ref::<(PayloadKind, Bytes)>()?;
        decode::<C>(*kind, payload)
    }
}

/// A row that can say the text of a column.
pub(crate) trait ColumnText {
    fn column_text(&self, column: &str) -> Option<String>;
}

struct ModelColumns<'a, E: EntityTrait>(&'a E::Model);

impl<E: EntityTrait> ColumnText for ModelColumns<'_, E> {
    fn column_text(&self, column: &str) -> Option<String> {
        let column = E::Column::iter().find(|c| c.as_str() == column)?;
        value_text(&self.0.get(column))
    }
}

/// Encodes an answer; `None` if it would not come back as it is.
pub(crate) fn encode<C: Codec>(
    value: &C::Value,
    inner: &Inner,
    entity: Option<&EntityDescriptor>,
) -> Result<Payload, CodecError> {
    let mut writer = RowWriter::with_room(USUAL_BYTES);
    let kind = C::write(value, &mut writer)?;
    let bytes = writer.finish();
    // A column type whose conversions do not mirror each other (a decoder that decrypts, say) must
    // not be served from the cache: what was written is read back and written again.
    let mut reader = RowReader::new(&bytes);
    let back = C::read(kind, &mut reader)?;
    reader.finish()?;
    let mut again = RowWriter::with_room(bytes.len());
    if C::write(&back, &mut again)? != kind || again.finish() != bytes || !C::same(value, &back) {
        return Err(CodecError::NotFaithful);
    }
    // The same for what is lost on the way out, which writing again does not show.
    let text = text_of(bytes.len() * 2, |out| C::debug(value, out));
    let is = |text: &str, value: &C::Value| writes(text, |out| C::debug(value, out));
    if !is(&text, &back) {
        let back = text_of(text.len(), |out| C::debug(&back, out));
        let writes_back = || Ok(is(&back, &C::read(kind, &mut RowReader::new(&bytes))?));
        if !differ_in_order(&text, &back, writes_back)? {
            return Err(CodecError::NotFaithful);
        }
    }
    let (more, depends_on_family) = content_tags::<C>(value, inner, entity);
    Ok(Payload { kind, bytes, more, depends_on_family, at_most: None, took: Duration::ZERO })
}

pub(crate) fn decode<C: Codec>(kind: PayloadKind, payload: &Bytes) -> Option<C::Shared> {
    let mut reader = RowReader::new(payload);
    let value = C::read(kind, &mut reader).ok()?;
    reader.finish().ok()?;
    Some(C::Shared::share(value))
}

/// The answer for who wants it for himself: copied if it is shared with the memory.
pub(crate) fn unshare<C: Codec>(shared: C::Shared) -> C::Value {
    shared.unshare()
}

/// The declared tags, filled in from the rows; or "too many".
fn content_tags<C: Codec>(
    value: &C::Value,
    inner: &Inner,
    entity: Option<&EntityDescriptor>,
) -> (Vec<TagKey>, bool) {
    let templates = match entity {
        Some(entity) if !entity.policy.tags.is_empty() => &entity.policy.tags,
        _ => return (Vec::new(), false),
    };
    let mut tags = Vec::new();
    let mut too_many = false;
    C::rows(value, &mut |row| {
        for template in templates {
            if tags.len() > MOST_CONTENT_TAGS {
                too_many = true;
                return;
            }
            // A NULL in the template: the row carries no such tag.
            let text: Option<String> = template
                .iter()
                .map(|part| match part {
                    TagPart::Text(text) => Some((*text).to_owned()),
                    TagPart::Column(column) => row.column_text(column),
                })
                .collect();
            if let Some(text) = text {
                for tag in inner.user_tags(&text) {
                    if !tags.contains(&tag) {
                        tags.push(tag);
                    }
                }
            }
        }
    });
    if too_many || tags.len() > MOST_CONTENT_TAGS { (Vec::new(), true) } else { (tags, false) }
}

fn many<T>(
    items: &[T],
    writer: &mut RowWriter,
    mut write: impl FnMut(&T, &mut RowWriter) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    writer.plain(&(items.len() as u64))?;
    items.iter().try_for_each(|item| write(item, writer))
}

fn read_many<'a, T>(
    reader: &mut RowReader<'a>,
    mut read: impl FnMut(&mut RowReader<'a>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count: u64 = reader.plain("a count")?;
    // Every item is at least one byte: a count beyond that is a lie, and reserves nothing.
    let count = usize::try_from(count).ok().filter(|count| *count <= reader.remaining());
    let count = count.ok_or(CodecError::Malformed { expected: "a count of items" })?;
    (0..count).map(|_| read(reader)).collect()
}

fn rows_only(kind: PayloadKind, expected: PayloadKind) -> Result<(), CodecError> {
    if kind == expected { Ok(()) } else { Err(CodecError::Malformed { expected: "this kind of payload" }) }
}

/// `Option<Model>`: one row by column values, or "no such row".
pub(crate) struct OneModel<E>(PhantomData<E>);

impl<E: Rebuild> Codec for OneModel<E> {
    type Value = Option<E::Model>;
    type Shared = Option<Arc<E::Model>>;
    const NAME: &'static str = "one";

    fn fingerprint(registry: &Registry) -> Fingerprint {
        registry.entity::<E>().fingerprint
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        let Some(model) = value else { return Ok(PayloadKind::Missing) };
        writer.model(model)?;
        Ok(PayloadKind::Rows)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        if kind == PayloadKind::Missing {
            return Ok(None);
        }
        rows_only(kind, PayloadKind::Rows)?;
        reader.model::<E>().map(Some)
    }

    fn debug(value: &Self::Value, out: &mut dyn Write) {
        let _ = write!(out, "{value:?}");
    }

    fn rows(value: &Self::Value, with: &mut dyn FnMut(&dyn ColumnText)) {
        if let Some(model) = value {
            with(&ModelColumns::<E>(model));
        }
    }
}

/// `Vec<Model>`.
pub(crate) struct AllModels<E>(PhantomData<E>);

impl<E: Rebuild> Codec for AllModels<E> {
    type Value = Vec<E::Model>;
    type Shared = Arc<Self::Value>;
    const NAME: &'static str = "all";

    fn fingerprint(registry: &Registry) -> Fingerprint {
        registry.entity::<E>().fingerprint
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        many(value, writer, |model, writer| writer.model(model))?;
        Ok(PayloadKind::Rows)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        rows_only(kind, PayloadKind::Rows)?;
        read_many(reader, |reader| reader.model::<E>())
    }

    fn debug(value: &Self::Value, out: &mut dyn Write) {
        let _ = write!(out, "{value:?}");
    }

    fn rows(value: &Self::Value, with: &mut dyn FnMut(&dyn ColumnText)) {
        value.iter().for_each(|model| with(&ModelColumns::<E>(model)));
    }
}

/// `(Model, Option<Model>)`, the row of a join.
pub(crate) struct Pair<E, F>(PhantomData<(E, F)>);

impl<E: Rebuild, F: Rebuild> Pair<E, F> {
    fn write_pair(pair: &(E::Model, Option<F::Model>), writer: &mut RowWriter) -> Result<(), CodecError> {
        writer.model(&pair.0)?;
        writer.plain(&pair.1.is_some())?;
        pair.1.as_ref().map_or(Ok(()), |right| writer.model(right))
    }

    fn read_pair(reader: &mut RowReader<'_>) -> Result<(E::Model, Option<F::Model>), CodecError> {
        let left = reader.model::<E>()?;
        let right = if reader.plain("a flag")? { Some(reader.model::<F>()?) } else { None };
        Ok((left, right))
    }
}

/// `Option<(Model, Option<Model>)>`.
pub(crate) struct OnePair<E, F>(PhantomData<(E, F)>);

impl<E: Rebuild, F: Rebuild> Codec for OnePair<E, F> {
    type Value = Option<(E::Model, Option<F::Model>)>;
    type Shared = Arc<Self::Value>;
    const NAME: &'static str = "one pair";

    fn fingerprint(registry: &Registry) -> Fingerprint {
        registry.entity::<E>().fingerprint.and(registry.entity::<F>().fingerprint)
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        let Some(pair) = value else { return Ok(PayloadKind::Missing) };
        Pair::<E, F>::write_pair(pair, writer)?;
        Ok(PayloadKind::Rows)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        if kind == PayloadKind::Missing {
            return Ok(None);
        }
        rows_only(kind, PayloadKind::Rows)?;
        Pair::<E, F>::read_pair(reader).map(Some)
    }

    fn debug(value: &Self::Value, out: &mut dyn Write) {
        let _ = write!(out, "{value:?}");
    }

    fn rows(value: &Self::Value, with: &mut dyn FnMut(&dyn ColumnText)) {
        if let Some((left, _)) = value {
            with(&ModelColumns::<E>(left));
        }
    }
}

/// `Vec<(Model, Option<Model>)>`.
pub(crate) struct AllPairs<E, F>(PhantomData<(E, F)>);

impl<E: Rebuild, F: Rebuild> Codec for AllPairs<E, F> {
    type Value = Vec<(E::Model, Option<F::Model>)>;
    type Shared = Arc<Self::Value>;
    const NAME: &'static str = "pairs";

    fn fingerprint(registry: &Registry) -> Fingerprint {
        OnePair::<E, F>::fingerprint(registry)
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        many(value, writer, Pair::<E, F>::write_pair)?;
        Ok(PayloadKind::Rows)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        rows_only(kind, PayloadKind::Rows)?;
        read_many(reader, Pair::<E, F>::read_pair)
    }

    fn debug(value: &Self::Value, out: &mut dyn Write) {
        let _ = write!(out, "{value:?}");
    }

    fn rows(value: &Self::Value, with: &mut dyn FnMut(&dyn ColumnText)) {
        value.iter().for_each(|(left, _)| with(&ModelColumns::<E>(left)));
    }
}

/// `Vec<(Model, Vec<Model>)>`: parents with their children.
pub(crate) struct Families<E, F>(PhantomData<(E, F)>);

impl<E: Rebuild, F: Rebuild> Codec for Families<E, F> {
    type Value = Vec<(E::Model, Vec<F::Model>)>;
    type Shared = Arc<Self::Value>;
    const NAME: &'static str = "families";

    fn fingerprint(registry: &Registry) -> Fingerprint {
        OnePair::<E, F>::fingerprint(registry)
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        many(value, writer, |(parent, children), writer| {
            writer.model(parent)?;
            many(children, writer, |child, writer| writer.model(child))
        })?;
        Ok(PayloadKind::Rows)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        rows_only(kind, PayloadKind::Rows)?;
        read_many(reader, |reader| {
            Ok((reader.model::<E>()?, read_many(reader, |reader| reader.model::<F>())?))
        })
    }

    fn debug(value: &Self::Value, out: &mut dyn Write) {
        let _ = write!(out, "{value:?}");
    }

    fn rows(value: &Self::Value, with: &mut dyn FnMut(&dyn ColumnText)) {
        value.iter().for_each(|(parent, _)| with(&ModelColumns::<E>(parent)));
    }
}

/// A value of the user's own type, through serde.
pub(crate) struct Custom<T>(PhantomData<T>);

impl<T: Serialize + DeserializeOwned + Send + 'static> Codec for Custom<T> {
    type Value = T;
    type Shared = Packed<Self>;
    const NAME: &'static str = "custom";

    fn fingerprint(_: &Registry) -> Fingerprint {
        Fingerprint::of_type::<T>(&shape_of::<T>())
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        writer.custom(value)?;
        Ok(PayloadKind::Custom)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        rows_only(kind, PayloadKind::Custom)?;
        reader.custom()
    }

    fn same(value: &Self::Value, back: &Self::Value) -> bool {
        same_optionals(value, back)
    }
}

/// One row of the user's own type, or none. Not `Custom<Option<T>>`: a row that is itself an empty
/// option is not no row.
pub(crate) struct OneCustom<T>(PhantomData<T>);

impl<T: Serialize + DeserializeOwned + Send + 'static> Codec for OneCustom<T> {
    type Value = Option<T>;
    type Shared = Packed<Self>;
    const NAME: &'static str = "one custom";

    fn fingerprint(_: &Registry) -> Fingerprint {
        Fingerprint::of_type::<T>(&shape_of::<T>())
    }

    fn write(value: &Self::Value, writer: &mut RowWriter) -> Result<PayloadKind, CodecError> {
        let Some(row) = value else { return Ok(PayloadKind::Missing) };
        writer.custom(row)?;
        Ok(PayloadKind::Custom)
    }

    fn read(kind: PayloadKind, reader: &mut RowReader<'_>) -> Result<Self::Value, CodecError> {
        if kind == PayloadKind::Missing {
            return Ok(None);
        }
        rows_only(kind, PayloadKind::Custom)?;
        reader.custom().map(Some)
    }

    fn same(value: &Self::Value, back: &Self::Value) -> bool {
        same_optionals(value, back)
    }
}
