//! One connection through the proxy, and the orders that all of them obey.

use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// The orders given to the proxy, and what it saw.
#[derive(Debug)]
pub struct Line {
    upstream: Mutex<String>,
    state: Mutex<State>,
    /// Changes with every order that a waiting connection must hear of.
    orders: watch::Sender<Orders>,
}

/// Connections are numbered from 1, so that an order can be about those there were when it was given.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    /// Connections up to this number are cut.
    cut: u64,
    /// Connections up to this number are black holes.
    black_hole: u64,
    /// Replies withheld under a hold up to this number may go.
    released: u64,
    /// Requests withheld under a hold up to this number may go.
    released_requests: u64,
}

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    open: BTreeSet<u64>,
    round_trips: u64,
    /// What clients sent, per connection in the order of their numbers, while recording.
    recording: Option<Vec<(u64, Vec<u8>)>>,
    delay_requests: Duration,
    delay_replies: Duration,
    hold: Option<Hold>,
    /// Holds ordered so far.
    holds: u64,
    /// Requests that hold these bytes are withheld.
    hold_requests: Option<(u64, Vec<u8>)>,
    holding_request: bool,
    /// Connections whose client sends some of these bytes are marked, by their numbers.
    mark: Option<(Vec<Vec<u8>>, BTreeSet<u64>)>,
    /// Replies to marked connections come so much later still.
    delay_marked: Duration,
    /// Connections that are black holes whatever the orders say.
    holes: BTreeSet<u64>,
}

#[derive(Debug)]
struct Hold {
    number: u64,
    /// Replies that still go through.
    remaining: u64,
    /// Whether also bytes that answer no request are withheld.
    everything: bool,
    /// Whether there is a reply being withheld.
    holding: bool,
}

impl Line {
    pub fn new(upstream: String) -> Self {
        Self { upstream: Mutex::new(upstream), state: Mutex::default(), orders: watch::Sender::default() }
    }

    pub fn upstream(&self) -> String {
        self.upstream.lock().expect("no panic while the upstream was held").clone()
    }

    pub fn redirect(&self, upstream: String) {
        *self.upstream.lock().expect("no panic while the upstream was held") = upstream;
    }

    pub fn round_trips(&self) -> u64 {
        self.state().round_trips
    }

    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    pub fn open(&self) -> usize {
        self.state().open.len()
    }

    /// Open connections among the first `number`.
    pub fn open_up_to(&self, number: u64) -> usize {
        self.state().open.range(..=number).count()
    }

