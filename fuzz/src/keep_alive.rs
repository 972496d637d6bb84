//! Two peers that keep each other alive, at any times: what is due is due exactly at its deadline, and no ping is ever
//! an answer to one.

use arbitrary::Arbitrary;
use tej_core::{KeepAlive, KeepAliveAction, KeepAliveConfig};

use crate::number::Number;
use crate::seed::{self, Fields, Seed, variant};

/// Two peers, and what happens to them in turn.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub struct Input {
    start: Number,
    peers: [Duties; 2],
    happenings: Vec<Happening>,
}

impl Input {
    /// Lets it happen to the peers and to models of them.
    ///
    /// # Panics
    /// Where an action or a deadline is not the model's, or a byte that is received makes anything due.
    pub fn check(&self) {
        let mut now = self.start.value();
        let mut peers = self.peers.map(|duties| Peer::new(duties, now));
        for happening in &self.happenings {
            match *happening {
                Happening::Passes(ticks) => now = now.saturating_add(ticks.value()),
                Happening::UntilDeadline { of, early } => {
                    if let Some(deadline) = peers[usize::from(of)].model.deadline() {
                        now = now.max(deadline.saturating_sub(early.into()));
                    }
                }
                Happening::Sends { who } => {
                    peers[usize::from(who)].send(now);
                    peers[usize::from(!who)].receive(now);
                }
                // Lost on the way, or still on it.
                Happening::SendsInVain { who } => peers[usize::from(who)].send(now),
                Happening::Looks { who } => {
                    if peers[usize::from(who)].act(now) == KeepAliveAction::SendPing {
                        peers[usize::from(who)].ping(now);
                        peers[usize::from(!who)].receive(now);
                    }
                }
            }
            for peer in &peers {
                peer.act(now);
            }
        }
    }
}

/// What befalls the peers. `bool`s tell the two apart.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Happening {
    /// Time.
    Passes(Number),
    /// Time, until something is due or a little before.
    UntilDeadline { of: bool, early: u8 },
    /// Bytes of a frame that arrive at once.
    Sends { who: bool },
    /// Bytes that never arrive.
    SendsInVain { who: bool },
    /// One looks at what it has to do, and sends a ping when it has to.
    Looks { who: bool },
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
struct Duties {
    ping_interval: Option<Number>,
    idle_timeout: Option<Number>,
}

/// One peer beside its model.
struct Peer {
    keep_alive: KeepAlive,
    model: Model,
}

impl Peer {
    fn new(duties: Duties, now: u64) -> Self {
        let ping_interval = duties.ping_interval.map(Number::value);
        let idle_timeout = duties.idle_timeout.map(Number::value);
        Self {
            keep_alive: KeepAlive::new(KeepAliveConfig { ping_interval, idle_timeout }, now),
            model: Model { ping_interval, idle_timeout, sent: now, received: now, start: now, pings: 0 },
        }
    }

    /// What is to be done now, by both; and at a deadline that is named, and just before it.
    fn act(&self, now: u64) -> KeepAliveAction {
        let action = self.keep_alive.poll(now);
        assert_eq!(action, self.model.poll(now), "at {now}");
        if let KeepAliveAction::Wait { until: Some(until) } = action {
            assert_eq!(self.keep_alive.poll(until - 1), action, "before the deadline {until}");
            assert_eq!(self.keep_alive.poll(until), self.model.poll(until), "at the deadline {until}");
            assert!(!matches!(self.model.poll(until), KeepAliveAction::Wait { .. }), "the model waits on");
        }
        action
    }

    fn send(&mut self, now: u64) {
        self.keep_alive.sent(now);
        self.model.sent = now;
    }

    fn ping(&mut self, now: u64) {
        self.send(now);
        self.model.pings += 1;
        self.model.pings_are_apart(now);
    }

    /// Whatever it was, a ping as well: it is no reason to send one.
    fn receive(&mut self, now: u64) {
        let before = self.model.ping_is_due(now);
        self.keep_alive.received(now);
        self.model.received = now;
        let pings = self.keep_alive.poll(now) == KeepAliveAction::SendPing;
        assert!(before || !pings, "a ping in answer to what was received at {now}");
    }
}

