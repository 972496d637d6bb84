//! Where the AN385 image has its devices: Arm application note AN385, "Memory map", "Interrupt map" and "Clocks"; QEMU
//! follows it.

use mps2::cmsdk_timer::TimeDriver;
use mps2::image::Image;
use mps2::interrupts::{self, Interrupt, Vector};
use mps2::lan9118::Port;

/// The devices.
pub const IMAGE: Image =
    Image { time: &TIME, alarm: Interrupt(9), ethernet: &ETHERNET, ethernet_interrupt: Interrupt(13) };

embassy_time_driver::time_driver_impl!(
    // SAFETY: AN385 has CMSDK timers 0 and 1 at these addresses, and this driver is the only user.
    static TIME: TimeDriver = unsafe { TimeDriver::new(0x4000_0000, 0x4000_1000, 25_000_000) }
);

// SAFETY: AN385 has the Ethernet controller at this address, and its driver is the only user.
static ETHERNET: Port = unsafe { Port::new(0x4020_0000) };

// SAFETY: cortex-m-rt, with its feature `device`, reserves this section and this name for this table.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Vector; 32] =
    interrupts::vectors([(IMAGE.alarm, on_alarm), (IMAGE.ethernet_interrupt, on_ethernet)]);

extern "C" fn on_alarm() {
    TIME.on_alarm();
}

extern "C" fn on_ethernet() {
    ETHERNET.on_interrupt();
}
