//! `explain`: what the cache makes of a statement. No Redis, no database.

use std::io::Read;

use sea_orm::Statement;
use sea_orm_cache::{Cache, Explanation};
use serde_json::{Value, json};

use crate::{
    arguments::{Connection, Explain},
    failure::Failure,
    output::Output,
    server,
};

const UNKNOWN: &str = "entities, foreign keys, views and triggers are not known here";

pub async fn run(connection: &Connection, question: Explain, output: &mut Output) -> Result<(), Failure> {
    let mut sql = question.sql;
    if sql == "-" {
        sql.clear();
        std::io::stdin().lock().read_to_string(&mut sql)?;
    }
    // A cache in this process, which is asked for its opinion only.
    let cache = Cache::builder().namespace(server::namespace(connection)).build().await?;
    let mut explanation = cache.explain(&Statement::from_string(question.backend.into(), sql));
    // How long answers live is for the application to say.
    explanation.ttl = None;
    output.answer(&document(&explanation), |output| {
        explanation.to_string().lines().try_for_each(|line| output.line(line))?;
        output.line(format!("note: {UNKNOWN}"))
    })?;
    Ok(())
}

fn document(explanation: &Explanation) -> Value {
    let reads = explanation.reads.iter().map(|read| json!({ "table": read.table, "rows": read.scope }));
    let writes = explanation
        .writes
        .iter()
        .map(|write| json!({ "table": write.table, "what": write.what, "rows": write.scope }));
    json!({
        "kind": explanation.kind,
        "reads": reads.collect::<Vec<_>>(),
        "writes": writes.collect::<Vec<_>>(),
        "cacheable": explanation.kind == "read" && explanation.bypass.is_none(),
        "why_not": explanation.bypass,
        "depends_on": explanation.tags,
        "purges": explanation.purges,
        "purges_unless_labelled": explanation.purges_unless_labelled,
        "purges_everything": explanation.purges_everything,
        "note": UNKNOWN,
    })
}
