//! Where Redis is, and how patient to be with it.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use redis::{ConnectionInfo, ProtocolVersion, RedisConnectionInfo, io::tcp::TcpSettings};

use super::{
    address::{Address, Form},
    cluster::{Nodes, slot_of},
    rehearsal::Rehearsal,
    sentinel::Sentinels,
    tls,
    topology::Topology,
};
use crate::{keys::Keyspace, store::StoreError};

const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_CONNECTIONS: usize = 64;

/// Where Redis is, and how patient to be with it.
///
/// | where | URL | or |
/// |---|---|---|
/// | one server | `redis://[[user]:password@]host[:port][/database]`, `unix:///path/to/socket[?db=0&user=...&pass=...]` | |
/// | Sentinel | `redis-sentinel://[[user]:password@]host[:port],host[:port]/service[/database]` | [`sentinel`](Self::sentinel) |
/// | Redis Cluster | `redis-cluster://[[user]:password@]host[:port],host[:port]` | [`cluster`](Self::cluster) |
///
/// With TLS it is `rediss://`, `rediss-sentinel://`, `rediss-cluster://`, or [`tls`](Self::tls). Special
/// characters in the user name and the password are percent-encoded in the URL, or given by
/// [`username`](Self::username) and [`password`](Self::password) as they are.
///
/// ```
/// # use std::time::Duration;
/// # use sea_orm_cache::stores::RedisConfig;
/// let config = RedisConfig::new("redis://127.0.0.1:6379/0")
///     .username("cache")
///     .password("p@ss/word")
///     .read_timeout(Duration::from_millis(50));
/// assert!(config.validate().is_ok());
/// assert!(!format!("{config:?}").contains("p@ss"));
///
/// let watched = RedisConfig::sentinel("mymaster", ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]);
/// assert!(watched.validate().is_ok());
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    place: Place,
    username: Option<String>,
    password: Option<String>,
    sentinel_username: Option<String>,
    sentinel_password: Option<String>,
    database: Option<u16>,
    tls: bool,
    tls_ca: Option<PathBuf>,
    tls_client: Option<(PathBuf, PathBuf)>,
    namespace: Option<String>,
    feed: RedisFeed,
    read_timeout: Duration,
    write_timeout: Duration,
    connect_timeout: Duration,
    connections: usize,
}

#[derive(Clone)]
enum Place {
    Url(String),
    Sentinel { service: String, nodes: Vec<String> },
    Cluster { nodes: Vec<String> },
}

/// A configuration that was found to be good, in the client library's words.
pub(super) struct Plan {
    pub(super) topology: Arc<Topology>,
    /// If it is known on which keys.
    pub(super) rehearsal: Option<Arc<Rehearsal>>,
    /// For logs; no credentials.
    pub(super) address: String,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) connections: usize,
    pub(super) feed: RedisFeed,
}

/// How a process hears of what others change, for a near cache with `max_staleness`. What one process
/// chooses makes no difference to the others, but for the work of telling it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisFeed {
    /// By `CLIENT TRACKING` in broadcast mode (RESP3). Where the server does not have it, or this user may
    /// not, by publish/subscribe.
    #[default]
    Automatic,
    /// By publish/subscribe: whoever purges tells it, in the same step.
    Publish,
}

