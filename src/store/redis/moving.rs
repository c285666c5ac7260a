//! A slot that is on its way from one node of a cluster to another. What is still at the old node is
//! changed there, and what is not is changed at the new one (`ASK`). A command with keys of both kinds is
//! refused by either, so each tag is a command of its own.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, ServerError, Value, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use super::{
    address::Host,
    reply::{self, Fault},
    topology::Topology,
};

/// The node that takes a slot over, while it does.
pub(super) struct Taker {
    topology: Arc<Topology>,
    kept: Mutex<Option<(Host, MultiplexedConnection)>>,
}

/// What became of one command.
pub(super) enum Outcome {
    Number(usize),
    /// To be asked for at this node.
    Elsewhere(Host),
}

/// Each value is the answer to a call of a script with one key.
pub(super) fn outcome(value: &Value) -> Result<Outcome, Fault> {
    match value {
        Value::ServerError(error) if error.code() == "ASK" => {
            let host = asked(error).ok_or_else(|| Fault::Refused(reply::refusal(error)))?;
            Ok(Outcome::Elsewhere(host))
        }
        Value::ServerError(error) => Err(Fault::Refused(reply::refusal(error))),
        Value::Int(number) => Ok(Outcome::Number(usize::try_from(*number).map_err(|_| Fault::Misshapen)?)),
        _ => Err(Fault::Misshapen),
    }
}

/// `ASK 3999 127.0.0.1:6381`
fn asked(error: &ServerError) -> Option<Host> {
    let (name, port) = error.details()?.split_once(' ')?.1.rsplit_once(':')?;
    let port = port.trim().parse().ok()?;
    (!name.is_empty()).then(|| Host { name: name.to_owned(), port })
}

impl Taker {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        Self { topology, kept: Mutex::default() }
    }

    /// Sends the commands, each as one that the old node has sent us here with.
    pub(super) async fn ask(
        &self,
        host: Host,
        commands: impl Iterator<Item = redis::Cmd>,
        limit: Duration,
    ) -> Result<Vec<Value>, String> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.cmd("ASKING").add_command(command);
        }
        let mut kept = self.kept.lock().await;
        let mut connection = match kept.take() {
            Some((there, connection)) if there == host => connection,
            _ => self.topology.reach(&host).await?,
        };
        match timeout(limit, connection.send_packed_commands(&pipeline, 0, pipeline.len())).await {
            Ok(Ok(values)) => {
                *kept = Some((host, connection));
                Ok(values.into_iter().skip(1).step_by(2).collect())
            }
            Ok(Err(error)) => Err(reply::failure(&error)),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_takes_a_key_is_read_from_the_answer() {
        let host = |line: &str| {
            let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
            match outcome(&value) {
                Ok(Outcome::Elsewhere(host)) => Ok(host.to_string()),
                Ok(Outcome::Number(number)) => Ok(number.to_string()),
                Err(Fault::Refused(reason)) => Err(reason.split(' ').next().unwrap().to_owned()),
                Err(Fault::Misshapen) => Err("misshapen".to_owned()),
            }
        };
        assert_eq!(host("ASK 3999 127.0.0.1:6381").as_deref(), Ok("127.0.0.1:6381"));
        assert_eq!(host("ASK 3999 ::1:6381").as_deref(), Ok("::1:6381"));
        for (line, code) in [
            ("ASK", "ASK"),
            ("ASK 3999", "ASK"),
            ("ASK 3999 :6381", "ASK"),
            ("ASK 3999 host:secret", "ASK"),
            ("TRYAGAIN x", "TRYAGAIN"),
        ] {
            assert_eq!(host(line), Err(code.to_owned()), "{line}");
        }
        assert!(matches!(outcome(&Value::Int(2)), Ok(Outcome::Number(2))));
        assert!(matches!(outcome(&Value::Nil), Err(Fault::Misshapen)));
    }
}
