//! Rate limits: one script, one key, by the server's clock.

use std::{sync::LazyLock, time::Duration};

use redis::{Pipeline, Value};
use tokio::time::Instant;

use super::{
    command::Naming,
    reply::{Fault, refusal},
    supervisor::Supervisor,
};
use crate::store::{RateAnswer, RateAsk, StoreError};

static RATE: LazyLock<redis::Script> = LazyLock::new(|| redis::Script::new(RATE_TEXT));
const RATE_TEXT: &str = include_str!("rate.lua");
const OPERATION: &str = "a rate limit";

/// Asks, and is back within `limit`, also where the server has to be sent the script first: one round
/// trip more, the first time and after `SCRIPT FLUSH`.
pub(super) async fn ask(
    supervisor: &Supervisor,
    limit: Duration,
    ask: &RateAsk,
) -> Result<RateAnswer, StoreError> {
    let began = Instant::now();
    for naming in [Naming::Hash, Naming::Text] {
        let left = limit.saturating_sub(began.elapsed());
        let read = |values: Vec<Value>, _| answered(&values);
        if let Some(answer) = supervisor.ask(OPERATION, left, &call(ask, naming), read).await? {
            return Ok(answer);
        }
    }
    Err(StoreError::Refused { operation: OPERATION, reason: "NOSCRIPT".to_owned() })
}

fn call(ask: &RateAsk, naming: Naming) -> Pipeline {
    let mut pipeline = redis::pipe();
    match naming {
        Naming::Hash => pipeline.cmd("EVALSHA").arg(RATE.get_hash()),
        Naming::Text | Naming::Apart => pipeline.cmd("EVAL").arg(RATE_TEXT),
    };
    pipeline.arg(1).arg(ask.key.as_str()).arg(ask.interval).arg(ask.burst).arg(ask.cells);
    pipeline
}

/// `None` if the server does not have the script.
fn answered(values: &[Value]) -> Result<Option<RateAnswer>, Fault> {
    let parts = match values {
        [Value::ServerError(error)] if error.code() == "NOSCRIPT" => return Ok(None),
        [Value::ServerError(error)] => return Err(Fault::Refused(refusal(error))),
        [Value::Array(parts)] => parts,
        _ => return Err(Fault::Misshapen),
    };
    match parts[..] {
        [Value::Int(allowed @ (0 | 1)), Value::Int(ahead)] => {
            let ahead = u64::try_from(ahead).map_err(|_| Fault::Misshapen)?;
            Ok(Some(RateAnswer { allowed: allowed == 1, ahead }))
        }
        _ => Err(Fault::Misshapen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_does_not_fit_is_never_taken_for_leave() {
        let int = Value::Int;
        for (values, allowed) in [
            (vec![Value::Array(vec![int(1), int(5)])], Some(true)),
            (vec![Value::Array(vec![int(0), int(5)])], Some(false)),
            (vec![Value::Array(vec![int(2), int(5)])], None),
            (vec![Value::Array(vec![int(1), int(-5)])], None),
            (vec![Value::Array(vec![int(1)])], None),
            (vec![int(1)], None),
            (vec![Value::Nil], None),
            (vec![], None),
        ] {
            let answer = answered(&values).ok().flatten().map(|answer| answer.allowed);
            assert_eq!(answer, allowed, "{values:?}");
        }
    }
}
