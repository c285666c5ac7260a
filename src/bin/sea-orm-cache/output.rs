//! Where answers go: text for people, or JSON.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde_json::Value;

#[derive(Debug)]
pub struct Output {
    to: BufWriter<Stdout>,
    json: bool,
    colours: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Colour {
    Green,
    Yellow,
    Red,
}

impl Output {
    pub fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let colours = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self { to: BufWriter::new(stdout), json, colours }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One answer in either form.
    pub fn answer(
        &mut self,
        document: &Value,
        text: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.json { self.document(document) } else { text(self) }
    }

    pub fn document(&mut self, document: &Value) -> io::Result<()> {
        writeln!(self.to, "{document}")
    }

    pub fn line(&mut self, line: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.to, "{}", plain(line.as_ref()))
    }

    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    /// The text in a colour, if there is somebody to see it.
    pub fn painted(&mut self, colour: Colour, text: &str) -> io::Result<()> {
        let text = plain(text);
        if !self.colours {
            return write!(self.to, "{text}");
        }
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        write!(self.to, "\x1b[{code}m{text}\x1b[0m")
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What others wrote into the store must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
