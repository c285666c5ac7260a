//! Configuration from the environment.

use std::time::Duration;

#[cfg(feature = "redis")]
use super::StoreChoice;
use super::{CacheBuilder, Consistency, LONGEST_TTL, OnOutage, OutageReads};
use crate::{CacheError, EncryptionKeys};

impl CacheBuilder {
    /// Reads the environment:
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `REDIS_URL` | where entries are kept: [`RedisConfig`](crate::stores::RedisConfig) | in process |
    /// | `REDIS_HOST`, `REDIS_PORT` | one server | port `6379` |
    /// | `REDIS_SENTINEL_NODES`, `REDIS_SENTINEL_SERVICE` | `host:port,host:port`, and the name of the service | |
    /// | `REDIS_SENTINEL_USERNAME`, `REDIS_SENTINEL_PASSWORD` | the login at the sentinels | none |
    /// | `REDIS_CLUSTER_NODES` | `host:port,host:port`, some nodes of a cluster | |
    /// | `REDIS_USERNAME`, `REDIS_PASSWORD`, `REDIS_DATABASE` | instead of those in the URL | |
    /// | `REDIS_TLS` | `true`: TLS to the host or nodes; a URL says `rediss` | `false` |
    /// | `REDIS_FEED` | `automatic`, or `publish`: how a near cache hears of changes | `automatic` |
    /// | `REDIS_TLS_CA` | file with the certificates that are trusted | the system's |
    /// | `REDIS_TLS_CERT`, `REDIS_TLS_KEY` | files with this client's certificate and key | none |
    /// | `CACHE_PREFIX` | the namespace | `app` |
    /// | `CACHE_DEFAULT_TTL` | `90s`, `10m`, `1h 30m`, or seconds | `10m` |
    /// | `CACHE_ENABLED` | `false`: read the database; writes still purge | `true` |
    /// | `CACHE_WARMUP` | `false`: warm-up loads nothing | `true` |
    /// | `CACHE_CONSISTENCY` | `strict` or `after_commit` | `strict` |
    /// | `CACHE_NEAR_BYTES` | bytes of answers in this process's memory, a number | `0` |
    /// | `CACHE_MAX_STALENESS` | how far behind those may be: `100ms`, `1s` | `0` |
    /// | `CACHE_COMPRESS_ABOVE` | payloads of more bytes are compressed: a number, or `never` | `1024` |
    /// | `CACHE_ENCRYPTION_KEYS` | `2:<64 hexadecimal digits>,1:<...>`: number and key, the current one first | none |
    /// | `CACHE_OUTAGE_READS` | `database`, or how far behind this process's memory may be: `30s` | `database` |
    /// | `CACHE_ON_OUTAGE` | `allow_writes` or `refuse_writes` | `allow_writes` |
    ///
    /// An unset or empty variable leaves what the builder has. Errors name the variable.
    pub fn from_env(self) -> Result<Self, CacheError> {
        self.read_variables(variable)
    }

