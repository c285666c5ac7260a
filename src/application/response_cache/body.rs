//! The body of a response that was kept, or of one that goes through.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body of a response behind a [`ResponseCache`](crate::ResponseCache): bytes that were kept, or the
/// handler's own body, streamed.
pub struct ResponseBody<B: Body>(Kind<B>);

enum Kind<B: Body> {
    Kept(Option<Bytes>),
    Passed {
        /// What was read already, to see whether it is short enough.
        ahead: VecDeque<Frame<Bytes>>,
        failed: Option<B::Error>,
        rest: Pin<Box<B>>,
    },
}

// Nothing in it is pinned in place: the handler's body is in a box.
impl<B: Body> Unpin for ResponseBody<B> {}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = matches!(self.0, Kind::Kept(_));
        f.debug_struct("ResponseBody").field("kept", &kept).finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    pub(super) fn kept(bytes: Bytes) -> Self {
        Self(Kind::Kept(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    pub(super) fn passed(body: B) -> Self {
        Self(Kind::Passed { ahead: VecDeque::new(), failed: None, rest: Box::pin(body) })
    }

    /// Reads the body to its end, if that comes before the limit. Otherwise it goes on from the beginning.
    pub(super) async fn collect(body: B, limit: usize) -> Result<Bytes, Self> {
        let mut rest = Box::pin(body);
        let mut ahead = VecDeque::new();
        let mut size = 0_usize;
        if usize::try_from(rest.size_hint().lower()).map_or(true, |least| least > limit) {
            return Err(Self(Kind::Passed { ahead, failed: None, rest }));
        }
        loop {
            match poll_fn(|cx| rest.as_mut().poll_frame(cx)).await {
                None => return Ok(joined(ahead, size)),
                Some(Err(error)) => return Err(Self(Kind::Passed { ahead, failed: Some(error), rest })),
                Some(Ok(frame)) => {
                    size += frame.data_ref().map_or(0, Bytes::len);
                    // Trailers are not kept.
                    let over = size > limit || frame.is_trailers();
                    ahead.push_back(frame);
                    if over {
                        return Err(Self(Kind::Passed { ahead, failed: None, rest }));
                    }
                }
            }
        }
    }
}

fn joined(frames: VecDeque<Frame<Bytes>>, size: usize) -> Bytes {
    let mut parts = frames.into_iter().filter_map(|frame| frame.into_data().ok());
    match (parts.next(), parts.next()) {
        (None, _) => Bytes::new(),
        (Some(one), None) => one,
        (Some(one), Some(other)) => {
            let mut all = Vec::with_capacity(size);
            all.extend_from_slice(&one);
            all.extend_from_slice(&other);
            parts.for_each(|part| all.extend_from_slice(&part));
            all.into()
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Kind::Kept(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Passed { ahead, failed, rest } => match (ahead.pop_front(), failed.take()) {
                (Some(frame), error) => {
                    *failed = error;
                    Poll::Ready(Some(Ok(frame)))
                }
                (None, Some(error)) => Poll::Ready(Some(Err(error))),
                (None, None) => rest.as_mut().poll_frame(context),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Kept(bytes) => bytes.is_none(),
            Kind::Passed { ahead, failed, rest } => {
                ahead.is_empty() && failed.is_none() && rest.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Kept(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Passed { ahead, rest, .. } => {
                let there: u64 = ahead.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
                let left = rest.size_hint();
                let mut hint = SizeHint::new();
                // The upper one first: the lower one must not be above it.
                if let Some(upper) = left.upper() {
                    hint.set_upper(upper.saturating_add(there));
                }
                hint.set_lower(left.lower().saturating_add(there));
                hint
            }
        }
    }
}
