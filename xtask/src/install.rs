//! Finds the server programs, and installs them where that can be done without asking.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs, io};

use crate::{Failure, process};

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    /// `redis-server`, or Valkey's.
    pub redis: PathBuf,
    /// PostgreSQL's `initdb`.
    pub initdb: PathBuf,
    /// PostgreSQL's `postgres`, from the same place.
    pub postgres: PathBuf,
    /// `mariadb-install-db`.
    pub mariadb_install: PathBuf,
    /// `mariadbd`.
    pub mariadb: PathBuf,
}

/// A program that is not there.
#[derive(Clone, Copy, Debug)]
struct Missing {
    name: &'static str,
    /// What Debian, Fedora and Homebrew call it.
    debian: &'static str,
    fedora: &'static str,
    homebrew: &'static str,
}

const REDIS: Missing = Missing { name: "Redis", debian: "redis-server", fedora: "valkey", homebrew: "redis" };
const POSTGRES: Missing =
    Missing { name: "PostgreSQL", debian: "postgresql", fedora: "postgresql-server", homebrew: "postgresql" };
const MARIADB: Missing =
    Missing { name: "MariaDB", debian: "mariadb-server", fedora: "mariadb-server", homebrew: "mariadb" };

/// With which the tests make certificates.
const OPENSSL: Missing =
    Missing { name: "OpenSSL", debian: "openssl", fedora: "openssl", homebrew: "openssl" };

/// With which a test looks at the dashboard. Debian's names: Ubuntu's are snaps, which do not run everywhere.
const CHROMIUM: Missing =
    Missing { name: "Chromium", debian: "chromium", fedora: "chromium", homebrew: "chromium" };
const CHROMEDRIVER: Missing = Missing {
    name: "ChromeDriver",
    debian: "chromium-driver",
    fedora: "chromedriver",
    homebrew: "chromedriver",
};

/// The programs; installed first if some are missing, and this is Debian or Ubuntu, and we are root.
pub fn programs() -> Result<Programs, Failure> {
    let missing = match find() {
        Ok(programs) => return Ok(programs),
        Err(missing) => missing,
    };
    if !is_root() || find_program(&["apt-get"], &[]).is_none() {
        return Err(advice(&missing));
    }
    eprintln!("installing {}", names(&missing, |server| server.debian, " "));
    apt_install(&missing).map_err(|failure| format!("{failure}\n\n{}", advice(&missing)))?;
    find().map_err(|missing| format!("installed, and still not found.\n\n{}", advice(&missing)))
}

/// Whether there is a browser that a test can drive; installed first where that can be done. It is large, and
/// one test needs it: without it that test says that it is skipped, and the others run.
pub fn browser() -> bool {
    let is_there = || {
        find_program(&["chromedriver"], &[]).is_some()
            && find_program(&["chromium", "google-chrome", "chrome"], &[]).is_some()
    };
    if !is_there() && is_root() && find_program(&["apt-get"], &[]).is_some() {
        eprintln!("installing {} {}", CHROMIUM.debian, CHROMEDRIVER.debian);
        if let Err(failure) = apt_install(&[CHROMIUM, CHROMEDRIVER]) {
            println!("{failure}");
        }
    }
    let found = is_there();
    if !found {
        println!("no browser:\n{}", advice(&[CHROMIUM, CHROMEDRIVER]));
    }
    found
}

/// The packages may start services of their own, on their usual ports; ours do not meet them.
fn apt_install(missing: &[Missing]) -> Result<(), Failure> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // A fresh machine may be busy with its first upgrade: wait for its lock.
        command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        // What is printed on standard output is for who asked for servers.
        process::run(command.env("DEBIAN_FRONTEND", "noninteractive").stdout(io::stderr()))
    };
    apt(&["update"])?;
    // No removal: MariaDB would take the place of a MySQL that somebody uses.
    let mut install = vec!["install", "-y", "--no-remove", "--no-install-recommends"];
    install.extend(missing.iter().map(|server| server.debian));
    apt(&install)
}

