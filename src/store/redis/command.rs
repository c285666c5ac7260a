//! The commands as they go over the wire: MGET, SET with PX and NX, PEXPIRE with GT, EVALSHA, UNLINK,
//! SCAN, PING, HELLO, INFO. Always a pipeline, which is one write to the socket.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use redis::Pipeline;

use super::introduction::Setting;
use crate::store::{Arm, EntryKey, EntryWrite, Fate, Release, TagKey, TagProbe, WriterId, whole_millis};

/// Keys per UNLINK. The server runs a command in one go; this many keys keep it busy for a few
/// milliseconds at most.
pub(super) const KEYS_PER_UNLINK: usize = 5000;

/// Keys that one step of a SCAN looks at.
const KEYS_PER_SCAN: usize = 1000;

/// The proposals, each only where nothing stands, and then one MGET of everything: the server
/// answers that in one atomic step.
pub(super) fn read(entries: &[EntryKey], tags: &[TagProbe]) -> Pipeline {
    let proposals = tags.iter().filter(|probe| probe.propose.is_some()).count();
    let mut pipeline = Pipeline::with_capacity(1 + proposals);
    for probe in tags {
        if let Some((stamp, life)) = probe.propose {
            let stamp = stamp.to_string();
            pipeline
                .cmd("SET")
                .arg(probe.key.as_str())
                .arg(stamp)
                .arg("PX")
                .arg(whole_millis(life))
                .arg("NX");
        }
    }
    let keys = || entries.iter().map(EntryKey::as_str).chain(tags.iter().map(|probe| probe.key.as_str()));
    let bytes = keys().map(str::len).sum::<usize>();
    let mut all = redis::Cmd::with_capacity(1 + entries.len() + tags.len(), 4 + bytes);
    all.arg("MGET");
    keys().for_each(|key| {
        all.arg(key);
    });
    pipeline.add_command(all);
    pipeline
}

/// The entries, and then a longer life for the tags, where the server can do that without ever
/// shortening one. PEXPIRE does nothing to a tag that is not there: a purge that came first stands.
pub(super) fn write(entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(entries.len() + keep.len());
    store(&mut pipeline, entries);
    for (tag, life) in keep {
        pipeline.cmd("PEXPIRE").arg(tag.as_str()).arg(whole_millis(*life)).arg("GT");
    }
    pipeline
}

fn store(pipeline: &mut Pipeline, entries: &[EntryWrite]) {
    for EntryWrite { key, bytes, ttl } in entries {
        let mut set = redis::Cmd::with_capacity(5, key.as_str().len() + bytes.len() + 25);
        set.arg("SET").arg(key.as_str()).arg(&bytes[..]).arg("PX").arg(whole_millis(*ttl));
        pipeline.add_command(set);
    }
}

/// One UNLINK of all the keys, or as many as it takes.
pub(super) fn remove<'a>(keys: impl Iterator<Item = &'a str>) -> Pipeline {
    let mut pipeline = redis::pipe();
    unlink(&mut pipeline, keys);
    pipeline
}

fn unlink<'a>(pipeline: &mut Pipeline, keys: impl Iterator<Item = &'a str>) {
    let mut keys = keys.peekable();
    while let Some(first) = keys.peek() {
        let mut unlink = redis::Cmd::with_capacity(4, 6 + 3 * first.len());
        unlink.arg("UNLINK");
        keys.by_ref().take(KEYS_PER_UNLINK).for_each(|key| {
            unlink.arg(key);
        });
        pipeline.add_command(unlink);
    }
}

/// How a script is named: by its hash, if the server has it, or by its text, which also leaves it
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Hash,
    Text,
    /// By its text, in a call of its own for each tag, and nothing else. Tells nobody: [`silence`] has to
    /// follow.
    Apart,
}

/// The rules of `store/cell.rs` in the server.
static BARRIER: LazyLock<redis::Script> = LazyLock::new(|| redis::Script::new(BARRIER_TEXT));
const BARRIER_TEXT: &str = concat!(include_str!("feed.lua"), include_str!("barrier.lua"));

/// The key of the feed of changes, which is also the channel on which changes are told, for the namespace
/// of this key.
pub(super) fn feed_of(key: &str) -> String {
    // Whatever a namespace is, in a key it has no colon.
    let namespace = key.split_once(':').map_or(key, |(namespace, _)| namespace);
    [namespace, ":~feed"].concat()
}

/// Tells all who listen by publish/subscribe that they have missed something.
pub(super) fn silence(tag: &TagKey) -> Pipeline {
    remove(std::iter::once(&*feed_of(tag.as_str())))
}

/// Says on the listener's own channel how far the feed is, and keeps its key there for so long.
pub(super) fn published_beat(own: &str, number: u64, life: Duration) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("EVAL").arg(include_str!("beat.lua")).arg(1).arg(feed_of(own));
    pipeline.arg(own).arg(number).arg(WriterId::fresh().to_string()).arg(whole_millis(life));
    pipeline
}

