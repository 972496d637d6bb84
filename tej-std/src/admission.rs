//! Who is let in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections a server has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// All of them together.
    pub connections: usize,
    /// From one address, so that nobody takes all of them; of IPv6 a /64 network counts as one address, for that is
    /// the least that one customer has. Many have a /56 or a /48, of 256 or 65,536 such networks: against them only
    /// [`connections`](Self::connections) and a firewall help.
    pub per_address: usize,
}

impl Default for Admission {
    /// 10,000 connections, 1,000 of them from one address: an office behind one address is served, and ten
    /// such addresses are needed to take all. A program with as many file descriptors has room for them.
    fn default() -> Self {
        Self { connections: 10_000, per_address: 1_000 }
    }
}

/// Which cap a peer met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// [`Admission::connections`]
    Connections,
    /// [`Admission::per_address`]
    PerAddress,
}

/// A connection's place among those that a server may have, until it is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        inside.total = inside.total.saturating_sub(1);
        if let Some(count) = inside.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Gate {
    admission: Admission,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Gate {
    pub(crate) fn new(admission: Admission) -> Arc<Self> {
        Arc::new(Self { admission, inside: Mutex::default() })
    }

    /// A place for a peer, or the cap it meets.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Cap> {
        let address = customer(address);
        let mut inside = self.inside();
        if inside.total >= self.admission.connections {
            return Err(Cap::Connections);
        }
        if inside.by_address.get(&address).is_some_and(|count| *count >= self.admission.per_address)
            || self.admission.per_address == 0
        {
            return Err(Cap::PerAddress);
        }
        *inside.by_address.entry(address).or_default() += 1;
        inside.total += 1;
        Ok(Place { gate: Arc::clone(self), address })
    }

    pub(crate) fn connections(&self) -> usize {
        self.inside().total
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Whoever holds it only counts.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address.
pub(crate) fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    // case 23
    #[test]
    fn caps_hold_and_places_are_given_back() {
        let gate = Gate::new(Admission { connections: 5, per_address: 3 });
        let mut places: Vec<_> = (0..3).map(|_| gate.enter(address("192.0.2.1")).unwrap()).collect();
        assert_eq!(gate.enter(address("192.0.2.1")).unwrap_err(), Cap::PerAddress);
        assert_eq!(gate.enter(address("::ffff:192.0.2.1")).unwrap_err(), Cap::PerAddress);
        places.push(gate.enter(address("192.0.2.2")).unwrap());
        places.push(gate.enter(address("2001:db8::1")).unwrap());
        assert_eq!(gate.enter(address("192.0.2.3")).unwrap_err(), Cap::Connections);
        assert_eq!(gate.connections(), 5);
        drop(places.remove(0));
        places.push(gate.enter(address("192.0.2.1")).unwrap());
        places.clear();
        assert_eq!(gate.connections(), 0);
        assert!(gate.inside().by_address.is_empty());
    }

    // case 23
    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let gate = Gate::new(Admission { connections: 9, per_address: 2 });
        let _first = gate.enter(address("2001:db8:1:2::1")).unwrap();
        let _second = gate.enter(address("2001:db8:1:2:ffff::9")).unwrap();
        assert_eq!(gate.enter(address("2001:db8:1:2:3:4:5:6")).unwrap_err(), Cap::PerAddress);
        assert!(gate.enter(address("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn nobody_enters_where_there_is_no_room() {
        let none = Gate::new(Admission { connections: 0, per_address: 1 });
        assert_eq!(none.enter(address("192.0.2.1")).unwrap_err(), Cap::Connections);
        let none = Gate::new(Admission { connections: 1, per_address: 0 });
        assert_eq!(none.enter(address("192.0.2.1")).unwrap_err(), Cap::PerAddress);
    }
}
