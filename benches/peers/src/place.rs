//! The servers that a run uses, and connections to them.

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use sea_orm_cache::{Cache, CacheBuilder};

use crate::book;

/// Connections to PostgreSQL, for each system and process alike.
pub const POOL: u32 = 16;
/// The database that the others are copies of.
const SEED: &str = "bench_seed";

/// Where Redis and PostgreSQL are.
#[derive(Clone, Debug)]
pub struct Place {
    pub redis_url: String,
    postgres_url: Arc<str>,
}

impl Place {
    /// As `cargo xtask bench` and `cargo xtask servers` say it.
    pub fn from_env() -> Result<Self> {
        let read = |name: &str| {
            env::var(name).with_context(|| {
                format!("{name} is not set; run `cargo xtask bench`, which starts the servers")
            })
        };
        let redis_url = read("SEA_ORM_CACHE_TEST_REDIS")?;
        Ok(Self { redis_url, postgres_url: read("SEA_ORM_CACHE_TEST_POSTGRES")?.into() })
    }

    /// The address of a database.
    pub fn database_url(&self, database: &str) -> String {
        let server = self.postgres_url.rsplit_once('/').map_or(&*self.postgres_url, |(server, _)| server);
        format!("{server}/{database}")
    }

    /// A pool of `connections`, all of them open.
    pub async fn connect(&self, database: &str, connections: u32) -> Result<DatabaseConnection> {
        let mut options = ConnectOptions::new(self.database_url(database));
        options.max_connections(connections).min_connections(connections).sqlx_logging(false);
        options.acquire_timeout(Duration::from_secs(60)).test_before_acquire(false);
        Ok(Database::connect(options).await?)
    }

    async fn administration(&self) -> Result<DatabaseConnection> {
        self.connect("postgres", 1).await
    }

    /// Makes the table with its rows, from which [`fresh_database`](Self::fresh_database) copies.
    pub async fn seed(&self, rows: usize) -> Result<()> {
        let administration = self.administration().await?;
        administration.execute_unprepared(&format!("DROP DATABASE IF EXISTS {SEED} WITH (FORCE)")).await?;
        administration.execute_unprepared(&format!("CREATE DATABASE {SEED}")).await?;
        administration.close().await?;
        let seed = self.connect(SEED, 1).await?;
        seed.execute_unprepared(book::TABLE).await?;
        seed.execute_unprepared(&book::rows(rows)).await?;
        seed.execute_unprepared("VACUUM ANALYZE book").await?;
        Ok(seed.close().await?)
    }

    /// A database with the rows as they were seeded. Its connections, if any, are cut.
    pub async fn fresh_database(&self, name: &str) -> Result<()> {
        let administration = self.administration().await?;
        administration.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        administration.execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE {SEED}")).await?;
        Ok(administration.close().await?)
    }

    /// Takes a database away.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let administration = self.administration().await?;
        administration.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        Ok(administration.close().await?)
    }

    /// A connection to Redis with the settings that the crate uses for its own: one, shared by all tasks,
    /// RESP3, without Nagle's algorithm, a long queue.
    pub async fn redis(&self) -> Result<MultiplexedConnection> {
        self.redis_at(&self.redis_url).await
    }

    /// The same, to another address.
    pub async fn redis_at(&self, url: &str) -> Result<MultiplexedConnection> {
        let info = url.into_connection_info()?;
        let login =
            info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = Client::open(info.set_redis_settings(login).set_tcp_settings(tcp))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(1024);
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The cache as a user would build it, with time limits that a busy machine does not reach: a read that
    /// fell through to the database would be measured as a hit.
    pub fn cache(&self, namespace: &str) -> CacheBuilder {
        self.cache_at(namespace, &self.redis_url)
    }

    /// The same, with Redis at another address.
    pub fn cache_at(&self, namespace: &str, url: &str) -> CacheBuilder {
        let redis = sea_orm_cache::stores::RedisConfig::new(url)
            .read_timeout(Duration::from_secs(5))
            .write_timeout(Duration::from_secs(5));
        Cache::builder().namespace(namespace).redis_with(redis)
    }

    /// An empty Redis.
    pub async fn flush(&self) -> Result<()> {
        redis::cmd("FLUSHALL").exec_async(&mut self.redis().await?).await?;
        Ok(())
    }

    /// What the servers say they are.
    pub async fn versions(&self) -> Result<(String, String)> {
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut self.redis().await?).await?;
        let redis =
            info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?").to_owned();
        let administration = self.administration().await?;
        let row = administration
            .query_one_raw(sea_orm::Statement::from_string(
                sea_orm::DbBackend::Postgres,
                "SELECT current_setting('server_version') AS version",
            ))
            .await?
            .context("PostgreSQL has a version")?;
        Ok((redis, row.try_get("", "version")?))
    }
}
