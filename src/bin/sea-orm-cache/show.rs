//! `show`: what stands under a key, and of an entry whether it would be served.

use std::time::Duration;

use sea_orm_cache::{
    EncryptionKeys,
    inspect::{EntryContent, InspectedEntry, KeyKind, TagStanding},
    stores::{Stamp, Store},
};
use serde_json::{Value, json};

use crate::{
    arguments::ShowKey,
    failure::Failure,
    output::{Colour, Output},
    server::Server,
    tags,
};

/// A tag that an entry depends on.
struct Dependence {
    /// `None`: the entry does not say which, and no tag carries its stamp any more.
    tag: Option<String>,
    recorded: Stamp,
    standing: TagStanding,
}

impl Dependence {
    fn stands(&self) -> bool {
        self.standing.keeps(self.recorded)
    }
}

pub async fn run(server: &Server, question: ShowKey, output: &mut Output) -> Result<(), Failure> {
    let ShowKey { key, values } = question;
    let Some(kind) = server.namespace.kind(&key) else {
        let prefix = server.namespace.prefix();
        return Err(Failure::Usage(format!(
            "the key is not of this namespace: it does not begin with {prefix}"
        )));
    };
    match kind {
        KeyKind::Tag => show_tag(server, &key, output).await,
        kind if kind.is_entry() => show_entry(server, &key, kind, values, output).await,
        kind => {
            let left = there(server, &key).await?;
            let document = json!({ "key": key, "kind": kind.word(), "left_ms": left });
            output.answer(&document, |output| output.line(format!("{kind}  {key}  {}", for_people(left))))?;
            Ok(())
        }
    }
}

/// How long a key lives still, if it is there.
async fn there(server: &Server, key: &str) -> Result<Option<u64>, Failure> {
    let there: bool = server.ask(redis::cmd("EXISTS").arg(key)).await?;
    if !there {
        return Err(Failure::Failed("there is no such key".to_owned()));
    }
    Ok(server.left(&[key]).await?.pop().flatten())
}

async fn show_tag(server: &Server, key: &str, output: &mut Output) -> Result<(), Failure> {
    let now = server.now().await?;
    let standing = server.standing(&[key]).await?.pop().unwrap_or(TagStanding::Absent);
    let left = server.left(&[key]).await?.pop().flatten();
    let mut document = tags::described(key, &standing, left, now);
    document["key"] = json!(key);
    document["kind"] = json!("tag");
    output.answer(&document, |output| tags::line(key, &standing, now, output))?;
    Ok(())
}

async fn show_entry(
    server: &Server,
    key: &str,
    kind: KeyKind,
    values: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let left = there(server, key).await?;
    let Some(entry_key) = server.namespace.entry_key(key) else {
        return Err(Failure::Usage("not a key of an entry".to_owned()));
    };
    let found = server.store.read(std::slice::from_ref(&entry_key), &[]).await?;
    let bytes = found.entries.into_iter().next().flatten();
    let bytes = bytes.ok_or_else(|| Failure::Failed("it holds no text, or has just expired".to_owned()))?;
    let entry = match InspectedEntry::read(&entry_key, &bytes) {
        Ok(entry) => entry,
        Err(why) => {
            let document = json!({
                "key": key, "kind": kind.word(), "left_ms": left, "valid": false, "why_not": [why.to_string()],
            });
            output.answer(&document, |output| output.line(format!("{kind}  {key}\nunreadable: {why}")))?;
            return Err(Failure::Found);
        }
    };
    let (dependences, complete) = dependences(server, key, &entry).await?;
    let why_not = why_not(&entry, found.incarnation, &dependences, complete);
    let content = values.then(|| content(&entry)).transpose()?;
    let mut document = json!({
        "key": key,
        "kind": kind.word(),
        "holds": entry.kind.to_string(),
        "format": entry.format,
        "bytes": bytes.len(),
        "payload_bytes": entry.payload_bytes,
        "uncompressed_bytes": entry.uncompressed,
        "encrypted_with": entry.encrypted_with,
        "fresh_for_ms": entry.left().map(millis),
        "left_ms": left,
        "served_late": entry.outlives,
        "incarnation": format!("{:016x}", entry.incarnation),
        "tags": dependences.iter().map(|it| json!({
            "tag": it.tag,
            "recorded": it.recorded.to_string(),
            "state": it.standing.word(),
            "stands": it.stands(),
        })).collect::<Vec<_>>(),
        "valid": why_not.is_empty(),
        "why_not": why_not,
    });
    if let Some(content) = &content {
        document["values"] = content.clone();
    }
    output.answer(&document, |output| {
        output.line(format!("{kind}  {key}"))?;
        let packed = match (entry.uncompressed, entry.encrypted_with) {
            (Some(bytes), Some(number)) => format!(", compressed from {bytes}, encrypted with key {number}"),
            (Some(bytes), None) => format!(", compressed from {bytes}"),
            (None, Some(number)) => format!(", encrypted with key {number}"),
            (None, None) => String::new(),
        };
        output.line(format!(
            "holds       {}, {} bytes{packed}, format {}",
            entry.kind, entry.payload_bytes, entry.format
        ))?;
        let fresh =
            entry.left().map_or_else(|| "its time is over".to_owned(), |left| for_people(Some(millis(left))));
        output.line(format!("fresh       {fresh}; in Redis {}", for_people(left)))?;
        output.line(format!("incarnation {:016x}", entry.incarnation))?;
        for it in &dependences {
            let colour = if it.stands() { Colour::Green } else { Colour::Red };
            output.painted(colour, if it.stands() { "  stands  " } else { "  gone    " })?;
            let tag = it.tag.as_deref().unwrap_or("(a tag that the entry does not name)");
            output.line(format!("{}  {tag}", it.recorded))?;
        }
        match &why_not[..] {
            [] => {
                output.painted(Colour::Green, "valid")?;
                output.line("")?;
            }
            why_not => {
                output.painted(Colour::Red, "not valid")?;
                output.line(format!(": {}", why_not.join("; ")))?;
            }
        }
        content.iter().try_for_each(|content| output.line(format!("values      {content}")))
    })?;
    Ok(())
}

