//! A fresh database per test, on each of the three backends.

use std::fmt;
use std::thread;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};
use tokio::runtime;
use tokio::time::timeout;

use super::environment::{self, MARIADB, POSTGRES};
use super::names::unique_name;
use super::scratch::ScratchDir;

/// How long the clean-up of one database may take before it is left behind.
const DROP_DEADLINE: Duration = Duration::from_secs(15);

/// The databases that the crate is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A file in a scratch directory; always there.
    Sqlite,
    /// The server at `SEA_ORM_CACHE_TEST_POSTGRES`.
    Postgres,
    /// The server at `SEA_ORM_CACHE_TEST_MARIADB`; MySQL will do as well.
    MariaDb,
}

impl Backend {
    /// All three.
    pub fn all() -> [Self; 3] {
        [Self::Sqlite, Self::Postgres, Self::MariaDb]
    }

    /// The variable that holds this backend's admin URL; SQLite needs none.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(POSTGRES),
            Self::MariaDb => Some(MARIADB),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// An empty database that belongs to one test and is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    backend: Backend,
    connection: DatabaseConnection,
    url: String,
    home: Home,
}

/// What has to go when the test is over.
#[derive(Debug)]
enum Home {
    Directory { _directory: ScratchDir },
    Server { admin: String, name: String },
}

impl TestDatabase {
    /// Makes a database with a name of its own and connects to it. `None` (and a line that says so) when the
    /// environment names no such server.
    pub async fn create(backend: Backend) -> Option<Self> {
        let (url, home) = match backend.variable() {
            None => sqlite_file().await,
            Some(variable) => {
                let Some(admin) = environment::variable(variable) else {
                    return environment::skip(&backend.to_string(), variable);
                };
                create_on_server(backend, admin).await
            }
        };
        let connection = connect(backend, &url)
            .await
            .unwrap_or_else(|error| panic!("connect to the new {backend} database: {error}"));
        Some(Self { backend, connection, url, home })
    }

    /// One database on each backend that is configured.
    pub async fn create_all() -> Vec<Self> {
        let mut databases = Vec::new();
        for backend in Backend::all() {
            databases.extend(Self::create(backend).await);
        }
        databases
    }

    /// Which database this is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The pool that came with it: up to eight connections, opened as they are needed. Clones share it.
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// A URL that any other pool, or another process, can connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's `host:port`, to put a proxy in front of it; `None` for SQLite.
    pub fn server_address(&self) -> Option<String> {
        match self.home {
            Home::Directory { .. } => None,
            Home::Server { .. } => Some(split(&self.url).authority.rsplit('@').next()?.to_owned()),
        }
    }

    /// The URL of the same database by way of another `host:port`.
    pub fn url_through(&self, address: &str) -> String {
        match self.server_address() {
            Some(direct) => self.url.replacen(&direct, address, 1),
            None => self.url.clone(),
        }
    }

    /// A second pool on the same database: what another process would have.
    pub async fn another_connection(&self) -> DatabaseConnection {
        connect(self.backend, &self.url)
            .await
            .unwrap_or_else(|error| panic!("connect to {}: {error}", self.url))
    }

    /// Runs statements that need no values: a schema, some rows, a write behind the cache's back.
    pub async fn execute(&self, sql: &str) {
        self.connection.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Home::Server { admin, name } = &self.home else { return };
        let sql = match self.backend {
            // FORCE: the pools of the test may still be open, and a pool cannot be closed from a destructor.
            Backend::Postgres => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            _ => format!("DROP DATABASE IF EXISTS {name}"),
        };
        let (backend, admin) = (self.backend, admin.clone());
        // The test's own runtime cannot be waited on from inside it, so the last word comes from another thread.
        let dropped = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
            let drop = async { timeout(DROP_DEADLINE, administer(backend, &admin, &sql)).await };
            runtime.block_on(drop).ok()?.ok()
        });
        // Best effort: a database left behind is no reason to fail a test that passed.
        if !matches!(dropped.join(), Ok(Some(()))) {
            eprintln!("could not drop the test database {name}");
        }
    }
}

/// A file, not `:memory:`: in memory every pool connection would see a database of its own, or (shared cache)
/// lock whole tables against readers. WAL lets readers go on beside a writer, as the servers do.
async fn sqlite_file() -> (String, Home) {
    let directory = ScratchDir::create("sqlite");
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("test.db").display());
    // WAL is written into the file, so this once holds for every pool that opens it later.
    administer(Backend::Sqlite, &url, "PRAGMA journal_mode = WAL")
        .await
        .unwrap_or_else(|error| panic!("create {url}: {error}"));
    (url, Home::Directory { _directory: directory })
}

async fn create_on_server(backend: Backend, admin: String) -> (String, Home) {
    let name = unique_name("sea_orm_cache_test");
    let sql = match backend {
        // template0, because nobody can be connected to it: a connection to template1 makes CREATE DATABASE fail.
        Backend::Postgres => format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"),
        _ => format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
    };
    administer(backend, &admin, &sql).await.unwrap_or_else(|error| panic!("{backend}: {sql}: {error}"));
    let url = split(&admin).with_database(&name);
    (url, Home::Server { admin, name })
}

/// One statement on a connection of its own.
async fn administer(backend: Backend, url: &str, sql: &str) -> Result<(), DbErr> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let connection = Database::connect(options).await?;
    if backend == Backend::MariaDb {
        // A transaction that a test left open would block the DROP for a day otherwise.
        connection.execute_unprepared("SET SESSION lock_wait_timeout = 10").await?;
    }
    connection.execute_unprepared(sql).await?;
    connection.close().await
}

async fn connect(backend: Backend, url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(8)
        .min_connections(0)
        .connect_timeout(Duration::from_secs(20))
        .acquire_timeout(Duration::from_secs(20))
        .sqlx_logging(false);
    if backend == Backend::Sqlite {
        options.map_sqlx_sqlite_opts(|sqlite| {
            // Nobody pulls the plug on a test, and writers queue for each other instead of failing.
            sqlite.pragma("synchronous", "OFF").busy_timeout(Duration::from_secs(20))
        });
    }
    Database::connect(options).await
}

/// A server URL in its parts.
struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    query: Option<&'a str>,
}

fn split(url: &str) -> Url<'_> {
    let (scheme, rest) = url.split_once("://").unwrap_or_else(|| panic!("not a database URL: {url}"));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let authority = rest.split('/').next().unwrap_or(rest);
    Url { scheme, authority, query }
}

impl Url<'_> {
    fn with_database(&self, name: &str) -> String {
        let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}://{}/{name}{query}", self.scheme, self.authority)
    }
}
