//! What a server says, and what it means. Nothing here trusts the shape of a reply, and nothing
//! lets a server's words out: they may quote keys.

use bytes::Bytes;
use redis::{ErrorKind, RedisError, ServerError, Value};

use super::introduction::Setting;
use crate::store::{Found, TagState};

/// Why an answer is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server answered with an error: its code, and what that means.
    Refused(String),
    /// An answer that cannot belong to the question. Nothing on the same connection can be trusted
    /// any more: question and answer are out of step.
    Misshapen,
}

/// Does this error mean that the server is no longer the one to talk to? A fresh connection may
/// find the right one: after a failover the address leads to the new primary, after a change of
/// password the new login counts. Of a cluster the other nodes are asked.
pub(super) fn ends_the_connection(error: &ServerError, setting: Setting) -> bool {
    match error.code() {
        "READONLY" | "LOADING" | "MASTERDOWN" | "NOAUTH" => true,
        "MOVED" | "CLUSTERDOWN" => setting == Setting::Clustered,
        _ => false,
    }
}

/// The server does not know the command in this form, or not for this user.
pub(super) fn is_unsupported(error: &ServerError) -> bool {
    matches!(error.code(), "ERR" | "NOPERM")
}

/// A server's error without its text.
pub(super) fn refusal(error: &ServerError) -> String {
    explain(error.code())
}

pub(super) fn explain(code: &str) -> String {
    let meaning = match code {
        "OOM" => "the server is at its memory limit and evicts nothing",
        "READONLY" => "the server is a read-only replica",
        "LOADING" => "the server is loading its data",
        "MASTERDOWN" => "the server is a replica without its primary",
        "MISCONF" => "the server cannot save its data and refuses writes",
        "NOREPLICAS" => "the server has too few replicas and refuses writes",
        "NOAUTH" => "the server wants a password",
        "WRONGPASS" => "the user name or the password is wrong",
        "NOPERM" => "the user may not run this command, or not on these keys",
        "WRONGTYPE" => "a key holds another type of value; something else writes in this namespace",
        "MOVED" => "another node of the cluster has the namespace's slot",
        "ASK" | "TRYAGAIN" => "the namespace's slot is just being moved to another node of the cluster",
        "CROSSSLOT" => "the server is part of a cluster, and the namespace is not in one slot of it",
        "CLUSTERDOWN" => "the cluster does not serve the namespace's slot",
        "BUSY" => "a script blocks the server",
        _ => {
            // A code is one word in capitals; whatever else comes in its place is not shown.
            let sound = (1..=20).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase());
            return if sound { code.to_owned() } else { "ERR".to_owned() };
        }
    };
    format!("{code} ({meaning})")
}

/// Why the client failed, without anything that was configured or sent.
pub(super) fn failure(error: &RedisError) -> String {
    if let Some(code) = error.code() {
        return explain(code);
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => explain("WRONGPASS"),
        ErrorKind::Parse => "the answer is not in Redis' protocol; is it a Redis server?".to_owned(),
        ErrorKind::Io if error.is_connection_dropped() && !error.is_connection_refusal() => {
            "the connection was closed".to_owned()
        }
        // The operating system's words: refused, no route, no such name. Nothing of ours.
        ErrorKind::Io => error.to_string(),
        _ => error.category().to_owned(),
    }
}

fn server_error(value: &Value) -> Result<(), Fault> {
    match value {
        Value::ServerError(error) => Err(Fault::Refused(refusal(error))),
        _ => Ok(()),
    }
}

fn only(values: Vec<Value>) -> Result<Value, Fault> {
    match <[Value; 1]>::try_from(values) {
        Ok([Value::ServerError(error)]) => Err(Fault::Refused(refusal(&error))),
        Ok([value]) => Ok(value),
        Err(_) => Err(Fault::Misshapen),
    }
}

/// The answers to proposals and one MGET. A proposal that was refused (memory is full, a replica,
/// no leave to write) left its tag as it was, and the MGET says how that is.
pub(super) fn found(
    mut values: Vec<Value>,
    entries: usize,
    tags: usize,
    incarnation: u64,
) -> Result<Found, Fault> {
    let last = values.pop().into_iter().collect();
    for proposal in &values {
        match proposal {
            Value::Okay | Value::Nil => {}
            Value::ServerError(error) => {
                tracing::debug!(reason = refusal(error), "the store refused a proposed stamp");
            }
            _ => return Err(Fault::Misshapen),
        }
    }
    let Value::Array(found) = only(last)? else { return Err(Fault::Misshapen) };
    if found.len() != entries + tags {
        return Err(Fault::Misshapen);
    }
    let mut found = found.into_iter().map(|value| match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(Fault::Misshapen),
    });
    let entries = found.by_ref().take(entries).map(|value| Ok(value?.map(Bytes::from)));
    Ok(Found {
        entries: entries.collect::<Result<_, _>>()?,
        tags: found.map(|value| Ok(TagState::parse(value?.as_deref()))).collect::<Result<_, _>>()?,
        incarnation,
    })
}

