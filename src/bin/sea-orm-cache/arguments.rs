//! What may stand on the command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sea_orm::DbBackend;

/// Looks into a sea-orm-cache namespace in Redis, and purges it.
///
/// Works on keys, headers and tags, and knows nothing of the application's entities. So there is no
/// `warm`: loading needs the entities, and is `warm_up` in the application. What a payload holds is shown
/// only with `show --values`.
///
/// Exit codes: 0 all right; 1 failed, or something wrong was found; 2 wrong usage; 3 Redis is away.
#[derive(Debug, Parser)]
#[command(name = "sea-orm-cache", version, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub connection: Connection,
    /// One JSON document (`watch`: one a line) instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Debug)]
pub struct Connection {
    /// Where Redis is: `redis://[[user]:password@]host[:port][/db]`, `redis-sentinel://...`,
    /// `redis-cluster://...`. Unless given, what the application reads: `REDIS_URL`, `REDIS_HOST`,
    /// `REDIS_SENTINEL_NODES`, `REDIS_CLUSTER_NODES` and those beside them. Others on this machine can
    /// see arguments; give a password in a variable.
    #[arg(long, global = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// The cache's namespace.
    #[arg(long, global = true, env = "CACHE_PREFIX", default_value = "app", value_name = "NAMESPACE")]
    pub prefix: String,
    /// How long Redis may take for an answer.
    #[arg(long, global = true, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The server, its memory, and how many keys of which kind there are.
    Status {
        /// Keys to look at, at most.
        #[arg(long, default_value_t = 100_000, value_name = "KEYS")]
        scan: usize,
    },
    /// Lists keys.
    Keys(ListKeys),
    /// Shows what stands under a key: of an entry, whether it would be served, and why not.
    Show(ShowKey),
    /// Lists tags and what stands there: nothing, a stamp, or writers' marks.
    Tags(ListTags),
    /// Makes entries misses. Asks first.
    Purge(Purge),
    /// Says what the cache makes of a statement. Needs no Redis.
    ///
    /// Entities, foreign keys, views and triggers are not known here: the application's own
    /// `cache.explain(...)` may say that less is purged, or more tables are written.
    Explain(Explain),
    /// Checks the structure of entries: can they be read, do their tags stand, do they end.
    ///
    /// Whether values are those of the database only the application can check: see `verify_one_in`.
    Verify {
        /// Entries to look at, at most.
        #[arg(long, default_value_t = 1000, value_name = "ENTRIES")]
        sample: usize,
    },
    /// Says which tags change, as it happens, until Ctrl-C.
    Watch {
        /// End after so long.
        #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
        during: Option<Duration>,
    },
    /// Prints a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Args, Debug)]
pub struct ListKeys {
    /// Of the key without its namespace; `*` stands for any text: `row:book:*`.
    #[arg(default_value = "*")]
    pub pattern: String,
    /// Keys to list, at most.
    #[arg(long, default_value_t = 1000, value_name = "KEYS")]
    pub limit: usize,
}

#[derive(Args, Debug)]
pub struct ListTags {
    /// Of the tag without the namespace; `*` stands for any text: `t:book*`.
    #[arg(default_value = "*")]
    pub pattern: String,
    /// Tags to list, at most.
    #[arg(long, default_value_t = 1000, value_name = "TAGS")]
    pub limit: usize,
}

#[derive(Args, Debug)]
pub struct ShowKey {
    /// The whole key, as `keys` lists it.
    pub key: String,
    /// Shows the payload too. Encrypted ones need `CACHE_ENCRYPTION_KEYS`.
    #[arg(long)]
    pub values: bool,
}

#[derive(Args, Debug)]
pub struct Purge {
    #[command(flatten)]
    pub what: What,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// For applications that load from replicas: keep what is purged from being stored for so long.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub settle: Option<Duration>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct What {
    /// Everything in the namespace.
    #[arg(long)]
    pub all: bool,
    /// All that was read from a table.
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// One row, and the lists that may hold it; the parts of a composite key behind commas.
    #[arg(long, num_args = 2, value_names = ["TABLE", "KEY"])]
    pub row: Option<Vec<String>>,
    /// A tag of the application's own, or a stem: `report:*`.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Entries whose key without the namespace matches. Drops them; what is in the memory of the
    /// application's processes stays there.
    #[arg(long, value_name = "PATTERN")]
    pub pattern: Option<String>,
}

#[derive(Args, Debug)]
pub struct Explain {
    /// The statement; `-` reads it from standard input.
    pub sql: String,
    /// Whose SQL it is.
    #[arg(long, value_enum, default_value_t = Backend::Postgres)]
    pub backend: Backend,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Backend {
    Postgres,
    Mysql,
    Sqlite,
}

impl From<Backend> for DbBackend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Postgres => Self::Postgres,
            Backend::Mysql => Self::MySql,
            Backend::Sqlite => Self::Sqlite,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    parsed.and_then(|duration| {
        let fits = duration >= Duration::from_millis(1) && duration <= Duration::from_secs(366 * 24 * 3600);
        if fits { Ok(duration) } else { Err("give a time from 1ms to a year".to_owned()) }
    })
}
