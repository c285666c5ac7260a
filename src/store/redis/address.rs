//! Reading a Redis URL, or a list of nodes. The text of an error must not quote either: a mistyped
//! URL can have a piece of the password anywhere.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, parse_redis_url};

const SCHEMES: &str =
    "redis://, rediss://, valkey://, valkeys://, unix://, redis-sentinel:// or redis-cluster://";
const SENTINEL_PORT: u16 = 26379;
const SERVER_PORT: u16 = 6379;

/// What stands at the end of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One server, or something that stands for one.
    Server,
    /// Sentinels, which know where the primary of this service is.
    Sentinel {
        /// The name that Sentinel has for it.
        service: String,
    },
    /// Nodes of a Redis Cluster, each of which knows where a slot is.
    Cluster,
}

/// An address that could be read.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) form: Form,
    /// At least one. Each carries the login and the database that the URL names.
    pub(super) nodes: Vec<ConnectionInfo>,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("the Redis URL is not a URL; it must begin with {SCHEMES}"));
        };
        match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix" => {
                Ok(Self { form: Form::Server, nodes: vec![one(scheme, rest)?] })
            }
            _ => {
                let (kind, form) = scheme.split_once(['-', '+']).unwrap_or_default();
                match (kind, form) {
                    ("redis" | "rediss" | "valkey" | "valkeys", "sentinel") => sentinel_url(kind, rest),
                    ("redis" | "rediss" | "valkey" | "valkeys", "cluster") => cluster_url(kind, rest),
                    _ => Err(format!("the Redis URL has an unknown scheme; it must begin with {SCHEMES}")),
                }
            }
        }
    }

    /// Sentinels by their `host:port`.
    pub(super) fn sentinels(service: &str, nodes: &[String], tls: bool) -> Result<Self, String> {
        if service.is_empty() {
            return Err(
                "the name of the service that Sentinel watches is empty; it is often `mymaster`".to_owned()
            );
        }
        let nodes = list(scheme(tls), "", nodes.iter().map(String::as_str), SENTINEL_PORT, "0")?;
        Ok(Self { form: Form::Sentinel { service: service.to_owned() }, nodes })
    }

    /// Nodes of a cluster by their `host:port`.
    pub(super) fn cluster(nodes: &[String], tls: bool) -> Result<Self, String> {
        let nodes = list(scheme(tls), "", nodes.iter().map(String::as_str), SERVER_PORT, "0")?;
        Ok(Self { form: Form::Cluster, nodes })
    }

    /// For people to read; no credentials.
    pub(super) fn shown(&self) -> String {
        let Some(first) = self.nodes.first() else { return "no address".to_owned() };
        let database = first.redis_settings().db();
        let (one, tls) = match first.addr() {
            ConnectionAddr::Tcp(host, port) => (format!("{host}:{port}"), ""),
            ConnectionAddr::TcpTls { host, port, .. } => (format!("{host}:{port}"), "s"),
            ConnectionAddr::Unix(path) => return format!("unix://{}?db={database}", path.display()),
            _ => return "an address of another kind".to_owned(),
        };
        let all = || self.nodes.iter().filter_map(|node| Some(host_of(node)?.to_string()));
        match &self.form {
            Form::Server => format!("redis{tls}://{one}/{database}"),
            Form::Sentinel { service } => {
                let all = all().collect::<Vec<_>>().join(",");
                format!("redis{tls}-sentinel://{all}/{service}/{database}")
            }
            Form::Cluster => format!("redis{tls}-cluster://{}", all().collect::<Vec<_>>().join(",")),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// Where this leads to, if that is a host.
pub(super) fn host_of(info: &ConnectionInfo) -> Option<Host> {
    match info.addr() {
        ConnectionAddr::Tcp(name, port) | ConnectionAddr::TcpTls { host: name, port, .. } => {
            Some(Host { name: name.clone(), port: *port })
        }
        _ => None,
    }
}

/// The same, with the same login and the same kind of encryption, at another host.
pub(super) fn moved_to(info: &ConnectionInfo, host: &Host) -> ConnectionInfo {
    let Host { name, port } = host.clone();
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: name, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(name, port),
    };
    info.clone().set_addr(address)
}

fn scheme(tls: bool) -> &'static str {
    if tls { "rediss" } else { "redis" }
}

fn sentinel_url(scheme: &str, rest: &str) -> Result<Address, String> {
    let (login, hosts, path) = pieces(rest)?;
    let (service, database) = path.split_once('/').unwrap_or((path, "0"));
    // Sentinel allows what a URL does not; that is given by the builder.
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if service.is_empty() || !service.bytes().all(sound) {
        return Err("the Redis URL does not name the service that Sentinel watches; write \
                    redis-sentinel://host:26379,host:26379/mymaster/0, and percent-encode special characters \
                    in the password"
            .to_owned());
    }
    let nodes = list(scheme, login, hosts.split(','), SENTINEL_PORT, database)?;
    Ok(Address { form: Form::Sentinel { service: service.to_owned() }, nodes })
}

