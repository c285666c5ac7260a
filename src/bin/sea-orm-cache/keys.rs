//! `keys`: which keys there are.

use serde_json::json;

use crate::{
    arguments::ListKeys,
    failure::Failure,
    output::Output,
    server::{MOST_KEYS, Server},
};

pub async fn run(server: &Server, question: ListKeys, output: &mut Output) -> Result<(), Failure> {
    let scanned = server.scan(MOST_KEYS).await?;
    let mut matching: Vec<_> = scanned
        .keys
        .into_iter()
        .filter(|(key, _)| server.namespace.matches(&question.pattern, key))
        .collect();
    let complete = scanned.complete && matching.len() <= question.limit;
    matching.truncate(question.limit);
    let document = json!({
        "namespace": server.name,
        "keys": matching.iter().map(|(key, kind)| json!({ "key": key, "kind": kind.word() })).collect::<Vec<_>>(),
        "complete": complete,
    });
    output.answer(&document, |output| {
        matching.iter().try_for_each(|(key, _)| output.line(key))?;
        if complete { Ok(()) } else { output.line("(there may be more)") }
    })?;
    Ok(())
}
