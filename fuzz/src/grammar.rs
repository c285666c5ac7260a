//! Random SQL, deep and mostly valid against the schema of the checks.

use crate::random::Random;

pub struct Grammar<'r> {
    pub random: &'r mut Random,
    /// `p`, `m` or `s`.
    pub dialect: u8,
    /// How much more may be nested.
    pub fuel: usize,
    /// What the tables in sight are called.
    pub labels: Vec<String>,
}
const TABLES: &[&str] =
    &["t", "u", "v", "w", "t", "u", "t", "u", "t", "u", "z", "cake", "main.t", "\"T\"", "temp.z"];
const COLUMNS: &[&str] = &["id", "a", "b", "c", "id", "\"id\""];
const STRANGE: &[&str] = &["t.id", "u.id", "x.id", "x.a", "y.b", "z.c", "user", "rowid", "TRUE", "v.a"];
const ALIASES: &[&str] = &["x", "y", "t", "u", "AS x", "AS y", "AS \"X\"", "AS t", "z", "", "", "", ""];
const VALUES: &[&str] =
    &["1", "2", "'x'", "'1'", "NULL", "-1", "3.5", "'it''s'", "TRUE", "'2020-01-01'", "3", "'X'"];
const PURE: &[&str] =
    &["lower", "abs", "coalesce", "length", "max", "count", "min", "sum", "upper", "nullif"];
const ODD: &[&str] = &[
    "random",
    "now",
    "date",
    "app_touch",
    "nextval",
    "changes",
    "datetime",
    "typeof",
    "ts_rewrite",
    "last_insert_rowid",
];

