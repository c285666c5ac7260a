//! What the server says of itself in INFO, for operators.

use redis::{Pipeline, Value};

use super::{
    introduction::{field, into_text},
    reply::Fault,
};
use crate::store::ServerFacts;

/// One round trip. Each section on its own: servers before version 7 take one at a time.
pub(super) fn question() -> Pipeline {
    let mut pipeline = redis::pipe();
    for section in ["server", "memory", "stats", "replication"] {
        pipeline.cmd("INFO").arg(section);
    }
    pipeline
}

/// A user who may not call INFO is told nothing, and that is no error.
pub(super) fn facts(values: Vec<Value>) -> Result<ServerFacts, Fault> {
    let info: String = values.into_iter().filter_map(into_text).collect();
    let text = |name| field(&info, name).filter(|text| !text.is_empty());
    let number = |name| text(name)?.parse::<u64>().ok();
    let word = |name| text(name).filter(|text| text.len() <= 40).map(str::to_owned);
    Ok(ServerFacts {
        version: word("valkey_version").or_else(|| word("redis_version")),
        uptime_seconds: number("uptime_in_seconds"),
        memory_bytes: number("used_memory"),
        // Zero is no limit.
        memory_limit: number("maxmemory").filter(|limit| *limit > 0),
        eviction_policy: word("maxmemory_policy"),
        evicted_keys: number("evicted_keys"),
        is_replica: text("role").map(|role| role == "slave"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_and_what_it_does_not_say_is_left_open() {
        let said = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:2097152\r\n\
                    maxmemory_policy:allkeys-lru\r\n";
        let stats = "evicted_keys:7\r\nrole:master\r\nredis_version:7.2.4\r\nuptime_in_seconds:12\r\n";
        let facts = |texts: &[&str]| {
            facts(texts.iter().map(|text| Value::BulkString(text.as_bytes().to_vec())).collect()).unwrap()
        };
        let known = facts(&[said, stats]);
        assert_eq!((known.memory_bytes, known.memory_limit), (Some(1 << 20), Some(2 << 20)));
        assert_eq!(known.eviction_policy.as_deref(), Some("allkeys-lru"));
        assert_eq!((known.evicted_keys, known.is_replica), (Some(7), Some(false)));
        assert_eq!((known.version.as_deref(), known.uptime_seconds), (Some("7.2.4"), Some(12)));
        assert_eq!(
            facts(&["maxmemory:0\r\nmaxmemory_policy:\r\nused_memory:lots\r\n"]),
            ServerFacts::default()
        );
        assert_eq!(facts(&[]), ServerFacts::default());
    }
}