impl RedisConfig {
    /// The server, the sentinels or the cluster at `url`. Only keeps the text;
    /// [`validate`](Self::validate) judges it.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::at(Place::Url(url.into()))
    }

    /// The primary of a service that Sentinel watches, by the `host:port` of its sentinels. Name them
    /// all: what at least half of them say counts, so one that is cut off together with an old primary
    /// does not decide.
    #[must_use]
    pub fn sentinel(
        service: impl Into<String>,
        sentinels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let nodes = sentinels.into_iter().map(Into::into).collect();
        Self::at(Place::Sentinel { service: service.into(), nodes })
    }

    /// A Redis Cluster, by the `host:port` of some of its nodes; the others are learned from these.
    ///
    /// All keys of a namespace are in one slot, so on one primary at a time.
    #[must_use]
    pub fn cluster(nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::at(Place::Cluster { nodes: nodes.into_iter().map(Into::into).collect() })
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
            database: None,
            tls: false,
            tls_ca: None,
            tls_client: None,
            namespace: None,
            feed: RedisFeed::default(),
            read_timeout: Duration::from_millis(80),
            write_timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(1),
            connections: 1,
        }
    }

    /// The ACL user, instead of the one in the URL. Needs a password.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, instead of the one in the URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The user at the sentinels, which know nothing of the servers' users. Needs a password.
    #[must_use]
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_username = Some(username.into());
        self
    }

    /// The password of the sentinels. None unless set, whatever the servers' is.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// The logical database, instead of the one in the URL. A Redis Cluster has only 0.
    #[must_use]
    pub fn database(mut self, database: u16) -> Self {
        self.database = Some(database);
        self
    }

    /// Whether nodes that are given by [`sentinel`](Self::sentinel) or [`cluster`](Self::cluster) are
    /// spoken to with TLS, sentinels and servers alike. A URL says so by its scheme. Needs the feature
    /// `tls`.
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    /// A file with the certificates (PEM) of who signs the servers', instead of those that the system
    /// trusts.
    #[must_use]
    pub fn tls_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls_ca = Some(file.into());
        self
    }

    /// Files with this client's certificate and its key (PEM), for servers that ask for them.
    #[must_use]
    pub fn tls_client(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls_client = Some((certificate.into(), key.into()));
        self
    }

    /// The namespace whose keys are kept there. A Redis Cluster has a node for it; and with it each new
    /// connection tries every command that is needed, on a key of its own.
    /// [`CacheBuilder`](crate::CacheBuilder) says it by itself; a store that is made by hand, with
    /// [`RedisStore::connect`](crate::stores::RedisStore::connect), has to be told.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How a process hears of what others change. [`RedisFeed::Automatic`] unless set, which is right
    /// nearly always.
    #[must_use]
    pub fn feed(mut self, feed: RedisFeed) -> Self {
        self.feed = feed;
        self
    }

    /// How long a read may take before the database is asked instead. 80 ms unless set. Twice that for
    /// one that has to wait for others.
    ///
    /// The price of a Redis that hangs: a query waits at most this long, and only until the circuit
    /// breaker opens. Well above the round trip, well below what a user notices.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long storing, purging and everything else may take. 250 ms unless set.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long a connection may take to come up, name resolution and login included, and how long to
    /// find out where the primary is. 1 s unless set. Queries never wait for it: without a connection
    /// they go to the database.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many connections to keep, 1 to 64. One unless set, which is right nearly always: it is
    /// shared by all tasks, and only from about 64 busy tasks on does a second one help.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Checks everything that can be checked without the server.
    ///
    /// # Errors
    ///
    /// [`StoreError::Config`] says what is wrong and what to do; it never shows the password.
    pub fn validate(&self) -> Result<(), StoreError> {
        self.plan().map(drop)
    }

    pub(super) fn plan(&self) -> Result<Plan, StoreError> {
        let address = self.address().map_err(StoreError::Config)?;
        for (name, timeout) in [
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
                let text =
                    format!("{name} is {timeout:?}; set it above zero and to {LONGEST_TIMEOUT:?} at most");
                return Err(StoreError::Config(text));
            }
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.connections) {
            let text = format!("connections is {}; set it from 1 to {MOST_CONNECTIONS}", self.connections);
            return Err(StoreError::Config(text));
        }
        let keys = self.namespace.as_deref().map(|namespace| match address.form {
            Form::Cluster => Keyspace::in_one_slot(namespace),
            Form::Server | Form::Sentinel { .. } => Keyspace::new(namespace),
        });
        Ok(Plan {
            rehearsal: keys.map(|keys| Arc::new(Rehearsal::new(keys.prefix()))),
            address: address.shown(),
            topology: Arc::new(self.topology(address).map_err(StoreError::Config)?),
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            connect_timeout: self.connect_timeout,
            connections: self.connections,
            feed: self.feed,
        })
    }

    /// The address, with what was said beside it.
    fn address(&self) -> Result<Address, String> {
        let mut address = match &self.place {
            Place::Url(url) => Address::parse(url)?,
            Place::Sentinel { service, nodes } => Address::sentinels(service, nodes, self.tls)?,
            Place::Cluster { nodes } => Address::cluster(nodes, self.tls)?,
        };
        if let Some(database) = self.database {
            if address.form == Form::Cluster && database != 0 {
                return Err("a Redis Cluster has only database 0".to_owned());
            }
            for node in &mut address.nodes {
                let login = node.redis_settings().clone().set_db(database.into());
                *node = node.clone().set_redis_settings(login);
            }
        }
        Ok(address)
    }

    fn topology(&self, address: Address) -> Result<Topology, String> {
        let tls = tls::Files { ca: self.tls_ca.as_deref(), client: self.tls_client.as_ref() };
        let dressed = |node: &ConnectionInfo, login: RedisConnectionInfo| {
            // To say who is calling (CLIENT SETINFO) takes two more commands per connection, and the leave
            // to send them; an ACL with the bare minimum must not log refusals.
            let login = login.set_skip_set_lib_name();
            // Without it, small commands wait for the acknowledgement of those before them.
            let tcp = TcpSettings::default().set_nodelay(true);
            tls::prepare(node.clone(), &tls).map(|node| node.set_redis_settings(login).set_tcp_settings(tcp))
        };
        let Address { form, nodes } = address;
        let first = nodes.first().ok_or("the Redis address has no host")?;
        let given = first.redis_settings();
        let login = login(
            given.clone().set_protocol(ProtocolVersion::RESP3),
            self.username.as_deref().or(given.username()),
            self.password.as_deref().or(given.password()),
            "Redis",
        )?;
        let watcher =
            login_of(self.sentinel_username.as_deref(), self.sentinel_password.as_deref(), "Sentinel")?;
        let server = dressed(first, login)?;
        let limit = self.connect_timeout;
        match form {
            Form::Server => Ok(Topology::Fixed(server)),
            Form::Sentinel { service } => {
                let sentinels = nodes.iter().map(|node| dressed(node, watcher.clone()));
                let sentinels = sentinels.collect::<Result<_, _>>()?;
                Ok(Topology::Sentinel(Sentinels::new(service, sentinels, server, limit)))
            }
            Form::Cluster => {
                let namespace = Keyspace::hash_tag(self.namespace.as_deref().unwrap_or("app"));
                // Several are asked in turn.
                let limit = limit / 3;
                Ok(Topology::Cluster(Nodes::new(&nodes, slot_of(&namespace), server, limit)))
            }
        }
    }
}

