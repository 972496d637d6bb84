//! The board: an RP2040 and a W5500 on its first SPI bus. The README has the pins in a table.

use defmt_rtt as _; // the logger
use embassy_executor::Spawner;
use embassy_net::{Runner, Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::clocks::RoscRng;
use embassy_rp::flash::Flash;
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0};
use embassy_rp::spi::{Async, Config, Spi};
use embassy_rp::{bind_interrupts, dma};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use panic_probe as _; // logs a panic, and halts
use portable_atomic as _; // with critical sections, for those who have no better
use static_cell::ConstStaticCell;

use crate::network;

/// Starts the clock, the Ethernet chip and the network.
///
/// `sockets` is the memory of the network stack and says how many sockets may be open at a time. Call it once.
pub(crate) async fn start<const SOCKETS: usize>(
    spawner: Spawner,
    sockets: &'static mut StackResources<SOCKETS>,
) -> Stack<'static> {
    let board = embassy_rp::init(Default::default());

    // The chip has no address of its own, nor has the RP2040 a number; the flash chip has.
    let mut unique = [0; 8];
    let mut flash = Flash::<_, _, FLASH_SIZE>::new_blocking(board.FLASH);
    defmt::unwrap!(flash.blocking_unique_id(&mut unique));

    let mut config = Config::default();
    config.frequency = SPI_HZ;
    let (clock, to_chip, from_chip) = (board.PIN_18, board.PIN_19, board.PIN_16);
    let bus =
        Spi::new(board.SPI0, clock, to_chip, from_chip, board.DMA_CH0, board.DMA_CH1, Interrupts, config);
    let select = Output::new(board.PIN_17, Level::High);
    let reset = Output::new(board.PIN_20, Level::High);
    let interrupt = Input::new(board.PIN_21, Pull::Up);

    static QUEUES: ConstStaticCell<State<4, 4>> = ConstStaticCell::new(State::new());
    let (device, chip) = defmt::unwrap!(
        embassy_net_wiznet::new(
            tej_apps::hardware_address(&unique),
            QUEUES.take(),
            defmt::unwrap!(ExclusiveDevice::new(bus, select, Delay)),
            interrupt,
            reset,
        )
        .await,
        "no W5500: see to the wires"
    );
    spawner.spawn(defmt::unwrap!(run_chip(chip)));

    // For local ports and initial sequence numbers. It is not good enough for keys: the data sheet says so.
    let seed = RoscRng.next_u64();
    let (stack, runner) = embassy_net::new(device, network::config(), sockets, seed);
    spawner.spawn(defmt::unwrap!(run_network(runner)));
    stack
}

/// What the sockets may hold unread in all: the chip's 16 KiB less what the headers take of full segments.
pub(crate) const SAFE_RECEIVE_WINDOW: usize = 15 * 1024;

#[embassy_executor::task]
async fn run_chip(chip: Chip) -> ! {
    chip.run().await
}

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}

type Bus = ExclusiveDevice<Spi<'static, SPI0, Async>, Output<'static>, Delay>;
type Chip = embassy_net_wiznet::Runner<'static, W5500, Bus, Input<'static>, Output<'static>>;

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
});

/// The W5500 is specified up to 33.3 MHz, and more often than not runs at 50. The RP2040's divider makes 31.25 of it.
const SPI_HZ: u32 = 33_000_000;

const FLASH_SIZE: usize = 2 * 1024 * 1024;
