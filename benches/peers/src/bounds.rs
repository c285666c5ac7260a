//! What has to be shown: each bound, the two figures that it is about, and whether it is met.

use crate::{
    scenario::{
        by_key, cold, cost,
        mixed::{self, systems},
        near_hit, scale, writes,
    },
    sheet::Sheet,
};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Bound {
    pub what: &'static str,
    /// In words.
    pub bound: &'static str,
    /// Both numbers, and their ratio; why not, if it was not measured.
    pub figure: Result<String, String>,
    pub met: bool,
}

/// A ratio that must be at least or at most something.
#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Limit {
    fn allows(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(limit) => figure >= limit,
            Self::AtMost(limit) => figure <= limit,
        }
    }
}

/// Where a figure is found.
#[derive(Clone, Copy)]
struct Cell<'a>(&'a str, &'a str, &'a str, &'a str);

/// All of them, in the order in which they were asked for.
pub fn bounds(sheet: &Sheet) -> Vec<Bound> {
    let mut all = Vec::new();
    by_key(sheet, &mut all);
    peers(sheet, &mut all);
    rest(sheet, &mut all);
    all
}

fn by_key(sheet: &Sheet, all: &mut Vec<Bound>) {
    use near_hit::{ALLOCATIONS, BY_KEY, BY_SELECT};
    let near = |case, system, metric| Cell(near_hit::SCENARIO, case, system, metric);
    all.push(slower(
        sheet,
        "near hit by key, against the bare map's get of an Arc",
        "<= 3 x the time",
        3.0,
        near(BY_KEY, near_hit::OURS, "ops/s"),
        near(BY_KEY, near_hit::MAP, "ops/s"),
    ));
    // A heartbeat in the background may allocate in the midst of thousands of hits.
    all.push(single(
        sheet,
        "near hit by key: allocations",
        "<= 1",
        Limit::AtMost(1.01),
        near(BY_KEY, near_hit::OURS, ALLOCATIONS),
    ));
    all.push(slower(
        sheet,
        "near hit through .cached(), against building that select",
        "<= 1.5 x the time",
        1.5,
        near(BY_SELECT, near_hit::OURS, "ops/s"),
        near(BY_SELECT, near_hit::BUILD, "ops/s"),
    ));
    let (one, many) = (by_key::case(1), by_key::case(64));
    let alone = |system| Cell(by_key::SCENARIO, &one, system, "p50 us");
    let busy = |system| Cell(by_key::SCENARIO, &many, system, "ops/s");
    let mut ratio =
        |what, bound, limit, ours, theirs| all.push(ratio(sheet, what, bound, limit, ours, theirs));
    ratio(
        "Redis hit by key, 1 task: p50 against redis-rs with the same command",
        "<= 1.15 x",
        Limit::AtMost(1.15),
        alone(by_key::REDIS_HIT),
        alone(by_key::MGET),
    );
    for (what, bound, limit, ours, theirs) in [
        (
            "Redis hit by key, 64 tasks: throughput against the same command",
            ">= 0.85 x",
            0.85,
            by_key::REDIS_HIT,
            by_key::MGET,
        ),
        ("the same with the stamps in memory, against GET", ">= 0.85 x", 0.85, by_key::STAMPS, by_key::GET),
        (
            "against SeaORM + PostgreSQL by key, 64 tasks: Redis hit",
            ">= 5 x",
            5.0,
            by_key::REDIS_HIT,
            by_key::DATABASE,
        ),
        (
            "against SeaORM + PostgreSQL by key, 64 tasks: near hit",
            ">= 200 x",
            200.0,
            by_key::NEAR,
            by_key::DATABASE,
        ),
    ] {
        ratio(what, bound, Limit::AtLeast(limit), busy(ours), busy(theirs));
    }
}

