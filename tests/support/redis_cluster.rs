//! A Redis Cluster of a test's own: three primaries, each with a replica.

use std::time::Duration;

use redis::{FromRedisValue, Value, from_redis_value};

use super::ports::free_port;
use super::redis_server::PrivateRedis;
use super::wait::eventually;

const DEADLINE: Duration = Duration::from_secs(60);
const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// Six nodes. Node `n + 3` is the replica of node `n` at the start. Dropping it ends them all.
#[derive(Debug)]
pub struct PrivateCluster {
    pub nodes: Vec<PrivateRedis>,
}

impl PrivateCluster {
    /// Starts the nodes and waits until each knows all and the cluster serves all slots.
    pub async fn start() -> Option<Self> {
        let mut nodes = Vec::new();
        for _ in 0..2 * PRIMARIES {
            let bus = free_port().to_string();
            let arguments = [
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-node-timeout",
                "3000",
                "--cluster-replica-validity-factor",
                "0",
                "--repl-diskless-sync-delay",
                "0",
                "--cluster-port",
                &bus,
            ];
            nodes.push((PrivateRedis::start_with(&arguments).await?, bus));
        }
        let first = nodes[0].0.port().to_string();
        let first_bus = nodes[0].1.clone();
        let nodes: Vec<_> = nodes.into_iter().map(|(node, _)| node).collect();
        let cluster = Self { nodes };
        for (number, node) in cluster.nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
            if number < PRIMARIES {
                let from = number * SLOTS / PRIMARIES;
                let to = (number + 1) * SLOTS / PRIMARIES - 1;
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await;
            }
            if number > 0 {
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &first, &first_bus]).await;
            }
        }
        cluster.all_say("cluster_known_nodes:6").await;
        for number in PRIMARIES..cluster.nodes.len() {
            let primary = cluster.id(number - PRIMARIES).await;
            // Each has to have heard of each.
            eventually("the replica knows its primary", DEADLINE, async || {
                cluster.says(number, &["CLUSTER", "NODES"]).await.contains(&primary)
            })
            .await;
            cluster.nodes[number].command(&["CLUSTER", "REPLICATE", &primary]).await;
        }
        cluster.all_say("cluster_state:ok").await;
        for number in 0..PRIMARIES {
            eventually("each primary has its replica", DEADLINE, async || {
                cluster.says(number, &["INFO", "replication"]).await.contains("state=online")
            })
            .await;
        }
        // A replica that its primary's neighbours do not know of is not elected.
        for number in 0..cluster.nodes.len() {
            eventually("each knows all replicas", DEADLINE, async || {
                cluster.says(number, &["CLUSTER", "NODES"]).await.matches("slave").count() == PRIMARIES
            })
            .await;
        }
        Some(cluster)
    }

    /// `host:port` of each node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(PrivateRedis::address).collect()
    }

    /// `redis-cluster://...`
    pub fn url(&self) -> String {
        format!("redis-cluster://{}", self.addresses().join(","))
    }

    /// The slot of a key.
    pub async fn slot(&self, key: &str) -> u16 {
        self.ask(self.any().await, &["CLUSTER", "KEYSLOT", key]).await
    }

    /// Which node has the slot, as any that runs knows.
    pub async fn owner(&self, slot: u16) -> usize {
        let ranges: Vec<Vec<Value>> = self.ask(self.any().await, &["CLUSTER", "SLOTS"]).await;
        let range = ranges.iter().find(|range| {
            let bound = |value: &Value| from_redis_value::<u16>(value.clone()).unwrap();
            (bound(&range[0])..=bound(&range[1])).contains(&slot)
        });
        let Value::Array(primary) = &range.expect("a slot that is served")[2] else { panic!("no node") };
        let port: u16 = from_redis_value(primary[1].clone()).unwrap();
        self.nodes.iter().position(|node| node.port() == port).unwrap()
    }

    /// Begins to move a slot: from now on one node gives keys away and the other takes them.
    pub async fn open_slot(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let (giver, taker) = (self.id(from).await, self.id(to).await);
        // After a failover the word goes round, and who has not heard it refuses.
        for (node, other) in [(to, &giver), (from, &taker)] {
            eventually("each knows the other as a primary", DEADLINE, async || {
                let nodes = self.says(node, &["CLUSTER", "NODES"]).await;
                nodes.lines().any(|line| line.starts_with(other.as_str()) && line.contains("master"))
            })
            .await;
        }
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &giver]).await;
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &taker]).await;
    }

    /// Moves up to so many of the slot's keys; says how many that were.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize, most: usize) -> usize {
        let question = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()];
        let keys: Vec<String> = self.ask(from, &question).await;
        let port = self.nodes[to].port().to_string();
        for key in &keys {
            self.nodes[from].command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
        }
        keys.len()
    }

    /// Ends it: the slot is the other's.
    pub async fn close_slot(&self, slot: u16, from: usize, to: usize) {
        let taker = self.id(to).await;
        for node in [to, from] {
            self.nodes[node].command(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &taker]).await;
        }
    }

    /// All of that.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.open_slot(slot, from, to).await;
        while self.move_keys(slot, from, to, 100).await > 0 {}
        self.close_slot(slot, from, to).await;
    }

    async fn any(&self) -> usize {
        self.nodes.iter().position(PrivateRedis::is_running).expect("a node that runs")
    }

    async fn id(&self, node: usize) -> String {
        self.says(node, &["CLUSTER", "MYID"]).await
    }

    async fn says(&self, node: usize, question: &[&str]) -> String {
        self.ask(node, question).await
    }

    async fn ask<T: FromRedisValue>(&self, node: usize, question: &[&str]) -> T {
        from_redis_value(self.nodes[node].command(question).await).unwrap()
    }

    async fn all_say(&self, text: &str) {
        for number in 0..self.nodes.len() {
            eventually(text, DEADLINE, async || self.says(number, &["CLUSTER", "INFO"]).await.contains(text))
                .await;
        }
    }
}
