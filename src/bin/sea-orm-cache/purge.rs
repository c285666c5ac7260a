//! `purge`: makes entries misses, and says which.

use std::{
    io::{BufRead, Write},
    time::Duration,
};

use sea_orm_cache::{inspect::PurgeKeys, stores::Store};
use serde_json::json;

use crate::{
    arguments::{Purge, What},
    failure::Failure,
    output::Output,
    server::Server,
};

pub async fn run(server: &Server, purge: Purge, output: &mut Output) -> Result<(), Failure> {
    let Purge { what, yes, settle } = purge;
    let namespace = &server.namespace;
    let name = &server.name;
    let (scope, tags) = match &what {
        What { table: Some(table), .. } => {
            (format!("all that was read from table {table} in {name}"), Some(namespace.table(table)))
        }
        What { row: Some(row), .. } => {
            let [table, key] = &row[..] else {
                return Err(Failure::Usage("--row takes a table and a key".to_owned()));
            };
            let scope = format!("row {key} of table {table} in {name}, and lists that may hold it");
            (scope, Some(namespace.row(table, key)))
        }
        What { tag: Some(tag), .. } => (format!("all with tag {tag} in {name}"), Some(namespace.tag(tag))),
        What { pattern: Some(pattern), .. } => (format!("entries of {name} that match {pattern}"), None),
        What { .. } => (format!("everything in {name}"), Some(namespace.everything())),
    };
    if !yes && !confirmed(&scope)? {
        return Err(Failure::Failed("nothing was purged".to_owned()));
    }
    let document = match (&tags, &what.pattern) {
        (Some(purge), _) => {
            release(server, purge, settle.unwrap_or_default()).await?;
            let tags: Vec<_> = purge.tags.iter().map(|tag| tag.as_str()).collect();
            json!({ "namespace": name, "purged": scope, "tags": tags })
        }
        (None, pattern) => {
            let pattern = pattern.as_deref().unwrap_or_default();
            let dropped = server.cache.invalidate_pattern(pattern).await?;
            json!({ "namespace": name, "purged": scope, "dropped": dropped })
        }
    };
    output.answer(&document, |output| {
        output.line(format!("purged {scope}"))?;
        match &tags {
            Some(purge) => purge.tags.iter().try_for_each(|tag| output.line(format!("  {tag}"))),
            None => output.line(format!("  {} entries dropped", document["dropped"])),
        }
    })?;
    Ok(())
}

async fn release(server: &Server, purge: &PurgeKeys, settle: Duration) -> Result<(), Failure> {
    server.store.release(&purge.release(settle)).await?;
    Ok(())
}

/// Asks on the terminal, or whoever is at the other end of standard input. No answer is no.
fn confirmed(scope: &str) -> Result<bool, Failure> {
    let mut asked = std::io::stderr().lock();
    write!(asked, "Purge {scope}? [y/N] ")?;
    asked.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !answer.ends_with('\n') {
        writeln!(asked)?;
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
