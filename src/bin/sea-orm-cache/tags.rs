//! `tags`: what stands under each tag.

use std::time::Duration;

use sea_orm_cache::inspect::{KeyKind, TagStanding};
use serde_json::{Value, json};

use crate::{
    arguments::ListTags,
    failure::Failure,
    output::{Colour, Output},
    server::{MOST_KEYS, Server},
};

pub async fn run(server: &Server, question: ListTags, output: &mut Output) -> Result<(), Failure> {
    let scanned = server.scan(MOST_KEYS).await?;
    let tags: Vec<_> = scanned
        .keys
        .iter()
        .filter(|(key, kind)| *kind == KeyKind::Tag && server.namespace.matches(&question.pattern, key))
        .map(|(key, _)| key.as_str())
        .collect();
    let complete = scanned.complete && tags.len() <= question.limit;
    let tags = &tags[..tags.len().min(question.limit)];
    let now = server.now().await?;
    let standing = server.standing(tags).await?;
    let left = server.left(tags).await?;
    let described: Vec<_> = tags
        .iter()
        .zip(&standing)
        .zip(&left)
        .map(|((tag, standing), left)| described(tag, standing, *left, now))
        .collect();
    let document = json!({ "namespace": server.name, "tags": described, "complete": complete });
    output.answer(&document, |output| {
        for (tag, standing) in tags.iter().zip(&standing) {
            line(tag, standing, now, output)?;
        }
        if complete { Ok(()) } else { output.line("(there may be more)") }
    })?;
    Ok(())
}

/// A tag for JSON.
pub fn described(tag: &str, standing: &TagStanding, left: Option<u64>, now: u64) -> Value {
    let mut described = json!({ "tag": tag, "state": standing.word(), "left_ms": left });
    match standing {
        TagStanding::Stamp(stamp) => described["stamp"] = json!(stamp.to_string()),
        TagStanding::Barrier { covers, marks } => {
            described["covers"] = json!(covers.map(|stamp| stamp.to_string()));
            let marks = marks.iter().map(
                |mark| json!({ "writer": mark.writer, "stands_for_ms": mark.until.saturating_sub(now) }),
            );
            described["marks"] = marks.collect();
        }
        _ => {}
    }
    described
}

/// A tag for people.
pub fn line(tag: &str, standing: &TagStanding, now: u64, output: &mut Output) -> std::io::Result<()> {
    let colour = match standing {
        TagStanding::Stamp(_) => Colour::Green,
        TagStanding::Foreign => Colour::Red,
        _ => Colour::Yellow,
    };
    output.painted(colour, &format!("{:<8}", standing.word()))?;
    match standing {
        TagStanding::Stamp(stamp) => output.line(format!(" {tag}  {stamp}")),
        TagStanding::Barrier { marks, .. } => {
            output.line(format!(" {tag}"))?;
            marks.iter().try_for_each(|mark| {
                let left = Duration::from_millis(mark.until.saturating_sub(now));
                output.line(format!("           {} for {left:?} more, if nobody takes it away", mark.writer))
            })
        }
        _ => output.line(format!(" {tag}")),
    }
}
