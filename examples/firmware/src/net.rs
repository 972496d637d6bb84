//! The firmware of a board with a network: it serves whoever calls, and calls the peer that the command line names.
//!
//! What it does is in the crate `tej-apps`, and the board has brought its clock and its controller up; here they meet.
//!
//! ```ignore
//! #[embassy_executor::main]
//! async fn main(spawner: Spawner) -> ! {
//!     let ethernet = bring_up();
//!     firmware::net::start(spawner, ethernet, || {}).run().await
//! }
//! ```

use core::mem::MaybeUninit;
use core::net::SocketAddrV4;

use embassy_executor::Spawner;
use embassy_net::driver::Driver;
use embassy_net::{Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, Ticker};
use static_cell::ConstStaticCell;
use tej_apps::{Arguments, DeviceFile, GeneratedFile, tcp};
use tej_embassy::{Backoff, Buffers, Config};

use crate::{semihosting, stack};

/// Starts the network on `driver` and everything that uses it, and gives what keeps the network going: the board's `main`
/// runs it, for tasks cannot be generic. Call it once.
///
/// The stack's peak is logged after each connection, and `log_figures` is called, for what else the board has to tell.
///
/// # Panics
///
/// When the command line is not understood; what is wrong with it was logged.
pub fn start<D: Driver>(spawner: Spawner, driver: D, log_figures: fn()) -> Runner<'static, D> {
    static SOCKETS: ConstStaticCell<StackResources<{ CLIENTS + 1 }>> =
        ConstStaticCell::new(StackResources::new());
    static SERVERS: ConstStaticCell<[Server; CLIENTS]> =
        ConstStaticCell::new([const { Server::new() }; CLIENTS]);
    static DIALER: ConstStaticCell<DialerBuffers> = ConstStaticCell::new(Buffers::new());

    let arguments = arguments();
    let (stack, runner) = bring_up(driver, SOCKETS.take());

    spawner.spawn(defmt::unwrap!(keep_emulator_polling()));
    for server in SERVERS.take() {
        spawner.spawn(defmt::unwrap!(serve(stack, server, log_figures)));
    }
    if let Some(peer) = arguments.peer {
        let file = DeviceFile::new(file(&arguments));
        spawner.spawn(defmt::unwrap!(dial(stack, peer, file, DIALER.take(), log_figures)));
    }
    runner
}

/// The network stack of a device with as many sockets as `resources` are for, at the address that QEMU forwards to.
pub fn bring_up<D: Driver, const SOCKETS: usize>(
    driver: D,
    resources: &'static mut StackResources<SOCKETS>,
) -> (Stack<'static>, Runner<'static, D>) {
    let config = StaticConfigV4 { address: ADDRESS, gateway: Some(GATEWAY), dns_servers: Default::default() };
    let config = embassy_net::Config::ipv4_static(config);
    let (stack, runner) = embassy_net::new(driver, config, resources, seed());
    defmt::info!("address {}, hardware address {}", ADDRESS, stack.hardware_address());
    (stack, runner)
}

/// The file that the command line asks for.
pub(crate) fn file(arguments: &Arguments) -> GeneratedFile {
    GeneratedFile {
        seed: arguments.seed.unwrap_or(DEFAULT_SEED),
        size: arguments.size.unwrap_or(DEFAULT_SIZE),
    }
}

/// What all TCP receive windows together offer, in bytes: a controller that holds less may drop frames.
pub const RECEIVE_WINDOW: usize = CLIENTS * SERVER_WINDOW + DIALER_WINDOW;

#[embassy_executor::task(pool_size = CLIENTS)]
async fn serve(stack: Stack<'static>, server: &'static mut Server, log_figures: fn()) -> ! {
    let Server { buffers, digests } = server;
    tcp::serve_forever(stack, PORT, Config::DEFAULT, buffers, digests, || log_all(log_figures)).await
}

#[embassy_executor::task]
async fn dial(
    stack: Stack<'static>,
    peer: SocketAddrV4,
    file: DeviceFile,
    buffers: &'static mut DialerBuffers,
    log_figures: fn(),
) -> ! {
    let peer = (*peer.ip(), peer.port());
    let after_each = || log_all(log_figures);
    tcp::dial_forever(stack, peer, Config::DEFAULT, Backoff::DEFAULT, buffers, file, after_each).await
}

/// Wakes up every other millisecond to do nothing.
///
/// QEMU looks after its user-mode network between two events of the machine that it emulates. While the
/// firmware waits for a packet there is no event, and QEMU may sleep half a second on a connection that it could
/// have answered at once. A timer interrupt is an event. Hardware does not need this.
#[embassy_executor::task]
pub async fn keep_emulator_polling() -> ! {
    let mut ticker = Ticker::every(Duration::from_millis(2));
    loop {
        ticker.next().await;
    }
}

/// # Panics
///
/// When they are not understood.
pub(crate) fn arguments() -> Arguments {
    let mut buffer = [MaybeUninit::uninit(); MAX_COMMAND_LINE];
    let line = match semihosting::command_line(&mut buffer) {
        Ok(line) => line,
        Err(error) => defmt::panic!("command line: {}", error),
    };
    match Arguments::parse(line) {
        Ok(arguments) => arguments,
        Err(error) => defmt::panic!("command line: {}", error),
    }
}

pub(crate) fn log_all(log_figures: fn()) {
    log_figures();
    stack::log();
}

/// What the stack picks local ports and initial sequence numbers from.
///
/// The boards have no source of randomness. The host's clock makes one start differ from the next, which is what is
/// needed for a peer not to take a new connection for an old one; against somebody who wants to guess the
/// numbers it is worth nothing, and hardware on a real network should use a true random number generator.
fn seed() -> u64 {
    // Spread over all bits, because ports come from the low ones: the 64-bit golden ratio, as in splitmix64.
    u64::from(semihosting::host_time()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

type Server = tcp::Server<SERVER_WINDOW, 2048, 2048, 1460, 255>;
type DialerBuffers = Buffers<DIALER_WINDOW, 8192, 512, 2048, 255>;

/// Where the device listens.
const PORT: u16 = 7077;

/// Clients served at a time. The second is there to be served while the first still closes.
const CLIENTS: usize = 2;

const SERVER_WINDOW: usize = 3072;
const DIALER_WINDOW: usize = 2048;

/// The address to which QEMU's user-mode network forwards by default.
const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);

/// What QEMU's user-mode network calls the host.
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

/// Bytes of the longest command line. Far more than all keys together take.
const MAX_COMMAND_LINE: usize = 256;

/// What is generated where the command line does not say.
const DEFAULT_SIZE: u64 = 16 << 20;
const DEFAULT_SEED: u64 = 1;
