//! Where the machine `virt` has its devices, and bringing them up. Addresses, interrupts and the clock's rate are those of
//! QEMU's source, hw/riscv/virt.c and include/hw/riscv/virt.h.

use riscv::interrupt::Interrupt;
use riscv_rt::core_interrupt;
use static_cell::ConstStaticCell;

use crate::clint::TimeDriver;
use crate::plic::Plic;
use crate::virtio_net::{Buffers, InitError, Port, Statistics, VirtioNet};

/// Starts the alarm of the clock and then the network device, which must be the first of the machine's VirtIO devices.
///
/// # Errors
///
/// The device does not come up.
///
/// # Panics
///
/// When it is called again.
pub fn start() -> Result<VirtioNet, InitError> {
    static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
    TIME.on_alarm();
    let network = VirtioNet::init(&NETWORK, BUFFERS.take())?;
    PLIC.enable(&[NETWORK_INTERRUPT]);
    // SAFETY: no critical section of this program relies on a masked interrupt; they disable all.
    unsafe {
        riscv::register::mie::set_mtimer();
        riscv::register::mie::set_mext();
        riscv::interrupt::enable();
    }
    Ok(network)
}

/// What has gone through the network device.
pub fn network_statistics() -> Statistics {
    NETWORK.statistics()
}

embassy_time_driver::time_driver_impl!(
    // SAFETY: the machine has its CLINT there, and this driver is the only user.
    static TIME: TimeDriver = unsafe { TimeDriver::new(0x0200_0000, 10_000_000) }
);

// SAFETY: the machine has its PLIC there, and this is the only user.
static PLIC: Plic = unsafe { Plic::new(0x0c00_0000) };

// SAFETY: the machine has the first of its VirtIO devices there, and its driver is the only user.
static NETWORK: Port = unsafe { Port::new(0x1000_1000) };

const NETWORK_INTERRUPT: u32 = 1;

#[core_interrupt(Interrupt::MachineTimer)]
fn on_alarm() {
    TIME.on_alarm();
}

#[core_interrupt(Interrupt::MachineExternal)]
fn on_device() {
    PLIC.serve(|_| NETWORK.on_interrupt());
}
