//! A row as bytes: the column's `sea_orm::Value`s one after the other.
//!
//! Not the model's own serde, so that `#[serde(skip)]` on a password hash cannot change what comes
//! back. The plain variants of `Value` are mirrored by [`Cell`] and written with postcard; the
//! others (dates, decimals, JSON, arrays: variants that exist only with some of SeaORM's features)
//! go through MessagePack, which names the variant, so that the bytes do not depend on which
//! features are on.

use std::{borrow::Cow, collections::HashMap};

use sea_orm::{
    ActiveModelTrait, EntityTrait, Iterable, ModelTrait, TryIntoModel, Value, sea_query::OptionEnum,
};
use serde::{
    Deserialize, Serialize, Serializer,
    de::{self, IntoDeserializer as _},
};

/// A payload that cannot be written or read back. On a read it is a miss.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodecError {
    #[error("the bytes do not hold {expected}")]
    Malformed { expected: &'static str },
    // Not in the text: what a user's `Serialize` says may hold data, and this one is logged.
    #[error("the value cannot be written")]
    Unwritable(String),
    #[error("the value does not come back as it was")]
    NotFaithful,
}

/// The variants of `Value` that exist whatever features are on, and a packed form of the rest.
/// The order is part of the format: add at the end and raise `FORMAT`.
#[derive(Serialize, Deserialize)]
enum Cell<'a> {
    Bool(Option<bool>),
    TinyInt(Option<i8>),
    SmallInt(Option<i16>),
    Int(Option<i32>),
    BigInt(Option<i64>),
    TinyUnsigned(Option<u8>),
    SmallUnsigned(Option<u16>),
    Unsigned(Option<u32>),
    BigUnsigned(Option<u64>),
    Float(Option<f32>),
    Double(Option<f64>),
    String(Option<&'a str>),
    Char(Option<char>),
    Bytes(Option<Blob<'a>>),
    Packed(Blob<'a>),
    /// JSON's `null` in a column that is not NULL, with the name of its variant: MessagePack has one
    /// nil for both.
    SomeNull(Cow<'a, str>),
}

/// Bytes that serde writes as one run instead of one by one.
#[derive(Deserialize)]
struct Blob<'a>(#[serde(borrow)] Cow<'a, [u8]>);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'a> Cell<'a> {
    fn of(value: &'a Value) -> Result<Self, CodecError> {
        Ok(match value {
            Value::Bool(v) => Self::Bool(*v),
            Value::TinyInt(v) => Self::TinyInt(*v),
            Value::SmallInt(v) => Self::SmallInt(*v),
            Value::Int(v) => Self::Int(*v),
            Value::BigInt(v) => Self::BigInt(*v),
            Value::TinyUnsigned(v) => Self::TinyUnsigned(*v),
            Value::SmallUnsigned(v) => Self::SmallUnsigned(*v),
            Value::Unsigned(v) => Self::Unsigned(*v),
            Value::BigUnsigned(v) => Self::BigUnsigned(*v),
            Value::Float(v) => Self::Float(*v),
            Value::Double(v) => Self::Double(*v),
            Value::String(v) => Self::String(v.as_deref()),
            Value::Char(v) => Self::Char(*v),
            Value::Bytes(v) => Self::Bytes(v.as_deref().map(|bytes| Blob(Cow::Borrowed(bytes)))),
            Value::Enum(OptionEnum::None(_) | OptionEnum::Some(_)) => Self::packed(value)?,
            #[allow(unreachable_patterns, reason = "which variants exist depends on SeaORM's features")]
            other => Self::packed(other)?,
        })
    }

    fn packed(value: &Value) -> Result<Self, CodecError> {
        const NIL: u8 = 0xc0;
        let bytes = rmp_serde::to_vec(value).map_err(|error| CodecError::Unwritable(error.to_string()))?;
        if bytes.last() == Some(&NIL) && rmp_serde::from_slice::<Value>(&bytes).ok().as_ref() != Some(value) {
            let variant: HashMap<String, ()> =
                rmp_serde::from_slice(&bytes).map_err(|error| CodecError::Unwritable(error.to_string()))?;
            if let Some(name) = variant.into_keys().next() {
                return Ok(Self::SomeNull(Cow::Owned(name)));
            }
        }
        Ok(Self::Packed(Blob(Cow::Owned(bytes))))
    }

    fn into_value(self) -> Result<Value, CodecError> {
        Ok(match self {
            Self::Bool(v) => Value::Bool(v),
            Self::TinyInt(v) => Value::TinyInt(v),
            Self::SmallInt(v) => Value::SmallInt(v),
            Self::Int(v) => Value::Int(v),
            Self::BigInt(v) => Value::BigInt(v),
            Self::TinyUnsigned(v) => Value::TinyUnsigned(v),
            Self::SmallUnsigned(v) => Value::SmallUnsigned(v),
            Self::Unsigned(v) => Value::Unsigned(v),
            Self::BigUnsigned(v) => Value::BigUnsigned(v),
            Self::Float(v) => Value::Float(v),
            Self::Double(v) => Value::Double(v),
            Self::String(v) => Value::String(v.map(str::to_owned)),
            Self::Char(v) => Value::Char(v),
            Self::Bytes(v) => Value::Bytes(v.map(|blob| blob.0.into_owned())),
            Self::Packed(blob) => rmp_serde::from_slice(&blob.0)
                .map_err(|_| CodecError::Malformed { expected: "a packed value" })?,
            Self::SomeNull(variant) => some_null(&variant)?,
        })
    }
}

/// `Value::Variant(Some(null))`, for a variant that exists only with some of SeaORM's features.
fn some_null(variant: &str) -> Result<Value, CodecError> {
    struct Variant<'a>(&'a str);
    struct SomeUnit;

    impl<'de> de::Deserializer<'de> for Variant<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            visitor.visit_enum(self)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    impl<'de> de::EnumAccess<'de> for Variant<'_> {
        type Error = de::value::Error;
        type Variant = SomeUnit;

        fn variant_seed<S: de::DeserializeSeed<'de>>(
            self,
            seed: S,
        ) -> Result<(S::Value, SomeUnit), Self::Error> {
            Ok((seed.deserialize(self.0.into_deserializer())?, SomeUnit))
        }
    }

    impl<'de> de::VariantAccess<'de> for SomeUnit {
        type Error = de::value::Error;

        fn unit_variant(self) -> Result<(), Self::Error> {
            Err(de::Error::custom("not a variant with an optional value"))
        }

        fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Self::Error> {
            seed.deserialize(self)
        }

        fn tuple_variant<V: de::Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("not a variant with an optional value"))
        }

        fn struct_variant<V: de::Visitor<'de>>(
            self,
            _: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("not a variant with an optional value"))
        }
    }

    impl<'de> de::Deserializer<'de> for SomeUnit {
        type Error = de::value::Error;

        fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            visitor.visit_some(().into_deserializer())
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    Value::deserialize(Variant(variant))
        .map_err(|_| CodecError::Malformed { expected: "a variant with a null" })
}

