//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Polls `condition` until it is true, and panics with `what` once `deadline` has passed.
///
/// Tests wait with this and not with a fixed sleep: it returns as soon as the thing has happened, and a slow
/// machine may take as long as the deadline allows. The condition always gets a last look after the deadline,
/// so a process that was starved for that long is not blamed for it.
///
/// ```ignore
/// eventually("the purge arrives", Duration::from_secs(5), async || cache.stats().purges == 1).await;
/// ```
pub async fn eventually<F>(what: &str, deadline: Duration, mut condition: F)
where
    F: AsyncFnMut() -> bool,
{
    const LONGEST_PAUSE: Duration = Duration::from_millis(20);
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        let late = Instant::now() >= end;
        if condition().await {
            return;
        }
        assert!(!late, "waited {deadline:?} and it did not happen: {what}");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
