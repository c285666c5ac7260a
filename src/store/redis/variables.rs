//! Where Redis is, from the environment.

use super::{RedisConfig, RedisFeed};
use crate::{CacheError, config::variable};

/// The variables that say where Redis is; at most one is set.
const PLACES: [&str; 4] = ["REDIS_URL", "REDIS_HOST", "REDIS_SENTINEL_NODES", "REDIS_CLUSTER_NODES"];

impl RedisConfig {
    /// What the environment says of where Redis is, by the variables that
    /// [`CacheBuilder::from_env`](crate::CacheBuilder::from_env) lists. `None` if it names no place.
    ///
    /// # Errors
    ///
    /// [`CacheError::Config`] names the variable, and shows nothing of what it holds.
    pub fn from_env() -> Result<Option<Self>, CacheError> {
        read(None, &|name| Ok(variable(name)?.filter(|value| !value.trim().is_empty())))
    }
}

type Get<'a> = &'a dyn Fn(&str) -> Result<Option<String>, CacheError>;

/// What the variables say, on top of what was configured before; `None` if neither names a Redis. An
/// error names the variable, and shows nothing of what it holds.
pub(crate) fn read(before: Option<RedisConfig>, get: Get<'_>) -> Result<Option<RedisConfig>, CacheError> {
    let mut set = Vec::new();
    for name in PLACES {
        if let Some(value) = get(name)? {
            set.push((name, value));
        }
    }
    if let [(one, _), (other, _), ..] = &set[..] {
        return Err(CacheError::Config(format!("{one} and {other} are both set; Redis is in one place")));
    }
    let tls = match get("REDIS_TLS")?.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None | Some("0" | "false" | "no" | "off") => false,
        Some("1" | "true" | "yes" | "on") => true,
        Some(_) => return Err(CacheError::Config("REDIS_TLS is neither true nor false".to_owned())),
    };
    let nodes = |text: &str| text.split(',').map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    let (mut config, place) = match (set.pop(), before) {
        (None, None) => return Ok(None),
        (None, Some(before)) => (before, "the Redis configuration"),
        (Some((name @ "REDIS_URL", url)), _) => (RedisConfig::new(url), name),
        (Some((name @ "REDIS_HOST", host)), _) => {
            let host = host.trim();
            if host.contains(['@', '/', '?', '#']) {
                return Err(CacheError::Config("REDIS_HOST is not the name of a host".to_owned()));
            }
            let port = match get("REDIS_PORT")? {
                None => 6379,
                Some(port) => port
                    .trim()
                    .parse::<u16>()
                    .map_err(|_| CacheError::Config("REDIS_PORT is not the number of a port".to_owned()))?,
            };
            let host = if host.contains(':') && !host.starts_with('[') {
                format!("[{host}]")
            } else {
                host.to_owned()
            };
            let scheme = if tls { "rediss" } else { "redis" };
            (RedisConfig::new(format!("{scheme}://{host}:{port}")), name)
        }
        (Some((name @ "REDIS_SENTINEL_NODES", text)), _) => {
            let Some(service) = get("REDIS_SENTINEL_SERVICE")? else {
                return Err(CacheError::Config(
                    "REDIS_SENTINEL_NODES is set, but not REDIS_SENTINEL_SERVICE, the name of the service; it \
                     is often `mymaster`"
                        .to_owned(),
                ));
            };
            (RedisConfig::sentinel(service.trim(), nodes(&text)).tls(tls), name)
        }
        (Some((name, text)), _) => (RedisConfig::cluster(nodes(&text)).tls(tls), name),
    };
    if tls && place == "REDIS_URL" {
        return Err(CacheError::Config(
            "REDIS_TLS and REDIS_URL are both set; the URL says rediss:// for TLS".to_owned(),
        ));
    }
    check(place, &config)?;
    // A password before its user, who cannot be without.
    if let Some(password) = get("REDIS_PASSWORD")? {
        config = config.password(password);
        check("REDIS_PASSWORD", &config)?;
    }
    if let Some(username) = get("REDIS_USERNAME")? {
        config = config.username(username);
        check("REDIS_USERNAME", &config)?;
    }
    if let Some(password) = get("REDIS_SENTINEL_PASSWORD")? {
        config = config.sentinel_password(password);
        check("REDIS_SENTINEL_PASSWORD", &config)?;
    }
    if let Some(username) = get("REDIS_SENTINEL_USERNAME")? {
        config = config.sentinel_username(username);
        check("REDIS_SENTINEL_USERNAME", &config)?;
    }
    if let Some(database) = get("REDIS_DATABASE")? {
        let number = database.trim().parse().map_err(|_| {
            CacheError::Config("REDIS_DATABASE is not the number of a database, such as 0".to_owned())
        })?;
        config = config.database(number);
        check("REDIS_DATABASE", &config)?;
    }
    if let Some(feed) = get("REDIS_FEED")? {
        config = config.feed(match &*feed.trim().to_ascii_lowercase() {
            "automatic" => RedisFeed::Automatic,
            "publish" => RedisFeed::Publish,
            _ => return Err(CacheError::Config("REDIS_FEED is neither automatic nor publish".to_owned())),
        });
    }
    if let Some(file) = get("REDIS_TLS_CA")? {
        config = config.tls_ca(file.trim());
        check("REDIS_TLS_CA", &config)?;
    }
    match (get("REDIS_TLS_CERT")?, get("REDIS_TLS_KEY")?) {
        (None, None) => {}
        (Some(certificate), Some(key)) => {
            config = config.tls_client(certificate.trim(), key.trim());
            check("REDIS_TLS_CERT, REDIS_TLS_KEY", &config)?;
        }
        _ => {
            return Err(CacheError::Config(
                "of REDIS_TLS_CERT and REDIS_TLS_KEY one is set; a client has both, or neither".to_owned(),
            ));
        }
    }
    Ok(Some(config))
}