    fn read_variables(
        mut self,
        variable: impl Fn(&str) -> Result<Option<String>, CacheError>,
    ) -> Result<Self, CacheError> {
        let get = |name: &str| Ok::<_, CacheError>(variable(name)?.filter(|value| !value.trim().is_empty()));
        if let Some(prefix) = get("CACHE_PREFIX")? {
            // `bookshop:` is how prefixes are often written; the separator is the crate's.
            self = self.namespace(prefix.trim().trim_end_matches(':'));
        }
        if let Some(text) = get("CACHE_DEFAULT_TTL")? {
            self.config.default_ttl = parse_ttl("CACHE_DEFAULT_TTL", &text)?;
        }
        if let Some(text) = get("CACHE_ENABLED")? {
            self.config.enabled = parse_switch("CACHE_ENABLED", &text)?;
        }
        if let Some(text) = get("CACHE_WARMUP")? {
            self.config.warm_up = parse_switch("CACHE_WARMUP", &text)?;
        }
        if let Some(text) = get("CACHE_CONSISTENCY")? {
            let words = [("strict", Consistency::Strict), ("after_commit", Consistency::AfterCommit)];
            self.config.consistency = parse_word("CACHE_CONSISTENCY", &text, words)?;
        }
        if let Some(text) = get("CACHE_NEAR_BYTES")? {
            self.config.near_bytes = text.trim().parse().map_err(|_| {
                CacheError::Config(format!(
                    "CACHE_NEAR_BYTES is {text:?}; give a number of bytes, such as 67108864"
                ))
            })?;
        }
        if let Some(text) = get("CACHE_MAX_STALENESS")? {
            let none = text.trim() == "0";
            self.config.max_staleness =
                if none { Duration::ZERO } else { parse_ttl("CACHE_MAX_STALENESS", &text)? };
        }
        if let Some(text) = get("CACHE_COMPRESS_ABOVE")? {
            self.config.compress_above = match text.trim() {
                "never" => usize::MAX,
                number => number.parse().map_err(|_| {
                    let text = format!("CACHE_COMPRESS_ABOVE is {text:?}; give a number of bytes, or never");
                    CacheError::Config(text)
                })?,
            };
        }
        if let Some(text) = get("CACHE_ENCRYPTION_KEYS")? {
            let named = |error: CacheError| match error {
                CacheError::Config(text) => CacheError::Config(format!("CACHE_ENCRYPTION_KEYS: {text}")),
                other => other,
            };
            self.config.encryption_keys = Some(EncryptionKeys::parse(&text).map_err(named)?);
        }
        if let Some(text) = get("CACHE_OUTAGE_READS")? {
            self.config.outage_reads = match text.trim() {
                "database" => OutageReads::Database,
                bound => OutageReads::Memory(parse_ttl("CACHE_OUTAGE_READS", bound)?),
            };
        }
        if let Some(text) = get("CACHE_ON_OUTAGE")? {
            let words = [("allow_writes", OnOutage::AllowWrites), ("refuse_writes", OnOutage::RefuseWrites)];
            self.config.on_outage = parse_word("CACHE_ON_OUTAGE", &text, words)?;
        }
        self.redis_from_env(&get)
    }

    #[cfg(feature = "redis")]
    fn redis_from_env(
        mut self,
        get: &dyn Fn(&str) -> Result<Option<String>, CacheError>,
    ) -> Result<Self, CacheError> {
        let before = match &self.store {
            StoreChoice::Redis(config) => Some((**config).clone()),
            StoreChoice::Memory { .. } | StoreChoice::Custom(_) => None,
        };
        if let Some(config) = crate::store::redis::variables::read(before, get)? {
            self = self.redis_with(config);
        }
        Ok(self)
    }

    #[cfg(not(feature = "redis"))]
    fn redis_from_env(
        self,
        get: &dyn Fn(&str) -> Result<Option<String>, CacheError>,
    ) -> Result<Self, CacheError> {
        for name in ["REDIS_URL", "REDIS_HOST", "REDIS_SENTINEL_NODES", "REDIS_CLUSTER_NODES"] {
            if get(name)?.is_some() {
                return Err(CacheError::Config(format!(
                    "{name} is set, but sea-orm-cache was built without its `redis` feature"
                )));
            }
        }
        Ok(self)
    }
}

/// What the environment holds under this name.
pub(crate) fn variable(name: &str) -> Result<Option<String>, CacheError> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(CacheError::Config(format!("{name} is not UTF-8"))),
    }
}

fn parse_ttl(name: &str, text: &str) -> Result<Duration, CacheError> {
    let text = text.trim();
    let ttl = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    let ttl = ttl.filter(|ttl| *ttl >= Duration::from_millis(1) && *ttl <= LONGEST_TTL);
    ttl.ok_or_else(|| {
        CacheError::Config(format!(
            "{name} is {text:?}; give a time from 1ms to a year, such as 90s, 10m, 1h 30m, or a number of seconds"
        ))
    })
}

