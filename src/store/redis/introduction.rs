//! Who is at the other end of a connection.

use redis::Value;

use super::reply::{explain, pong, refusal};

/// What a server has to be, by how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// A server by itself, as far as we know.
    Alone,
    /// One of several, of which Sentinel makes one the primary.
    Watched,
    /// A node of a Redis Cluster.
    Clustered,
}

/// What is known about the server at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    /// See [`Found::incarnation`]; zero if the server does not tell.
    pub(super) incarnation: u64,
    /// It told at least something when asked with INFO.
    pub(super) informs: bool,
}

/// The answers to [`command::introduction`](super::command::introduction): may the connection be
/// used, and which life of which server is it?
///
/// A replica may not be used. It refuses purges, and what it answers may be older than a purge that
/// has returned elsewhere.
pub(super) fn introduced(values: Vec<Value>, setting: Setting) -> Result<Introduction, String> {
    let mut values = values.into_iter();
    let (Some(ping), Some(hello)) = (values.next(), values.next()) else {
        return Err("the server's first replies make no sense".to_owned());
    };
    match &ping {
        // It answers; that it may not be pinged is the operator's choice.
        Value::ServerError(error) if error.code() == "NOPERM" => {}
        Value::ServerError(error) => return Err(refusal(error)),
        _ => pong(vec![ping]).map_err(|_| "the server does not answer PING as Redis does".to_owned())?,
    }
    let info: String = values.filter_map(into_text).collect();
    let role = match &hello {
        Value::Map(fields) => fields.iter().find(|(name, _)| is_text(name, "role")).map(|(_, role)| role),
        Value::Array(flat) => {
            flat.chunks_exact(2).find(|pair| is_text(&pair[0], "role")).map(|pair| &pair[1])
        }
        _ => None,
    };
    // A server that tells its role in neither way is taken for a primary until it refuses a write.
    if role.is_some_and(|role| is_text(role, "replica") || is_text(role, "slave"))
        || field(&info, "role") == Some("slave")
    {
        return Err("the server is a replica; connect to its primary".to_owned());
    }
    // Both are 40 random hexadecimal digits, of which 16 are as good as all. The run id is another
    // one after every start of the process; the replication id also after every promotion, when a
    // former primary comes back with what it had.
    let id =
        |name| field(&info, name).and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok()).unwrap_or(0);
    let mut incarnation = id("run_id") ^ id("master_replid").rotate_left(1);
    let informs = !info.is_empty();
    match setting {
        Setting::Alone if field(&info, "redis_mode") == Some("cluster") => {
            return Err("the server is a node of a Redis Cluster; write redis-cluster://host:port".to_owned());
        }
        Setting::Alone if field(&info, "redis_mode") == Some("sentinel") => {
            return Err("the server is a sentinel; write redis-sentinel://host:port/service".to_owned());
        }
        Setting::Alone => {}
        // Here another server takes over sooner or later, and what it has may be older.
        _ if incarnation == 0 => {
            return Err("the server does not say which one it is: with Sentinel and Redis Cluster the user \
                        must be allowed INFO"
                .to_owned());
        }
        Setting::Watched => {}
        Setting::Clustered => {
            let Some(epoch) = field(&info, "cluster_my_epoch").and_then(|epoch| epoch.parse::<u64>().ok())
            else {
                return Err("the server does not say how its cluster is: it is not a node of one, or the \
                            user is not allowed CLUSTER INFO"
                    .to_owned());
            };
            if field(&info, "cluster_state") != Some("ok") {
                return Err(explain("CLUSTERDOWN"));
            }
            // It is another one whenever a node gets a slot: what it had in the slot before, another
            // node may have changed since.
            incarnation ^= epoch.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    Ok(Introduction { incarnation, informs })
}

/// `name:value` lines, as INFO has them.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// A text reply, as of INFO: RESP3 marks it as verbatim text, RESP2 does not.
pub(super) fn into_text(reply: Value) -> Option<String> {
    match reply {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(string) => string == text,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use redis::VerbatimFormat;

    use super::*;

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_replica_is_not_trusted_and_a_server_without_hello_is() {
        let pong = || Value::SimpleString("PONG".to_owned());
        let hello =
            |role: &str| Value::Map(vec![(bulk("server"), bulk("redis")), (bulk("role"), bulk(role))]);
        let nameless = Ok(Introduction { incarnation: 0, informs: false });
        assert_eq!(introduced(vec![pong(), hello("master")], Setting::Alone), nameless);
        assert!(introduced(vec![pong(), hello("replica")], Setting::Alone).is_err());
        let flat = Value::Array(vec![bulk("proto"), Value::Int(2), bulk("role"), bulk("slave")]);
        assert!(introduced(vec![pong(), flat], Setting::Alone).is_err());
        let no_hello = || error("ERR unknown command 'HELLO'");
        assert_eq!(
            introduced(vec![pong(), no_hello(), error("NOPERM info"), error("NOPERM info")], Setting::Alone),
            nameless
        );
        assert!(
            introduced(
                vec![pong(), no_hello(), bulk(""), bulk("# Replication\r\nrole:slave\r\n")],
                Setting::Alone
            )
            .is_err()
        );
        assert_eq!(
            introduced(vec![error("NOPERM no ping for you"), hello("master")], Setting::Alone),
            nameless
        );
        assert!(introduced(vec![error("LOADING wait"), hello("master")], Setting::Alone).is_err());
    }

    #[test]
    fn another_process_or_another_promotion_is_another_incarnation() {
        const RUN: &str = "# Server\r\nrun_id:0123456789abcdef0123456789abcdef01234567\r\n";
        const REPLICATION: &str = "role:master\r\nmaster_replid:fedcba9876543210fedcba9876543210fedcba98\r\n";
        let incarnation = |server: &str, replication: &str| {
            let pong = Value::SimpleString("PONG".to_owned());
            let text = VerbatimFormat::Text;
            let replication = Value::VerbatimString { format: text, text: replication.to_owned() };
            introduced(vec![pong, Value::Nil, bulk(server), replication], Setting::Alone).unwrap().incarnation
        };
        assert_eq!(incarnation(RUN, ""), 0x0123_4567_89ab_cdef);
        let first = incarnation(RUN, REPLICATION);
        assert_eq!(first, incarnation(RUN, REPLICATION));
        assert_ne!(first, incarnation(&RUN.replace(":0", ":1"), REPLICATION));
        assert_ne!(first, incarnation(RUN, &REPLICATION.replace(":f", ":e")));
        assert_eq!(incarnation("run_id:short", "master_replid:"), 0);
    }

    // case B15
    #[test]
    fn a_node_of_a_cluster_is_another_one_once_it_was_given_a_slot() {
        const RUN: &str = "run_id:0123456789abcdef0123456789abcdef01234567\r\nredis_mode:cluster\r\n";
        let pong = || Value::SimpleString("PONG".to_owned());
        let asked = |server: &str, cluster: &str, setting| {
            let values = vec![pong(), Value::Nil, bulk(server), bulk("role:master\r\n"), bulk(cluster)];
            introduced(values, setting)
        };
        let node = |cluster: &str| asked(RUN, cluster, Setting::Clustered);
        let first = node("cluster_state:ok\r\ncluster_my_epoch:1\r\n").unwrap();
        assert_eq!(node("cluster_state:ok\r\ncluster_my_epoch:1\r\n"), Ok(first));
        assert_ne!(node("cluster_state:ok\r\ncluster_my_epoch:2\r\n").unwrap(), first);
        assert!(node("cluster_state:fail\r\ncluster_my_epoch:1\r\n").unwrap_err().starts_with("CLUSTERDOWN"));
        assert!(node("").unwrap_err().contains("CLUSTER INFO"));
        assert!(asked("", "", Setting::Watched).unwrap_err().contains("INFO"));
        assert!(asked(RUN, "", Setting::Alone).unwrap_err().contains("redis-cluster://"));
    }
}
