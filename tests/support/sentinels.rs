//! A primary, a replica, and sentinels that watch them, all of a test's own.

use std::time::Duration;

use redis::{Value, from_redis_value};

use super::redis_server::PrivateRedis;
use super::wait::eventually;

const DEADLINE: Duration = Duration::from_secs(60);
const SERVICE: &str = "mymaster";

/// The servers of one service. Dropping it ends them all.
#[derive(Debug)]
pub struct Watched {
    /// The first is the primary at the start, the second its replica.
    pub servers: Vec<PrivateRedis>,
    pub sentinels: Vec<PrivateRedis>,
}

impl Watched {
    /// Two servers and three sentinels, of which two must agree. The user `cache` with the password `p@ss`
    /// may do everything on the servers; `watcher` with `w@tch` may ask the sentinels where the primary is, and
    /// nothing else. Everybody may do everything.
    pub async fn start() -> Option<Self> {
        let user = ["--user", "cache", "on", ">p@ss", "~*", "&*", "+@all"];
        let primary = PrivateRedis::start_with(&user).await?;
        let port = primary.port().to_string();
        let replica = [&user[..], &["--replicaof", "127.0.0.1", &port]].concat();
        let replica = PrivateRedis::start_with(&replica).await?;
        let configuration = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {SERVICE} 1500\n\
             sentinel failover-timeout {SERVICE} 10000\n\
             user watcher on >w@tch -@all +sentinel|get-master-addr-by-name\n"
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(PrivateRedis::start_sentinel(&configuration).await?);
        }
        let watched = Self { servers: vec![primary, replica], sentinels };
        for sentinel in &watched.sentinels {
            eventually("the sentinels know each other and the replica", DEADLINE, async || {
                let info: String = from_redis_value(sentinel.command(&["INFO", "sentinel"]).await).unwrap();
                info.contains("slaves=1,sentinels=3")
            })
            .await;
        }
        let primary = &watched.servers[0];
        eventually("the replica is there", DEADLINE, async || {
            let info: String = from_redis_value(primary.command(&["INFO", "replication"]).await).unwrap();
            info.contains("state=online")
        })
        .await;
        Some(watched)
    }

    /// `host:port` of each sentinel.
    pub fn sentinel_addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(PrivateRedis::address).collect()
    }

    /// `redis-sentinel://...`, without a login.
    pub fn url(&self) -> String {
        format!("redis-sentinel://{}/{SERVICE}/0", self.sentinel_addresses().join(","))
    }

    /// Waits until this server is a primary.
    pub async fn until_primary(&self, server: usize) {
        eventually("a new primary", DEADLINE, async || {
            let role = self.servers[server].try_command(&["ROLE"]).await;
            matches!(role, Some(Value::Array(words)) if words[0] == Value::BulkString(b"master".to_vec()))
        })
        .await;
    }
}
