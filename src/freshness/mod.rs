//! The protocol that decides whether an entry may be served: stamps, fills, flights, purges.
//!
//! It knows tags and bytes; it knows neither SQL nor SeaORM. An entry is valid if and only if
//! every tag it depends on still carries the stamp that the entry recorded, and the stamps were
//! taken *before* the load began. So an entry filled by a slow reader, whose load began before a
//! write was purged, carries a dead stamp and is never served.
//!
//! What this keeps and what it does not is written in `docs/contract.md`; the keys are in
//! `docs/keys-and-tags.md`.

mod early;
mod entry;
mod fetch;
mod fill;
mod flight;
mod glance;
mod hints;
mod lease;
mod look;
#[cfg(test)]
mod model;
mod packing;
mod purge;
mod question;
mod rules;
#[cfg(test)]
mod tampered_test;
mod ticket;
mod verify;
mod write_through;

pub(crate) use early::{Detached, Early, Reach};
#[cfg(feature = "cli")]
pub(crate) use entry::{Damage, Opened, since_1970};
pub(crate) use entry::{Decoded, Entry, PayloadKind, Shape, Unfit};
pub(crate) use fetch::{Checks, Freshness, Reading};
pub(crate) use look::Look;
pub use packing::EncryptionKeys;
pub(crate) use packing::{Packing, Wrap};
pub(crate) use purge::{PurgeQueue, PurgeSet};
pub(crate) use question::{Bypass, Fetched, Grace, Loaded, Outcome, Payload, Question, Stamps, Terms};
pub(crate) use ticket::{Finishing, PurgeTicket, Writing};
pub(crate) use write_through::NewRow;
