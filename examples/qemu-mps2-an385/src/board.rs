//! The board: what QEMU's `mps2-an385` has, wired up for tasks that need a network and nothing else.

use defmt_semihosting as _; // the logger
use embassy_executor::Spawner;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, Ticker};
use mps2::arguments::Arguments;
use mps2::cmsdk_timer::TimeDriver;
use mps2::lan9118::{Buffers, InitError, Lan9118, Port};
use mps2::semihosting::{self, CommandLineError};
use mps2::stack;
use static_cell::ConstStaticCell;

use crate::interrupts::Interrupt;

/// What the application gets.
pub(crate) struct Board {
    /// The network, its address set.
    pub(crate) stack: Stack<'static>,
    /// What the command line asked for.
    pub(crate) arguments: Arguments,
}

impl Board {
    /// Starts the clock and the network, reads the command line, and logs what it found.
    ///
    /// `sockets` is the memory of the network stack and says how many sockets may be open at a time. Call it once.
    pub(crate) fn start<const SOCKETS: usize>(
        spawner: Spawner,
        sockets: &'static mut StackResources<SOCKETS>,
    ) -> Result<Self, BoardError> {
        TIME.start();
        Interrupt::Alarm.enable();

        let arguments = arguments()?;

        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
        let ethernet = Lan9118::init(&ETHERNET, BUFFERS.take()).map_err(BoardError::Ethernet)?;
        Interrupt::Ethernet.enable();

        let config =
            StaticConfigV4 { address: ADDRESS, gateway: Some(GATEWAY), dns_servers: Default::default() };
        let (stack, runner) =
            embassy_net::new(ethernet, Config::ipv4_static(config), sockets, network_seed());
        spawner.spawn(run_network(runner).map_err(|_| BoardError::Spawn)?);
        spawner.spawn(keep_emulator_polling().map_err(|_| BoardError::Spawn)?);

        defmt::info!("address {}, hardware address {}", ADDRESS, stack.hardware_address());
        Ok(Self { stack, arguments })
    }
}

/// Logs what the board has been through: Ethernet counters and the depth of the stack.
pub(crate) fn log_figures() {
    defmt::info!("ethernet {}", ETHERNET.statistics());
    defmt::info!("stack peak {=usize} of {=usize} B", stack::peak(), stack::size());
}

/// To be called by the handler of [`Interrupt::Alarm`].
pub(crate) fn on_alarm() {
    TIME.on_alarm();
}

/// To be called by the handler of [`Interrupt::Ethernet`].
pub(crate) fn on_ethernet() {
    ETHERNET.on_interrupt();
}

/// Why the board did not start.
#[derive(defmt::Format)]
pub(crate) enum BoardError {
    CommandLine(CommandLineError),
    /// A word of the command line is not understood; it was logged.
    Arguments,
    Ethernet(InitError),
    /// A task of the board was started before.
    Spawn,
}

embassy_time_driver::time_driver_impl!(
    // SAFETY: AN385 has CMSDK timers at these addresses, and this driver is the only user.
    static TIME: TimeDriver = unsafe { TimeDriver::new(TIMER0, TIMER1, CLOCK_HZ) }
);

// SAFETY: AN385 has the Ethernet controller at this address, and its driver is the only user.
static ETHERNET: Port = unsafe { Port::new(ETHERNET_BASE) };

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Lan9118>) -> ! {
    runner.run().await
}

/// Wakes up every other millisecond to do nothing.
///
/// QEMU looks after its user-mode network between two events of the machine that it emulates. While the
/// firmware waits for a packet there is no event, and QEMU may sleep half a second on a connection that it could
/// have answered at once. A timer interrupt is an event. Hardware does not need this.
#[embassy_executor::task]
async fn keep_emulator_polling() -> ! {
    let mut ticker = Ticker::every(Duration::from_millis(2));
    loop {
        ticker.next().await;
    }
}

fn arguments() -> Result<Arguments, BoardError> {
    let mut buffer = [0; MAX_COMMAND_LINE];
    let line = semihosting::command_line(&mut buffer).map_err(BoardError::CommandLine)?;
    Arguments::parse(line).map_err(|error| {
        defmt::error!("command line: {}", error);
        BoardError::Arguments
    })
}

/// What the stack picks local ports and initial sequence numbers from.
///
/// The board has no source of randomness. The host's clock makes one start differ from the next, which is what is
/// needed for a peer not to take a new connection for an old one; against somebody who wants to guess the
/// numbers it is worth nothing, and hardware on a real network should use a true random number generator.
fn network_seed() -> u64 {
    // Spread over all bits, because ports come from the low ones: the 64-bit golden ratio, as in splitmix64.
    u64::from(semihosting::host_time()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The address to which QEMU's user-mode network forwards by default.
const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);

/// What QEMU's user-mode network calls the host.
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

/// Bytes of the longest command line. Far more than all keys together take.
const MAX_COMMAND_LINE: usize = 256;

/// Arm application note AN385, "Memory map" and "Clocks".
const TIMER0: usize = 0x4000_0000;
const TIMER1: usize = 0x4000_1000;
const ETHERNET_BASE: usize = 0x4020_0000;
const CLOCK_HZ: u32 = 25_000_000;