fn advice(missing: &[Missing]) -> String {
    format!(
        "not found: {}. To install what is missing:
  Debian, Ubuntu   sudo apt-get install --no-install-recommends {}
  Fedora           sudo dnf install {}
  macOS            brew install {}
The servers need not run: private instances are started, on free ports.",
        names(missing, |server| server.name, ", "),
        names(missing, |server| server.debian, " "),
        names(missing, |server| server.fedora, " "),
        names(missing, |server| server.homebrew, " "),
    )
}

fn names(missing: &[Missing], name: fn(&Missing) -> &'static str, separator: &str) -> String {
    missing.iter().map(name).collect::<Vec<_>>().join(separator)
}

fn find() -> Result<Programs, Vec<Missing>> {
    let redis = find_program(&["redis-server", "valkey-server"], &[]);
    let postgres = find_postgres();
    // Fedora keeps servers away from people, in libexec.
    let mariadb = find_program(&["mariadbd", "mysqld"], &["/usr/libexec".into()])
        .zip(find_program(&["mariadb-install-db"], &[]));
    let openssl = find_program(&["openssl"], &[]);
    let missing = [
        (redis.is_none(), REDIS),
        (postgres.is_none(), POSTGRES),
        (mariadb.is_none(), MARIADB),
        (openssl.is_none(), OPENSSL),
    ];
    match (redis, postgres, mariadb, openssl) {
        (Some(redis), Some((initdb, postgres)), Some((mariadb, mariadb_install)), Some(_)) => {
            Ok(Programs { redis, initdb, postgres, mariadb_install, mariadb })
        }
        _ => {
            Err(missing.into_iter().filter_map(|(is_missing, server)| is_missing.then_some(server)).collect())
        }
    }
}

/// `initdb` and `postgres` of one version. Debian keeps them off the path, and Homebrew may.
fn find_postgres() -> Option<(PathBuf, PathBuf)> {
    let mut places = Vec::new();
    places.extend(output("pg_config", &["--bindir"]).map(PathBuf::from));
    let mut versions = subdirectories("/usr/lib/postgresql");
    // By number, the newest first: 9.6 comes before 15 only in the alphabet.
    versions.sort_by_key(|path| {
        let version = path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<f32>().ok());
        std::cmp::Reverse(version.map(|version| (version * 10.0) as u32))
    });
    versions.extend(["/opt/homebrew/opt", "/usr/local/opt"].iter().flat_map(|place| {
        let is_postgres = |path: &PathBuf| {
            path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("postgresql"))
        };
        subdirectories(place).into_iter().filter(is_postgres)
    }));
    places.extend(versions.into_iter().map(|version| version.join("bin")));
    places.extend(search_path());
    // `pg_config` may come with the client library alone: what counts is that both programs are there.
    places
        .into_iter()
        .map(|place| (place.join("initdb"), place.join("postgres")))
        .find(|(initdb, postgres)| initdb.is_file() && postgres.is_file())
}

/// The first of these programs, on the path, in the directories for servers, or in `more`.
fn find_program(names: &[&str], more: &[PathBuf]) -> Option<PathBuf> {
    let places: Vec<_> = search_path().chain(more.iter().cloned()).collect();
    names.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|path| path.is_file())
}

/// The path, and where Debian keeps servers, which is not on the path of everybody.
fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];
    env::split_paths(&path).collect::<Vec<_>>().into_iter().chain(servers.into_iter().map(PathBuf::from))
}

fn subdirectories(directory: &str) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Installs the two parts of the toolchain that a minimal one lacks.
pub fn toolchain_components() -> Result<(), Failure> {
    let lacks = |tool: &str| output("cargo", &[tool, "--version"]).is_none();
    if !lacks("fmt") && !lacks("clippy") {
        return Ok(());
    }
    println!("installing rustfmt and clippy");
    process::run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
}

/// Whether we are root, who gets to do more and whom some servers refuse.
pub fn is_root() -> bool {
    output("id", &["-u"]).as_deref() == Some("0")
}

/// A system user and its main group.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

/// The first of these users that there is.
pub fn user(names: &[&str]) -> Result<User, Failure> {
    let id = |option, name| output("id", &[option, name])?.parse().ok();
    names
        .iter()
        .find_map(|name| Some(User { uid: id("-u", name)?, gid: id("-g", name)? }))
        .ok_or_else(|| format!("none of these users exists: {}", names.join(", ")))
}

/// What a short command prints, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