fn parse_word<T: Copy>(name: &str, text: &str, words: [(&str, T); 2]) -> Result<T, CacheError> {
    let word = text.trim().to_ascii_lowercase();
    words
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, value)| *value)
        .ok_or_else(|| CacheError::Config(format!("{name} is neither `{}` nor `{}`", words[0].0, words[1].0)))
}

fn parse_switch(name: &str, text: &str) -> Result<bool, CacheError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(CacheError::Config(format!("{name} is {text:?}; give true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<CacheBuilder, CacheError> {
        CacheBuilder::default().read_variables(|name| {
            Ok(vars.iter().find(|(there, _)| *there == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_environment_sets_what_it_names_and_leaves_the_rest() {
        let builder =
            from(&[("CACHE_PREFIX", "shop:"), ("CACHE_DEFAULT_TTL", "90"), ("CACHE_ENABLED", "off")]);
        let config = builder.unwrap().config;
        assert_eq!(config.namespace, "shop");
        assert_eq!(config.default_ttl, Duration::from_secs(90));
        assert!(!config.enabled);
        assert!(config.warm_up);
        assert_eq!(from(&[("CACHE_DEFAULT_TTL", " ")]).unwrap().config.default_ttl, Duration::from_secs(600));
    }

    // case F13
    // feature D1
    #[cfg(feature = "redis")]
    #[test]
    #[allow(clippy::print_stdout)]
    fn every_bad_variable_is_an_error_that_names_it_and_shows_no_secret() {
        let key = "7".repeat(64);
        let bad = [
            ("CACHE_PREFIX", ":"),
            ("CACHE_DEFAULT_TTL", "soon"),
            ("CACHE_DEFAULT_TTL", "0"),
            ("CACHE_DEFAULT_TTL", "-5"),
            ("CACHE_DEFAULT_TTL", "99999999999999999999"),
            ("CACHE_DEFAULT_TTL", "400d"),
            ("CACHE_ENABLED", "maybe"),
            ("CACHE_WARMUP", "2"),
            ("CACHE_CONSISTENCY", "eventual"),
            ("CACHE_ON_OUTAGE", "panic"),
            ("CACHE_OUTAGE_READS", "memory"),
            ("CACHE_NEAR_BYTES", "64MB"),
            ("CACHE_MAX_STALENESS", "now"),
            ("CACHE_COMPRESS_ABOVE", "1k"),
            ("CACHE_ENCRYPTION_KEYS", "hunter2"),
            ("CACHE_ENCRYPTION_KEYS", "1:hunter2"),
            ("CACHE_ENCRYPTION_KEYS", "0:KEY"),
            ("CACHE_ENCRYPTION_KEYS", "x:KEY"),
            ("CACHE_ENCRYPTION_KEYS", "1:KEY,"),
            ("REDIS_URL", "not a url"),
            ("REDIS_URL", "http://127.0.0.1/"),
            ("REDIS_URL", "redis://"),
            ("REDIS_URL", "redis://:hunter2@"),
            ("REDIS_URL", "redis://user:hunter2/x@host"),
            ("REDIS_URL", "redis://host:99999"),
            ("REDIS_URL", "redis://host/hunter2"),
            ("REDIS_URL", "redis://name@host"),
            ("REDIS_URL", "redis://0.0.0.0"),
            ("REDIS_URL", "redis-sentinel://host"),
            ("REDIS_URL", "redis-cluster://"),
            ("REDIS_HOST", "user:hunter2@host"),
            ("REDIS_CLUSTER_NODES", ","),
            ("REDIS_SENTINEL_NODES", "host"),
        ];
        assert!(bad.len() >= 30);
        for (name, value) in bad {
            let built = from(&[(name, &value.replace("KEY", &key))]);
            let error = built.and_then(|builder| builder.config.check()).expect_err(value).to_string();
            let names_it = error.contains(name) || name == "CACHE_PREFIX" && error.contains("namespace");
            assert!(names_it, "{name}={value}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(&key), "{name}: {error}");
            println!("{name}={value}: {error}");
        }
    }
}
