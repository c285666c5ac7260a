//! Ports, and a first word with who answers there.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A port of 127.0.0.1 that nobody listens on, from below the range that systems use for outgoing connections:
/// from that range it could be somebody's outgoing one a moment later.
pub fn free_port() -> u16 {
    loop {
        // The seed of the standard library's hash maps is random enough.
        let port = 10_000 + (RandomState::new().build_hasher().finish() % 10_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Says `hello` to who listens on a port, and returns the beginning of the answer.
pub fn greet(port: u16, hello: &[u8]) -> io::Result<Vec<u8>> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(hello)?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
