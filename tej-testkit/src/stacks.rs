//! Two stacks and the wire between them.

use std::future::Future;

use embassy_futures::join::{join, join3};
use embassy_futures::select::{Either, select};
use embassy_net::tcp::TcpSocket;
use embassy_net::{
    ConfigV6, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr, Runner, Stack, StackResources, StaticConfigV4,
    StaticConfigV6,
};
use embassy_net_driver_channel as channel;
use embassy_net_driver_channel::driver::HardwareAddress;
use embassy_time::{Duration, Timer, with_timeout};

use crate::clock::task;
use crate::{Direction, Wire, block_on};

/// The address of the first stack a test is given.
pub const HERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 1);
/// The address of the second.
pub const THERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 2);
/// The first stack's other address.
pub const HERE_V6: Ipv6Address = Ipv6Address::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
/// The second's.
pub const THERE_V6: Ipv6Address = Ipv6Address::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

/// Runs `body` on two stacks until it is done, by a simulated clock: see [`block_on`]. Each has room for 8 sockets.
///
/// # Panics
///
/// If it is not done after a simulated day.
pub fn on_two_stacks<T, F: Future<Output = T>>(
    body: impl FnOnce(Stack<'static>, Stack<'static>, &'static Wire) -> F,
) -> T {
    on_seeded_stacks(7, body)
}

/// [`on_two_stacks`], with other faults on the wire and other numbers in the stacks for each `seed`.
///
/// # Panics
///
/// If it is not done after a simulated day.
pub fn on_seeded_stacks<T, F: Future<Output = T>>(
    seed: u64,
    body: impl FnOnce(Stack<'static>, Stack<'static>, &'static Wire) -> F,
) -> T {
    let (here_runner, here_device) = device(1);
    let (there_runner, there_device) = device(2);
    let (here_link, here_rx, here_tx) = here_runner.split();
    let (there_link, there_rx, there_tx) = there_runner.split();
    let wire: &'static Wire = leak(Wire::new(seed, [here_link, there_link]));
    let (here, mut here_net) = stack(here_device, (HERE, HERE_V6), seed ^ 0x1111);
    let (there, mut there_net) = stack(there_device, (THERE, THERE_V6), seed ^ 0x2222);
    block_on(async {
        let network = join3(
            join(task(here_net.run()), task(there_net.run())),
            task(wire.pump(Direction::There, here_tx, there_rx)),
            task(wire.pump(Direction::Back, there_tx, here_rx)),
        );
        let body = task(with_timeout(PATIENCE, body(here, there, wire)));
        match select(body, network).await {
            Either::First(result) => result.expect("the test hangs"),
            Either::Second(_) => unreachable!("the network runs for ever"),
        }
    })
}

/// A client that is no TEJ peer: a socket that is connected to `port` of the second stack, as soon as somebody listens.
pub async fn connect(stack: Stack<'static>, port: u16) -> TcpSocket<'static> {
    let mut socket = TcpSocket::new(stack, leak([0; 1024]), leak([0; 1024]));
    while socket.connect((THERE, port)).await.is_err() {
        Timer::after_millis(1).await;
    }
    socket
}

/// A value that lives as long as the test program, as a `static` does on a device.
pub fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn device(last: u8) -> (channel::Runner<'static, MTU>, channel::Device<'static, MTU>) {
    let state = leak(channel::State::<MTU, QUEUE, QUEUE>::new());
    channel::new(state, HardwareAddress::Ethernet([2, 0, 0, 0, 0, last]))
}

type Net = Runner<'static, channel::Device<'static, MTU>>;

fn stack(
    device: channel::Device<'static, MTU>,
    (address, address_v6): (Ipv4Address, Ipv6Address),
    seed: u64,
) -> (Stack<'static>, Net) {
    let mut config = embassy_net::Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway: None,
        dns_servers: Default::default(),
    });
    config.ipv6 = ConfigV6::Static(StaticConfigV6 {
        address: Ipv6Cidr::new(address_v6, 64),
        gateway: None,
        dns_servers: Default::default(),
    });
    embassy_net::new(device, config, leak(StackResources::<SOCKETS>::new()), seed)
}

const MTU: usize = 1514;
const QUEUE: usize = 8;
const SOCKETS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
