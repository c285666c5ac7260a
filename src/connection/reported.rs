//! What statements say to whoever watches what is read.

use super::CachedConnection;
use crate::{
    read::Reader,
    statement::Analysis,
    watched::{self, Refusal},
};

impl CachedConnection {
    /// Reports what the answer of a statement depends on that is sent past the cache.
    pub(super) async fn report(&self, analysis: &Analysis) {
        if self.has_primary() {
            // The statement goes to the replica.
            return watched::refuse(Refusal::Replica);
        }
        watched::reads_as(self.session_key());
        let tables = match Reader::of(self).await {
            Ok(reader) => reader.tables_of(analysis),
            Err(reason) => Err(reason),
        };
        match tables {
            Ok(tags) => watched::depends(&self.cache().inner.freshness, &tags),
            Err(reason) => {
                tracing::debug!(%reason, "a read that no tag stands for");
                watched::refuse(Refusal::Unknown);
            }
        }
    }
}
