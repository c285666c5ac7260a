//! A process of a system, as the one that gives the orders has it.

use std::{env, process::Stdio};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{self, ChildStdin, ChildStdout, Command},
};

use super::worker::{Order, Outcome, Role};

/// Ends with this process at the latest.
pub struct Child {
    process: process::Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// This program once more, and waits until it is connected.
    pub async fn start(role: &Role) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--worker").arg(serde_json::to_string(role)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("cannot start a process of our own")?;
        let orders = process.stdin.take().context("its input is ours")?;
        let answers = BufReader::new(process.stdout.take().context("its output is ours")?).lines();
        let mut child = Self { process, orders, answers };
        child.listen().await?;
        Ok(child)
    }

    pub async fn tell(&mut self, order: &Order) -> Result<()> {
        let line = serde_json::to_string(order)? + "\n";
        self.orders.write_all(line.as_bytes()).await?;
        Ok(self.orders.flush().await?)
    }

    pub async fn listen(&mut self) -> Result<Outcome> {
        loop {
            let line = self.answers.next_line().await?.context("a process ended; what it said is above")?;
            // A library may print, too.
            if line.starts_with('{') {
                return Ok(serde_json::from_str(&line)?);
            }
        }
    }

    /// Lets it go.
    pub async fn end(self) -> Result<()> {
        let Self { mut process, orders, .. } = self;
        drop(orders);
        let status = process.wait().await?;
        ensure!(status.success(), "a process of a system: {status}");
        Ok(())
    }
}
