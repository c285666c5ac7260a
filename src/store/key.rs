//! Typed store keys. A tag key is not an entry key, and neither is a `String`.

use std::{fmt, sync::Arc};

/// Full key of an entry in the store, namespace included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey(Arc<str>);

/// Full key of a tag in the store, namespace included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagKey(Arc<str>);

macro_rules! key {
    ($name:ident) => {
        impl $name {
            /// Wraps a key that is already complete and escaped.
            pub fn from_full(key: impl Into<Arc<str>>) -> Self {
                Self(key.into())
            }

            /// The key as the store sees it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

key!(EntryKey);
key!(TagKey);
