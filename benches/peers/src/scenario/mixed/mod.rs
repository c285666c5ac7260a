//! A mixed load: rows by key, Zipf 0.99 over the table, 64 tasks in one process or in two, and some of the
//! operations writes. Each system in processes of its own, on a database of its own.

mod acknowledged;
mod child;
pub mod systems;
pub mod worker;
mod zipf;

use std::{env, fs, path::PathBuf, process, time::Duration};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use self::{
    acknowledged::Acknowledged,
    child::Child,
    systems::ALL,
    worker::{Order, Outcome, Role},
};
use super::Plan;
use crate::{drive::histogram, place::Place, sheet::Sheet};

pub const SCENARIO: &str = "mixed";
/// Over all processes.
const TASKS: usize = 64;
const READS: [u32; 4] = [100, 95, 80, 50];

/// The name of a case.
pub fn case(reads_percent: u32, processes: usize) -> String {
    let plural = if processes == 1 { "process" } else { "processes" };
    format!("{reads_percent}/{}, {processes} {plural}", 100 - reads_percent)
}

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    place.seed(plan.rows).await?;
    let rows = plan.rows;
    sheet.note(SCENARIO, format!("Zipf 0.99 over {rows} rows, {TASKS} tasks over all processes"));
    sheet.note(SCENARIO, "every row was read once, in each process, before the first round");
    sheet.note(SCENARIO, "our entity is declared `write_through`, which works under `Strict` alone");
    for processes in [1, 2] {
        let mut teams = Vec::new();
        for &(system, word, alone) in ALL {
            match alone {
                Some(why) if processes > 1 => {
                    sheet.note(SCENARIO, format!("{system}, {processes} processes: left out, {why}"))
                }
                // What cannot be used is said, and does not keep the others from running.
                _ => match Team::start(place, plan, system, word, processes).await {
                    Ok(team) => teams.push(team),
                    Err(error) => sheet
                        .note(SCENARIO, format!("{system}, {processes} processes: cannot run, {error:#}")),
                },
            }
        }
        for reads in READS {
            compete(plan, &mut teams, &case(reads, processes), reads, sheet).await?;
        }
        for team in teams {
            team.end(place).await?;
        }
        place.flush().await?;
    }
    Ok(())
}

/// All of them by turns, first once without counting.
async fn compete(plan: &Plan, teams: &mut [Team], case: &str, reads: u32, sheet: &mut Sheet) -> Result<()> {
    println!("{SCENARIO}: {case}");
    let count = teams.len();
    for round in 0..=plan.rounds {
        for place in 0..count {
            let team = &mut teams[(place + round) % count];
            let seed = (round as u64) << 8 | u64::from(reads);
            let outcomes = team.load(reads, plan.turn, seed).await.with_context(|| team.system.clone())?;
            if round > 0 {
                record(sheet, case, &team.system, &outcomes)?;
            }
        }
    }
    for team in teams {
        let show = |metric: &str| sheet.median(SCENARIO, case, &team.system, metric).unwrap_or(f64::NAN);
        println!(
            "  {:<28} {:>9.0}/s  read p50 {:>8.1} us p99 {:>9.1} us  write p50 {:>8.1} us  hit rate {:>5.1} %  \
             SELECTs/1000 reads {:>6.1}  stale {} (worst {} ms)",
            team.system,
            show("ops/s"),
            show("read p50 us"),
            show("read p99 us"),
            show("write p50 us"),
            show("hit rate %"),
            show("SELECTs/1000 reads"),
            total(sheet, case, &team.system, "stale reads"),
            worst(sheet, case, &team.system, "oldest stale ms"),
        );
    }
    Ok(())
}

/// The rounds of a figure added up: one stale read in any of them is one.
pub fn total(sheet: &Sheet, case: &str, system: &str, metric: &str) -> f64 {
    rounds(sheet, case, system, metric).iter().sum()
}

fn worst(sheet: &Sheet, case: &str, system: &str, metric: &str) -> f64 {
    rounds(sheet, case, system, metric).iter().copied().fold(0.0, f64::max)
}

fn rounds(sheet: &Sheet, case: &str, system: &str, metric: &str) -> Vec<f64> {
    let mut figures = sheet.figures.iter();
    figures
        .find(|it| it.scenario == SCENARIO && it.case == case && it.system == system && it.metric == metric)
        .map(|figure| figure.rounds.clone())
        .unwrap_or_default()
}