impl Grammar<'_> {
    fn value(&mut self) -> String {
        let placeholders: &[&str] = match self.dialect {
            b'p' => &["$1", "$2", "$3", "$1::int"],
            b's' => &["?", "?", "?1", "?2", ":a", "?3"],
            _ => &["?"],
        };
        if self.random.once_in(3) { self.one(placeholders) } else { self.one(VALUES) }
    }

    fn column(&mut self) -> String {
        if self.random.once_in(25) {
            return self.one(STRANGE);
        }
        let column = self.one(COLUMNS);
        match self.labels.len() {
            0 => column,
            1 if self.random.once_in(2) => column,
            n => format!("{}.{column}", self.labels[self.random.below(n)]),
        }
    }

    fn spend(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }

    fn one(&mut self, from: &[&str]) -> String {
        self.random.pick(from).to_owned()
    }

    pub fn statement(&mut self) -> String {
        let text = match self.random.below(12) {
            0..=4 => self.query(),
            5 | 6 => self.update(),
            7 | 8 => self.delete(),
            9 | 10 => self.insert(),
            _ => self.other(),
        };
        match self.random.below(14) {
            0 => format!("{}{text}", self.with()),
            1 => format!("{text}; {}", self.statement_if_fuel()),
            2 => format!("EXPLAIN {text}"),
            _ => text,
        }
    }

    fn statement_if_fuel(&mut self) -> String {
        if self.spend() { self.statement() } else { "SELECT 1".to_owned() }
    }

    fn other(&mut self) -> String {
        let query = self.query();
        let table = self.one(TABLES);
        match self.random.below(9) {
            0 => format!("CREATE TABLE n AS {query}"),
            1 => format!("CREATE VIEW n AS {query}"),
            2 => format!("DROP TABLE {table}"),
            3 => format!("REPLACE INTO {table} (id, a) VALUES (1, 2)"),
            4 => format!("CREATE TRIGGER g AFTER INSERT ON t BEGIN {}; END", self.delete()),
            5 => format!("ALTER TABLE {table} RENAME TO n"),
            6 => self.one(&[
                "BEGIN",
                "COMMIT",
                "ROLLBACK",
                "SAVEPOINT s",
                "RELEASE s",
                "BEGIN IMMEDIATE",
                "VACUUM",
                "REINDEX",
                "ANALYZE",
                "PRAGMA user_version = 1",
                "PRAGMA table_info(t)",
            ]),
            7 => format!("TRUNCATE {table}"),
            _ => format!("COPY {table} FROM STDIN"),
        }
    }

    fn with(&mut self) -> String {
        let name = self.one(&["x", "t", "y", "cte", "u"]);
        let columns = self.one(&["", "", "(id, a)"]);
        let recursive = self.one(&["", "", "", "RECURSIVE "]);
        let body = match self.random.below(6) {
            0 if self.dialect == b'p' => format!("{} RETURNING id, a", self.delete()),
            1 if self.dialect == b'p' => format!("{} RETURNING *", self.update()),
            _ => self.query(),
        };
        let hint = self.one(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
        format!("WITH {recursive}{name}{columns} AS {hint}({body}) ")
    }

    pub fn query(&mut self) -> String {
        if !self.spend() {
            return "SELECT id FROM t".to_owned();
        }
        let mut text = if self.random.once_in(6) { self.with() } else { String::new() };
        text += &match self.random.below(10) {
            0 => format!("VALUES ({}, {})", self.expression(), self.expression()),
            1 => format!(
                "{} {} {}",
                self.core(),
                self.one(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]),
                self.core()
            ),
            _ => self.core(),
        };
        if self.random.once_in(4) {
            text += " ORDER BY 1";
        }
        if self.random.once_in(5) {
            text += &self.one(&[
                " LIMIT 2",
                " LIMIT 1 OFFSET 1",
                " LIMIT ?",
                " FOR UPDATE",
                " FOR SHARE OF t",
                " LIMIT 1, 2",
            ]);
        }
        text
    }

    fn core(&mut self) -> String {
        let outer = std::mem::take(&mut self.labels);
        let from = self.from();
        // A correlated subquery sees the tables around it too.
        if self.random.once_in(4) {
            self.labels.extend(outer.iter().cloned());
        }
        let distinct = self.one(&["", "", "", "DISTINCT ", "ALL "]);
        let list = match self.random.below(6) {
            0 => "*".to_owned(),
            1 => format!("{}, {}", self.expression(), self.expression()),
            2 => format!("count(*), max({})", self.column()),
            3 => self.labels.first().map_or("*".to_owned(), |label| format!("{label}.*")),
            4 => format!("{} AS {}", self.expression(), self.one(&["x", "id", "\"from\"", "t"])),
            _ => self.column(),
        };
        let mut text = format!("SELECT {distinct}{list} FROM {from}");
        if self.random.below(4) > 0 {
            text += &format!(" WHERE {}", self.condition());
        }
        if self.random.once_in(6) {
            let column = self.column();
            text += &match self.random.below(3) {
                0 => format!(" GROUP BY {column}"),
                1 => format!(" GROUP BY {column} HAVING count(*) > 1"),
                _ => format!(" WINDOW o AS (ORDER BY {column})"),
            };
        }
        self.labels = outer;
        text
    }

    fn from(&mut self) -> String {
        let mut text = self.item();
        for _ in 0..self.random.below(3) {
            text += &match self.random.below(6) {
                0 => format!(", {}", self.item()),
                1 => format!(" LEFT JOIN {} ON {}", self.item(), self.condition()),
                2 => format!(" JOIN {} USING (id)", self.item()),
                3 => format!(" NATURAL JOIN {}", self.item()),
                4 => format!(" FULL JOIN {} ON {}", self.item(), self.condition()),
                _ => format!(" JOIN {} ON {}", self.item(), self.condition()),
            };
        }
        text
    }

    fn item(&mut self) -> String {
        let alias = self.one(ALIASES);
        let table = self.one(TABLES);
        let label = if alias.is_empty() { bare(&table) } else { alias.trim_start_matches("AS ").to_owned() };
        let shape = if self.spend() { self.random.below(16) } else { 15 };
        let text = match shape {
            0 => format!("({}) {alias}", self.query()),
            1 => {
                let outer = self.labels.len();
                let group = self.from();
                if !alias.is_empty() {
                    self.labels.truncate(outer);
                    self.labels.push(label);
                }
                return format!("({group}) {alias}");
            }
            2 => format!("json_each('[1,2]') {alias}"),
            3 if self.dialect == b'p' => format!("generate_series(1, 2) {alias}"),
            4 if self.dialect == b'p' => format!("LATERAL ({}) {alias}", self.query()),
            5 if self.dialect == b'p' => format!("ONLY {table} {alias}"),
            6 if self.dialect == b's' => format!("{table} {alias} NOT INDEXED"),
            _ => format!("{table} {alias}"),
        };
        self.labels.push(label);
        text
    }

    fn condition(&mut self) -> String {
        let mut text = self.conjunct();
        for _ in 0..self.random.below(3) {
            let word =
                self.one(&[" AND ", " AND ", " AND ", " AND ", " AND ", " OR ", " || ", " = ", " IS "]);
            text += &format!("{word}{}", self.conjunct());
        }
        text
    }

    fn conjunct(&mut self) -> String {
        let column = self.column();
        let value = self.value();
        if !self.spend() {
            return format!("{column} = {value}");
        }
        match self.random.below(20) {
            0..=5 => format!("{column} = {value}"),
            6 => format!("{value} = {column}"),
            7 => format!("{column} IN ({value}, {})", self.value()),
            8 => format!("{column} IN ({})", self.query()),
            9 => format!("({column}, {}) = ({value}, {})", self.column(), self.value()),
            10 => format!("({column}, {}) IN (({value}, {}), (1, 2))", self.column(), self.value()),
            11 => format!("({})", self.condition()),
            12 => format!("NOT {}", self.conjunct()),
            13 => format!("EXISTS ({})", self.query()),
            14 => format!("{column} BETWEEN {value} AND {}", self.expression()),
            15 => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.condition(),
                self.expression(),
                self.conjunct()
            ),
            16 if self.dialect == b's' => format!("{column} IN {}", self.one(TABLES)),
            17 => format!("{column} LIKE 'x%' ESCAPE '!'"),
            18 => format!("{column} IS NOT DISTINCT FROM {value}"),
            _ => format!("{} = {}", self.expression(), self.expression()),
        }
    }

    pub fn expression(&mut self) -> String {
        if !self.spend() {
            return self.value();
        }
        match self.random.below(16) {
            0..=3 => self.column(),
            4 | 5 => self.value(),
            6 => format!("{}({})", self.one(PURE), self.expression()),
            7 if self.random.once_in(3) => {
                format!("{}({})", self.one(ODD), self.one(&["", "", "a", "'now'", "1"]))
            }
            8 => format!("({})", self.query()),
            9 => format!("{} + {}", self.expression(), self.expression()),
            10 => format!("CAST({} AS TEXT)", self.expression()),
            11 => format!("count(*) FILTER (WHERE {}) OVER (PARTITION BY a ORDER BY b)", self.condition()),
            12 if self.random.once_in(3) => {
                self.one(&["current_timestamp", "current_user", "CURRENT_DATE", "localtime", "user"])
            }
            13 if self.dialect != b's' => format!("trim(both 'x' from {})", self.expression()),
            14 if self.dialect == b'p' => format!("{}::text", self.expression()),
            _ => format!("CASE {} WHEN 1 THEN 2 END", self.expression()),
        }
    }

    fn sets(&mut self) -> String {
        let mut text = format!("{} = {}", self.one(&["a", "b", "c", "id", "\"a\""]), self.expression());
        if self.random.once_in(3) {
            text += &self.one(&[", c = 2", ", (a, b) = (1, 2)", ", b = b", ", id = ?"]);
        }
        text
    }

    fn update(&mut self) -> String {
        let or = match (self.random.below(4), self.dialect) {
            (0, b's') => self.one(&["OR REPLACE ", "OR IGNORE "]),
            (0, b'p') => "ONLY ".to_owned(),
            (0, _) => self.one(&["IGNORE ", "LOW_PRIORITY "]),
            _ => String::new(),
        };
        let (target, outer) = self.target();
        let mut text = format!("UPDATE {or}{target} SET {}", self.sets());
        if self.random.once_in(6) {
            text += &format!(" FROM {}", self.from());
        }
        text += &self.tail();
        self.labels = outer;
        text
    }

    /// A table to write, with its alias; and the labels in sight before.
    fn target(&mut self) -> (String, Vec<String>) {
        let table = self.one(TABLES);
        let alias = self.one(&["", "", "", "", "AS x", "x"]);
        let label = if alias.is_empty() { bare(&table) } else { "x".to_owned() };
        (format!("{table} {alias}"), std::mem::replace(&mut self.labels, vec![label]))
    }

    fn delete(&mut self) -> String {
        let (target, outer) = self.target();
        let using = if self.dialect == b's' { "" } else { self.random.pick(&["", "", "", "", "USING u"]) };
        let text = format!("DELETE FROM {target} {using}{}", self.tail());
        self.labels = outer;
        text
    }

    fn tail(&mut self) -> String {
        let mut text = String::new();
        if self.random.below(8) > 0 {
            text += &format!(" WHERE {}", self.condition());
        }
        if self.dialect == b'm' && self.random.once_in(6) {
            text += &self.one(&[" ORDER BY a LIMIT 1", " LIMIT 1"]);
        }
        if self.random.once_in(5) {
            let returned = [
                " RETURNING *",
                " RETURNING id, a AS x",
                " RETURNING (SELECT max(id) FROM u)",
                " RETURNING random()",
            ];
            text += &self.one(&returned);
        }
        text
    }

    fn insert(&mut self) -> String {
        let or = match self.dialect {
            b's' => self.one(&["", "", "", "OR REPLACE ", "OR IGNORE "]),
            _ => String::new(),
        };
        let outer = std::mem::take(&mut self.labels);
        let columns = self.one(&["(id, a)", "(id, b)", "", "(a, id)", "(\"id\", \"c\")"]);
        let source = match self.random.below(6) {
            0 => self.query(),
            1 => "DEFAULT VALUES".to_owned(),
            2 => format!(
                "VALUES ({}, {}), ({}, {})",
                self.value(),
                self.value(),
                self.expression(),
                self.value()
            ),
            3 => format!("{}{}", self.with(), self.query()),
            _ => format!("VALUES ({}, {})", self.value(), self.expression()),
        };
        let conflict = match self.random.below(8) {
            0 => " ON CONFLICT DO NOTHING".to_owned(),
            1 => format!(" ON CONFLICT (id) DO UPDATE SET {}", self.sets()),
            2 => format!(" ON CONFLICT (id) DO UPDATE SET a = excluded.a WHERE {}", self.condition()),
            3 if self.dialect == b'm' => format!(" ON DUPLICATE KEY UPDATE {}", self.sets()),
            4 => format!(" ON CONFLICT (a) DO NOTHING ON CONFLICT (id) DO UPDATE SET {}", self.sets()),
            _ => String::new(),
        };
        let returning = self.one(&["", "", "", "", " RETURNING *", " RETURNING id"]);
        self.labels = outer;
        format!("INSERT {or}INTO {} {columns} {source}{conflict}{returning}", self.one(TABLES))
    }
}

/// A name without its schema.
fn bare(table: &str) -> String {
    table.rsplit('.').next().unwrap_or(table).to_owned()
}