/// Whether the server knows `PEXPIRE ... GT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    Known,
    Unknown,
}

/// The answers to the SETs of `entries` entries and to the PEXPIREs after them. Only an entry that
/// was not stored is an error: a tag whose life was not extended costs a miss.
pub(super) fn stored(values: Vec<Value>, entries: usize) -> Result<Extension, Fault> {
    if values.len() < entries {
        return Err(Fault::Misshapen);
    }
    let (sets, extensions) = values.split_at(entries);
    for set in sets {
        server_error(set)?;
        if !matches!(set, Value::Okay) {
            return Err(Fault::Misshapen);
        }
    }
    let mut known = Extension::Known;
    for extension in extensions {
        match extension {
            Value::Int(_) => {}
            Value::ServerError(error) if is_unsupported(error) => known = Extension::Unknown,
            Value::ServerError(error) => {
                tracing::debug!(reason = refusal(error), "the store did not extend a tag's life");
            }
            _ => return Err(Fault::Misshapen),
        }
    }
    Ok(known)
}

/// The answers to some UNLINKs: how many keys were there.
pub(super) fn removed(values: &[Value]) -> Result<u64, Fault> {
    let mut removed: u64 = 0;
    for value in values {
        server_error(value)?;
        let Value::Int(count) = value else { return Err(Fault::Misshapen) };
        removed = removed.saturating_add(u64::try_from(*count).map_err(|_| Fault::Misshapen)?);
    }
    Ok(removed)
}

/// What became of some calls of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scripted {
    /// The sum of what they answered.
    Sum(usize),
    /// The server does not have the script (any longer).
    Unknown,
    /// The keys are being moved to another node of a cluster; some may be there.
    Moving,
}

/// The answers to some calls of a script, each a number; behind them to some UNLINKs.
pub(super) fn scripted(values: &[Value], calls: usize, stored: usize) -> Result<Scripted, Fault> {
    // Whether something was stored, for which there may be no memory, makes no difference to a purge.
    let counted = values.len().checked_sub(stored).filter(|counted| *counted >= calls);
    let (calls, removals) = values[..counted.ok_or(Fault::Misshapen)?].split_at(calls);
    let any = |codes: &[&str]| {
        calls.iter().any(|value| matches!(value, Value::ServerError(error) if codes.contains(&error.code())))
    };
    if any(&["NOSCRIPT"]) {
        return Ok(Scripted::Unknown);
    }
    if any(&["ASK", "TRYAGAIN"]) {
        return Ok(Scripted::Moving);
    }
    let moving = |error: &ServerError| matches!(error.code(), "ASK" | "TRYAGAIN");
    // Entries that cannot be dropped meanwhile are as invalid as those that are.
    if !removals.iter().any(|value| matches!(value, Value::ServerError(error) if moving(error))) {
        removed(removals)?;
    }
    let sum = removed(calls)?;
    Ok(Scripted::Sum(usize::try_from(sum).unwrap_or(usize::MAX)))
}

/// The answer to a SET with NX: was it set?
pub(super) fn taken(values: Vec<Value>) -> Result<bool, Fault> {
    match only(values)? {
        Value::Okay => Ok(true),
        Value::Nil => Ok(false),
        _ => Err(Fault::Misshapen),
    }
}

/// The answer to a PING.
pub(super) fn pong(values: Vec<Value>) -> Result<(), Fault> {
    match only(values)? {
        Value::SimpleString(text) if text == "PONG" => Ok(()),
        Value::BulkString(text) if text == b"PONG" => Ok(()),
        _ => Err(Fault::Misshapen),
    }
}

/// The answer to a SCAN: where to go on (zero at the end), and the keys that are text.
pub(super) fn page(values: Vec<Value>) -> Result<(u64, Vec<String>), Fault> {
    let Value::Array(parts) = only(values)? else { return Err(Fault::Misshapen) };
    let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(parts) else {
        return Err(Fault::Misshapen);
    };
    let cursor = std::str::from_utf8(&cursor).ok().and_then(|text| text.parse().ok());
    let text = |key| match key {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    };
    Ok((cursor.ok_or(Fault::Misshapen)?, keys.into_iter().filter_map(text).collect()))
}

