//! The keep-alive at every edge of its deadlines.

use tej_core::{KeepAlive, KeepAliveAction, KeepAliveConfig};

#[test]
fn a_ping_is_due_at_its_deadline_and_not_before() {
    let mut keep_alive = KeepAlive::new(PING_ONLY, 1000);
    assert_eq!(keep_alive.poll(1000), wait(1100));
    assert_eq!(keep_alive.poll(1099), wait(1100));
    assert_eq!(keep_alive.poll(1100), KeepAliveAction::SendPing);
    assert_eq!(keep_alive.poll(1101), KeepAliveAction::SendPing);
    assert_eq!(keep_alive.poll(u64::MAX), KeepAliveAction::SendPing, "silence is not watched");
    // Received bytes do not stand in for a ping of ours: the peer watches what it receives.
    keep_alive.received(1101);
    assert_eq!(keep_alive.poll(1101), KeepAliveAction::SendPing);
    keep_alive.sent(1101);
    assert_eq!(keep_alive.poll(1101), wait(1201));
    assert_eq!(keep_alive.poll(1200), wait(1201));
    assert_eq!(keep_alive.poll(1201), KeepAliveAction::SendPing);
}

#[test]
fn a_peer_is_dead_at_its_deadline_and_not_before() {
    let mut keep_alive = KeepAlive::new(IDLE_ONLY, 1000);
    assert_eq!(keep_alive.poll(1000), wait(1250));
    assert_eq!(keep_alive.poll(1249), wait(1250));
    assert_eq!(keep_alive.poll(1250), KeepAliveAction::PeerSilent);
    assert_eq!(keep_alive.poll(1251), KeepAliveAction::PeerSilent);
    // What we send is no sign of life of the peer's.
    keep_alive.sent(1251);
    assert_eq!(keep_alive.poll(1251), KeepAliveAction::PeerSilent);
    keep_alive.received(1251);
    assert_eq!(keep_alive.poll(1251), wait(1501));
    assert_eq!(keep_alive.poll(1500), wait(1501));
    assert_eq!(keep_alive.poll(1501), KeepAliveAction::PeerSilent);
}

#[test]
fn the_nearer_deadline_is_named_and_death_comes_before_a_ping() {
    let mut keep_alive = KeepAlive::new(BOTH, 0);
    assert_eq!(keep_alive.poll(0), wait(100));
    keep_alive.sent(100);
    keep_alive.sent(200);
    assert_eq!(keep_alive.poll(200), wait(250));
    assert_eq!(keep_alive.poll(249), wait(250));
    assert_eq!(keep_alive.poll(250), KeepAliveAction::PeerSilent);
    // Both are due: a ping to a dead peer is of no use.
    assert_eq!(keep_alive.poll(300), KeepAliveAction::PeerSilent);
    keep_alive.received(300);
    assert_eq!(keep_alive.poll(300), KeepAliveAction::SendPing);
}

#[test]
fn nothing_is_ever_due_with_both_duties_off() {
    let keep_alive = KeepAlive::new(KeepAliveConfig::default(), 0);
    for now in [0, 1, u64::MAX] {
        assert_eq!(keep_alive.poll(now), KeepAliveAction::Wait { until: None });
    }
}

#[test]
fn deadlines_beyond_the_end_of_time_are_at_its_end() {
    for config in [PING_ONLY, IDLE_ONLY] {
        for now in [u64::MAX - 101, u64::MAX - 50, u64::MAX - 1] {
            let keep_alive = KeepAlive::new(config, now);
            let KeepAliveAction::Wait { until: Some(until) } = keep_alive.poll(now) else {
                panic!("due at once at {now}");
            };
            let interval = config.ping_interval.or(config.idle_timeout).unwrap();
            assert_eq!(until, now.saturating_add(interval));
        }
    }
    let forever = KeepAliveConfig { ping_interval: Some(u64::MAX), idle_timeout: Some(u64::MAX) };
    let keep_alive = KeepAlive::new(forever, 5);
    assert_eq!(keep_alive.poll(u64::MAX - 1), wait(u64::MAX));
}

#[test]
fn an_interval_of_zero_is_always_due() {
    let config = KeepAliveConfig { ping_interval: Some(0), idle_timeout: None };
    assert_eq!(KeepAlive::new(config, 7).poll(7), KeepAliveAction::SendPing);
    let config = KeepAliveConfig { ping_interval: None, idle_timeout: Some(0) };
    assert_eq!(KeepAlive::new(config, 7).poll(7), KeepAliveAction::PeerSilent);
}

fn wait(until: u64) -> KeepAliveAction {
    KeepAliveAction::Wait { until: Some(until) }
}

const PING_ONLY: KeepAliveConfig = KeepAliveConfig { ping_interval: Some(100), idle_timeout: None };
const IDLE_ONLY: KeepAliveConfig = KeepAliveConfig { ping_interval: None, idle_timeout: Some(250) };
const BOTH: KeepAliveConfig = KeepAliveConfig { ping_interval: Some(100), idle_timeout: Some(250) };
