//! The wire between two stacks, and what goes wrong on it.

use std::cell::Cell;
use std::collections::VecDeque;

use embassy_futures::select::{Either, select};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::LinkState;
use embassy_time::{Duration, Instant, Timer};

use crate::Random;

/// Carries Ethernet frames between the two stacks; at first, all of them, in order and at once.
pub struct Wire {
    random: Random,
    faults: [Cell<Faults>; 2],
    latencies: [Cell<Duration>; 2],
    stalled_until: [Cell<Instant>; 2],
    dead_port: Cell<Option<u16>>,
    is_up: Cell<bool>,
    links: [channel::StateRunner<'static>; 2],
    carried: [Cell<u64>; 2],
}

/// Of 1000 frames, how many suffer what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// They never arrive.
    pub lost: u16,
    /// They arrive twice.
    pub doubled: u16,
    /// They arrive after the one that follows, or 5 ms later.
    pub late: u16,
    /// One bit of them is wrong. The check that Ethernet's hardware does is left out, for TCP's own to find it: so it
    /// is a bit of an IP packet, and other frames are lost.
    pub corrupted: u16,
}

impl Faults {
    /// None at all.
    pub const NONE: Self = Self { lost: 0, doubled: 0, late: 0, corrupted: 0 };
}

/// A way along the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first stack to the second.
    There,
    /// From the second stack to the first.
    Back,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::There, Self::Back];
}

