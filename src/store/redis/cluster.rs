//! Redis Cluster. A namespace is in one slot, so one node at a time has all of it; this finds that node.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{ConnectionInfo, Value, aio::MultiplexedConnection};

use super::{
    address::{Host, host_of, moved_to},
    topology::{host, put, reach},
};

const SLOTS: u16 = 16_384;

/// The nodes that are known, and the slot that is looked for.
pub(super) struct Nodes {
    /// As configured. Each leads to any node.
    seeds: Vec<Host>,
    slot: u16,
    /// How to speak to a node, wherever it is.
    node: ConnectionInfo,
    limit: Duration,
    /// Whom to ask, in this order; the seeds come after them.
    known: Mutex<Vec<Host>>,
}

impl Nodes {
    pub(super) fn new(seeds: &[ConnectionInfo], slot: u16, node: ConnectionInfo, limit: Duration) -> Self {
        let seeds = seeds.iter().filter_map(host_of).collect();
        Self { seeds, slot, node, limit, known: Mutex::default() }
    }

    /// The node that has the slot, by the first who answers. If that one is behind the times, the
    /// connection to whom it names shows it: refused, a replica, or `MOVED`.
    pub(super) async fn primary(&self) -> Result<ConnectionInfo, String> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for seed in &self.seeds {
            if !all.contains(seed) {
                all.push(seed.clone());
            }
        }
        let question = {
            let mut question = redis::cmd("CLUSTER");
            question.arg("SLOTS");
            question
        };
        let mut trouble = String::new();
        for asked in &all {
            let answer = async {
                let mut connection = reach(&moved_to(&self.node, asked), self.limit).await?;
                put(&mut connection, &question, self.limit).await
            };
            match answer.await {
                Ok(answer) => match owner(&answer, self.slot, &asked.name) {
                    Some((owner, others)) => {
                        let to = moved_to(&self.node, &owner);
                        // It knows best where the slot goes next.
                        let others = others.into_iter().filter(|other| *other != owner);
                        let known = std::iter::once(owner.clone()).chain(others).collect();
                        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
                        return Ok(to);
                    }
                    None => {
                        trouble = "a node of the cluster knows nobody who has the namespace's slot".to_owned()
                    }
                },
                Err(reason) => trouble = reason,
            }
        }
        Err(format!("no node of the cluster says where the namespace is: {trouble}"))
    }

    pub(super) async fn reach(&self, host: &Host) -> Result<MultiplexedConnection, String> {
        reach(&moved_to(&self.node, host), self.limit).await
    }

    /// Who was asked first last time is asked last.
    pub(super) fn doubt(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_empty() {
            known.rotate_left(1);
        }
    }
}

/// Who has the slot, and everybody who is named, by the answer to CLUSTER SLOTS.
fn owner(answer: &Value, slot: u16, asked: &str) -> Option<(Host, Vec<Host>)> {
    let Value::Array(ranges) = answer else { return None };
    let mut owner = None;
    let mut named = Vec::new();
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = &range[..] else { continue };
        let mut nodes = nodes.iter().filter_map(|node| match node {
            Value::Array(node) => host(node.first(), node.get(1), asked),
            _ => None,
        });
        let primary = nodes.next();
        if (*first..=*last).contains(&i64::from(slot)) {
            owner.clone_from(&primary);
        }
        for node in primary.into_iter().chain(nodes) {
            if !named.contains(&node) {
                named.push(node);
            }
        }
    }
    Some((owner?, named))
}

/// The slot of every key that begins with `{text}`.
pub(super) fn slot_of(text: &str) -> u16 {
    // CRC-16/XMODEM, as the cluster specification has it.
    let mut crc: u16 = 0;
    for byte in text.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, port: i64) -> Value {
        Value::Array(vec![Value::BulkString(name.into()), Value::Int(port), Value::BulkString("id".into())])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
    }

    fn at(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    // case F10
    #[test]
    fn the_slot_is_the_one_that_redis_counts() {
        for (text, slot) in [("123456789", 0x31c3), ("foo", 12182), ("bar", 5061), ("bookshop", 6709)] {
            assert_eq!(slot_of(text), slot, "{text}");
        }
    }

    #[test]
    fn the_owner_of_a_slot_is_the_first_node_of_its_range() {
        let answer = Value::Array(vec![
            range(0, 99, vec![node("a", 1), node("b", 2)]),
            range(100, 16_383, vec![node("", 3), node("a", 1)]),
        ]);
        assert_eq!(owner(&answer, 99, "me"), Some((at("a", 1), vec![at("a", 1), at("b", 2), at("me", 3)])));
        assert_eq!(
            owner(&answer, 100, "me").unwrap().0,
            at("me", 3),
            "who does not know its name is who answers"
        );
        let gap = Value::Array(vec![range(0, 99, vec![node("a", 1)])]);
        assert_eq!(owner(&gap, 100, "me"), None);
    }

    #[test]
    fn answers_of_the_wrong_shape_name_nobody() {
        for odd in [
            Value::Nil,
            Value::Array(vec![Value::Nil, Value::Array(vec![])]),
            Value::Array(vec![range(0, 16_383, vec![])]),
            Value::Array(vec![range(0, 16_383, vec![Value::Array(vec![])])]),
            Value::Array(vec![range(0, 16_383, vec![node("a", 0)])]),
            Value::Array(vec![range(0, 16_383, vec![node("a", 70_000)])]),
        ] {
            assert_eq!(owner(&odd, 7, "me"), None, "{odd:?}");
        }
    }
}
