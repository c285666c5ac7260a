//! What Redis is asked while something runs: its own MONITOR, read from a connection of our own.

use anyhow::{Context, Result, bail};
use redis::aio::MultiplexedConnection;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::place::Place;

/// A command: its name in upper case, then its arguments.
pub type Command = Vec<Vec<u8>>;

/// A connection that sees every command.
pub struct Monitor {
    lines: BufReader<TcpStream>,
    own: MultiplexedConnection,
}

impl Monitor {
    /// Begins to look.
    pub async fn start(place: &Place) -> Result<Self> {
        // Before the looking begins, so that it is not seen.
        let own = place.redis().await?;
        let address = place.redis_url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
        let mut stream =
            TcpStream::connect(&address).await.with_context(|| format!("cannot reach {address}"))?;
        stream.write_all(b"MONITOR\r\n").await?;
        let mut lines = BufReader::new(stream);
        let mut answer = String::new();
        lines.read_line(&mut answer).await?;
        if answer.trim() != "+OK" {
            bail!("Redis does not let us MONITOR: {answer}");
        }
        Ok(Self { lines, own })
    }

    /// What clients have asked since the last look; not what scripts did.
    pub async fn look(&mut self) -> Result<Vec<Command>> {
        const END: &str = "end of this look";
        redis::cmd("ECHO").arg(END).exec_async(&mut self.own).await?;
        let mut commands = Vec::new();
        loop {
            let mut line = Vec::new();
            if self.lines.read_until(b'\n', &mut line).await? == 0 {
                bail!("Redis hung up on MONITOR");
            }
            let Some((by_script, command)) = parsed(&line) else { continue };
            if command.get(1).is_some_and(|it| it == END.as_bytes()) {
                return Ok(commands);
            }
            if !by_script {
                commands.push(command);
            }
        }
    }
}

/// `+1763724000.123456 [0 127.0.0.1:50000] "MGET" "a" "b"`; a script's calls have `[0 lua]`.
fn parsed(line: &[u8]) -> Option<(bool, Command)> {
    let bracket = line.iter().position(|&byte| byte == b']')?;
    let by_script = line[..bracket].ends_with(b" lua");
    let mut command = Vec::new();
    let mut rest = line[bracket + 1..].iter().copied();
    while rest.by_ref().any(|byte| byte == b'"') {
        let mut argument = Vec::new();
        loop {
            match rest.next()? {
                b'"' => break,
                b'\\' => argument.push(match rest.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = [rest.next()?, rest.next()?];
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                    other => other,
                }),
                byte => argument.push(byte),
            }
        }
        command.push(argument);
    }
    command.first_mut()?.make_ascii_uppercase();
    Some((by_script, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_monitor_is_read_with_its_escapes() {
        let line = br#"+1.2 [0 127.0.0.1:5] "set" "a \"b\"" "\x00\xff\n"
"#;
        let (by_script, command) = parsed(line).expect("a command");
        assert!(!by_script);
        assert_eq!(command, [b"SET".to_vec(), b"a \"b\"".to_vec(), vec![0, 255, b'\n']]);
    }

    #[test]
    fn what_a_script_calls_is_told_apart() {
        assert!(parsed(b"+1.2 [0 lua] \"get\" \"a\"\n").expect("a command").0);
    }
}
