//! The board: an STM32H743 with its Ethernet controller, and a LAN8742 beside it. The README has the pins in a table.

use cortex_m::peripheral::Peripherals;
use defmt_rtt as _; // the logger
use embassy_executor::Spawner;
use embassy_net::{Runner, Stack, StackResources};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::peripherals::{ETH, ETH_SMA, RNG};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::{Config, bind_interrupts, rcc, uid};
use panic_probe as _; // logs a panic, and halts
use static_cell::ConstStaticCell;

use crate::network;

/// Starts the clock, Ethernet and the network.
///
/// `sockets` is the memory of the network stack and says how many sockets may be open at a time. Call it once.
pub(crate) async fn start<const SOCKETS: usize>(
    spawner: Spawner,
    sockets: &'static mut StackResources<SOCKETS>,
) -> Stack<'static> {
    // The flash is slow. The data cache stays off, or the Ethernet controller's DMA would not see what we write.
    defmt::unwrap!(Peripherals::take()).SCB.enable_icache();
    let board = embassy_stm32::init(clocks());

    let mut seed = [0; 8];
    let mut random = Rng::new(board.RNG, Interrupts);
    while let Err(error) = random.async_fill_bytes(&mut seed).await {
        defmt::warn!("random numbers: {}", error);
    }

    static PACKETS: ConstStaticCell<PacketQueue<TRANSMITTED, RECEIVED>> =
        ConstStaticCell::new(PacketQueue::new());
    let ethernet = Ethernet::new(
        PACKETS.take(),
        board.ETH,
        Interrupts,
        board.PA1,  // REF_CLK, 50 MHz from the LAN8742
        board.PA7,  // CRS_DV
        board.PC4,  // RXD0
        board.PC5,  // RXD1
        board.PG13, // TXD0
        board.PB13, // TXD1
        board.PG11, // TX_EN
        tej_apps::hardware_address(&uid::uid()),
        board.ETH_SMA,
        board.PA2, // MDIO
        board.PC1, // MDC
    );

    let (stack, runner) = embassy_net::new(ethernet, network::config(), sockets, u64::from_ne_bytes(seed));
    spawner.spawn(defmt::unwrap!(run_network(runner)));
    stack
}

/// What the sockets may hold unread in all: one full segment in each buffer of the controller.
pub(crate) const SAFE_RECEIVE_WINDOW: usize = RECEIVED * 1460;

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

/// The core at 400 MHz, the buses at 200 and 100, from the internal oscillator: Ethernet has a crystal of its own, and
/// nothing else here needs an exact clock.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = Some(rcc::HSIPrescaler::DIV1);
    config.rcc.hsi48 = Some(Default::default()); // the random number generator's
    config.rcc.pll1 = Some(rcc::Pll {
        source: rcc::PllSource::HSI, // 64 MHz
        prediv: rcc::PllPreDiv::DIV4,
        mul: rcc::PllMul::MUL50,
        fracn: None,
        divp: Some(rcc::PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = rcc::Sysclk::PLL1_P;
    config.rcc.ahb_pre = rcc::AHBPrescaler::DIV2;
    config.rcc.apb1_pre = rcc::APBPrescaler::DIV2;
    config.rcc.apb2_pre = rcc::APBPrescaler::DIV2;
    config.rcc.apb3_pre = rcc::APBPrescaler::DIV2;
    config.rcc.apb4_pre = rcc::APBPrescaler::DIV2;
    config.rcc.voltage_scale = rcc::VoltageScale::Scale1;
    config
}

/// Frames that wait, either way. Each takes 1.5 KiB.
const TRANSMITTED: usize = 8;
const RECEIVED: usize = 16;
