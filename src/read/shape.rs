//! The shape of a type that travels through serde, as text for the fingerprint.
//!
//! A struct that gains an optional field would decode an older entry without complaint, with the
//! field empty. So the names of a type's fields are asked of its `Deserialize`, which has to state
//! them before it reads anything; the question ends in an error that nobody sees.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
    forward_to_deserialize_any,
};

/// Outermost fields, variants and length, or nothing for other types.
pub(crate) fn shape_of<'de, T: Deserialize<'de>>() -> String {
    let mut shape = String::new();
    let _ = T::deserialize(Asking(&mut shape));
    shape
}

/// Asks a type for its fields if it can be asked: a type that serde does not read answers nothing.
///
/// `(&TypeProbe::<T>::new()).fields()` finds [`SerdeFields`] for a type that implements
/// `Deserialize`, and [`NoFields`] one reference further for any other.
#[derive(Debug)]
pub struct TypeProbe<T>(PhantomData<T>);

impl<T> TypeProbe<T> {
    #[allow(clippy::new_without_default, missing_docs, reason = "only called by what the derive generates")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The answer of a type that serde reads.
pub trait SerdeFields {
    /// Its outermost fields or variants, or nothing.
    fn fields(&self) -> String;
}

impl<T: DeserializeOwned> SerdeFields for TypeProbe<T> {
    fn fields(&self) -> String {
        shape_of::<T>()
    }
}

/// The answer of any other type.
pub trait NoFields {
    /// Nothing.
    fn fields(&self) -> String;
}

impl<T> NoFields for &TypeProbe<T> {
    fn fields(&self) -> String {
        String::new()
    }
}

struct Asking<'a>(&'a mut String);

#[derive(Debug)]
struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked")
    }
}

impl std::error::Error for Asked {}

impl de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Asking<'_> {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        *self.0 = format!("struct {name} {fields:?}");
        Err(Asked)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        *self.0 = format!("enum {name} {variants:?}");
        Err(Asked)
    }

    // Through `Option` and newtypes to what they hold; a sequence asks its first item.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Asked> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_seq(FirstItem(Some(self)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_seq(FirstItem(Some(self)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple_struct map identifier ignored_any
    }
}

struct FirstItem<'a>(Option<Asking<'a>>);

impl<'de> de::SeqAccess<'de> for FirstItem<'_> {
    type Error = Asked;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Asked> {
        match self.0.take() {
            Some(asking) => seed.deserialize(asking).map(Some),
            None => Err(Asked),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code)]
    use super::*;

    // case F5
    #[test]
    fn a_struct_that_gains_a_field_has_another_shape() {
        mod before {
            #[derive(serde::Deserialize)]
            pub struct Row {
                pub id: i64,
            }
        }
        mod after {
            #[derive(serde::Deserialize)]
            pub struct Row {
                pub id: i64,
                pub title: Option<String>,
            }
        }
        assert_ne!(shape_of::<before::Row>(), shape_of::<after::Row>());
        assert_ne!(shape_of::<Vec<before::Row>>(), shape_of::<Vec<Option<after::Row>>>());
        assert_eq!(shape_of::<Vec<after::Row>>(), shape_of::<Vec<Option<after::Row>>>());
        assert_eq!(shape_of::<(i64, String)>(), "");
    }

    #[test]
    fn a_type_that_contains_itself_can_be_asked() {
        #[derive(serde::Deserialize)]
        struct Tree {
            children: Vec<Tree>,
        }
        assert!(shape_of::<Tree>().contains("children"));
    }
}