impl Wire {
    pub(crate) fn new(seed: u64, links: [channel::StateRunner<'static>; 2]) -> Self {
        let wire = Self {
            random: Random::new(seed),
            faults: Default::default(),
            latencies: [const { Cell::new(Duration::MIN) }; 2],
            stalled_until: [const { Cell::new(Instant::MIN) }; 2],
            dead_port: Cell::new(None),
            is_up: Cell::new(false),
            links,
            carried: Default::default(),
        };
        wire.set_link(true);
        wire
    }

    /// From now on, `faults` happen both ways.
    pub fn set_faults(&self, faults: Faults) {
        for direction in Direction::BOTH {
            self.set_faults_of(direction, faults);
        }
    }

    /// From now on, `faults` happen in one direction.
    pub fn set_faults_of(&self, direction: Direction, faults: Faults) {
        self.faults[direction as usize].set(faults);
    }

    /// From now on, a frame arrives so long after it was sent, both ways: a round trip takes twice that. Frames keep their
    /// order, and any number of them is on the way at a time. At first a frame arrives at once.
    pub fn set_latency(&self, latency: Duration) {
        for direction in Direction::BOTH {
            self.set_latency_of(direction, latency);
        }
    }

    /// [`set_latency`](Self::set_latency), in one direction.
    pub fn set_latency_of(&self, direction: Direction, latency: Duration) {
        self.latencies[direction as usize].set(latency);
    }

    /// Nothing arrives in this direction for so long. It is late then, but there, as far as the queues hold it.
    pub fn stall(&self, direction: Direction, duration: Duration) {
        self.stalled_until[direction as usize].set(Instant::now() + duration);
    }

    /// Plugs the cable in, or out: both stacks are told, and what is sent meanwhile is lost.
    pub fn set_link(&self, is_up: bool) {
        self.is_up.set(is_up);
        for link in self.links {
            link.set_link_state(if is_up { LinkState::Up } else { LinkState::Down });
        }
    }

    /// From now on, TCP segments to `port` are lost, as if who has it were gone.
    pub fn lose_all_to(&self, port: u16) {
        self.dead_port.set(Some(port));
    }

    /// How many frames have arrived so far, in both directions.
    pub fn carried(&self) -> u64 {
        Direction::BOTH.map(|direction| self.carried_of(direction)).iter().sum()
    }

    /// The same of one direction.
    pub fn carried_of(&self, direction: Direction) -> u64 {
        self.carried[direction as usize].get()
    }

    /// Carries what one stack sends to the other, for ever.
    pub(crate) async fn pump<const MTU: usize>(
        &self,
        direction: Direction,
        mut from: channel::TxRunner<'_, MTU>,
        mut to: channel::RxRunner<'_, MTU>,
    ) {
        let mut late: Option<(Instant, Vec<u8>)> = None;
        let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        loop {
            while let Some((_, frame)) = on_the_way.pop_front_if(|(due, _)| *due <= Instant::now()) {
                self.deliver(direction, &frame, &mut to).await;
            }
            let due = late.iter().chain(on_the_way.front()).map(|(due, _)| *due).min();
            let sent = match due {
                None => Some(from.tx_buf().await),
                Some(due) => match select(from.tx_buf(), Timer::at(due)).await {
                    Either::First(frame) => Some(frame),
                    Either::Second(()) => None,
                },
            };
            let mut send = async |frame: Vec<u8>| match self.latencies[direction as usize].get() {
                Duration::MIN if on_the_way.is_empty() => self.deliver(direction, &frame, &mut to).await,
                latency => {
                    let before = on_the_way.back().map_or(Instant::MIN, |(due, _)| *due);
                    on_the_way.push_back((before.max(Instant::now() + latency), frame));
                }
            };
            let Some(frame) = sent else {
                if let Some((_, frame)) = late.take_if(|(due, _)| *due <= Instant::now()) {
                    send(frame).await;
                }
                continue;
            };
            let mut frame = frame.to_vec();
            from.tx_done();
            let faults = self.faults[direction as usize].get();
            if self.loses(&frame, faults) {
                continue;
            }
            if self.random.happens(faults.corrupted) && !self.corrupt(&mut frame) {
                continue;
            }
            if late.is_none() && self.random.happens(faults.late) {
                late = Some((Instant::now() + LATE, frame));
                continue;
            }
            send(frame.clone()).await;
            if self.random.happens(faults.doubled) {
                send(frame).await;
            }
            if let Some((_, frame)) = late.take() {
                send(frame).await;
            }
        }
    }

    async fn deliver<const MTU: usize>(
        &self,
        direction: Direction,
        frame: &[u8],
        to: &mut channel::RxRunner<'_, MTU>,
    ) {
        Timer::at(self.stalled_until[direction as usize].get()).await;
        to.rx_buf().await[..frame.len()].copy_from_slice(frame);
        if self.is_up.get() {
            to.rx_done(frame.len());
            let carried = &self.carried[direction as usize];
            carried.set(carried.get() + 1);
        }
    }

    fn loses(&self, frame: &[u8], faults: Faults) -> bool {
        let to_port = frame.get(TCP_DESTINATION).map(|port| u16::from_be_bytes([port[0], port[1]]));
        let is_dead = to_port.is_some() && to_port == self.dead_port.get();
        is_dead || !self.is_up.get() || self.random.happens(faults.lost)
    }

    /// Turns a bit over; false if there is no IP packet to do it in.
    fn corrupt(&self, frame: &mut [u8]) -> bool {
        match frame.get_mut(ETHERNET_HEAD..) {
            Some(packet) if packet.first().is_some_and(|byte| byte >> 4 == 4) => {
                // What may follow the packet, for Ethernet's shortest frames, is nobody's.
                let len = usize::from(u16::from_be_bytes([packet[2], packet[3]])).min(packet.len());
                let bit = self.random.below(len as u64 * 8);
                packet[usize::try_from(bit / 8).unwrap_or_default()] ^= 1 << (bit % 8);
                true
            }
            _ => false,
        }
    }
}

const ETHERNET_HEAD: usize = 14;
/// Where the destination port is in an Ethernet frame with an IPv4 head without options. In an ARP frame it is the
/// end of a hardware address, 0 to 2 here, which is no ephemeral port.
const TCP_DESTINATION: std::ops::Range<usize> = 36..38;
/// How long a late frame waits for the one that overtakes it.
const LATE: Duration = Duration::from_millis(5);