/// One round of one system: what its processes did together.
fn record(sheet: &mut Sheet, case: &str, system: &str, outcomes: &[Outcome]) -> Result<()> {
    let sum = |what: fn(&Outcome) -> u64| outcomes.iter().map(what).sum::<u64>() as f64;
    let (mut read_latency, mut write_latency) = (histogram(), histogram());
    for outcome in outcomes {
        merge(&mut read_latency, &outcome.read_latency)?;
        merge(&mut write_latency, &outcome.write_latency)?;
    }
    let (reads, writes) = (sum(|it| it.reads), sum(|it| it.writes));
    let rate = outcomes.iter().map(|it| (it.reads + it.writes) as f64 / it.seconds).sum::<f64>();
    let selects = sum(|it| it.selects);
    let mut add = |metric: &str, value| sheet.add(SCENARIO, case, system, metric, value);
    add("ops/s", rate);
    add("read p50 us", read_latency.value_at_quantile(0.5) as f64 / 1000.0);
    add("read p99 us", read_latency.value_at_quantile(0.99) as f64 / 1000.0);
    if writes > 0.0 {
        add("write p50 us", write_latency.value_at_quantile(0.5) as f64 / 1000.0);
        add("write p99 us", write_latency.value_at_quantile(0.99) as f64 / 1000.0);
    }
    add("SQL/op", sum(|it| it.statements) / (reads + writes).max(1.0));
    add("SELECTs/1000 reads", 1000.0 * selects / reads.max(1.0));
    add("hit rate %", 100.0 * (1.0 - selects / reads.max(1.0)));
    for (place, (name, _)) in outcomes.first().map_or(&[][..], |first| &first.counters).iter().enumerate() {
        let count: u64 =
            outcomes.iter().filter_map(|it| it.counters.get(place)).map(|(_, count)| count).sum();
        add(name, 1000.0 * count as f64 / reads.max(1.0));
    }
    add("stale reads", sum(|it| it.stale));
    add("stale by > 100 ms", sum(|it| it.too_stale));
    add("oldest stale ms", outcomes.iter().map(|it| it.oldest_stale_ms).max().unwrap_or(0).into());
    Ok(())
}

fn merge(into: &mut Histogram<u64>, latency: &[(u64, u64)]) -> Result<()> {
    for &(nanoseconds, count) in latency {
        into.record_n(nanoseconds, count)?;
    }
    Ok(())
}

/// The processes of one system.
struct Team {
    system: String,
    database: String,
    acknowledged: PathBuf,
    children: Vec<Child>,
}

impl Team {
    /// Starts and warms them.
    async fn start(place: &Place, plan: &Plan, system: &str, word: &str, processes: usize) -> Result<Self> {
        let database = format!("bench_{word}");
        place.fresh_database(&database).await?;
        let acknowledged = shared_memory().join(format!("sea-orm-cache-bench-{}-{word}", process::id()));
        Acknowledged::create(&acknowledged, plan.rows)?;
        let role = Role {
            system: system.to_owned(),
            database: database.clone(),
            namespace: format!("bench-{word}"),
            index: 0,
            processes,
            rows: plan.rows,
            acknowledged: acknowledged.clone(),
        };
        let mut team = Self { system: system.to_owned(), database, acknowledged, children: Vec::new() };
        for index in 0..processes {
            team.children.push(Child::start(&Role { index, ..role.clone() }).await?);
        }
        // All of them have it open. Without a name it goes when they do, however this ends.
        fs::remove_file(&team.acknowledged)?;
        team.ask(&Order::Warm).await?;
        Ok(team)
    }

    async fn load(&mut self, reads_percent: u32, time: Duration, seed: u64) -> Result<Vec<Outcome>> {
        let tasks = TASKS / self.children.len();
        let time_ms = u64::try_from(time.as_millis())?;
        self.ask(&Order::Load { tasks, time_ms, reads_percent, seed }).await
    }

    /// Tells all before it listens to one.
    async fn ask(&mut self, order: &Order) -> Result<Vec<Outcome>> {
        for child in &mut self.children {
            child.tell(order).await?;
        }
        let mut outcomes = Vec::new();
        for child in &mut self.children {
            outcomes.push(child.listen().await?);
        }
        Ok(outcomes)
    }

    async fn end(mut self, place: &Place) -> Result<()> {
        for child in self.children.drain(..) {
            child.end().await?;
        }
        place.drop_database(&self.database).await
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        // There is one only if a process did not start.
        let _ = fs::remove_file(&self.acknowledged);
    }
}

/// A directory in memory where there is one.
fn shared_memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { env::temp_dir() }
}