fn cluster_url(scheme: &str, rest: &str) -> Result<Address, String> {
    let (login, hosts, path) = pieces(rest)?;
    if !matches!(path, "" | "0") {
        return Err("the Redis URL names a database, but a Redis Cluster has only database 0; write \
                    redis-cluster://host:6379,host:6379"
            .to_owned());
    }
    let nodes = list(scheme, login, hosts.split(','), SERVER_PORT, "0")?;
    Ok(Address { form: Form::Cluster, nodes })
}

/// `login@`, hosts, and the path without its slashes at both ends.
fn pieces(rest: &str) -> Result<(&str, &str, &str), String> {
    if rest.contains(['?', '#']) {
        return Err("the Redis URL has options after `?` or `#`, which this kind of address does not have; \
                    percent-encode special characters (@ : / ? # %) in the user name and the password"
            .to_owned());
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = authority.rfind('@').map_or(0, |at| at + 1);
    Ok((&authority[..hosts], &authority[hosts..], path.trim_matches('/')))
}

fn list<'a>(
    scheme: &str,
    login: &str,
    hosts: impl Iterator<Item = &'a str>,
    port: u16,
    database: &str,
) -> Result<Vec<ConnectionInfo>, String> {
    let hosts = hosts.map(str::trim).filter(|host| !host.is_empty());
    let nodes = hosts.map(|host| {
        if host.contains(['/', '?', '#', '@']) {
            return Err("a node is not `host:port`; logins and databases are given apart".to_owned());
        }
        let bare = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
        let port = if bare.contains(':') { String::new() } else { format!(":{port}") };
        one(scheme, &format!("{login}{host}{port}/{database}"))
    });
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() {
        return Err("the Redis address has no host; write host:port,host:port".to_owned());
    }
    Ok(nodes)
}

fn one(scheme: &str, rest: &str) -> Result<ConnectionInfo, String> {
    let url = format!("{scheme}://{rest}");
    let Some(parsed) = parse_redis_url(&url) else {
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
                "the Redis URL asks for TLS ({scheme}://), but this build has none; enable the feature `tls` of \
                 sea-orm-cache, or use redis://"
            ));
        }
        Err(_) => {
            return Err("the Redis URL cannot be used; check the host (not 0.0.0.0 or ::), the path of a \
                        unix:// socket, and the options after `?`"
                .to_owned());
        }
    };
    if !info.addr().is_supported() {
        return Err(format!("{scheme}:// does not work on this platform; use redis://"));
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Address::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).shown()
    }

    #[test]
    fn every_form_of_address_is_read() {
        for (url, expected) in [
            ("redis://u:p@h:1/2", "redis://h:1/2"),
            ("redis-sentinel://h/mymaster", "redis-sentinel://h:26379/mymaster/0"),
            (
                "redis-sentinel://u:p%40@h:1,[::1],k/shop.db/3",
                "redis-sentinel://h:1,::1:26379,k:26379/shop.db/3",
            ),
            ("redis+sentinel://h:1,k:2/mymaster/0/", "redis-sentinel://h:1,k:2/mymaster/0"),
            ("valkey-cluster://:p@h", "redis-cluster://h:6379"),
            ("redis-cluster://h:7000,k:7001/", "redis-cluster://h:7000,k:7001"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
        let address = Address::parse("redis-sentinel://u:p%40@h,k/m/3").unwrap();
        for node in address.nodes {
            let login = node.redis_settings();
            assert_eq!((login.username(), login.password(), login.db()), (Some("u"), Some("p@"), 3));
        }
    }

    #[test]
    fn a_bad_address_is_named_and_its_contents_are_not_shown() {
        for (url, word) in [
            ("redis-sentinel://h", "does not name the service"),
            ("redis-sentinel:///mymaster", "no host"),
            ("redis-sentinel://u:hunter2/x@h/mymaster", "does not name the service"),
            ("redis-sentinel://u:12/hunter2@h", "does not name the service"),
            ("redis-sentinel://h/mymaster/hunter2", "not a database number"),
            ("redis-sentinel://h/mymaster?hunter2", "options"),
            ("redis-cluster://h:hunter2", "cannot be read"),
            ("redis-cluster://h/1", "only database 0"),
            ("redis-cluster://u:hunter2#@h", "options"),
            ("hunter2-cluster://h", "unknown scheme"),
        ] {
            let Err(text) = Address::parse(url) else { panic!("{url}") };
            assert!(text.contains(word) && !text.contains("hunter2"), "{url}: {text}");
        }
        for (nodes, word) in [(vec![], "no host"), (vec!["a@b:1".to_owned()], "host:port")] {
            assert!(Address::cluster(&nodes, false).unwrap_err().contains(word));
        }
        assert!(Address::sentinels("", &["h".to_owned()], false).unwrap_err().contains("service"));
    }
}
