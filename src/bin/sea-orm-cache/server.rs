//! The connections to Redis: the cache's own store, for all that it can answer, and a plain one for what
//! only people ask.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use redis::{FromRedisValue, RedisError, aio::MultiplexedConnection};
use sea_orm_cache::{
    Cache,
    inspect::{KeyKind, Namespace, TagStanding},
    stores::{RedisConfig, RedisStore, Store},
};

use crate::{arguments::Connection, failure::Failure};

/// Keys that a command looks at, at most, to find those that it wants.
pub const MOST_KEYS: usize = 100_000;
/// Keys asked for in one command.
const KEYS_PER_QUESTION: usize = 500;

pub struct Server {
    pub cache: Cache,
    pub namespace: Namespace,
    pub store: Arc<RedisStore>,
    /// Without credentials.
    pub address: String,
    pub name: String,
    plain: MultiplexedConnection,
    patience: Duration,
}

/// Keys of the namespace, in order.
pub struct Scanned {
    pub keys: Vec<(String, KeyKind)>,
    /// There are no others.
    pub complete: bool,
}

impl Server {
    pub async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let config = match connection.redis_url.as_deref().map(str::trim).filter(|url| !url.is_empty()) {
            Some(url) => Some(RedisConfig::new(url)),
            None => RedisConfig::from_env()?,
        };
        let config = config.ok_or_else(|| Failure::Usage("give --redis-url or set REDIS_URL".to_owned()))?;
        let patience = connection.timeout.clamp(Duration::from_millis(10), Duration::from_secs(60));
        let config = config.read_timeout(patience).write_timeout(patience).connect_timeout(patience);
        let name = namespace(connection);
        // To name the namespace has every command tried, which takes all rights that an application has;
        // of a cluster it says which node is meant.
        let mut store = RedisStore::connect(config.clone()).await?;
        if store.uses_hash_tags() {
            store = RedisStore::connect(config.namespace(&name)).await?;
        }
        let store = Arc::new(store);
        store.ping().await?;
        let cache = Cache::builder().namespace(&name).store(store.clone()).build().await?;
        let (plain, address) = store.connection().await?;
        Ok(Self { namespace: Namespace::of(&cache), cache, store, address, name, plain, patience })
    }

    pub async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Failure> {
        self.in_time(command.query_async(&mut self.plain.clone())).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Unreachable(format!("Redis: no answer within {:?}", self.patience))),
        }
    }

    /// Up to so many keys of the namespace, and of no other.
    pub async fn scan(&self, limit: usize) -> Result<Scanned, Failure> {
        let found = self.store.scan(&self.namespace.prefix(), limit.saturating_add(1)).await?;
        let complete = found.len() <= limit;
        let keys = found
            .into_iter()
            .take(limit)
            .filter_map(|key| self.namespace.kind(&key).map(|kind| (key, kind)))
            .collect();
        Ok(Scanned { keys, complete })
    }

    /// The server's clock, in milliseconds since 1970.
    pub async fn now(&self) -> Result<u64, Failure> {
        let (seconds, micros): (u64, u64) = self.ask(&redis::cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// How long a key lives still, in milliseconds; `None` if it has no end. A key that is not there has
    /// no time left.
    pub async fn left(&self, keys: &[&str]) -> Result<Vec<Option<u64>>, Failure> {
        let mut all = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_PER_QUESTION) {
            let mut question = redis::pipe();
            keys.iter().for_each(|key| {
                question.cmd("PTTL").arg(key);
            });
            let left: Vec<i64> = self.in_time(question.query_async(&mut self.plain.clone())).await?;
            all.extend(left.into_iter().map(|left| match left {
                -1 => None,
                left => Some(u64::try_from(left).unwrap_or(0)),
            }));
        }
        Ok(all)
    }

    /// What stands under each tag.
    pub async fn standing(&self, tags: &[&str]) -> Result<Vec<TagStanding>, Failure> {
        let now = self.now().await?;
        let mut all = Vec::with_capacity(tags.len());
        for tags in tags.chunks(KEYS_PER_QUESTION) {
            // MGET takes another type of value for nothing, and a reader for nothing too.
            let raw: Vec<Option<Vec<u8>>> = self.ask(redis::cmd("MGET").arg(tags)).await?;
            all.extend(raw.iter().map(|raw| TagStanding::read(raw.as_deref(), now)));
        }
        Ok(all)
    }

    /// Every tag of the namespace with a stamp, by the stamp, and whether it stands: one that a barrier
    /// covers does not. And whether these are all.
    pub async fn stamped(&self) -> Result<(BTreeMap<u64, (String, bool)>, bool), Failure> {
        let Scanned { keys, complete } = self.scan(MOST_KEYS).await?;
        let tags: Vec<&str> =
            keys.iter().filter(|(_, kind)| *kind == KeyKind::Tag).map(|(key, _)| key.as_str()).collect();
        let mut stamped = BTreeMap::new();
        for (tag, standing) in tags.iter().zip(self.standing(&tags).await?) {
            let (stamp, stands) = match standing {
                TagStanding::Stamp(stamp) => (Some(stamp), true),
                TagStanding::Barrier { covers, .. } => (covers, false),
                _ => (None, false),
            };
            stamped.extend(stamp.map(|stamp| (stamp.get(), ((*tag).to_owned(), stands))));
        }
        Ok((stamped, complete))
    }
}

/// As `CacheBuilder::from_env` reads `CACHE_PREFIX`.
pub fn namespace(connection: &Connection) -> String {
    match connection.prefix.trim().trim_end_matches(':') {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}