fn millis(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

fn for_people(left: Option<u64>) -> String {
    left.map_or_else(|| "for ever".to_owned(), |left| format!("for {:?}", Duration::from_millis(left)))
}

/// The tags that the entry depends on, and whether all of them could be looked for. The header names most
/// by a hash alone: they are known by the key, or by the stamp that they carry.
async fn dependences(
    server: &Server,
    key: &str,
    entry: &InspectedEntry,
) -> Result<(Vec<Dependence>, bool), Failure> {
    let (mut tags, mut complete) = (Vec::new(), true);
    match server.namespace.asked(key, entry) {
        Some(asked) => {
            for (tag, stamp) in asked.iter().zip(&entry.asked) {
                tags.extend(stamp.map(|stamp| (Some(tag.as_str().to_owned()), stamp)));
            }
        }
        None => {
            let (stamped, all) = server.stamped().await?;
            complete = all;
            let by_stamp = |stamp: Stamp| (stamped.get(&stamp.get()).map(|(tag, _)| tag.clone()), stamp);
            tags.extend(entry.asked.iter().flatten().map(|stamp| by_stamp(*stamp)));
        }
    }
    tags.extend(entry.named.iter().map(|(tag, stamp)| (Some(tag.as_str().to_owned()), *stamp)));
    let names: Vec<&str> = tags.iter().filter_map(|(tag, _)| tag.as_deref()).collect();
    let mut standing = if names.is_empty() { Vec::new() } else { server.standing(&names).await? }.into_iter();
    let dependences = tags
        .iter()
        .map(|(tag, recorded)| Dependence {
            tag: tag.clone(),
            recorded: *recorded,
            standing: tag.as_ref().and_then(|_| standing.next()).unwrap_or(TagStanding::Absent),
        })
        .collect();
    Ok((dependences, complete))
}

fn why_not(
    entry: &InspectedEntry,
    incarnation: u64,
    dependences: &[Dependence],
    complete: bool,
) -> Vec<String> {
    let mut why_not = Vec::new();
    if entry.incarnation != incarnation {
        why_not.push("it was made in another life of the server".to_owned());
    }
    if entry.left().is_none() {
        why_not.push(if entry.outlives {
            "its time is over: it is served late only, where that is allowed".to_owned()
        } else {
            "its time is over".to_owned()
        });
    }
    for it in dependences.iter().filter(|it| !it.stands()) {
        why_not.push(match (&it.tag, &it.standing) {
            (None, _) if !complete => "a tag was not found among the keys that were looked at".to_owned(),
            (None, _) => "a tag that it depends on was purged".to_owned(),
            (Some(tag), TagStanding::Absent) => format!("{tag} was purged"),
            (Some(tag), TagStanding::Stamp(_)) => format!("{tag} was purged, and stamped anew"),
            (Some(tag), TagStanding::Barrier { .. }) => format!("a write to {tag} is being committed"),
            (Some(tag), _) => format!("{tag} holds a value that is not the cache's"),
        });
    }
    why_not
}

/// The payload for those who asked for it.
fn content(entry: &InspectedEntry) -> Result<Value, Failure> {
    let keys = match std::env::var("CACHE_ENCRYPTION_KEYS") {
        Ok(text) if !text.trim().is_empty() => Some(EncryptionKeys::parse(&text)?),
        _ => None,
    };
    let content = entry.content(keys.as_ref()).map_err(|why| match entry.encrypted_with {
        Some(_) => Failure::Failed(format!("{why}; set CACHE_ENCRYPTION_KEYS")),
        None => Failure::Failed(why.to_string()),
    })?;
    Ok(match content {
        EntryContent::Missing => Value::Null,
        EntryContent::Row(cells) => json!({ "row": cells }),
        EntryContent::Rows(rows) => json!({ "rows": rows }),
        EntryContent::Value(value) => json!({ "value": value }),
        EntryContent::Opaque(bytes) => json!({ "opaque_bytes": bytes }),
        _ => Value::Null,
    })
}
