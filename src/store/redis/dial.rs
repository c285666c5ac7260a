//! Making one connection: protocol version, login, and who answers at the other end.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError,
    ServerErrorKind,
    aio::{MultiplexedConnection, SendError},
};
use tokio::time::timeout;

use super::{
    command,
    config::Plan,
    reply::{self, Introduction},
};
use crate::store::StoreError;

/// Commands that wait in a connection's queue for their turn to be written. More than the client
/// library's 50, so that a call is in the queue, and has its place in the order, as soon as it is
/// first polled.
const QUEUE: usize = 1024;

/// Connects, again and again over the life of a store.
pub(super) struct Dialer {
    resp3: Client,
    resp2: Client,
    connect_timeout: Duration,
    /// How long a fresh connection may take to answer its first question.
    patience: Duration,
}

impl Dialer {
    pub(super) fn new(plan: &Plan) -> Result<Self, StoreError> {
        let open = |protocol| {
            let login = plan.server.redis_settings().clone().set_protocol(protocol);
            Client::open(plan.server.clone().set_redis_settings(login))
                .map_err(|error| StoreError::Config(format!("the Redis client: {}", error.category())))
        };
        Ok(Self {
            resp3: open(ProtocolVersion::RESP3)?,
            resp2: open(ProtocolVersion::RESP2)?,
            connect_timeout: plan.connect_timeout,
            // A server too slow for reads can still take purges; too slow for those, it is of no use.
            patience: plan.read_timeout.max(plan.write_timeout),
        })
    }

    /// A connection that has answered a PING, and who is at its other end. `on_loss` is called when it ends, if the protocol
    /// lets us know.
    ///
    /// The error is for logs and callers; it holds no secrets.
    pub(super) async fn dial(
        &self,
        on_loss: impl Fn() + Send + Sync + 'static,
    ) -> Result<(MultiplexedConnection, Introduction), String> {
        match timeout(self.connect_timeout, self.dial_patiently(on_loss)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no connection within {:?}", self.connect_timeout)),
        }
    }

    /// A connection on which the server may speak unasked; `hear` is called for each time it does, and
    /// once when the connection ends.
    pub(super) async fn dial_for_pushes(
        &self,
        hear: impl Fn(&PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, String> {
        let config = plain_config().set_push_sender(move |push: PushInfo| {
            hear(&push);
            Ok::<_, SendError>(())
        });
        let dial = async {
            let connect = self.resp3.get_multiplexed_async_connection_with_config(&config);
            let mut connection = connect.await.map_err(|error| reply::failure(&error))?;
            let question = command::introduction(true);
            let answer = connection.send_packed_commands(&question, 0, question.len()).await;
            // Not a replica: it may be behind what purges have said to the primary.
            reply::introduced(answer.map_err(|error| reply::failure(&error))?)?;
            Ok(connection)
        };
        match timeout(self.connect_timeout, dial).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no connection within {:?}", self.connect_timeout)),
        }
    }

    async fn dial_patiently(
        &self,
        on_loss: impl Fn() + Send + Sync + 'static,
    ) -> Result<(MultiplexedConnection, Introduction), String> {
        let mut connection = self.connect(on_loss).await.map_err(|error| reply::failure(&error))?;
        let question = command::introduction(true);
        let answer = connection.send_packed_commands(&question, 0, question.len());
        match timeout(self.patience, answer).await {
            Ok(Ok(values)) => Ok((connection, reply::introduced(values)?)),
            Ok(Err(error)) => Err(reply::failure(&error)),
            Err(_) => Err(format!("a fresh connection was not answered within {:?}", self.patience)),
        }
    }

    async fn connect(
        &self,
        on_loss: impl Fn() + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = plain_config();
        let with_pushes = config.clone().set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                on_loss();
            }
            Ok::<_, SendError>(())
        });
        match self.resp3.get_multiplexed_async_connection_with_config(&with_pushes).await {
            Err(error) if may_be_about_the_protocol(&error) => {
                self.resp2.get_multiplexed_async_connection_with_config(&config).await
            }
            outcome => outcome,
        }
    }
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