/// Writes a payload: counts, flags, rows and serde values, one after the other.
#[derive(Debug, Default)]
pub(crate) struct RowWriter {
    bytes: Vec<u8>,
}

impl RowWriter {
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Anything with a fixed postcard form.
    pub(crate) fn plain<T: Serialize>(&mut self, value: &T) -> Result<(), CodecError> {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes =
            postcard::to_extend(value, bytes).map_err(|error| CodecError::Unwritable(error.to_string()))?;
        Ok(())
    }

    pub(crate) fn value(&mut self, value: &Value) -> Result<(), CodecError> {
        self.plain(&Cell::of(value)?)
    }

    pub(crate) fn model<M: ModelTrait>(&mut self, model: &M) -> Result<(), CodecError> {
        for column in <M::Entity as EntityTrait>::Column::iter() {
            self.value(&model.get(column))?;
        }
        Ok(())
    }

    /// A value of the user's own type: MessagePack with field names, behind its length.
    pub(crate) fn custom<T: Serialize>(&mut self, value: &T) -> Result<(), CodecError> {
        let bytes =
            rmp_serde::to_vec_named(value).map_err(|error| CodecError::Unwritable(error.to_string()))?;
        self.plain(&Blob(Cow::Owned(bytes)))
    }
}

/// MessagePack writes `Some(None)` as it writes `None`. A format that tells them apart says whether
/// what was read back is what was written. True for what that format cannot write.
pub(crate) fn same_optionals<T: Serialize>(value: &T, back: &T) -> bool {
    let exact = |value: &T| postcard::to_extend(value, Vec::new()).ok();
    match (exact(value), exact(back)) {
        (Some(value), Some(back)) => value == back,
        _ => true,
    }
}

/// Reads what a [`RowWriter`] wrote.
#[derive(Clone, Copy, Debug)]
pub struct RowReader<'a> {
    rest: &'a [u8],
}

