//! What the crate knows of an entity: its policy, its keys, its shape and how its rows are stored.
//!
//! Every table is tracked whether it is declared or not; a declaration only adds policy.

mod fingerprint;
mod key_text;
mod policy;
mod registry;
mod row;

pub use policy::{CacheEntity, EntityPolicy, TableRule, TagPart, TtlClass, TtlSpec, WarmUpPolicy, WriteKind};
pub use registry::{EntityDescriptor, EntityRegistration};

pub(crate) use fingerprint::{FORMAT, Fingerprint};
pub(crate) use key_text::{KeyClass, KeyText, value_text};
pub(crate) use registry::{KeyColumn, Registry, TablePolicy, to_the_letter};
pub use row::Rebuild;
pub(crate) use row::{CodecError, RowReader, RowWriter, encode_values, same_optionals};
