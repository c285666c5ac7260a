//! Two application processes against one Redis.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
};

use sea_orm::{ConnectOptions, Database, entity::prelude::*};
use sea_orm_cache::{Cache, prelude::*};

use crate::{
    support::{Backend, shared_redis_url},
    world::{StoreKind, World, retitled, title},
};

const DATABASE: &str = "PROMISES_READER_DATABASE";
const NAMESPACE: &str = "PROMISES_READER_NAMESPACE";

/// The other process: this binary again, told to be a reader. For each line it is sent it reads
/// book 1 through its cache and says the title.
#[tokio::test]
async fn the_reader_process() {
    let (Ok(url), Ok(namespace)) = (std::env::var(DATABASE), std::env::var(NAMESPACE)) else { return };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let cache =
        Cache::builder().namespace(namespace).redis(shared_redis_url().unwrap()).build().await.unwrap();
    let db = Database::connect(options).await.unwrap().cached_by(cache);
    let mut line = String::new();
    let mut input = BufReader::new(std::io::stdin());
    while input.read_line(&mut line).unwrap() > 0 {
        eprintln!("{}", title(&db, 1).await.unwrap());
        line.clear();
    }
    eprintln!("{}", db.cache().stats().total.hits);
}

struct Reader {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<std::process::ChildStderr>,
}

impl Reader {
    fn start(world: &World) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::the_reader_process", "--nocapture"])
            .env(DATABASE, world.database.url())
            .env(NAMESPACE, &world.namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stderr.take().unwrap());
        Self { child, ask, answers }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn title(&mut self) -> String {
        let ask = self.ask.as_mut().unwrap();
        ask.write_all(b"?\n").unwrap();
        ask.flush().unwrap();
        self.line()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seen_by_the_next_read(backend: Backend, rounds: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let Some(world) = runtime.block_on(World::new(backend, StoreKind::Redis)) else { return };
    let mut reader = Reader::start(&world);
    for round in 0..rounds {
        let expected = format!("round {round}");
        runtime.block_on(retitled(1, &expected).update(&world.db)).unwrap();
        assert_eq!(reader.title(), expected, "{world}");
        // Every third round it is asked again, so that there are entries to be wrong.
        if round % 3 == 0 {
            assert_eq!(reader.title(), expected, "{world}");
        }
    }
    drop(reader.ask.take());
    let hits: u64 = reader.line().parse().unwrap();
    println!(
        "{world}: {rounds} writes in one process, each seen by the next read in the other; {hits} hits there"
    );
    assert!(hits > 0, "the reader was never served from the cache");
}

#[test]
fn a_write_in_one_process_is_seen_by_the_next_read_in_the_other_on_postgres() {
    seen_by_the_next_read(Backend::Postgres, 10_000);
}

#[test]
fn a_write_in_one_process_is_seen_by_the_next_read_in_the_other_on_mariadb() {
    seen_by_the_next_read(Backend::MariaDb, 10_000);
}

#[test]
fn a_write_in_one_process_is_seen_by_the_next_read_in_the_other_on_sqlite() {
    seen_by_the_next_read(Backend::Sqlite, 10_000);
}