fn peers(sheet: &Sheet, all: &mut Vec<Bound>) {
    let two = mixed::case(95, 2);
    for (what, bound, limit, ours) in [
        (
            "against cache-aside by hand, Zipf 95/5, 2 processes: without near cache",
            ">= 1.0 x",
            1.0,
            systems::OURS,
        ),
        ("the same with near cache", ">= 5 x", 5.0, systems::OURS_NEAR),
        ("the same with near cache, AfterCommit", ">= 5 x", 5.0, systems::OURS_AFTER),
    ] {
        let limit = Limit::AtLeast(limit);
        all.push(ratio(
            sheet,
            what,
            bound,
            limit,
            mixed_rate(&two, ours),
            mixed_rate(&two, systems::BY_HAND),
        ));
        for (what, metric) in [
            ("its stale reads, of all rounds", "stale reads"),
            ("of these, by more than max_staleness (100 ms)", "stale by > 100 ms"),
        ] {
            let stale = |system| mixed::total(sheet, &two, system, metric);
            let measured = sheet.median(mixed::SCENARIO, &two, ours, metric).is_some();
            let figure = if measured {
                Ok(format!("{:.0}; theirs {:.0}", stale(ours), stale(systems::BY_HAND)))
            } else {
                Err("not measured".to_owned())
            };
            all.push(Bound { what, bound: "0", figure, met: measured && stale(ours) == 0.0 });
        }
    }
    for (reads, what, bound, limit) in [
        (95, "against tideorm, Zipf 95/5, 1 process: with near cache", ">= 3 x", 3.0),
        (80, "against tideorm, Zipf 80/20, 1 process: with near cache", ">= 10 x", 10.0),
    ] {
        let case = mixed::case(reads, 1);
        let (ours, theirs) = (mixed_rate(&case, systems::OURS_NEAR), mixed_rate(&case, systems::TIDE));
        all.push(ratio(sheet, what, bound, Limit::AtLeast(limit), ours, theirs));
    }
    let one = mixed::case(95, 1);
    for (what, ours) in [
        ("SELECTs per 1000 reads, Zipf 95/5, after warm-up: without near cache", systems::OURS),
        ("the same with near cache", systems::OURS_NEAR),
    ] {
        all.push(statements(sheet, what, &one, ours));
    }
}

fn mixed_rate<'a>(case: &'a str, system: &'a str) -> Cell<'a> {
    Cell(mixed::SCENARIO, case, system, "ops/s")
}

/// Ours, and the best of the others beside it.
fn statements(sheet: &Sheet, what: &'static str, case: &str, ours: &str) -> Bound {
    const METRIC: &str = "SELECTs/1000 reads";
    let of = |system: &str| sheet.median(mixed::SCENARIO, case, system, METRIC);
    let best = systems::ALL
        .iter()
        .filter(|(system, ..)| ![systems::OURS, systems::OURS_NEAR, systems::OURS_AFTER].contains(system))
        .filter_map(|&(system, ..)| of(system).map(|figure| (figure, system)))
        .min_by(|one, other| one.0.total_cmp(&other.0));
    match of(ours) {
        Some(figure) => Bound {
            what,
            bound: "<= 100",
            figure: Ok(match best {
                Some((theirs, peer)) => format!("{figure:.1}; best peer {theirs:.1} ({peer})"),
                None => format!("{figure:.1}"),
            }),
            met: figure <= 100.0,
        },
        None => Bound { what, bound: "<= 100", figure: Err("not measured".to_owned()), met: false },
    }
}

