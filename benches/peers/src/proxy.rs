//! A TCP proxy that counts round trips and keeps what was asked. Nothing is timed through it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// In front of one server.
pub struct Proxy {
    pub address: String,
    line: Arc<Mutex<Line>>,
    listener: JoinHandle<()>,
}

/// What went through, over all connections.
#[derive(Default)]
struct Line {
    /// A round trip is a burst of bytes to the server after bytes from it. With one task that asks.
    bursts: Vec<Vec<u8>>,
    in_burst: bool,
}

#[derive(Clone, Copy)]
enum Direction {
    ToServer,
    FromServer,
}

impl Proxy {
    /// Listens on a port of its own.
    pub async fn start(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (server, line) = (server.to_owned(), Arc::new(Mutex::new(Line::default())));
        let seen = line.clone();
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, seen) = (server.clone(), seen.clone());
                // Whoever loses a connection says so; the proxy has nothing to add.
                tokio::spawn(async move { relay(client, &server, &seen).await.ok() });
            }
        });
        Ok(Self { address, line, listener })
    }

    /// What one step asks: a burst of bytes for each round trip, until nothing more comes.
    pub async fn record<T>(&self, step: impl Future<Output = T>) -> (T, Vec<Vec<u8>>) {
        self.until_quiet().await;
        self.line().bursts.clear();
        let value = step.await;
        self.until_quiet().await;
        (value, self.line().bursts.clone())
    }

    async fn until_quiet(&self) {
        let (mut last, mut still) = (usize::MAX, 0);
        while still < 10 {
            let bytes = self.line().bursts.iter().map(Vec::len).sum();
            still = if bytes == last { still + 1 } else { 0 };
            last = bytes;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn relay(client: TcpStream, server: &str, line: &Mutex<Line>) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    let there = pass(client_in, server_out, Direction::ToServer, line);
    let back = pass(server_in, client_out, Direction::FromServer, line);
    tokio::try_join!(there, back)?;
    Ok(())
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    line: &Mutex<Line>,
) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(to.shutdown().await?);
        }
        line.lock().unwrap_or_else(PoisonError::into_inner).saw(direction, &buffer[..length]);
        to.write_all(&buffer[..length]).await?;
    }
}

impl Line {
    fn saw(&mut self, direction: Direction, bytes: &[u8]) {
        match direction {
            Direction::FromServer => self.in_burst = false,
            Direction::ToServer => {
                if !self.in_burst || self.bursts.is_empty() {
                    self.bursts.push(Vec::new());
                }
                self.in_burst = true;
                if let Some(burst) = self.bursts.last_mut() {
                    burst.extend_from_slice(bytes);
                }
            }
        }
    }
}

/// The Redis commands of a burst.
pub fn commands(burst: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
    let mut rest = burst;
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let mut command = Vec::new();
        for _ in 0..number(&mut rest, b'*')? {
            let length = number(&mut rest, b'$')?;
            command.push(rest.get(..length)?.to_vec());
            rest = rest.get(length + 2..)?;
        }
        commands.push(command);
    }
    Some(commands)
}

/// `*3\r\n`
fn number(rest: &mut &[u8], mark: u8) -> Option<usize> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let digits = rest[..end].strip_prefix(&[mark])?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    *rest = &rest[end + 2..];
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_as_the_commands_that_it_holds() {
        let burst = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n";
        let expected = vec![vec![b"PING".to_vec()], vec![b"GET".to_vec(), b"\r\n".to_vec()]];
        assert_eq!(commands(burst), Some(expected));
        assert_eq!(commands(b"*1\r\n$4\r\nPI"), None);
    }
}
