//! The database that the SQLite checks ask: few tables, few rows of many kinds.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::hooks::{Action, AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error};

/// What SQLite asked leave for while it prepared a statement.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Tables written, and whether rows that were there may change.
    pub written: Vec<(String, bool)>,
    /// Tables read, and whether a column of them is.
    pub read: Vec<(String, bool)>,
    pub called: Vec<String>,
}

/// What the database tells while it is asked.
#[derive(Clone, Default)]
pub struct Record {
    pub asked: Arc<Mutex<Asked>>,
    /// Rows changed: how, in which table, which.
    pub changes: Arc<Mutex<Vec<(Action, String, i64)>>>,
    /// Thousands of steps of SQLite's machine that may still be taken.
    pub steps: Arc<AtomicI64>,
}

/// A database, and what is known of it.
pub struct Database {
    pub db: Connection,
    pub record: Record,
    /// Tables with row numbers.
    pub tables: Vec<String>,
    /// Functions that answer the same for the same arguments.
    pub deterministic: HashSet<String>,
}

const TABLES: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT, c INTEGER);
    CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b REAL, c);
    CREATE TABLE w (a, b, c, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TEMP TABLE z (id INTEGER PRIMARY KEY, a, b, c);
    CREATE VIEW v AS SELECT id, a, b, c FROM t WHERE a IS NOT NULL;
    CREATE TRIGGER touched AFTER UPDATE ON u BEGIN DELETE FROM w WHERE a = old.a; END;
    CREATE TRIGGER view_insert INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (new.a); END;
";

const ROWS: &str = "
    INSERT INTO {t} (id, a, b, c) VALUES
        (1, 1, 'x', 1), (2, '1', 'X', 2), (3, 'x', NULL, 1), (4, NULL, '2', -1), (5, 2, 'it''s', 3), (6, 3.5, 'x', NULL);
";

pub fn open() -> Database {
    let mut db = Connection::open_in_memory().expect("a database in memory");
    db.execute_batch(TABLES).expect("the tables");
    for table in ["t", "u", "z"] {
        db.execute_batch(&ROWS.replace("{t}", table)).expect("the rows");
    }
    db.execute_batch("INSERT INTO w VALUES (1, 1, 1), (1, 2, 'x'), ('x', 'y', 3)").expect("the rows");
    let tables = for_the_corpus(&mut db);
    let deterministic = deterministic(&db);
    let record = Record::default();
    let asked = Arc::clone(&record.asked);
    db.authorizer(Some(move |context: AuthContext<'_>| note(&asked, &context))).expect("an authorizer");
    let changes = Arc::clone(&record.changes);
    let changed = move |action, _: &str, table: &str, row| {
        changes.lock().expect("the changes").push((action, table.to_owned(), row));
    };
    db.update_hook(Some(changed)).expect("a hook");
    record.steps.store(i64::MAX, Ordering::Relaxed);
    let steps = Arc::clone(&record.steps);
    let tired = move || steps.fetch_sub(1, Ordering::Relaxed) <= 0;
    db.progress_handler(1000, Some(tired)).expect("a handler");
    Database { db, record, tables, deterministic }
}

fn deterministic(db: &Connection) -> HashSet<String> {
    // 0x800 is SQLITE_DETERMINISTIC.
    let list = "SELECT name FROM pragma_function_list GROUP BY name HAVING min(type <> 's' OR flags & 0x800)";
    let mut statement = db.prepare(list).expect("the list of functions");
    let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("its rows");
    names.map(|name| name.expect("a name").to_lowercase()).collect()
}

/// Tables and columns for what the corpus names, found by asking until it is prepared.
fn for_the_corpus(db: &mut Connection) -> Vec<String> {
    let mut names = vec!["t".to_owned(), "u".to_owned(), "z".to_owned()];
    for seed in crate::seeds() {
        let Some(sql) = seed.strip_prefix('s') else { continue };
        for _ in 0..24 {
            let Err(error) = db.prepare(sql).map(drop) else { break };
            let text = match error {
                Error::SqlInputError { msg, .. } => msg,
                Error::SqliteFailure(_, Some(msg)) => msg,
                _ => break,
            };
            if let Some(table) = text.strip_prefix("no such table: ") {
                let bare = table.rsplit('.').next().unwrap_or(table);
                let create = format!("CREATE TABLE \"{bare}\" (id INTEGER PRIMARY KEY, a, b, c)");
                if db.execute_batch(&create).is_err() {
                    break;
                }
                let _ = db.execute_batch(&ROWS.replace("{t}", &format!("\"{bare}\"")));
                names.push(bare.to_owned());
            } else {
                let column = text
                    .strip_prefix("no such column: ")
                    .or_else(|| text.split_once("has no column named ").map(|(_, column)| column));
                let Some(column) = column else { break };
                let bare = column.rsplit('.').next().unwrap_or(column).trim_matches('"');
                for table in &names {
                    let _ = db.execute_batch(&format!("ALTER TABLE \"{table}\" ADD COLUMN \"{bare}\""));
                    let _ = db.execute_batch(&format!("UPDATE \"{table}\" SET \"{bare}\" = id % 3"));
                }
            }
        }
    }
    names
}

fn note(record: &Mutex<Asked>, context: &AuthContext<'_>) -> Authorization {
    let mut asked = record.lock().expect("the record");
    // What triggers and views do, the catalogue knows and the text does not.
    let own = context.accessor.is_none();
    match context.action {
        AuthAction::Insert { table_name } if own => asked.written.push((table_name.to_owned(), false)),
        AuthAction::Update { table_name, .. } if own => asked.written.push((table_name.to_owned(), true)),
        AuthAction::Delete { table_name } if own => asked.written.push((table_name.to_owned(), true)),
        AuthAction::Read { table_name, column_name } if own => {
            asked.read.push((table_name.to_owned(), !column_name.is_empty()));
        }
        AuthAction::Function { function_name } if own => asked.called.push(function_name.to_lowercase()),
        // These act while they are prepared, or on files.
        AuthAction::Pragma { .. } | AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            return Authorization::Deny;
        }
        _ => (),
    }
    Authorization::Allow
}
