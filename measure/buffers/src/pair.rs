//! A device and its peer, connected.

use embassy_futures::join::join;
use embassy_net::Stack;
use embassy_time::Duration;
use tej_embassy::{Backoff, Buffers, Config, Connection, Dialer, Listener};
use tej_testkit::{THERE, Wire, leak, on_two_stacks};

/// Connects a device with `buffers` and a peer over a network with this round trip, and runs what each of them does.
pub(crate) fn run<
    T,
    const RX: usize,
    const TX: usize,
    const READ: usize,
    const STAGE: usize,
    const NAME: usize,
>(
    buffers: Buffers<RX, TX, READ, STAGE, NAME>,
    round_trip: Duration,
    device: impl AsyncFnOnce(&mut Connection<'_, 'static>, &Wire) -> T,
    peer: impl AsyncFnOnce(&mut Connection<'_, 'static>, &Wire) -> T,
) -> (T, T) {
    on_two_stacks(async |here: Stack<'static>, there: Stack<'static>, wire| {
        wire.set_latency(round_trip / 2);
        let mut listener = Listener::new(there, PORT, leak(buffers), Config::DEFAULT);
        let ample: &'static mut Ample = leak(Buffers::new());
        let mut dialer = Dialer::new(here, (THERE, PORT), ample, Config::DEFAULT, Backoff::DEFAULT);
        let (mut of_device, of_peer) = join(listener.accept(), dialer.connect()).await;
        let mut of_peer = of_peer.expect("the device listens");
        join(device(&mut of_device, wire), peer(&mut of_peer, wire)).await
    })
}

/// What the peer has: it is no device, and limits nothing here.
type Ample = Buffers<65_536, 65_536, 16_384, 16_384, 255>;

const PORT: u16 = 7077;
