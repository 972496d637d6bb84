//! An FPGA image: where it has its devices, and bringing them up.

use static_cell::ConstStaticCell;

use crate::cmsdk_timer::TimeDriver;
use crate::interrupts::Interrupt;
use crate::lan9118::{Buffers, InitError, Lan9118, Port};

/// The devices of an image, as the firmware declares them. The handlers of the two interrupts are to call
/// [`TimeDriver::on_alarm`] and [`Port::on_interrupt`].
pub struct Image {
    /// The clock, and the alarm with its interrupt.
    pub time: &'static TimeDriver,
    /// The second timer's.
    pub alarm: Interrupt,
    /// The network.
    pub ethernet: &'static Port,
    /// The controller's.
    pub ethernet_interrupt: Interrupt,
}

impl Image {
    /// Starts the clock and then the Ethernet controller.
    ///
    /// # Errors
    ///
    /// The controller does not come up.
    ///
    /// # Panics
    ///
    /// When it is called again.
    pub fn start(&self) -> Result<Lan9118, InitError> {
        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
        self.time.start();
        self.alarm.enable();
        let ethernet = Lan9118::init(self.ethernet, BUFFERS.take())?;
        self.ethernet_interrupt.enable();
        Ok(ethernet)
    }
}