fn login_of(
    username: Option<&str>,
    password: Option<&str>,
    who: &str,
) -> Result<RedisConnectionInfo, String> {
    login(RedisConnectionInfo::default(), username, password, who)
}

fn login(
    mut login: RedisConnectionInfo,
    username: Option<&str>,
    password: Option<&str>,
    who: &str,
) -> Result<RedisConnectionInfo, String> {
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    if login.username().is_some_and(|name| !name.is_empty()) && login.password().is_none() {
        return Err(format!("{who} has a user name but no password; give both, or neither"));
    }
    Ok(login)
}

impl fmt::Debug for RedisConfig {
    /// Never shows credentials, nor a URL that could not be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address();
        let in_url =
            address.as_ref().ok().and_then(|address| address.nodes.first()?.redis_settings().password());
        let login = self.password.is_some() || in_url.is_some();
        let server = address.as_ref().map_or_else(|_| "not readable".to_owned(), Address::shown);
        f.debug_struct("RedisConfig")
            .field("server", &server)
            .field("login", &login)
            .field("tls_ca", &self.tls_ca.is_some())
            .field("tls_client", &self.tls_client.is_some())
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("connections", &self.connections)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(config: &RedisConfig) -> String {
        match config.validate() {
            Err(StoreError::Config(text)) => text,
            other => panic!("{config:?}: {other:?}"),
        }
    }

