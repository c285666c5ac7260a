//! Making one connection: protocol version, login, and who answers at the other end.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, ProtocolVersion, PushInfo, PushKind,
    RedisError, ServerErrorKind,
    aio::{MultiplexedConnection, PubSub, SendError},
};
use tokio::time::timeout;

use super::{
    command,
    config::Plan,
    introduction::{Introduction, Setting, introduced},
    rehearsal::Rehearsal,
    reply,
    topology::{Place, Topology},
};

/// Commands that wait in a connection's queue for their turn to be written. More than the client
/// library's 50, so that a call is in the queue, and has its place in the order, as soon as it is
/// first polled.
const QUEUE: usize = 1024;

/// Connects, again and again over the life of a store, to whoever is the primary.
pub(super) struct Dialer {
    topology: Arc<Topology>,
    connect_timeout: Duration,
    /// How long a fresh connection may take to answer its first question.
    patience: Duration,
    rehearsal: Option<Arc<Rehearsal>>,
}

/// A connection that has answered.
pub(super) struct Dialed {
    pub(super) connection: MultiplexedConnection,
    /// Who is at its other end.
    pub(super) server: Introduction,
    /// And where.
    pub(super) at: ConnectionInfo,
}

/// Why nothing can be heard of a server.
pub(super) enum Refusal {
    ForNow(String),
    /// The server does not know how, or this user may not.
    ForGood(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::ForNow(reason)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: RedisError) -> Refusal {
    Refusal::ForNow(reply::failure(&error))
}

impl Dialer {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            topology: plan.topology.clone(),
            connect_timeout: plan.connect_timeout,
            // A server too slow for reads can still take purges; too slow for those, it is of no use.
            patience: plan.read_timeout.max(plan.write_timeout),
            rehearsal: plan.rehearsal.clone(),
        }
    }

    /// What the servers have to be.
    pub(super) fn setting(&self) -> Setting {
        self.topology.setting()
    }

    /// Does a connection to there lead to the primary?
    pub(super) async fn place(&self, at: &ConnectionInfo) -> Place {
        self.topology.place(at).await
    }

    /// How often to look at a connection, unless an idle one is looked at sooner.
    pub(super) fn pace(&self, idle: Duration) -> Duration {
        self.topology.pace(idle)
    }

    /// A connection that has answered a PING, and who is at its other end. `on_loss` is called when it ends, if the protocol
    /// lets us know.
    ///
    /// The error is for logs and callers; it holds no secrets.
    pub(super) async fn dial(&self, on_loss: impl Fn() + Send + Sync + 'static) -> Result<Dialed, String> {
        let at = self.topology.primary().await?;
        let outcome = self.in_time(self.dial_patiently(&at, on_loss)).await;
        let (connection, server) = outcome?;
        Ok(Dialed { connection, server, at })
    }

    /// A connection on which the server may speak unasked; `hear` is called for each time it does, and
    /// once when the connection ends.
    pub(super) async fn dial_for_pushes(
        &self,
        hear: impl Fn(&PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Refusal> {
        let config = plain_config().set_push_sender(move |push: PushInfo| {
            hear(&push);
            Ok::<_, SendError>(())
        });
        let at = self.topology.primary().await.map_err(Refusal::ForNow)?;
        let dial = async {
            let client = client(&at, ProtocolVersion::RESP3).map_err(refused)?;
            let connect = client.get_multiplexed_async_connection_with_config(&config);
            let mut connection = connect.await.map_err(|error| {
                let reason = reply::failure(&error);
                if may_be_about_the_protocol(&error) {
                    Refusal::ForGood(reason)
                } else {
                    Refusal::ForNow(reason)
                }
            })?;
            let question = command::introduction(true, self.setting());
            let answer = connection.send_packed_commands(&question, 0, question.len()).await;
            // Not a replica: it may be behind what purges have said to the primary.
            introduced(answer.map_err(refused)?, self.setting()).map_err(Refusal::ForNow)?;
            Ok(connection)
        };
        self.in_time(dial).await
    }

    /// A connection that has subscribed to these channels.
    pub(super) async fn dial_for_messages(&self, channels: &[String]) -> Result<PubSub, Refusal> {
        let at = self.topology.primary().await.map_err(Refusal::ForNow)?;
        let dial = async {
            let client = client(&at, ProtocolVersion::RESP2).map_err(refused)?;
            let mut connection = client.get_async_pubsub().await.map_err(refused)?;
            match connection.subscribe(channels).await {
                Ok(()) => Ok(connection),
                Err(error) => {
                    let reason = reply::failure(&error);
                    let good = matches!(
                        error.kind(),
                        ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
                    );
                    Err(if good { Refusal::ForGood(reason) } else { Refusal::ForNow(reason) })
                }
            }
        };
        self.in_time(dial).await
    }

    async fn in_time<T, E: From<String>>(&self, dial: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let outcome = match timeout(self.connect_timeout, dial).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no connection within {:?}", self.connect_timeout).into()),
        };
        outcome.inspect_err(|_| self.topology.doubt())
    }

    async fn dial_patiently(
        &self,
        at: &ConnectionInfo,
        on_loss: impl Fn() + Send + Sync + 'static,
    ) -> Result<(MultiplexedConnection, Introduction), String> {
        let mut connection = connect(at, on_loss).await.map_err(|error| reply::failure(&error))?;
        let question = command::introduction(true, self.setting());
        let answer = connection.send_packed_commands(&question, 0, question.len());
        let server = match timeout(self.patience, answer).await {
            Ok(Ok(values)) => introduced(values, self.setting())?,
            Ok(Err(error)) => return Err(reply::failure(&error)),
            Err(_) => return Err(format!("a fresh connection was not answered within {:?}", self.patience)),
        };
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.run(&mut connection, self.patience).await?;
        }
        Ok((connection, server))
    }
}

async fn connect(
    at: &ConnectionInfo,
    on_loss: impl Fn() + Send + Sync + 'static,
) -> Result<MultiplexedConnection, RedisError> {
    let config = plain_config();
    let with_pushes = config.clone().set_push_sender(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            on_loss();
        }
        Ok::<_, SendError>(())
    });
    let resp3 = client(at, ProtocolVersion::RESP3)?;
    match resp3.get_multiplexed_async_connection_with_config(&with_pushes).await {
        Err(error) if may_be_about_the_protocol(&error) => {
            let resp2 = client(at, ProtocolVersion::RESP2)?;
            resp2.get_multiplexed_async_connection_with_config(&config).await
        }
        outcome => outcome,
    }
}

fn client(at: &ConnectionInfo, protocol: ProtocolVersion) -> Result<Client, RedisError> {
    let login = at.redis_settings().clone().set_protocol(protocol);
    Client::open(at.clone().set_redis_settings(login))
}

fn plain_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        // Each call has its own limit, and so has each way to connect.
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE)
}

/// Could RESP2 do better? Servers without HELLO refuse it in many ways, and some proxies just hang
/// up. If it was about something else, the second attempt says so again.
fn may_be_about_the_protocol(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::RESP3NotSupported
        | ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm) => true,
        ErrorKind::Io => error.is_connection_dropped() && !error.is_connection_refusal(),
        _ => error.code() == Some("NOPROTO"),
    }
}
