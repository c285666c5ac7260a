//! The processes of a run: started, killed, frozen, and started again.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::Mutex,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    journal::{Event, Journal},
    process::Start,
};

/// One process after the other in one place.
struct Place {
    start: Start,
    child: Child,
}

pub struct Fleet {
    places: Vec<Mutex<Place>>,
    state: Mutex<State>,
    directory: PathBuf,
}

#[derive(Default)]
struct State {
    journals: Vec<PathBuf>,
    started: u64,
    /// Processes that killed themselves at a step of a write.
    died_at_a_step: u64,
    /// Processes that ended otherwise: they failed.
    failed: Vec<String>,
}

impl Fleet {
    pub fn new(directory: &Path, starts: Vec<Start>) -> Self {
        let (directory, state) = (directory.to_owned(), Mutex::new(State::default()));
        let mut fleet = Self { places: Vec::new(), state, directory };
        for start in starts {
            let (start, child) = fleet.launch(&start);
            fleet.places.push(Mutex::new(Place { start, child }));
        }
        fleet
    }

    fn launch(&self, start: &Start) -> (Start, Child) {
        let mut state = self.state.lock().unwrap();
        state.started += 1;
        let journal = self.directory.join(format!("{}.journal", state.started));
        state.journals.push(journal.clone());
        let start = Start { journal, seed: start.seed + 1000, ..start.clone() };
        let child = start.spawn();
        (start, child)
    }

    pub fn kill(&self, place: usize) {
        let mut place = self.places[place].lock().unwrap();
        let _ = place.child.kill();
        let _ = place.child.wait();
        let (start, child) = self.launch(&place.start);
        *place = Place { start, child };
    }

    pub async fn freeze(&self, place: usize, time: Duration) {
        let pid = self.places[place].lock().unwrap().child.id();
        signal(pid, "STOP");
        sleep(time).await;
        // Nobody has waited for it but under this lock: its id is nobody else's.
        if self.places[place].lock().unwrap().child.id() == pid {
            signal(pid, "CONT");
        }
    }

    /// Starts those again that have ended by themselves.
    pub async fn look_after(&self) {
        loop {
            for place in &self.places {
                let mut place = place.lock().unwrap();
                if let Some(status) = place.child.try_wait().unwrap() {
                    self.ended(&place.start, status);
                    let (start, child) = self.launch(&place.start);
                    *place = Place { start, child };
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn ended(&self, start: &Start, status: ExitStatus) {
        use std::os::unix::process::ExitStatusExt;
        let mut state = self.state.lock().unwrap();
        if status.signal() == Some(9) {
            state.died_at_a_step += 1;
        } else if !status.success() {
            let log = std::fs::read_to_string(start.journal.with_extension("log")).unwrap_or_default();
            state.failed.push(format!("{:?}: {status}\n{log}", start.role));
        }
    }

    /// Lets all processes come to their end.
    pub async fn finish(&self) {
        for place in &self.places {
            drop(place.lock().unwrap().child.stdin.take());
        }
        for place in &self.places {
            let end = Instant::now() + Duration::from_secs(60);
            while !self.has_ended(place) {
                assert!(Instant::now() < end, "a process does not end: {:?}", place.lock().unwrap().start);
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn has_ended(&self, place: &Mutex<Place>) -> bool {
        let mut place = place.lock().unwrap();
        let Some(status) = place.child.try_wait().unwrap() else { return false };
        self.ended(&place.start, status);
        true
    }

    pub fn journals(&self) -> Vec<Vec<Event>> {
        self.state.lock().unwrap().journals.iter().map(|path| Journal::read(path)).collect()
    }

    pub fn started(&self) -> u64 {
        self.state.lock().unwrap().started
    }

    pub fn died_at_a_step(&self) -> u64 {
        self.state.lock().unwrap().died_at_a_step
    }

    pub fn failed(&self) -> Vec<String> {
        self.state.lock().unwrap().failed.clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for place in &self.places {
            let mut place = place.lock().unwrap();
            let _ = place.child.kill();
            let _ = place.child.wait();
        }
    }
}

fn signal(pid: u32, signal: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -s {signal} {pid}")]).status();
}