/// Tags per call of the script. The server runs a call in one go, a microsecond or two per tag.
pub(super) const TAGS_PER_CALL: usize = 1000;

fn call(
    pipeline: &mut Pipeline,
    naming: Naming,
    (operation, writer, span): (&str, WriterId, u64),
    tags: &[(&TagKey, Cow<'static, str>)],
) {
    let tags_per_call = if naming == Naming::Apart { 1 } else { TAGS_PER_CALL };
    let writer = writer.to_string();
    for tags in tags.chunks(tags_per_call) {
        let (name, script) = match naming {
            Naming::Hash => ("EVALSHA", BARRIER.get_hash()),
            Naming::Text | Naming::Apart => ("EVAL", BARRIER_TEXT),
        };
        let feed = match tags {
            [(tag, _), ..] if naming != Naming::Apart => Some(feed_of(tag.as_str())),
            _ => None,
        };
        let bytes = tags.iter().map(|(tag, word)| tag.as_str().len() + word.len()).sum::<usize>();
        // Besides these the name, the script, two numbers, the feed's key, the operation and the writer.
        let others = name.len() + script.len() + 40 + feed.as_ref().map_or(0, String::len) + 8 + writer.len();
        let mut call = redis::Cmd::with_capacity(7 + 2 * tags.len(), bytes + others);
        call.arg(name).arg(script).arg(tags.len() + usize::from(feed.is_some()));
        for (tag, _) in tags {
            call.arg(tag.as_str());
        }
        call.arg(feed).arg(operation).arg(&*writer).arg(span);
        for (_, word) in tags {
            call.arg(&**word);
        }
        pipeline.add_command(call);
    }
}

fn label(label: u64) -> Cow<'static, str> {
    // As a stamp shows it, where no label is no text.
    if label == 0 { "l".into() } else { format!("l{label:016x}").into() }
}

pub(super) fn arm(arm: &Arm, naming: Naming) -> Pipeline {
    let mut pipeline = redis::pipe();
    let word = |unless: u64| if unless == 0 { "".into() } else { label(unless) };
    let tags: Vec<_> = arm.tags.iter().map(|(tag, unless)| (tag, word(*unless))).collect();
    call(&mut pipeline, naming, ("arm", arm.writer, whole_millis(arm.life)), &tags);
    pipeline
}

/// The tags first: should the server be cut off in between, they are what counts.
pub(super) fn release(release: &Release, naming: Naming) -> Pipeline {
    let settle = if release.settle.is_zero() { 0 } else { whole_millis(release.settle) };
    let word = |fate: &Fate| match fate {
        Fate::Purge => "p".into(),
        Fate::PurgeUnless(unless) => label(*unless),
        Fate::End(held) => format!("e{held}").into(),
        Fate::Spare => "s".into(),
        Fate::Renew(stamp, life) => format!("n{stamp}@{}", (*life).max(1)).into(),
    };
    let tags: Vec<_> = release.tags.iter().map(|(tag, fate)| (tag, word(fate))).collect();
    let mut pipeline = Pipeline::with_capacity(2 + release.store.len());
    call(&mut pipeline, naming, ("release", release.writer, settle), &tags);
    if naming != Naming::Apart {
        unlink(&mut pipeline, release.entries.iter().map(EntryKey::as_str));
        store(&mut pipeline, &release.store);
    }
    pipeline
}

pub(super) fn lease(key: &EntryKey, life: Duration) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("SET").arg(key.as_str()).arg("").arg("PX").arg(whole_millis(life)).arg("NX");
    pipeline
}

/// A key that is written to be told of it.
pub(super) fn beat(key: &str, life: Duration) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("SET").arg(key).arg("").arg("PX").arg(whole_millis(life));
    pipeline
}

/// From now on this connection is told of every key that changes and begins with one of these.
pub(super) fn track(prefixes: &[String], own: &str) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLIENT").arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes.iter().map(String::as_str).chain([own]) {
        pipeline.arg("PREFIX").arg(prefix);
    }
    pipeline
}

pub(super) fn ping() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("PING");
    pipeline
}

/// Is it alive, and who is it? HELLO without arguments changes nothing, and no ACL forbids it; INFO
/// may be forbidden.
pub(super) fn introduction(with_info: bool, setting: Setting) -> Pipeline {
    let mut pipeline = ping();
    pipeline.cmd("HELLO");
    if with_info {
        pipeline.cmd("INFO").arg("server").cmd("INFO").arg("replication");
        if setting == Setting::Clustered {
            pipeline.cmd("CLUSTER").arg("INFO");
        }
    }
    pipeline
}

/// One step through the key space.
pub(super) fn scan(cursor: u64, prefix: &str) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("SCAN").arg(cursor).arg("MATCH").arg(literal_prefix(prefix)).arg("COUNT").arg(KEYS_PER_SCAN);
    pipeline
}