    pub fn record(&self) {
        self.state().recording = Some(Vec::new());
    }

    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.state().recording.iter().flatten().map(|(_, bytes)| bytes.clone()).collect()
    }

    pub fn cut(&self) {
        let accepted = self.accepted();
        self.orders.send_modify(|orders| orders.cut = accepted);
    }

    pub fn black_hole(&self) {
        let accepted = self.accepted();
        self.orders.send_modify(|orders| orders.black_hole = accepted);
    }

    pub fn mark(&self, bytes: &[u8]) {
        self.state().mark.get_or_insert_default().0.push(bytes.to_vec());
    }

    pub fn delay_marked(&self, delay: Duration) {
        self.state().delay_marked = delay;
    }

    pub fn black_hole_marked(&self) {
        let mut state = self.state();
        let marked = state.mark.as_ref().map(|(_, marked)| marked.clone());
        state.holes.extend(marked.into_iter().flatten());
    }

    pub fn delay_requests(&self, delay: Duration) {
        self.state().delay_requests = delay;
    }

    pub fn delay_replies(&self, delay: Duration) {
        self.state().delay_replies = delay;
    }

    pub fn hold_replies(&self, after: u64) {
        let mut state = self.state();
        state.holds += 1;
        let number = state.holds;
        state.hold = Some(Hold { number, remaining: after, everything: after == 0, holding: false });
    }

    pub fn hold_requests(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.holds += 1;
        state.hold_requests = Some((state.holds, bytes.to_vec()));
        state.holding_request = false;
    }

    pub fn is_holding_request(&self) -> bool {
        self.state().holding_request
    }

    pub fn release_requests(&self) {
        let mut state = self.state();
        (state.hold_requests, state.holding_request) = (None, false);
        let released = state.holds;
        drop(state);
        self.orders.send_modify(|orders| orders.released_requests = released);
    }

    pub fn is_holding(&self) -> bool {
        self.state().hold.as_ref().is_some_and(|hold| hold.holding)
    }

    pub fn release(&self) {
        let mut state = self.state();
        state.hold = None;
        let released = state.holds;
        drop(state);
        self.orders.send_modify(|orders| orders.released = released);
    }

    /// Counts a new connection in; it is counted out when its ticket is dropped.
    pub fn open_connection(self: &Arc<Self>) -> Ticket {
        let mut state = self.state();
        state.accepted += 1;
        let number = state.accepted;
        state.open.insert(number);
        Ticket { number, line: Arc::clone(self) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the proxy's state was held")
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    line: Arc<Line>,
}

impl Ticket {
    /// Notes bytes from the client; says when they may go on.
    fn request(&self, bytes: &[u8]) -> Passage {
        let mut state = self.line.state();
        if let Some(recording) = &mut state.recording {
            match recording.iter_mut().find(|(number, _)| *number == self.number) {
                Some((_, recorded)) => recorded.extend_from_slice(bytes),
                None => recording.push((self.number, bytes.to_vec())),
            }
        }
        if let Some((marks, marked)) = &mut state.mark
            && marks.iter().any(|mark| bytes.windows(mark.len()).any(|window| window == mark))
        {
            marked.insert(self.number);
        }
        let hold = state.hold_requests.as_ref().and_then(|(number, withheld)| {
            let found = bytes.windows(withheld.len()).any(|window| window == withheld);
            found.then_some(Hindrance::Request(*number))
        });
        state.holding_request |= hold.is_some();
        Passage { at: Instant::now() + state.delay_requests, hold }
    }

    /// Notes bytes from the server, which end a round trip if a request went before them; says when they may
    /// go on.
    fn reply(&self, ends_round_trip: bool) -> Passage {
        let mut state = self.line.state();
        state.round_trips += u64::from(ends_round_trip);
        let is_marked = state.mark.as_ref().is_some_and(|(_, marked)| marked.contains(&self.number));
        let more = if is_marked { state.delay_marked } else { Duration::ZERO };
        let at = Instant::now() + state.delay_replies + more;
        let hold = state.hold.as_mut().and_then(|hold| {
            if hold.remaining > 0 {
                hold.remaining -= u64::from(ends_round_trip);
                return None;
            }
            // The rest of a reply that was let through is let through, too.
            (ends_round_trip || hold.everything).then(|| {
                hold.holding = true;
                Hindrance::Reply(hold.number)
            })
        });
        Passage { at, hold }
    }

    /// Waits until an order makes `condition` true.
    async fn ordered(&self, condition: impl FnMut(&Orders) -> bool) {
        // The sender lives in the line, which this ticket keeps alive.
        let _ = self.line.orders.subscribe().wait_for(condition).await;
    }

    fn is_black_hole(&self) -> bool {
        self.line.orders.borrow().black_hole >= self.number || self.line.state().holes.contains(&self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.open.remove(&self.number);
        state.holes.remove(&self.number);
        if let Some((_, marked)) = &mut state.mark {
            marked.remove(&self.number);
        }
    }
}

/// When some bytes may go on: not before a moment, and not before a hold is released.
struct Passage {
    at: Instant,
    hold: Option<Hindrance>,
}

/// The number of the hold under which something is withheld.
#[derive(Clone, Copy)]
enum Hindrance {
    Request(u64),
    Reply(u64),
}

/// Bytes on their way through the proxy.
type Queue = mpsc::UnboundedReceiver<(Passage, Vec<u8>)>;

/// Carries bytes both ways until one side hangs up or the connection is cut.
pub async fn relay(mut client: TcpStream, mut server: TcpStream, ticket: Ticket) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let number = ticket.number;
        let mut carried = pin!(carry(&ticket, from_client, to_server, from_server, to_client));
        tokio::select! {
            biased;
            () = ticket.ordered(|orders| orders.cut >= number) => true,
            () = &mut carried => false,
        }
    };
    if cut {
        // A zero linger time turns the close into a reset.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    // The sockets first: who sees the connection counted out may rely on its being closed.
    drop((client, server));
    drop(ticket);
}

async fn carry(
    ticket: &Ticket,
    mut from_client: ReadHalf<'_>,
    to_server: WriteHalf<'_>,
    mut from_server: ReadHalf<'_>,
    to_client: WriteHalf<'_>,
) {
    let (requests, request_queue) = mpsc::unbounded_channel();
    let (replies, reply_queue) = mpsc::unbounded_channel();
    // One pair of eyes on both directions, because a round trip is about their order.
    let watch = async {
        let mut asked = false;
        let mut requests = Some(requests);
        let (mut request, mut reply) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            tokio::select! {
                biased;
                read = from_server.read(&mut reply) => {
                    let length = read.unwrap_or(0);
                    if length == 0 {
                        // In a black hole nobody hears that the other side is gone.
                        if ticket.is_black_hole() {
                            std::future::pending::<()>().await;
                        }
                        break;
                    }
                    if !ticket.is_black_hole() {
                        let passage = ticket.reply(std::mem::take(&mut asked));
                        let _ = replies.send((passage, reply[..length].to_vec()));
                    }
                }
                read = from_client.read(&mut request), if requests.is_some() => {
                    let length = read.unwrap_or(0);
                    if length == 0 {
                        // The client may still want what it asked for; the server hears that it asks no more.
                        if !ticket.is_black_hole() {
                            requests = None;
                        } else {
                            std::future::pending::<()>().await;
                        }
                    } else if !ticket.is_black_hole() {
                        asked = true;
                        let passage = ticket.request(&request[..length]);
                        if let Some(requests) = &requests {
                            let _ = requests.send((passage, request[..length].to_vec()));
                        }
                    }
                }
            }
        }
        drop(replies);
    };
    let deliver_requests = deliver(ticket, request_queue, to_server);
    let deliver_replies = deliver(ticket, reply_queue, to_client);
    // Over when the server has hung up and all it said is delivered.
    let replied = async { tokio::join!(watch, deliver_replies).1 };
    let (mut replied, mut requested) = (pin!(replied), pin!(deliver_requests));
    tokio::select! {
        _ = &mut replied => {}
        // The server no longer takes requests, and may still have replies to give.
        _ = &mut requested => { let _ = replied.await; }
    }
}

/// Hands bytes on in their order, each when it may go.
async fn deliver(ticket: &Ticket, mut queue: Queue, mut to: WriteHalf<'_>) -> io::Result<()> {
    while let Some((passage, bytes)) = queue.recv().await {
        if let Some(hold) = passage.hold {
            let may_go = |orders: &Orders| match hold {
                Hindrance::Request(number) => orders.released_requests >= number,
                Hindrance::Reply(number) => orders.released >= number,
            };
            ticket.ordered(may_go).await;
        }
        sleep_until(passage.at).await;
        // The order may have come while the bytes were waiting.
        if !ticket.is_black_hole() {
            to.write_all(&bytes).await?;
        }
    }
    if ticket.is_black_hole() {
        std::future::pending::<()>().await;
    }
    to.shutdown().await
}