impl<'a> RowReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn plain<T: Deserialize<'a>>(&mut self, expected: &'static str) -> Result<T, CodecError> {
        let (value, rest) =
            postcard::take_from_bytes(self.rest).map_err(|_| CodecError::Malformed { expected })?;
        self.rest = rest;
        Ok(value)
    }

    pub(crate) fn value(&mut self) -> Result<Value, CodecError> {
        self.plain::<Cell<'a>>("a column value")?.into_value()
    }

    pub(crate) fn model<E: Rebuild>(&mut self) -> Result<E::Model, CodecError> {
        E::rebuild(self)
    }

    pub(crate) fn custom<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, CodecError> {
        let blob: Blob<'a> = self.plain("a packed value")?;
        rmp_serde::from_slice(&blob.0).map_err(|_| CodecError::Malformed { expected: "a value of this type" })
    }

    /// A column value without what SeaORM's features make of it: dates and the like as their variant holds them.
    #[cfg(feature = "cli")]
    pub(crate) fn shown(&mut self) -> Result<serde_json::Value, CodecError> {
        Ok(match self.plain::<Cell<'a>>("a column value")? {
            Cell::Packed(blob) => rmp_serde::from_slice(&blob.0)
                .map_err(|_| CodecError::Malformed { expected: "a packed value" })?,
            Cell::SomeNull(_) => serde_json::Value::Null,
            Cell::Bytes(bytes) => bytes
                .map(|blob| blob.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
                .map_or(serde_json::Value::Null, |digits| serde_json::json!({ "bytes": digits })),
            plain => match serde_json::to_value(&plain) {
                Ok(serde_json::Value::Object(variant)) => variant.into_values().next().unwrap_or_default(),
                _ => return Err(CodecError::Malformed { expected: "a column value" }),
            },
        })
    }

    /// Nothing may be left over: bytes behind the end mean that the payload is not ours.
    pub(crate) fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Malformed { expected: "an end" }) }
    }

    /// Bytes left, the upper bound of how many items can follow.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

/// An entity whose model can be put together again from column values: every entity that SeaORM's
/// derives make. Implemented here for all of them.
pub trait Rebuild: EntityTrait<Model: Sync> {
    #[doc(hidden)]
    fn rebuild(reader: &mut RowReader<'_>) -> Result<Self::Model, CodecError>;
}

impl<E> Rebuild for E
where
    E: EntityTrait<Model: Sync>,
    E::ActiveModel: TryIntoModel<E::Model>,
{
    fn rebuild(reader: &mut RowReader<'_>) -> Result<E::Model, CodecError> {
        const EXPECTED: CodecError = CodecError::Malformed { expected: "a row of this entity" };
        let mut model = <E::ActiveModel as ActiveModelTrait>::default();
        for column in E::Column::iter() {
            let value = reader.value()?;
            model.try_set(column, value).map_err(|_| EXPECTED)?;
        }
        model.try_into_model().map_err(|_| EXPECTED)
    }
}

/// Bound values as bytes for the query hash: injective, and the same on every platform and with
/// any set of features.
pub(crate) fn encode_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<Vec<u8>, CodecError> {
    let mut writer = RowWriter::default();
    for value in values {
        writer.value(value)?;
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_come_back_as_they_were() {
        let values = [
            Value::Bool(Some(true)),
            Value::TinyInt(Some(i8::MIN)),
            Value::BigInt(Some(i64::MIN)),
            Value::BigUnsigned(Some(u64::MAX)),
            Value::Float(Some(-0.0)),
            Value::Double(Some(f64::NAN)),
            Value::Double(Some(f64::NEG_INFINITY)),
            Value::String(Some(String::new())),
            Value::String(None),
            Value::String(Some("naïve 🦀 \0".to_owned())),
            Value::Char(Some('ß')),
            Value::Bytes(Some(vec![0, 255, 7])),
            Value::Bytes(None),
        ];
        let bytes = encode_values(&values).unwrap();
        let mut reader = RowReader::new(&bytes);
        for value in &values {
            // Value's own equality compares floats by their bits.
            assert_eq!(&reader.value().unwrap(), value);
        }
        reader.finish().unwrap();
    }

    // case F6
    #[test]
    fn rows_are_written_as_they_always_were() {
        let values = [
            Value::BigInt(Some(7)),
            Value::from("Dune"),
            Value::String(None),
            Value::Bool(Some(true)),
            Value::Double(Some(1.5)),
            Value::Bytes(Some(vec![1, 2])),
        ];
        let bytes = encode_values(&values).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        // Should this change, raise FORMAT.
        assert_eq!(hex, "04010e0b010444756e650b000001010a01000000000000f83f0d01020102");
    }

    // case F7
    #[test]
    fn no_bytes_make_the_reader_panic_or_allocate_without_bound() {
        let good = encode_values(&[Value::from("hello"), Value::from(vec![1u8, 2, 3])]).unwrap();
        for cut in 0..good.len() {
            let mut reader = RowReader::new(&good[..cut]);
            let _ = reader.value().and_then(|_| reader.value());
        }
        // A string that claims to be 2^60 bytes long.
        let bomb = [11, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(RowReader::new(&bomb).value().is_err());
    }

    // case E11
    #[test]
    fn values_that_differ_in_type_or_null_encode_differently() {
        let all = [
            vec![Value::from(1)],
            vec![Value::from(1i64)],
            vec![Value::from("1")],
            vec![Value::from("")],
            vec![Value::String(None)],
            vec![Value::from("12"), Value::from("3")],
            vec![Value::from("1"), Value::from("23")],
        ];
        let encoded: std::collections::HashSet<_> =
            all.iter().map(|values| encode_values(values).unwrap()).collect();
        assert_eq!(encoded.len(), all.len());
    }
}
