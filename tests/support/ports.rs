//! Ports for servers that come and go.

use std::net::TcpListener;

use super::names::random;

/// A port of 127.0.0.1 that nobody listens on, from below the range that systems use for outgoing connections:
/// a client that keeps dialling a dead server on a port of that range can end up connected to itself, and keep
/// the port.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + (random() % 10_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
