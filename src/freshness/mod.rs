//! The protocol that decides whether an entry may be served: stamps, fills, flights, purges.
//!
//! It knows tags and bytes; it knows neither SQL nor SeaORM. An entry is valid if and only if
//! every tag it depends on still carries the stamp that the entry recorded, and the stamps were
//! taken *before* the load began. So an entry filled by a slow reader, whose load began before a
//! write was purged, carries a dead stamp and is never served.
//!
//! Source of the protocol: section 7 of the design, `docs/contract.md` in this repository.

mod entry;
mod fetch;
mod flight;
mod hints;
mod purge;

pub(crate) use entry::{Decoded, Entry, PayloadKind};
pub use fetch::{Bypass, Outcome};
pub(crate) use fetch::{Freshness, Loaded, Look, Payload, Question, Stamps};
pub(crate) use purge::{Finishing, PurgeQueue, PurgeSet, PurgeTicket};