    #[test]
    fn good_urls_are_good() {
        for url in [
            "redis://127.0.0.1",
            "redis://localhost:6380/15",
            "redis://localhost:6380/",
            "redis://:secret@localhost",
            "redis://user:p%40ss@[::1]:6379/2",
            "valkey://cache.internal",
            "unix:///run/redis.sock?db=3",
            "redis://localhost?protocol=resp2",
            " redis://localhost \n",
        ] {
            RedisConfig::new(url).validate().unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }

    #[test]
    fn a_bad_url_is_named_and_its_contents_are_not_shown() {
        for (url, word) in [
            ("", "not a URL"),
            ("not a url", "not a URL"),
            ("localhost:6379", "not a URL"),
            ("http://127.0.0.1/", "unknown scheme"),
            ("hunter2://user@host", "unknown scheme"),
            ("redis://", "no host"),
            ("redis:///0", "no host"),
            ("redis://:hunter2@", "cannot be read"),
            ("redis://host:99999", "cannot be read"),
            ("redis://user:hunter2/x@host", "cannot be read"),
            ("redis://user:12/hunter2@host", "not a database number"),
            ("redis://user:hunter2#x@host", "cannot be read"),
            ("redis://host/hunter2", "not a database number"),
            ("redis://host/-1", "not a database number"),
            ("redis://0.0.0.0", "0.0.0.0"),
            ("redis://host?protocol=hunter2", "options"),
            ("redis://name@host", "no password"),
            ("unix:///run/redis.sock?db=hunter2", "options"),
        ] {
            let config = RedisConfig::new(url);
            let text = complaint(&config);
            assert!(text.contains(word), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{url}: {text}");
            assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        }
    }

    #[test]
    fn tls_without_the_feature_says_which_feature() {
        use redis::IntoConnectionInfo;
        if "rediss://localhost".into_connection_info().is_ok() {
            return; // another crate of this build enables TLS
        }
        let text = complaint(&RedisConfig::new("rediss://:hunter2@localhost"));
        assert!(text.contains("feature `tls`") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn numbers_that_cannot_work_are_named() {
        let good = || RedisConfig::new("redis://localhost");
        for (config, word) in [
            (good().read_timeout(Duration::ZERO), "read_timeout"),
            (good().write_timeout(Duration::MAX), "write_timeout"),
            (good().connect_timeout(Duration::ZERO), "connect_timeout"),
            (good().connections(0), "connections"),
            (good().connections(65), "connections"),
            (good().username("someone"), "no password"),
            (RedisConfig::sentinel("m", ["h"]).sentinel_username("someone"), "no password"),
            (RedisConfig::sentinel("", ["h"]), "service"),
            (RedisConfig::sentinel("m", [""]), "no host"),
            (RedisConfig::cluster(["h"]).database(1), "database 0"),
            (good().tls_ca("/nowhere/ca.pem"), "TLS"),
        ] {
            let text = complaint(&config);
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn builder_credentials_win_and_nothing_shows_them() {
        let config = RedisConfig::new("redis://url-user:url-secret@localhost")
            .username("other-user")
            .password("other-secret");
        let plan = config.plan().unwrap();
        let Topology::Fixed(server) = &*plan.topology else { panic!("one server") };
        assert_eq!(server.redis_settings().username(), Some("other-user"));
        assert_eq!(server.redis_settings().password(), Some("other-secret"));
        assert!(server.tcp_settings().nodelay());
        let shown = format!("{config:?} {}", plan.address);
        assert!(shown.contains("redis://localhost:6379/0"), "{shown}");
        for secret in ["url-user", "url-secret", "other-user", "other-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let socket = RedisConfig::new("unix:///run/r.sock?user=me&pass=hunter2");
        assert!(!format!("{socket:?}").contains("hunter2"));
    }
}
