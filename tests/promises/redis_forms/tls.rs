//! TLS, with an authority of the test's own.

use std::{fs, path::PathBuf, process::Command};

use sea_orm::entity::prelude::*;
use sea_orm_cache::stores::{RedisConfig, RedisStore, Store};

use super::{SOON, process, world};
use crate::{
    support::{PrivateRedis, ScratchDir, eventually, free_port},
    world::{is_cached, retitled, title},
};

/// Certificates, made by openssl.
struct Papers {
    directory: ScratchDir,
}

impl Papers {
    /// An authority and another one, a server's certificate for 127.0.0.1, one for another host, and a
    /// client's. `None` if there is no openssl.
    fn made() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var("SEA_ORM_CACHE_TEST_REQUIRE").as_deref() != Ok("1"), "there is no openssl");
            eprintln!("skipped: openssl");
            return None;
        }
        let papers = Self { directory: ScratchDir::create("tls") };
        for authority in ["ca", "other-ca"] {
            let (key, certificate) = (format!("{authority}.key"), format!("{authority}.pem"));
            papers.openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                &format!("/CN={authority}"),
                "-keyout",
                &key,
                "-out",
                &certificate,
            ]);
        }
        for (name, subject, alternative) in [
            ("server", "/CN=a server", "IP:127.0.0.1"),
            ("elsewhere", "/CN=a server", "DNS:cache.example"),
            ("client", "/CN=a client", "DNS:client.example"),
        ] {
            let [key, request, certificate, extensions] =
                ["key", "csr", "pem", "ext"].map(|end| format!("{name}.{end}"));
            fs::write(papers.file(&extensions), format!("subjectAltName={alternative}\n")).unwrap();
            papers.openssl(&[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                subject,
                "-keyout",
                &key,
                "-out",
                &request,
            ]);
            papers.openssl(&[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &extensions,
                "-out",
                &certificate,
            ]);
        }
        Some(papers)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.directory.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A server with this certificate, and the port where it wants TLS.
    async fn server(&self, certificate: &str, clients: &str) -> Option<(PrivateRedis, u16)> {
        let port = free_port();
        let [certificate, key] =
            ["pem", "key"].map(|end| self.file(&format!("{certificate}.{end}")).display().to_string());
        let authority = self.file("ca.pem").display().to_string();
        let wanted = port.to_string();
        let arguments = [
            ["--tls-port", &wanted],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &authority],
            ["--tls-auth-clients", clients],
        ];
        Some((PrivateRedis::start_with(&arguments.concat()).await?, port))
    }
}

fn at(port: u16) -> RedisConfig {
    RedisConfig::new(format!("rediss://default:hunter2@127.0.0.1:{port}"))
}

async fn refusal(config: RedisConfig) -> String {
    let store = RedisStore::connect(config.clone()).await.unwrap();
    let text = format!("{} {store:?} {config:?}", store.ping().await.unwrap_err());
    println!("{text}");
    assert!(!text.contains("hunter2"), "{text}");
    text
}

// case C14
// feature D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_the_authority_has_signed_is_spoken_to_and_no_other() {
    let Some(papers) = Papers::made() else { return };
    let Some((server, port)) = papers.server("server", "no").await else { return };
    let world = world().await;
    let db = process(&world, at(port).tls_ca(papers.file("ca.pem"))).await;
    is_cached(&db, 1).await;
    retitled(1, "through TLS").update(&db).await.unwrap();
    assert_eq!(title(&db, 1).await.as_deref(), Some("through TLS"));
    is_cached(&db, 1).await;
    // Who signed it is not known to the system, nor is it the other one.
    for config in [at(port), at(port).tls_ca(papers.file("other-ca.pem"))] {
        let text = refusal(config).await;
        assert!(text.contains("invalid peer certificate"), "{text}");
    }
    // It speaks TLS, or it does not.
    let text = refusal(RedisConfig::new(format!("redis://:hunter2@127.0.0.1:{port}"))).await;
    assert!(text.contains("unreachable"), "{text}");
    let text = refusal(at(server.port()).tls_ca(papers.file("ca.pem"))).await;
    assert!(text.contains("unreachable"), "{text}");
}

// case C14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_host_is_refused() {
    let Some(papers) = Papers::made() else { return };
    let Some((_server, port)) = papers.server("elsewhere", "no").await else { return };
    let text = refusal(at(port).tls_ca(papers.file("ca.pem"))).await;
    assert!(text.contains("certificate not valid for name"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    let Some(papers) = Papers::made() else { return };
    let Some((_server, port)) = papers.server("server", "yes").await else { return };
    let trusting = || at(port).tls_ca(papers.file("ca.pem"));
    refusal(trusting()).await;
    let shown = trusting().tls_client(papers.file("client.pem"), papers.file("client.key"));
    let world = world().await;
    is_cached(&process(&world, shown.password("")).await, 1).await;
    for (config, word) in [
        (trusting().tls_client(papers.file("none.pem"), papers.file("client.key")), "cannot be read"),
        (trusting().tls_client(papers.file("client.csr"), papers.file("client.ext")), "not PEM"),
        (trusting().tls_client(papers.file("client.pem"), papers.file("client.pem")), "cannot be used"),
    ] {
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("TLS"), "{error}");
    }
}

// case C14: the certificate is replaced by one that is no good, and then by a good one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_goes_bad_costs_misses_until_it_is_good_again() {
    let Some(papers) = Papers::made() else { return };
    let Some((server, port)) = papers.server("server", "no").await else { return };
    let world = world().await;
    let db = process(&world, at(port).tls_ca(papers.file("ca.pem"))).await;
    is_cached(&db, 1).await;
    let present = async |name: &str| {
        let [certificate, key] =
            ["pem", "key"].map(|end| papers.file(&format!("{name}.{end}")).display().to_string());
        // Both at a time, for they must fit.
        server.command(&["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key]).await;
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    };
    present("elsewhere").await;
    eventually("it is noticed", SOON, async || {
        let before = db.cache().stats().total.bypasses;
        assert!(title(&db, 1).await.is_some());
        db.cache().stats().total.bypasses > before
    })
    .await;
    present("server").await;
    is_cached(&db, 1).await;
}
