//! `status`: the server, its memory, and what is in the namespace.

use std::collections::BTreeMap;

use sea_orm_cache::stores::{Store, TagProbe};
use serde_json::json;

use crate::{failure::Failure, output::Output, server::Server};

pub async fn run(server: &Server, scan: usize, output: &mut Output) -> Result<(), Failure> {
    // A user who may not ask is not told.
    let info: String = match server.ask(&redis::cmd("INFO")).await {
        Err(Failure::Unreachable(text)) => return Err(Failure::Unreachable(text)),
        outcome => outcome.unwrap_or_default(),
    };
    let info: BTreeMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let text = |name: &str| info.get(name).map(|text| (*text).to_owned());
    let number = |name: &str| info.get(name).and_then(|text| text.parse::<u64>().ok());
    let everything = server.namespace.everything().tags;
    let probes: Vec<_> = everything.into_iter().map(|key| TagProbe { key, propose: None }).collect();
    let incarnation = server.store.read(&[], &probes).await?.incarnation;
    let scanned = server.scan(scan).await?;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, kind) in &scanned.keys {
        *kinds.entry(kind.word()).or_default() += 1;
    }
    let version = text("valkey_version").or_else(|| text("redis_version"));
    let memory = number("used_memory");
    let (maxmemory, policy) = (number("maxmemory"), text("maxmemory_policy"));

    let mut notes = Vec::new();
    if incarnation == 0 {
        notes.push(
            "Redis does not tell its run id (allow the user INFO): after a restart from a snapshot or a \
             failover, old entries may be served until they expire",
        );
    }
    if policy.as_deref() == Some("volatile-ttl") {
        notes.push("maxmemory-policy is volatile-ttl, which evicts barriers first: choose another");
    }
    if maxmemory == Some(0) {
        notes.push("maxmemory is not set: purged entries take memory until they expire");
    }
    if number("rdb_changes_since_last_save").is_some() && text("aof_enabled").as_deref() == Some("1") {
        notes.push("Redis writes an append-only file: a cache needs no persistence");
    }

    let document = json!({
        "namespace": server.name,
        "prefix": server.namespace.prefix(),
        "server": {
            "address": server.address,
            "version": version,
            "uptime_seconds": number("uptime_in_seconds"),
            "role": text("role"),
            "clients": number("connected_clients"),
            "used_memory": memory,
            "maxmemory": maxmemory,
            "maxmemory_policy": policy,
            "evicted_keys": number("evicted_keys"),
            "incarnation": (incarnation != 0).then(|| format!("{incarnation:016x}")),
        },
        "keys": { "total": scanned.keys.len(), "complete": scanned.complete, "kinds": kinds },
        "notes": notes,
    });
    output.answer(&document, |output| {
        let unknown = || "unknown".to_owned();
        let shown = |number: Option<u64>| number.map_or_else(unknown, |number| number.to_string());
        let more = if scanned.complete { "" } else { " at least" };
        output.line(format!(
            "server      {}, version {}",
            server.address,
            version.unwrap_or_else(unknown)
        ))?;
        output.line(format!("up          {} s", shown(number("uptime_in_seconds"))))?;
        output.line(format!(
            "memory      {} bytes of {}",
            shown(memory),
            match maxmemory {
                Some(0) => "any".to_owned(),
                other => shown(other),
            }
        ))?;
        output.line(format!("eviction    {}", policy.unwrap_or_else(unknown)))?;
        output.line(format!("namespace   {}", server.name))?;
        output.line(format!("keys        {}{more}", scanned.keys.len()))?;
        kinds.iter().try_for_each(|(kind, count)| output.line(format!("  {kind:<10}{count}")))?;
        notes.iter().try_for_each(|note| output.line(format!("note: {note}")))
    })?;
    Ok(())
}
