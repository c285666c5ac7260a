//! The program `sea-orm-cache`, run as operators run it.

mod forms;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, EntityTrait};
use sea_orm_cache::{CacheEntity, EncryptionKeys, EntityPolicy, prelude::*};
use serde_json::{Value, json};

use crate::{
    entity::book,
    support::{
        Backend, PrivateRedis, eventually, free_port, redis_command, shared_redis_url, unique_namespace,
    },
    world::{StoreKind, World, builder},
};

const SOON: Duration = Duration::from_secs(20);

/// The program, with nothing of this process's own configuration.
fn program(url: &str, namespace: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sea-orm-cache"));
    for variable in ["REDIS_URL", "CACHE_PREFIX", "CACHE_ENCRYPTION_KEYS"] {
        command.env_remove(variable);
    }
    if !url.is_empty() {
        command.args(["--redis-url", url]);
    }
    command.args(["--prefix", namespace]).stdin(Stdio::null());
    command
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A cache's namespace in the shared Redis.
struct Place {
    url: String,
    namespace: String,
}

impl Place {
    fn of(world: &World) -> Self {
        Self { url: shared_redis_url().unwrap(), namespace: world.namespace.clone() }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(program(&self.url, &self.namespace).args(arguments))
    }

    /// The JSON that the command says, and its exit code.
    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let Ran { code, stdout, stderr } =
            ran(program(&self.url, &self.namespace).arg("--json").args(arguments));
        let document = serde_json::from_str(&stdout);
        (code, document.unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{stdout}{stderr}")))
    }

    /// The first key that matches.
    fn key(&self, pattern: &str) -> String {
        let (_, found) = self.json(&["keys", pattern]);
        found["keys"][0]["key"].as_str().unwrap_or_else(|| panic!("{pattern}: {found}")).to_owned()
    }

    fn is_valid(&self, key: &str) -> bool {
        self.json(&["show", key]).1["valid"].as_bool().unwrap()
    }
}

/// A bookshop with book 1 and the list of all books in the cache.
async fn filled() -> Option<(World, Place)> {
    let world = World::new(Backend::Sqlite, StoreKind::Redis).await?;
    let read = async || {
        book::Entity::cached_by_id(1, &world.db).await.unwrap();
        book::Entity::find().cached().all(&world.db).await.unwrap();
    };
    eventually("both are hits", SOON, async || {
        let before = world.cache().stats().total.hits;
        read().await;
        world.cache().stats().total.hits == before + 2
    })
    .await;
    let place = Place::of(&world);
    Some((world, place))
}

// feature D9
#[tokio::test]
async fn status_and_keys_say_what_is_there() {
    let Some((_world, place)) = filled().await else { return };
    let (code, status) = place.json(&["status"]);
    assert_eq!(code, 0, "{status}");
    assert_eq!(status["namespace"], json!(place.namespace));
    assert_eq!(status["keys"]["kinds"]["row"], 1);
    assert_eq!(status["keys"]["kinds"]["query"], 1);
    assert_eq!(status["keys"]["complete"], true);
    assert!(status["server"]["used_memory"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["server"]["incarnation"].as_str().unwrap().len(), 16, "{status}");
    assert_eq!(place.run(&["status"]).code, 0);

    let (code, rows) = place.json(&["keys", "row:book:*"]);
    assert_eq!((code, rows["keys"].as_array().unwrap().len()), (0, 1), "{rows}");
    assert!(
        rows["keys"][0]["key"].as_str().unwrap().starts_with(&format!("{}:row:book:1@", place.namespace))
    );
    let (_, few) = place.json(&["keys", "--limit", "2"]);
    assert_eq!((few["keys"].as_array().unwrap().len(), &few["complete"]), (2, &json!(false)));
    let listed = place.run(&["keys"]);
    assert!(
        listed.stdout.lines().all(|key| key.starts_with(&format!("{}:", place.namespace))),
        "{}",
        listed.stdout
    );
    assert!(!listed.stdout.contains('\x1b'), "no colours in a pipe");
}

// feature D9
#[tokio::test]
async fn an_entry_is_valid_until_a_write_and_show_says_which_tag_was_purged() {
    let Some((world, place)) = filled().await else { return };
    let row = place.key("row:book:1@*");
    let (code, shown) = place.json(&["show", &row]);
    assert_eq!((code, &shown["valid"], &shown["holds"]), (0, &json!(true), &json!("rows")), "{shown}");
    assert!(shown["left_ms"].as_u64().unwrap() > 0 && shown["fresh_for_ms"].as_u64().unwrap() > 0, "{shown}");
    let own = format!("{}:t:book:1", place.namespace);
    let tags = |shown: &Value| -> Vec<(Option<String>, bool)> {
        let tags = shown["tags"].as_array().unwrap().iter();
        tags.map(|tag| (tag["tag"].as_str().map(str::to_owned), tag["stands"] == json!(true))).collect()
    };
    assert!(tags(&shown).contains(&(Some(own.clone()), true)), "{shown}");
    assert!(tags(&shown).iter().all(|(tag, stands)| tag.is_some() && *stands), "{shown}");
    let list = place.key("q:book:*");
    let (_, shown) = place.json(&["show", &list]);
    assert_eq!(shown["valid"], true, "{shown}");
    assert!(tags(&shown).contains(&(Some(format!("{}:t:book", place.namespace)), true)), "{shown}");

    // Purges what it wrote, but for the entry, which stays to be looked at.
    let sql = "UPDATE book SET title = 'new' WHERE id = 1";
    let bytes = redis_command(&place.url, &["DUMP", &row]).await;
    world.db.execute_unprepared(sql).await.unwrap();
    let redis::Value::BulkString(bytes) = bytes else { panic!("DUMP of {row}") };
    let client = redis::Client::open(place.url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let restore: redis::RedisResult<()> = redis::cmd("RESTORE")
        .arg(&row)
        .arg(60_000)
        .arg(bytes)
        .arg("REPLACE")
        .query_async(&mut connection)
        .await;
    restore.unwrap();
    let (code, shown) = place.json(&["show", &row]);
    assert_eq!((code, &shown["valid"]), (0, &json!(false)), "{shown}");
    assert!(tags(&shown).contains(&(Some(own.clone()), false)), "{shown}");
    assert_eq!(shown["why_not"], json!([format!("{own} was purged")]));
    assert!(!place.is_valid(&list), "a list may hold the row");
    let shown = place.run(&["show", &row]).stdout;
    assert!(shown.contains("not valid") && shown.contains(&own), "{shown}");
}

// feature D9
#[tokio::test]
async fn values_are_shown_only_to_who_asks_for_them() {
    let Some((world, place)) = filled().await else { return };
    let title = world.title(1).await.unwrap();
    for pattern in ["row:book:1@*", "q:book:*"] {
        let key = place.key(pattern);
        for form in [&["show", key.as_str()][..], &["--json", "show", &key]] {
            assert!(!place.run(form).stdout.contains(&title), "{form:?}");
            let with_values = [form, &["--values"]].concat();
            assert!(place.run(&with_values).stdout.contains(&title), "{with_values:?}");
        }
    }
    let (_, shown) = place.json(&["show", "--values", &place.key("row:book:1@*")]);
    assert_eq!(shown["values"]["row"][0], 1, "{shown}");
    let (_, shown) = place.json(&["show", "--values", &place.key("q:book:*")]);
    assert_eq!(shown["values"]["rows"].as_array().unwrap().len(), 12, "{shown}");
}

mod secret {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// By hand, so that only the cache that is told of it knows it.
impl CacheEntity for secret::Entity {
    fn cache_policy() -> EntityPolicy {
        EntityPolicy::new().encrypted()
    }
}

// feature D9
#[tokio::test]
async fn an_encrypted_value_is_shown_only_with_its_key() {
    const VALUE: &str = "Rumpelstiltskin";
    let Some(url) = shared_redis_url() else { return };
    let place = Place { url, namespace: unique_namespace() };
    let cache = builder(StoreKind::Redis, &place.namespace).unwrap().entity::<secret::Entity>();
    let cache = cache.encryption_keys(EncryptionKeys::new(3, [0xab; 32]).unwrap()).build().await.unwrap();
    let options = || EntryOptions::new().entity(secret::Entity);
    let load = async || Ok::<_, std::convert::Infallible>(VALUE.to_owned());
    eventually("it is stored", SOON, async || {
        let before = cache.stats().total.hits;
        cache.get_or_load("name", options(), load).await.unwrap();
        cache.stats().total.hits > before
    })
    .await;
    let key = place.key("e:name");
    let (code, shown) = place.json(&["show", &key]);
    assert_eq!((code, &shown["valid"], &shown["encrypted_with"]), (0, &json!(true), &json!(3)), "{shown}");
    let with = |keys: &str| {
        let mut command = program(&place.url, &place.namespace);
        ran(command.env("CACHE_ENCRYPTION_KEYS", keys).args(["--json", "show", "--values", &key]))
    };
    let right = with(&format!("3:{}", "ab".repeat(32)));
    assert_eq!(right.code, 0, "{}", right.stderr);
    assert!(right.stdout.contains(VALUE), "{}", right.stdout);
    for wrong in [String::new(), format!("3:{}", "cd".repeat(32)), format!("4:{}", "ab".repeat(32))] {
        let refused = with(&wrong);
        assert_eq!(refused.code, 1, "{wrong}");
        assert!(!refused.stdout.contains(VALUE) && !refused.stderr.contains("cdcd"), "{}", refused.stderr);
    }
}

// feature D9
// case F1
#[tokio::test]
async fn a_key_of_another_namespace_is_refused() {
    let Some((_world, place)) = filled().await else { return };
    for key in ["other:row:book:1@0", &format!("{}2:t", place.namespace), &place.namespace, ""] {
        let refused = place.run(&["show", key]);
        assert_eq!(refused.code, 2, "{key}: {}", refused.stderr);
        assert!(refused.stdout.is_empty());
    }
    let missing = place.run(&["show", &format!("{}:row:book:999@0", place.namespace)]);
    assert_eq!(missing.code, 1, "{}", missing.stderr);
}

// feature D9
// case F11
#[tokio::test]
async fn a_namespace_of_glob_characters_is_that_namespace_and_no_other() {
    let Some(url) = shared_redis_url() else { return };
    let name = unique_namespace();
    let (starred, other) = (format!("{name}*[a-z]?"), format!("{name}xa1"));
    for namespace in [&starred, &other] {
        let cache = builder(StoreKind::Redis, namespace).unwrap().build().await.unwrap();
        cache.set("entry", &namespace.as_str(), EntryOptions::new()).await.unwrap();
        eventually("it is stored", SOON, async || cache.exists("entry").await.unwrap()).await;
    }
    let place = |namespace: &String| Place { url: url.clone(), namespace: namespace.clone() };
    let (starred, other) = (place(&starred), place(&other));
    let (_, keys) = starred.json(&["keys"]);
    let keys: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert!(keys.iter().any(|key| key.ends_with(":e:entry")), "{keys:?}");
    assert!(keys.iter().all(|key| !key.starts_with(&other.namespace)), "{keys:?}");
    let (code, purged) = starred.json(&["purge", "--pattern", "*", "--yes"]);
    assert_eq!((code, &purged["dropped"]), (0, &json!(1)), "{purged}");
    assert_eq!(starred.run(&["purge", "--all", "--yes"]).code, 0);
    assert!(other.is_valid(&other.key("e:entry")), "another namespace");
}

// feature D9
#[tokio::test]
async fn a_purge_asks_first_and_does_nothing_without_a_yes() {
    let Some((_world, place)) = filled().await else { return };
    let row = place.key("row:book:1@*");
    let answering = |answer: &str| {
        let mut child = program(&place.url, &place.namespace)
            .args(["purge", "--table", "book"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for no in ["", "n\n", "\n", "yess\n"] {
        let (code, asked) = answering(no);
        assert_eq!(code, 1, "{no:?}");
        assert!(asked.contains("book") && asked.contains(&place.namespace), "{asked}");
        assert!(place.is_valid(&row), "{no:?}");
    }
    assert_eq!(answering("y\n").0, 0);
    assert!(!place.is_valid(&row));
    // What is to be purged has to be said, and once.
    assert_eq!(place.run(&["purge", "--yes"]).code, 2);
    assert_eq!(place.run(&["purge", "--all", "--table", "book", "--yes"]).code, 2);
}

// feature D9
#[tokio::test]
async fn each_purge_reaches_what_it_names() {
    let Some((world, place)) = filled().await else { return };
    let read = async || {
        eventually("all are hits", SOON, async || {
            let before = world.cache().stats().total.hits;
            for id in [1, 2] {
                book::Entity::cached_by_id(id, &world.db).await.unwrap();
            }
            book::Entity::find().cached().all(&world.db).await.unwrap();
            world.cache().stats().total.hits == before + 3
        })
        .await;
    };
    let publisher = world.db.inner();
    let publisher = book::Entity::find_by_id(1).one(publisher).await.unwrap().unwrap().publisher_id;
    let of_publisher = format!("publisher:{publisher}");
    // What is still valid: book 1, book 2, the list.
    for (what, expected) in [
        (&["--row", "book", "1"][..], [false, true, false]),
        (&["--table", "Book"], [false; 3]),
        (&["--tag", &of_publisher], [false, false, false]),
        (&["--all"], [false; 3]),
    ] {
        read().await;
        let keys = ["row:book:1@*", "row:book:2@*", "q:book:*"].map(|pattern| place.key(pattern));
        assert!(keys.iter().all(|key| place.is_valid(key)), "before {what:?}");
        let (code, purged) = place.json(&[&["purge", "--yes"], what].concat());
        assert_eq!(code, 0, "{what:?}: {purged}");
        assert!(!purged["tags"].as_array().unwrap().is_empty(), "{purged}");
        if what[0] != "--tag" {
            assert_eq!(keys.map(|key| place.is_valid(&key)), expected, "after {what:?}");
        } else {
            assert!(!place.is_valid(&keys[0]), "after {what:?}");
        }
        // And the application reads anew.
        let (_, hit) = world.is_hit(book::Entity::cached_by_id(1, &world.db)).await;
        assert!(!hit, "{what:?}");
    }
}

// feature D9
#[tokio::test]
async fn tags_show_stamps_and_the_marks_of_writers() {
    let Some((_world, place)) = filled().await else { return };
    let (code, tags) = place.json(&["tags", "t:book*"]);
    assert_eq!(code, 0);
    let states: Vec<_> =
        tags["tags"].as_array().unwrap().iter().map(|tag| tag["state"].as_str().unwrap()).collect();
    assert!(states.len() >= 3 && states.iter().all(|state| *state == "stamp"), "{tags}");
    let store =
        sea_orm_cache::stores::RedisStore::connect(crate::world::patient(place.url.clone())).await.unwrap();
    let tag = format!("{}:t:book", place.namespace);
    let arm = sea_orm_cache::stores::Arm {
        writer: sea_orm_cache::stores::WriterId::from_number(7),
        tags: vec![(sea_orm_cache::stores::TagKey::from_full(tag.as_str()), 0)],
        life: Duration::from_secs(60),
    };
    sea_orm_cache::stores::Store::arm(&store, &arm).await.unwrap();
    let (_, shown) = place.json(&["show", &tag]);
    assert_eq!(shown["state"], "barrier", "{shown}");
    assert_eq!(shown["marks"][0]["writer"], "w0000000000000007", "{shown}");
    let left = shown["marks"][0]["stands_for_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&left), "{shown}");
    assert!(place.run(&["tags", "t:book"]).stdout.contains("w0000000000000007"));
    let (_, list) = place.json(&["show", &place.key("q:book:*")]);
    assert_eq!(list["valid"], false, "{list}");
    assert!(list["why_not"][0].as_str().unwrap().contains("being committed"), "{list}");
    assert_eq!(place.json(&["verify"]).1["valid"], 1, "the row alone");
}

// feature D9
// case F7
#[tokio::test]
async fn verify_finds_what_is_damaged_and_nothing_else() {
    let Some((_world, place)) = filled().await else { return };
    let (code, verified) = place.json(&["verify"]);
    assert_eq!((code, &verified["wrong"], &verified["valid"]), (0, &json!([]), &json!(2)), "{verified}");
    let row = place.key("row:book:1@*");
    redis_command(&place.url, &["SETRANGE", &row, "12", "damage"]).await;
    let (code, verified) = place.json(&["verify"]);
    assert_eq!((code, verified["wrong"].as_array().unwrap().len()), (1, 1), "{verified}");
    assert_eq!(verified["wrong"][0]["key"], json!(row));
    assert_eq!(place.run(&["show", &row]).code, 1);
    redis_command(&place.url, &["DEL", &row]).await;
    redis_command(&place.url, &["PERSIST", &place.key("q:book:*")]).await;
    let (code, verified) = place.json(&["verify"]);
    assert_eq!((code, &verified["wrong"][0]["why"]), (1, &json!("it has no time to live")), "{verified}");
}

// feature D9
#[test]
fn explain_needs_no_server() {
    let place = Place { url: String::new(), namespace: "shop".to_owned() };
    let (code, read) = place.json(&["explain", "SELECT * FROM book WHERE id = 7"]);
    assert_eq!((code, &read["kind"], &read["cacheable"]), (0, &json!("read"), &json!(true)), "{read}");
    assert_eq!(read["reads"][0]["table"], "book");
    assert_eq!(read["depends_on"], json!(["shop:t", "shop:t:book"]), "{read}");
    let (_, read) = place.json(&["explain", "SELECT now(), id FROM book"]);
    assert_eq!(read["cacheable"], false);
    assert!(read["why_not"].as_str().unwrap().contains("now"), "{read}");
    let (_, write) = place.json(&["explain", "--backend", "mysql", "UPDATE `book` SET stock = 0"]);
    assert_eq!(write["kind"], "write");
    assert!(write["purges"].as_array().unwrap().contains(&json!("shop:t:book")), "{write}");
    let (_, unknown) = place.json(&["explain", "FROBNICATE everything"]);
    assert!(unknown["purges_everything"].is_string(), "{unknown}");
}

// feature D9
#[test]
fn wrong_usage_ends_with_two_and_says_no_secret() {
    let place = |url: &str| Place { url: url.to_owned(), namespace: "shop".to_owned() };
    for url in ["", "nonsense", "http://127.0.0.1/", "redis://user:hunter2@/", "redis://:hunter2@127.0.0.1/x"]
    {
        let ran = place(url).run(&["status"]);
        assert_eq!(ran.code, 2, "{url}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
    let place = place("redis://127.0.0.1/");
    for arguments in
        [&["frobnicate"][..], &["show"], &["explain"], &["watch", "--for", "soon"], &["keys", "--limit", "x"]]
    {
        assert_eq!(place.run(arguments).code, 2, "{arguments:?}");
    }
    let help = place.run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("warm_up"), "says where warm-up is");
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains("sea-orm-cache"), "{shell}");
    }
}

// feature D9
// case C3, C4
#[tokio::test]
async fn a_server_that_is_away_or_hangs_is_three_within_bounded_time() {
    let place = Place { url: format!("redis://127.0.0.1:{}/", free_port()), namespace: "shop".to_owned() };
    for command in [&["status"][..], &["keys"], &["purge", "--all", "--yes"], &["verify"], &["watch"]] {
        let ran = place.run(&[&["--timeout", "1s"], command].concat());
        assert_eq!(ran.code, 3, "{command:?}: {}", ran.stderr);
    }
    let Some(redis) = PrivateRedis::start().await else { return };
    redis.pause();
    let place = Place { url: redis.url(), namespace: "shop".to_owned() };
    let began = Instant::now();
    let ran = place.run(&["--timeout", "300ms", "status"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(began.elapsed() < Duration::from_secs(60), "it gave up by itself");
}

/// The program as it watches.
struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut child = program(&place.url, &place.namespace)
            .args(["--json", "watch"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line of this kind.
    fn until(&mut self, event: &str, tag: Option<&str>) -> Value {
        loop {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "it ended before it heard of {event} {tag:?}"
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["event"] == event && line["tag"].as_str() == tag {
                return line;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// feature D9
#[tokio::test]
async fn watch_sees_a_purge_that_another_process_makes() {
    let Some((world, place)) = filled().await else { return };
    let mut watching = Watching::start(&place, &["--for", "60s"]);
    watching.until("listening", None);
    assert_eq!(place.run(&["purge", "--row", "book", "1", "--yes"]).code, 0);
    let tag = format!("{}:t:book:1", place.namespace);
    assert_eq!(watching.until("purged", Some(&tag))["state"], "absent");
    // And what the application itself writes.
    world.db.execute_unprepared("UPDATE book SET title = 'new' WHERE id = 2").await.unwrap();
    watching.until("purged", Some(&format!("{}:t:book:2", place.namespace)));
}

// feature D9
#[tokio::test]
async fn watch_ends_when_its_time_is_over_and_a_closed_pipe_is_no_panic() {
    let Some((_world, place)) = filled().await else { return };
    assert_eq!(place.run(&["watch", "--for", "1ms"]).code, 0);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = program(&place.url, &place.namespace);
    let output =
        child.arg("keys").stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