fn check(name: &str, config: &RedisConfig) -> Result<(), CacheError> {
    config.validate().map_err(|error| CacheError::Config(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Option<RedisConfig>, CacheError> {
        read(None, &|name| {
            Ok(variables.iter().find(|(there, _)| *there == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_environment_names_every_form_of_redis() {
        for (variables, expected) in [
            (&[("REDIS_URL", "redis-sentinel://h/mymaster")][..], "redis-sentinel://h:26379/mymaster/0"),
            (&[("REDIS_HOST", "h")], "redis://h:6379/0"),
            (&[("REDIS_HOST", "::1"), ("REDIS_PORT", "7000"), ("REDIS_DATABASE", "3")], "redis://::1:7000/3"),
            (
                &[
                    ("REDIS_SENTINEL_NODES", "h:1, k"),
                    ("REDIS_SENTINEL_SERVICE", "m"),
                    ("REDIS_PASSWORD", "p"),
                ],
                "redis-sentinel://h:1,k:26379/m/0",
            ),
            (&[("REDIS_CLUSTER_NODES", "h,k:1"), ("REDIS_TLS", "off")], "redis-cluster://h:6379,k:1"),
        ] {
            let config = from(variables).unwrap().unwrap();
            assert!(format!("{config:?}").contains(expected), "{variables:?}: {config:?}");
        }
        assert!(from(&[("REDIS_PORT", "tcp://10.0.0.1:6379"), ("REDIS_PASSWORD", "p")]).unwrap().is_none());
        let before = || Some(RedisConfig::new("redis://h/"));
        let named = read(before(), &|name| Ok((name == "REDIS_DATABASE").then(|| "7".to_owned())));
        assert!(format!("{:?}", named.unwrap().unwrap()).contains("redis://h:6379/7"));
    }

    // case G8
    #[test]
    fn every_bad_variable_is_named_and_shows_nothing() {
        let url = ("REDIS_URL", "redis://h");
        for (variables, name) in [
            (&[("REDIS_URL", "hunter2")][..], "REDIS_URL"),
            (&[url, ("REDIS_HOST", "hunter2")], "REDIS_HOST"),
            (&[("REDIS_HOST", "u:hunter2@h")], "REDIS_HOST"),
            (&[("REDIS_HOST", "h"), ("REDIS_PORT", "hunter2")], "REDIS_PORT"),
            (&[("REDIS_SENTINEL_NODES", "h")], "REDIS_SENTINEL_SERVICE"),
            (
                &[("REDIS_SENTINEL_NODES", "h:hunter2"), ("REDIS_SENTINEL_SERVICE", "m")],
                "REDIS_SENTINEL_NODES",
            ),
            (&[("REDIS_CLUSTER_NODES", ",")], "REDIS_CLUSTER_NODES"),
            (&[("REDIS_CLUSTER_NODES", "h"), ("REDIS_DATABASE", "1")], "REDIS_DATABASE"),
            (&[url, ("REDIS_DATABASE", "hunter2")], "REDIS_DATABASE"),
            (&[url, ("REDIS_USERNAME", "hunter2")], "REDIS_USERNAME"),
            (&[url, ("REDIS_SENTINEL_USERNAME", "hunter2")], "REDIS_SENTINEL_USERNAME"),
            (&[url, ("REDIS_TLS", "hunter2")], "REDIS_TLS"),
            (&[url, ("REDIS_TLS", "on")], "REDIS_TLS"),
            (&[url, ("REDIS_FEED", "hunter2")], "REDIS_FEED"),
            (&[url, ("REDIS_TLS_CA", "/nowhere/ca.pem")], "REDIS_TLS_CA"),
            (&[url, ("REDIS_TLS_CERT", "/nowhere/c.pem")], "REDIS_TLS_KEY"),
        ] {
            let error = from(variables).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("hunter2"), "{variables:?}: {error}");
        }
    }
}
