//! Where Redis is, and how patient to be with it.

use std::{fmt, time::Duration};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, io::tcp::TcpSettings,
    parse_redis_url,
};

use crate::store::StoreError;

const SCHEMES: &str = "redis://, rediss://, valkey://, valkeys:// or unix://";
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_CONNECTIONS: usize = 64;

/// Where Redis is, and how patient to be with it.
///
/// `redis://[[user]:password@]host[:port][/database]`, `rediss://...` for TLS, or
/// `unix:///path/to/socket[?db=0&user=...&pass=...]`. Special characters in the user name and the
/// password are percent-encoded in the URL, or given by [`username`](Self::username) and
/// [`password`](Self::password) as they are.
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
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    url: String,
    username: Option<String>,
    password: Option<String>,
    read_timeout: Duration,
    write_timeout: Duration,
    connect_timeout: Duration,
    connections: usize,
}

/// A configuration that was found to be good, in the client library's words.
pub(super) struct Plan {
    /// With RESP3 asked for.
    pub(super) server: ConnectionInfo,
    /// The server's address for logs; no credentials.
    pub(super) address: String,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) connections: usize,
}

impl RedisConfig {
    /// The server at `url`. Only keeps the text; [`validate`](Self::validate) judges it.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            username: None,
            password: None,
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

    /// How long a read may take before the database is asked instead. 80 ms unless set.
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

    /// How long a connection may take to come up, name resolution and login included. 1 s unless
    /// set. Queries never wait for it: without a connection they go to the database.
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
        let server = self.server().map_err(StoreError::Config)?;
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
        Ok(Plan {
            address: address(&server),
            server,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
            connect_timeout: self.connect_timeout,
            connections: self.connections,
        })
    }

    /// Reads the URL. The text of an error must not quote it: a mistyped URL can have a piece of
    /// the password anywhere.
    fn server(&self) -> Result<ConnectionInfo, String> {
        let url = self.url.trim();
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("the Redis URL is not a URL; it must begin with {SCHEMES}"));
        };
        if !matches!(
            scheme,
            "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix"
        ) {
            return Err(format!("the Redis URL has an unknown scheme; it must begin with {SCHEMES}"));
        }
        let Some(parsed) = parse_redis_url(url) else {
            return Err("the Redis URL cannot be read; check the host and the port, and percent-encode \
                        special characters (@ : / ? # %) in the user name and the password"
                .to_owned());
        };
        if !scheme.ends_with("unix") {
            if parsed.host_str().is_none_or(str::is_empty) {
                return Err("the Redis URL has no host; write redis://host:port".to_owned());
            }
            let database = parsed.path().trim_matches('/');
            if !database.is_empty() && database.parse::<u16>().is_err() {
                return Err("the Redis URL has something after the host that is not a database number; \
                            write redis://host:port/0, and percent-encode special characters in the password"
                    .to_owned());
            }
        }
        let info = match parsed.into_connection_info() {
            Ok(info) => info,
            // Whether TLS is there depends on the features of the redis crate in the final build.
            Err(_) if scheme.ends_with('s') && format!("redis://{rest}").into_connection_info().is_ok() => {
                return Err(format!(
                    "the Redis URL asks for TLS ({scheme}://), but this build has none; enable the feature \
                     `tokio-rustls-comp` or `tokio-native-tls-comp` of the `redis` crate, or use redis://"
                ));
            }
            Err(_) => {
                return Err(
                    "the Redis URL cannot be used; check the host (not 0.0.0.0 or ::), the path of a \
                            unix:// socket, and the options after `?`"
                        .to_owned(),
                );
            }
        };
        if !info.addr().is_supported() {
            return Err(format!("{scheme}:// does not work on this platform; use redis://"));
        }
        let mut login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if let Some(username) = self.username.as_deref().or(info.redis_settings().username()) {
            login = login.set_username(username);
        }
        if let Some(password) = self.password.as_deref().or(info.redis_settings().password()) {
            login = login.set_password(password);
        }
        if login.username().is_some_and(|name| !name.is_empty()) && login.password().is_none() {
            return Err("Redis has a user name but no password; give both, or neither".to_owned());
        }
        // To say who is calling (CLIENT SETINFO) takes two more commands per connection, and the leave
        // to send them; an ACL with the bare minimum must not log refusals.
        let login = login.set_skip_set_lib_name();
        // Without it, small commands wait for the acknowledgement of those before them.
        let tcp = TcpSettings::default().set_nodelay(true);
        Ok(info.set_redis_settings(login).set_tcp_settings(tcp))
    }
}

/// The server's address and database, for people to read.
fn address(info: &ConnectionInfo) -> String {
    let database = info.redis_settings().db();
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("redis://{host}:{port}/{database}"),
        ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{host}:{port}/{database}"),
        ConnectionAddr::Unix(path) => format!("unix://{}?db={database}", path.display()),
        _ => "an address of another kind".to_owned(),
    }
}

impl fmt::Debug for RedisConfig {
    /// Never shows credentials, nor a URL that could not be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server();
        let login = server.as_ref().is_ok_and(|info| info.redis_settings().password().is_some());
        let server = server.as_ref().map_or_else(|_| "not readable".to_owned(), address);
        f.debug_struct("RedisConfig")
            .field("server", &server)
            .field("login", &login)
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
        if "rediss://localhost".into_connection_info().is_ok() {
            return; // another crate of this build enables TLS
        }
        let text = complaint(&RedisConfig::new("rediss://:hunter2@localhost"));
        assert!(text.contains("tokio-rustls-comp") && !text.contains("hunter2"), "{text}");
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
        assert_eq!(plan.server.redis_settings().username(), Some("other-user"));
        assert_eq!(plan.server.redis_settings().password(), Some("other-secret"));
        assert!(plan.server.tcp_settings().nodelay());
        let shown = format!("{config:?} {}", plan.address);
        assert!(shown.contains("redis://localhost:6379/0"), "{shown}");
        for secret in ["url-user", "url-secret", "other-user", "other-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let socket = RedisConfig::new("unix:///run/r.sock?user=me&pass=hunter2");
        assert!(!format!("{socket:?}").contains("hunter2"));
    }
}
