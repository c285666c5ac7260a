//! The schema fingerprint: entry keys carry it, so that a deploy never decodes the old shape.

use std::fmt;

use sea_orm::{ColumnTrait, EntityTrait, IdenStatic, Iterable, ModelTrait};

/// Version of everything that decides how bytes in the store are read: entry header, row codec,
/// query hash. A change of any of them raises it, which makes every older entry unreachable.
pub(crate) const FORMAT: u8 = 4;

/// Eight hexadecimal digits that change when an entity's columns, types or nullability, or the
/// crate's own format change.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u32);

impl Fingerprint {
    /// Fingerprint of an entity's stored shape; `documents` says what a declaration knows of the
    /// fields inside its JSON columns.
    pub(crate) fn of<E: EntityTrait>(documents: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[FORMAT]);
        for column in E::Column::iter() {
            let def = column.def();
            // Debug of the column type names length, precision and enum variants. It may change
            // with a SeaORM release: that costs a cold cache, never a wrong row.
            let shape = format!(
                "{}\0{:?}\0{}\0{:?}\0",
                column.as_str(),
                def.get_column_type(),
                def.is_null(),
                <E::Model as ModelTrait>::get_value_type(column),
            );
            hasher.update(shape.as_bytes());
        }
        hasher.update(documents.as_bytes());
        Self::from_hash(&hasher.finalize())
    }

    /// Fingerprint of a type that travels through serde.
    pub(crate) fn of_type<T>(shape: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[FORMAT]);
        hasher.update(std::any::type_name::<T>().as_bytes());
        hasher.update(&[0]);
        hasher.update(shape.as_bytes());
        Self::from_hash(&hasher.finalize())
    }

    /// One fingerprint out of two, in order.
    pub(crate) fn and(self, other: Self) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher.update(&other.0.to_le_bytes());
        Self::from_hash(&hasher.finalize())
    }

    fn from_hash(hash: &blake3::Hash) -> Self {
        let [a, b, c, d, ..] = *hash.as_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
