//! A span for each round trip, with the names of OpenTelemetry's semantic conventions for databases
//! (`db.system.name`, `db.operation.name`, `server.address`). Without keys: they hold data.

use redis::{ConnectionInfo, Pipeline};
use tracing::{Level, Span, field::Empty};

use super::address::host_of;

/// Costs a look at whether somebody listens, if nobody does.
pub(super) fn of(operation: &'static str, commands: &Pipeline, server: &ConnectionInfo) -> Span {
    if !tracing::enabled!(Level::DEBUG) {
        return Span::none();
    }
    let host = host_of(server);
    let command = command(operation);
    let count = commands.len();
    tracing::debug_span!(
        "redis",
        "otel.name" = command,
        "otel.kind" = "client",
        "db.system.name" = "redis",
        "db.operation.name" = command,
        "db.operation.batch.size" = (count > 1).then_some(count),
        "server.address" = host.as_ref().map(|host| host.name.as_str()),
        "server.port" = host.as_ref().map(|host| host.port),
        "error.type" = Empty,
        "what" = operation,
    )
}

/// The command that gives the question its name.
fn command(operation: &str) -> &'static str {
    match operation {
        "a read" => "MGET",
        "a write" | "a lease" | "a beat" => "SET",
        "a barrier" | "a purge" | "a rate limit" => "EVALSHA",
        "a delete" => "UNLINK",
        "a scan" => "SCAN",
        "a ping" => "PING",
        _ => "INFO",
    }
}