/// A pattern that matches what begins with `prefix`, whatever glob characters it holds.
fn literal_prefix(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 4);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stamp;

    fn sent(pipeline: &Pipeline) -> Vec<String> {
        let command = |command: &redis::Cmd| {
            let words = command.args_iter().map(|argument| match argument {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => "?".to_owned(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        pipeline.cmd_iter().map(command).collect()
    }

    fn entry(key: &str) -> EntryKey {
        EntryKey::from_full(key)
    }

    #[test]
    fn a_read_is_the_proposals_and_one_mget_with_the_entries_first() {
        let entries = [entry("n:e1"), entry("n:e2")];
        let stamp = Stamp::from_number(7).unwrap();
        let probe = |key: &str, life| TagProbe { key: TagKey::from_full(key), propose: Some((stamp, life)) };
        let tags = [
            probe("n:t1", Duration::from_secs(3600)),
            TagProbe { key: TagKey::from_full("n:t2"), propose: None },
            probe("n:t3", Duration::from_nanos(1)),
        ];
        assert_eq!(
            sent(&read(&entries, &tags)),
            [
                "SET n:t1 s0000000000000007 PX 3600000 NX",
                "SET n:t3 s0000000000000007 PX 1 NX",
                "MGET n:e1 n:e2 n:t1 n:t2 n:t3"
            ]
        );
        assert_eq!(sent(&read(&entries[..1], &[])), ["MGET n:e1"]);
    }

    #[test]
    fn lives_go_out_in_whole_milliseconds() {
        let life = Duration::from_micros(1_500_500);
        let write = write(
            &[EntryWrite { key: entry("n:e"), bytes: "v".into(), ttl: life }],
            &[(TagKey::from_full("n:t"), life)],
        );
        assert_eq!(sent(&write), ["SET n:e v PX 1501", "PEXPIRE n:t 1501 GT"]);
        assert_eq!(sent(&lease(&entry("n:l"), Duration::ZERO)), ["SET n:l  PX 1 NX"]);
    }

    #[test]
    fn a_purge_of_any_size_is_one_pipeline_of_few_commands() {
        let keys: Vec<_> = (0..KEYS_PER_UNLINK * 2 + 1).map(|number| format!("n:{number}")).collect();
        let pipeline = remove(keys.iter().map(String::as_str));
        let sizes: Vec<_> = pipeline.cmd_iter().map(|c| c.args_iter().len() - 1).collect();
        assert_eq!(sizes, [KEYS_PER_UNLINK, KEYS_PER_UNLINK, 1]);
        assert_eq!(sent(&remove(["a", "b"].into_iter())), ["UNLINK a b"]);
        assert!(remove(std::iter::empty()).is_empty());
    }

    #[test]
    fn marks_are_left_and_taken_away_by_one_script() {
        let (writer, tag) = (WriterId::from_number(10), |key: &str| TagKey::from_full(key));
        let hash = BARRIER.get_hash();
        let arm =
            Arm { writer, tags: vec![(tag("n:a"), 0), (tag("n:i"), 255)], life: Duration::from_secs(5) };
        assert_eq!(
            sent(&super::arm(&arm, Naming::Hash)),
            [format!("EVALSHA {hash} 3 n:a n:i n:~feed arm w000000000000000a 5000  l00000000000000ff")]
        );
        let tags =
            vec![(tag("n:a"), Fate::Purge), (tag("n:b"), Fate::Spare), (tag("n:i"), Fate::PurgeUnless(255))];
        let release =
            Release { writer, tags, entries: vec![entry("e")], store: Vec::new(), settle: Duration::ZERO };
        assert_eq!(
            sent(&super::release(&release, Naming::Hash)),
            [
                format!(
                    "EVALSHA {hash} 4 n:a n:b n:i n:~feed release w000000000000000a 0 p s l00000000000000ff"
                ),
                "UNLINK e".to_owned()
            ]
        );
        assert!(sent(&super::release(&release, Naming::Text))[0].starts_with("EVAL -- "));
        let apart = sent(&super::release(&release, Naming::Apart));
        assert!(apart.len() == 3 && apart[1].ends_with(" 1 n:b release w000000000000000a 0 s"), "{apart:?}");
        let many = (0..=TAGS_PER_CALL).map(|number| (tag(&number.to_string()), Fate::Purge)).collect();
        let release = Release { tags: many, ..release };
        assert_eq!(super::release(&release, Naming::Hash).len(), 3);
    }

    // case F20
    #[test]
    fn glob_characters_in_a_prefix_are_escaped() {
        assert_eq!(sent(&scan(7, "shop:")), ["SCAN 7 MATCH shop:* COUNT 1000"]);
        assert_eq!(literal_prefix(r"s*h?o[a-b]^\p"), r"s\*h\?o\[a-b\]^\\p*");
    }
}