fn rest(sheet: &Sheet, all: &mut Vec<Bound>) {
    for (case, trips, words) in [(writes::STRICT, 2.0, "2"), (writes::AFTER_COMMIT, 1.0, "1")] {
        let cell = |metric| Cell(writes::SCENARIO, case, writes::OURS, metric);
        let (what, more) = match case {
            writes::STRICT => {
                ("write by key, Strict: round trips to Redis", "write by key, Strict: CPU beyond them")
            }
            _ => (
                "write by key, AfterCommit: round trips to Redis",
                "write by key, AfterCommit: CPU beyond them",
            ),
        };
        all.push(single(sheet, what, words, Limit::AtMost(trips), cell(writes::ROUND_TRIPS)));
        let ours = sheet.median(writes::SCENARIO, case, writes::OURS, writes::CPU);
        let theirs = sheet.median(writes::SCENARIO, case, writes::SAME_BY_HAND, writes::CPU);
        let (figure, met) = match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                (Ok(format!("{:.1} us ({ours:.1} and {theirs:.1})", ours - theirs)), ours - theirs <= 5.0)
            }
            _ => (Err("not measured".to_owned()), false),
        };
        all.push(Bound { what: more, bound: "<= 5 us", figure, met });
    }
    let purge = |system| Cell(scale::SCENARIO, scale::PURGE, system, "p50 us");
    all.push(ratio(
        sheet,
        "purge of a tag with the most dependents (1 M in a full run), against 1",
        "<= 1.2 x",
        Limit::AtMost(1.2),
        purge(scale::MOST),
        purge(scale::ONE),
    ));
    let slow = Cell(scale::SCENARIO, scale::PURGE, scale::SLOWLOG, "entries");
    all.push(single(sheet, "Redis slowlog (1 ms) of the purges", "empty", Limit::AtMost(0.0), slow));
    let bytes = |system| Cell(cost::SCENARIO, cost::REDIS, system, "bytes/row");
    let (ours, theirs) = (bytes(cost::OURS), bytes(cost::JSON));
    all.push(ratio(
        sheet,
        "bytes per cached row in Redis, against a JSON string",
        "<= 0.8 x",
        Limit::AtMost(0.8),
        ours,
        theirs,
    ));
    let cold = |system| Cell(cold::SCENARIO, cold::CASE, system, "rows/s");
    for (what, theirs) in [
        ("warm-up, against reading the rows singly through the cache, 1 task", cold::SINGLY),
        ("the same, against 64 tasks that read singly", cold::SINGLY_64),
    ] {
        all.push(ratio(sheet, what, ">= 10 x", Limit::AtLeast(10.0), cold(cold::WARM_UP), cold(theirs)));
    }
}

fn value(sheet: &Sheet, Cell(scenario, case, system, metric): Cell<'_>) -> Option<f64> {
    sheet.median(scenario, case, system, metric)
}

fn ratio(
    sheet: &Sheet,
    what: &'static str,
    bound: &'static str,
    limit: Limit,
    ours: Cell<'_>,
    theirs: Cell<'_>,
) -> Bound {
    compared(sheet, (what, bound), (ours, theirs), |one, other| {
        let figure = format!("{:.2} x ({} and {} {})", one / other, shown(one), shown(other), ours.3);
        (figure, limit.allows(one / other))
    })
}

/// How much longer one operation takes, from the rates.
fn slower(
    sheet: &Sheet,
    what: &'static str,
    bound: &'static str,
    limit: f64,
    ours: Cell<'_>,
    theirs: Cell<'_>,
) -> Bound {
    compared(sheet, (what, bound), (ours, theirs), |one, other| {
        let figure = format!("{:.2} x ({:.0} and {:.0} ns)", other / one, 1e9 / one, 1e9 / other);
        (figure, other / one <= limit)
    })
}

/// What is said of two figures, and whether the bound is met, if both were measured.
fn compared(
    sheet: &Sheet,
    (what, bound): (&'static str, &'static str),
    (ours, theirs): (Cell<'_>, Cell<'_>),
    judge: impl FnOnce(f64, f64) -> (String, bool),
) -> Bound {
    match (value(sheet, ours), value(sheet, theirs)) {
        (Some(one), Some(other)) => {
            let (figure, met) = judge(one, other);
            Bound { what, bound, figure: Ok(figure), met }
        }
        _ => Bound { what, bound, figure: Err("not measured".to_owned()), met: false },
    }
}

fn single(sheet: &Sheet, what: &'static str, bound: &'static str, limit: Limit, cell: Cell<'_>) -> Bound {
    match value(sheet, cell) {
        Some(figure) => Bound { what, bound, figure: Ok(shown(figure)), met: limit.allows(figure) },
        None => Bound { what, bound, figure: Err("not measured".to_owned()), met: false },
    }
}

/// Large numbers without decimals, small ones with.
pub fn shown(figure: f64) -> String {
    match figure.abs() {
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        large if large >= 1000.0 => format!("{figure:.0}"),
        middle if middle >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

impl Bound {
    /// Whether it is met, in words.
    pub fn verdict(&self) -> &'static str {
        match (&self.figure, self.met) {
            (Err(_), _) => "-",
            (Ok(_), true) => "met",
            (Ok(_), false) => "NOT met",
        }
    }
}
