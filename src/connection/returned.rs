//! What the rows of a stream say of the write that returns them.

use sea_orm::{DbErr, QueryResult};

use super::{
    WriteSet,
    images::{Image, Images},
    plan::Plan,
};
use crate::cache::Inner;

/// Collects the rows that a write returns, as they pass.
#[derive(Debug)]
pub(super) struct Returned {
    plan: Plan,
    /// `None`: there were too many, or they say nothing.
    images: Option<Vec<Image>>,
    count: u64,
    failed: bool,
}

impl Returned {
    pub(super) fn new(plan: Plan) -> Self {
        let images = (plan.returns_rows() && plan.learns_from_rows()).then(Vec::new);
        Self { plan, images, count: 0, failed: false }
    }

    pub(super) fn see(&mut self, item: &Result<QueryResult, DbErr>, inner: &Inner) {
        match item {
            Err(_) => self.failed = true,
            Ok(row) => {
                self.count += 1;
                if let (Some(images), Some(policy)) = (&mut self.images, self.plan.policy()) {
                    images.push(Image::read(row, policy));
                }
                if self.count > inner.config.max_row_tags as u64 {
                    self.images = None;
                }
            }
        }
    }

    /// What was written; to be asked when the stream is at its end.
    pub(super) fn writes(self, inner: &Inner) -> WriteSet {
        // Also after an error: the statement may have had its effect, in whole or in part.
        if self.failed || !self.plan.returns_rows() {
            return self.plan.writes;
        }
        let images = Images { returned: self.images, affected: Some(self.count), ..Images::default() };
        self.plan.narrowed(inner, images).unwrap_or(self.plan.writes)
    }

    /// What it wrote at most.
    pub(super) fn at_most(self) -> WriteSet {
        self.plan.writes
    }
}
