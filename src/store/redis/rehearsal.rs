//! What a fresh connection is tried with: every command that is needed, on a key of the namespace, so
//! that what a server lacks, or a user may not do, is known before it is missed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{Pipeline, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    command::{self, Naming},
    introduction::{field, into_text},
    reply,
};
use crate::store::{Arm, EntryKey, Fate, Release, Stamp, TagKey, TagProbe, WriterId};

const LIFE: Duration = Duration::from_secs(1);
/// Older ones are not tested.
const OLDEST: (u32, u32) = (6, 2);

pub(super) struct Rehearsal {
    /// What the keys of the namespace begin with.
    prefix: String,
    /// What was said last about what is missing, to say it once.
    said: Mutex<Vec<String>>,
}

impl Rehearsal {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, said: Mutex::default() }
    }

    /// Says what is missing. The error is something without which nothing works.
    pub(super) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        limit: Duration,
    ) -> Result<(), String> {
        let stamp = Stamp::fresh();
        let pipeline = script(&format!("{}~rehearsal.{stamp}", self.prefix), stamp);
        let limit = limit.saturating_mul(2);
        let values = match timeout(limit, connection.send_packed_commands(&pipeline, 0, pipeline.len())).await
        {
            Ok(Ok(values)) => values,
            Ok(Err(error)) => return Err(reply::failure(&error)),
            Err(_) => return Err(format!("a fresh connection was not answered within {limit:?}")),
        };
        let missing = review(values)?;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != missing {
            for what in &missing {
                tracing::warn!(missing = what, "the cache store cannot do all that it could");
            }
            *said = missing;
        }
        Ok(())
    }
}

/// In the order of [`NEEDED`], and then the questions of [`review`].
fn script(key: &str, stamp: Stamp) -> Pipeline {
    let (tag, entry, writer) = (TagKey::from_full(key), EntryKey::from_full(key), WriterId::fresh());
    let arm = Arm { writer, tags: vec![(tag.clone(), 0)], life: LIFE };
    let tags = vec![(tag.clone(), Fate::Purge)];
    let release = Release { writer, tags, entries: vec![entry], store: Vec::new(), settle: Duration::ZERO };
    let mut pipeline = command::read(&[], &[TagProbe { key: tag.clone(), propose: Some((stamp, LIFE)) }]);
    for step in [
        command::write(&[], &[(tag, LIFE)]),
        command::arm(&arm, Naming::Text),
        command::release(&release, Naming::Hash),
    ] {
        for command in step.cmd_iter() {
            pipeline.add_command(command.clone());
        }
    }
    pipeline.cmd("INFO").arg("server").cmd("INFO").arg("memory");
    pipeline
}

/// The commands, and whether nothing works without.
const NEEDED: [(&str, Option<&str>); 6] = [
    ("SET with PX and NX", None),
    ("MGET", None),
    (
        "PEXPIRE",
        Some("PEXPIRE with GT (Redis 7): an entry with a longer life than others ends with their stamps"),
    ),
    ("EVAL, and GET, SET, DEL, PTTL, TIME in a script", None),
    ("EVALSHA, and GET, SET, DEL, PTTL, TIME in a script", None),
    ("UNLINK", None),
];

fn review(values: Vec<Value>) -> Result<Vec<String>, String> {
    if values.len() != NEEDED.len() + 2 {
        return Err("the server's first replies make no sense".to_owned());
    }
    let mut missing = Vec::new();
    for ((command, without), value) in NEEDED.iter().zip(&values) {
        match value {
            // What else is wrong (memory is full, a slot is moved) may be right in a moment.
            Value::ServerError(error) if reply::is_unsupported(error) => match without {
                None => {
                    let code = reply::refusal(error);
                    return Err(format!(
                        "the server or this user cannot do {command}, which is needed: {code}"
                    ));
                }
                Some(without) => missing.push((*without).to_owned()),
            },
            _ => {}
        }
    }
    let info: String = values.into_iter().skip(NEEDED.len()).filter_map(into_text).collect();
    if info.is_empty() {
        missing.push(
            "INFO: after a restart from a snapshot, or a failover behind one address, entries from before \
             may be served"
                .to_owned(),
        );
    }
    let version = field(&info, "redis_version").and_then(|version| {
        let mut parts = version.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    if let Some((major, minor)) = version.filter(|version| *version < OLDEST) {
        let (oldest, point) = OLDEST;
        missing.push(format!("it is Redis {major}.{minor}, older than the {oldest}.{point} that is tested"));
    }
    let bounded = field(&info, "maxmemory").is_some_and(|bytes| bytes != "0");
    if bounded && field(&info, "maxmemory_policy") == Some("noeviction") {
        missing.push(
            "eviction: with maxmemory-policy noeviction nothing new is stored once its memory is full; \
             allkeys-lru or volatile-lru makes room"
                .to_owned(),
        );
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn played(spoilt: Option<(usize, &str)>, server: &str, memory: &str) -> Result<Vec<String>, String> {
        let text = |text: &str| Value::BulkString(text.into());
        let mut values = vec![Value::Okay; NEEDED.len()];
        if let Some((step, line)) = spoilt {
            values[step] = error(line);
        }
        values.extend([text(server), text(memory)]);
        review(values)
    }

    const SERVER: &str = "redis_version:7.0.15\r\n";
    const MEMORY: &str = "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n";

    #[test]
    fn every_command_that_is_sent_is_reviewed() {
        assert_eq!(script("n:k", Stamp::fresh()).len(), NEEDED.len() + 2);
        let names = script("n:k", Stamp::fresh());
        let names = names.cmd_iter().map(|command| match command.args_iter().next() {
            Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        });
        for (sent, (named, _)) in names.zip(NEEDED) {
            assert!(named.starts_with(&sent), "{sent}: {named}");
        }
    }

    #[test]
    fn what_is_needed_is_refused_and_what_is_not_is_said() {
        assert_eq!(played(None, SERVER, MEMORY), Ok(vec![]));
        for (step, (command, without)) in NEEDED.iter().enumerate() {
            for line in
                ["NOPERM this user has no permissions for key n:secret", "ERR unknown command, n:secret"]
            {
                let told = match (played(Some((step, line)), SERVER, MEMORY), without) {
                    (Err(reason), None) => reason,
                    (Ok(missing), Some(_)) => missing.concat(),
                    (other, _) => panic!("{command}: {other:?}"),
                };
                assert!(told.contains(command) && !told.contains("secret"), "{told}");
            }
            assert_eq!(played(Some((step, "OOM full")), SERVER, MEMORY), Ok(vec![]));
        }
        for (server, memory, word) in [
            ("", "", "INFO"),
            ("redis_version:5.0.14\r\n", MEMORY, "6.2"),
            (SERVER, "maxmemory:1000000\r\nmaxmemory_policy:noeviction\r\n", "eviction"),
        ] {
            let missing = played(None, server, memory).unwrap();
            assert!(missing.len() == 1 && missing[0].contains(word), "{missing:?}");
        }
        let evicts = played(None, SERVER, "maxmemory:1000000\r\nmaxmemory_policy:allkeys-lru\r\n");
        assert_eq!(evicts, Ok(vec![]));
        assert!(review(vec![]).is_err());
    }
}