#[cfg(test)]
mod tests {
    use super::{super::introduction::introduced, *};

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_refusal_tells_the_code_and_never_a_key() {
        for line in [
            "OOM command not allowed when used memory > 'maxmemory', secret-key",
            "ERR unknown command 'UNLINK', with args beginning with: 'secret-key' ",
            "MOVED 3999 secret-key:6381",
            "secret-key is not a code",
            "secret-key",
            "SECRETKEYTHATISTOOLONGTOBEACODE secret-key",
            "",
        ] {
            let Err(Fault::Refused(reason)) = removed(&[error(line)]) else { panic!("{line}") };
            assert!(!reason.to_lowercase().contains("secret"), "{line}: {reason}");
        }
        assert_eq!(removed(&[error("ERR odd")]), Err(Fault::Refused("ERR".to_owned())));
    }

    #[test]
    fn replies_of_the_wrong_shape_are_faults_and_never_a_panic() {
        let odd = [
            vec![],
            vec![Value::Int(-1)],
            vec![Value::SimpleString("QUEUED".to_owned())],
            vec![bulk("x")],
            vec![Value::Array(vec![])],
            vec![Value::Array(vec![Value::Int(1)])],
            vec![Value::Array(vec![bulk("x"), Value::Array(vec![])])],
            vec![Value::Array(vec![Value::Nil; 3])],
            vec![Value::Map(vec![])],
            vec![Value::Boolean(true)],
            vec![Value::Okay, Value::Nil, Value::Okay],
        ];
        for values in odd {
            assert_eq!(found(values.clone(), 1, 1, 0).unwrap_err(), Fault::Misshapen, "{values:?}");
            assert_eq!(pong(values.clone()), Err(Fault::Misshapen), "{values:?}");
            assert_eq!(taken(values.clone()), Err(Fault::Misshapen), "{values:?}");
            assert_eq!(page(values.clone()), Err(Fault::Misshapen), "{values:?}");
            assert_eq!(stored(values.clone(), 2), Err(Fault::Misshapen), "{values:?}");
            assert!(values.is_empty() || removed(&values) == Err(Fault::Misshapen), "{values:?}");
            assert!(introduced(values.clone(), Setting::Alone).is_err(), "{values:?}");
        }
    }

    #[test]
    fn a_refused_proposal_does_not_lose_the_answer() {
        let values = vec![error("OOM full"), Value::Array(vec![bulk("entry"), Value::Nil, bulk("foreign")])];
        let found = found(values, 1, 2, 9).unwrap();
        assert_eq!(found.entries, [Some(Bytes::from_static(b"entry"))]);
        assert_eq!(found.tags, [TagState::Absent, TagState::Barrier]);
        assert_eq!(found.incarnation, 9);
    }

    #[test]
    fn a_tag_that_was_not_extended_is_no_error() {
        let values = vec![Value::Okay, error("ERR wrong number of arguments for 'pexpire' command")];
        assert_eq!(stored(values, 1), Ok(Extension::Unknown));
        assert_eq!(stored(vec![Value::Okay, error("OOM no")], 1), Ok(Extension::Known));
        assert_eq!(stored(vec![Value::Okay, Value::Int(0)], 1), Ok(Extension::Known));
        assert!(matches!(stored(vec![error("OOM no"), Value::Int(0)], 1), Err(Fault::Refused(_))));
    }

    #[test]
    fn a_page_of_keys_leaves_out_what_is_not_text() {
        let keys = vec![bulk("a"), Value::BulkString(vec![0xff]), Value::Nil];
        let reply = Value::Array(vec![bulk("17"), Value::Array(keys)]);
        assert_eq!(page(vec![reply]), Ok((17, vec!["a".to_owned()])));
    }

    #[test]
    fn what_only_a_cluster_says_ends_only_a_connection_to_one() {
        for (code, alone, clustered) in [
            ("READONLY x", true, true),
            ("MOVED 1 h:1", false, true),
            ("CLUSTERDOWN x", false, true),
            ("ASK 1 h:1", false, false),
            ("OOM x", false, false),
        ] {
            let Value::ServerError(error) = error(code) else { panic!("{code}") };
            assert_eq!(ends_the_connection(&error, Setting::Alone), alone, "{code}");
            assert_eq!(ends_the_connection(&error, Setting::Clustered), clustered, "{code}");
        }
    }
}
