//! Sentinel: several processes that watch a primary and its replicas, and agree on who is the primary.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::{ConnectionInfo, Value, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use super::{
    address::{Host, host_of, moved_to},
    topology::{host, put, reach},
};

/// The sentinels of one service.
///
/// All are asked at a time, and what at least half of those that were configured say counts. One that
/// was away, or is cut off together with an old primary, does not decide.
pub(super) struct Sentinels {
    service: String,
    sentinels: Vec<Arc<Sentinel>>,
    /// How to speak to the servers, wherever they are.
    server: ConnectionInfo,
    limit: Duration,
}

struct Sentinel {
    node: ConnectionInfo,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Sentinels {
    pub(super) fn new(
        service: String,
        nodes: Vec<ConnectionInfo>,
        server: ConnectionInfo,
        limit: Duration,
    ) -> Self {
        let sentinel = |node| Arc::new(Sentinel { node, connection: Mutex::default() });
        Self { service, sentinels: nodes.into_iter().map(sentinel).collect(), server, limit }
    }

    pub(super) async fn primary(&self) -> Result<ConnectionInfo, String> {
        Ok(moved_to(&self.server, &self.vote().await?))
    }

    /// Who is the primary, by what the sentinels say now.
    pub(super) async fn vote(&self) -> Result<Host, String> {
        let all = self.sentinels.len();
        let mut answers: FuturesUnordered<_> =
            self.sentinels.iter().map(|sentinel| sentinel.ask(&self.service, self.limit)).collect();
        let mut votes: Vec<(Host, usize)> = Vec::new();
        let mut trouble = "none answered".to_owned();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(host) => {
                    let count = match votes.iter_mut().find(|(named, _)| *named == host) {
                        Some((_, count)) => {
                            *count += 1;
                            *count
                        }
                        None => {
                            votes.push((host.clone(), 1));
                            1
                        }
                    };
                    // Nobody can outvote it any more.
                    if count * 2 > all {
                        return Ok(host);
                    }
                }
                Err(reason) => trouble = reason,
            }
        }
        decide(votes, all).ok_or_else(|| format!("too few sentinels name the same primary: {trouble}"))
    }
}

/// At least half of all, and more than for any other.
fn decide(mut votes: Vec<(Host, usize)>, all: usize) -> Option<Host> {
    votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut votes = votes.into_iter();
    let (host, count) = votes.next()?;
    let next = votes.next().map_or(0, |(_, count)| count);
    (count * 2 >= all && count > next).then_some(host)
}

impl Sentinel {
    async fn ask(&self, service: &str, limit: Duration) -> Result<Host, String> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(service);
        // One who waits here asks the same a moment later.
        let mut kept = self.connection.lock().await;
        let asked = host_of(&self.node).map(|host| host.name).unwrap_or_default();
        if let Some(mut connection) = kept.take()
            && let Ok(answer) = put(&mut connection, &question, limit).await
        {
            *kept = Some(connection);
            return named(&answer, &asked);
        }
        let mut connection = reach(&self.node, limit).await?;
        let answer = put(&mut connection, &question, limit).await.map_err(|reason| {
            if reason == "ERR" {
                "a node does not know SENTINEL; is it a sentinel?".to_owned()
            } else {
                reason
            }
        })?;
        *kept = Some(connection);
        named(&answer, &asked)
    }
}

fn named(answer: &Value, asked: &str) -> Result<Host, String> {
    match answer {
        Value::Nil => Err("a sentinel does not know a service of that name".to_owned()),
        Value::Array(words) => host(words.first(), words.get(1), asked)
            .ok_or_else(|| "a sentinel's answer makes no sense".to_owned()),
        _ => Err("a sentinel's answer makes no sense; is it a sentinel?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(votes: &[(&str, usize)]) -> Vec<(Host, usize)> {
        votes.iter().map(|(name, count)| (Host { name: (*name).to_owned(), port: 1 }, *count)).collect()
    }

    #[test]
    fn half_of_the_sentinels_decide_and_fewer_do_not() {
        let decided = |given: &[(&str, usize)], all| decide(votes(given), all).map(|host| host.name);
        assert_eq!(decided(&[("a", 1)], 1).as_deref(), Some("a"));
        assert_eq!(decided(&[("a", 1)], 2).as_deref(), Some("a"));
        assert_eq!(decided(&[("a", 1), ("b", 1)], 2), None);
        assert_eq!(decided(&[("a", 1)], 3), None, "two may have decided otherwise");
        assert_eq!(decided(&[("a", 1), ("b", 2)], 3).as_deref(), Some("b"));
        assert_eq!(decided(&[("a", 2), ("b", 2)], 5), None);
        assert_eq!(decided(&[], 1), None);
    }
}