/// What is documented, in numbers that cannot wrap.
struct Model {
    ping_interval: Option<u64>,
    idle_timeout: Option<u64>,
    sent: u64,
    received: u64,
    start: u64,
    pings: u128,
}

impl Model {
    fn poll(&self, now: u64) -> KeepAliveAction {
        if self.silence().is_some_and(|deadline| deadline <= now) {
            KeepAliveAction::PeerSilent
        } else if self.ping_is_due(now) {
            KeepAliveAction::SendPing
        } else {
            KeepAliveAction::Wait { until: self.deadline() }
        }
    }

    fn ping_is_due(&self, now: u64) -> bool {
        self.next_ping().is_some_and(|deadline| deadline <= now)
    }

    fn deadline(&self) -> Option<u64> {
        self.silence().into_iter().chain(self.next_ping()).min()
    }

    fn silence(&self) -> Option<u64> {
        self.idle_timeout.map(|timeout| after(self.received, timeout))
    }

    fn next_ping(&self) -> Option<u64> {
        self.ping_interval.map(|interval| after(self.sent, interval))
    }

    /// There cannot have been more pings than intervals; but at the end of time everything is due at once.
    fn pings_are_apart(&self, now: u64) {
        let interval = u128::from(self.ping_interval.expect("without it there is no ping"));
        let passed = u128::from(now - self.start);
        assert!(now == u64::MAX || self.pings * interval <= passed, "{} pings in {passed} ticks", self.pings);
    }
}

/// No deadline is later than the end of time.
fn after(since: u64, delay: u64) -> u64 {
    let deadline = u128::from(since) + u128::from(delay);
    u64::try_from(deadline).unwrap_or(u64::MAX)
}

impl Seed for Input {
    fn write(&self, bytes: &mut Vec<u8>) {
        let [one, other] = &self.peers;
        Fields(bytes).field(&self.start).field(one).field(other).field(&self.happenings);
    }
}

impl Seed for Duties {
    fn write(&self, bytes: &mut Vec<u8>) {
        Fields(bytes).field(&self.ping_interval).field(&self.idle_timeout);
    }
}

impl Seed for Happening {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Passes(ticks) => variant(0, 5, bytes).field(ticks),
            Self::UntilDeadline { of, early } => variant(1, 5, bytes).field(of).field(early),
            Self::Sends { who } => variant(2, 5, bytes).field(who),
            Self::SendsInVain { who } => variant(3, 5, bytes).field(who),
            Self::Looks { who } => variant(4, 5, bytes).field(who),
        };
    }
}

/// Two peers that ping each other, one that falls silent, frames in between, and the end of time.
pub fn seeds() -> Vec<Vec<u8>> {
    let duties = |ping: u8, idle: u8| Duties {
        ping_interval: Some(Number::Small(ping)),
        idle_timeout: Some(Number::Small(idle)),
    };
    let none = Duties { ping_interval: None, idle_timeout: None };
    let forever = Duties { ping_interval: Some(Number::FromEnd(0)), idle_timeout: Some(Number::FromEnd(0)) };
    let due = |of| [Happening::UntilDeadline { of, early: 1 }, Happening::UntilDeadline { of, early: 0 }];
    let look = [Happening::Looks { who: false }, Happening::Looks { who: true }];
    let in_turn: Vec<_> = (0..6).flat_map(|n| due(n % 2 == 0).into_iter().chain(look)).collect();
    let silent: Vec<_> = [Happening::SendsInVain { who: false }]
        .into_iter()
        .chain(due(true))
        .chain(look)
        .chain([Happening::Sends { who: false }, Happening::Passes(Number::Small(30))])
        .chain(look)
        .collect();
    let mut inputs = Vec::new();
    for start in [Number::Small(0), Number::FromEnd(100), Number::Any(1 << 40)] {
        for peers in [
            [duties(20, 50), duties(20, 50)],
            [duties(20, 50), none],
            [duties(0, 50), duties(20, 0)],
            [forever, duties(10, 10)],
        ] {
            for happenings in [&in_turn, &silent] {
                inputs.push(Input { start, peers, happenings: happenings.clone() });
            }
        }
    }
    let mut bytes = Vec::new();
    seed::seeds(&inputs, &mut bytes);
    bytes
}
