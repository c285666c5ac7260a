//! Where the primary is. Asked before each connection, for it moves.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ProtocolVersion, Value, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use super::{
    address::{Host, host_of},
    cluster::Nodes,
    introduction::Setting,
    reply,
    sentinel::Sentinels,
};

/// How often a connection is held against what is said about the primary, where that can change
/// without a word to us.
const LOOK: Duration = Duration::from_secs(2);

/// Where the primary is, or who knows.
pub(super) enum Topology {
    Fixed(ConnectionInfo),
    Sentinel(Sentinels),
    Cluster(Nodes),
}

/// Whether a connection leads to where it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Right,
    Wrong,
    /// Nobody says.
    Unknown,
}

impl Topology {
    /// Whom to connect to. The error holds no secrets.
    pub(super) async fn primary(&self) -> Result<ConnectionInfo, String> {
        match self {
            Self::Fixed(server) => Ok(server.clone()),
            Self::Sentinel(sentinels) => sentinels.primary().await,
            Self::Cluster(nodes) => nodes.primary().await,
        }
    }

    /// A connection to a node that another one has named.
    pub(super) async fn reach(&self, host: &Host) -> Result<MultiplexedConnection, String> {
        match self {
            Self::Cluster(nodes) => nodes.reach(host).await,
            Self::Fixed(_) | Self::Sentinel(_) => Err("the server is not part of a cluster".to_owned()),
        }
    }

    /// Who was named could not be used; next time others are asked first.
    pub(super) fn doubt(&self) {
        if let Self::Cluster(nodes) = self {
            nodes.doubt();
        }
    }

    /// Is this still the primary? A server says by itself that it is a replica, and a node of a
    /// cluster that a slot is another's. What Sentinel has decided a primary may not know yet.
    pub(super) async fn place(&self, server: &ConnectionInfo) -> Place {
        match self {
            Self::Fixed(_) | Self::Cluster(_) => Place::Right,
            Self::Sentinel(sentinels) => match (sentinels.vote().await, host_of(server)) {
                (Ok(primary), Some(here)) if primary == here => Place::Right,
                (Ok(_), _) => Place::Wrong,
                (Err(_), _) => Place::Unknown,
            },
        }
    }

    /// What a server has to be.
    pub(super) fn setting(&self) -> Setting {
        match self {
            Self::Fixed(_) => Setting::Alone,
            Self::Sentinel(_) => Setting::Watched,
            Self::Cluster(_) => Setting::Clustered,
        }
    }

    /// How often to look at a connection, unless an idle one is looked at sooner.
    pub(super) fn pace(&self, idle: Duration) -> Duration {
        match self {
            Self::Fixed(_) => idle,
            Self::Sentinel(_) | Self::Cluster(_) => idle.min(LOOK),
        }
    }
}

/// A connection for a question or two about where things are.
pub(super) async fn reach(node: &ConnectionInfo, limit: Duration) -> Result<MultiplexedConnection, String> {
    let login = node.redis_settings().clone().set_protocol(ProtocolVersion::RESP2).set_db(0);
    let client =
        Client::open(node.clone().set_redis_settings(login)).map_err(|error| reply::failure(&error))?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    match timeout(limit, client.get_multiplexed_async_connection_with_config(&config)).await {
        Ok(outcome) => outcome.map_err(|error| reply::failure(&error)),
        Err(_) => Err(format!("no connection within {limit:?}")),
    }
}

pub(super) async fn put(
    connection: &mut MultiplexedConnection,
    question: &Cmd,
    limit: Duration,
) -> Result<Value, String> {
    match timeout(limit, connection.send_packed_command(question)).await {
        Ok(Ok(Value::ServerError(error))) => Err(reply::refusal(&error)),
        Ok(outcome) => outcome.map_err(|error| reply::failure(&error)),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

/// A host and a port as two replies say it. An empty host is the one that was asked.
pub(super) fn host(name: Option<&Value>, port: Option<&Value>, asked: &str) -> Option<Host> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    };
    let name = match name? {
        Value::Nil => String::new(),
        name => text(name)?,
    };
    let name = if name.is_empty() || name == "?" { asked.to_owned() } else { name };
    let port = text(port?)?.parse().ok().filter(|port| *port != 0)?;
    Some(Host { name, port })
}
