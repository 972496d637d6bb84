//! The LAN9118 Ethernet controller (and the LAN9220, its successor on the board) as a network driver.
//!
//! [`Port`] is a `static` that the interrupt handler and the driver share; [`Lan9118::init`] brings the chip
//! up and gives the driver, a few words that can be moved about, while the frames stay in [`Buffers`]:
//!
//! ```no_run
//! use mps2::lan9118::{Buffers, InitError, Lan9118, Port};
//!
//! // SAFETY: the controller of this board is there, and nothing else touches it.
//! static ETHERNET: Port = unsafe { Port::new(0x4020_0000) };
//!
//! fn ethernet_interrupt_handler() {
//!     ETHERNET.on_interrupt();
//! }
//!
//! fn bring_up(buffers: &'static mut Buffers) -> Result<Lan9118, InitError> {
//!     let driver = Lan9118::init(&ETHERNET, buffers)?;
//!     // Only now unmask the interrupt: until then the line's polarity is the wrong one.
//!     Ok(driver)
//! }
//! ```
//!
//! The chip's receive memory is small. A full-size frame takes 1,520 of its [`RX_FIFO_BYTES`], so six fit, and
//! a seventh that comes before the driver was polled is lost. TCP recovers from that slowly: keep the sum of
//! the receive windows of all sockets that may be busy at once at or below [`SAFE_RECEIVE_WINDOW`].

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;
use tock_registers::LocalRegisterCopy;
use tock_registers::interfaces::{Readable, Writeable};

use self::registers::{
    E2pCmd, FifoInt, HwCfg, IdRev, Interrupts, IrqCfg, PmtCtrl, Registers, RxFifoInf, RxStatus, TxCfg,
    TxCommandA, TxCommandB, TxFifoInf, TxStatus,
};

mod mac;
mod registers;
#[cfg(test)]
mod tests;

/// The network driver of a controller that is up.
///
/// Frames with an error, and frames that are longer than the largest Ethernet frame without a VLAN tag, are
/// thrown away whole and counted ([`Statistics::rx_discarded`]); no part of one reaches the network stack.
pub struct Lan9118 {
    port: &'static Port,
    buffers: &'static mut Buffers,
    mac_address: [u8; 6],
    link: LinkState,
    /// Bytes in `buffers.rx` that the network stack has not taken yet; 0 = none.
    received: usize,
}

impl Lan9118 {
    /// Resets the controller, takes its address from it, and enables both directions and its interrupts.
    ///
    /// Waits are bounded by a number of polls, so this returns also when the chip does not answer. Call it once
    /// per `port`, with the interrupt masked at the processor: before this has returned `Ok`, the chip drives
    /// its line with the opposite polarity, which reads as an interrupt that never ends.
    pub fn init(port: &'static Port, buffers: &'static mut Buffers) -> Result<Self, InitError> {
        let registers = port.registers();

        let byte_test = registers.byte_test.get();
        if byte_test != BYTE_TEST {
            return Err(InitError::NotResponding { byte_test });
        }
        let id = registers.id_rev.extract();
        if !id.matches_any(&[IdRev::CHIP_ID::Lan9118, IdRev::CHIP_ID::Lan9220]) {
            return Err(InitError::UnknownChip { id_rev: id.get() });
        }
        if !poll(|| registers.pmt_ctrl.is_set(PmtCtrl::READY)) {
            return Err(InitError::NotReady);
        }

        registers.hw_cfg.write(HwCfg::SOFT_RESET::SET);
        let reset_done =
            || !registers.hw_cfg.is_set(HwCfg::SOFT_RESET) && registers.pmt_ctrl.is_set(PmtCtrl::READY);
        if !poll(reset_done) {
            return Err(InitError::ResetTimeout);
        }
        // The reset makes the chip load its address from the EEPROM.
        if !poll(|| !registers.e2p_cmd.is_set(E2pCmd::BUSY)) {
            return Err(InitError::EepromTimeout);
        }
        registers.hw_cfg.write(HwCfg::MUST_BE_ONE::SET + HwCfg::TX_FIFO_KIB.val(TX_FIFO_KIB));
        registers
            .fifo_int
            .write(FifoInt::TX_DATA_AVAILABLE_LEVEL.val(TX_ROOM_LEVEL) + FifoInt::RX_STATUS_LEVEL.val(0));
        // No padding in front of a frame, and its end aligned to a word.
        registers.rx_cfg.set(0);

        let mac_address = port.mac_address().ok_or(InitError::MacTimeout)?;
        let is_group = mac_address[0] & 1 != 0;
        if is_group || mac_address == [0; 6] {
            return Err(InitError::NoMacAddress { read: mac_address });
        }
        port.start_negotiation().ok_or(InitError::PhyTimeout)?;
        let link = port.update_link().ok_or(InitError::PhyTimeout)?;
        registers.tx_cfg.write(TxCfg::ENABLE::SET);
        port.enable_mac().ok_or(InitError::PhyTimeout)?;

        let driver = Self { port, buffers, mac_address, link, received: 0 };
        driver.arm(true, false);
        registers
            .irq_cfg
            .write(IrqCfg::ENABLE::SET + IrqCfg::POLARITY::ActiveHigh + IrqCfg::BUFFER::PushPull);
        Ok(driver)
    }

    /// Whether `buffers.rx` holds a frame, moving the next good one there if it does not.
    fn has_frame(&mut self) -> bool {
        if self.received != 0 {
            return true;
        }
        let registers = self.port.registers();
        let fifo = registers.rx_fifo_inf.extract();
        self.port.note_rx_fifo_use(fifo.read(RxFifoInf::DATA_USED));

        for _ in 0..fifo.read(RxFifoInf::STATUS_USED) {
            let status = registers.rx_status.extract();
            let words = on_wire_length(status).div_ceil(WORD);
            if let Some(length) = frame_length(status) {
                let (chunks, _) = self.buffers.rx.0.as_chunks_mut::<WORD>();
                for chunk in &mut chunks[..words] {
                    *chunk = registers.rx_data.get().to_le_bytes();
                }
                self.port.rx_frames.fetch_add(1, Relaxed);
                self.received = length;
                return true;
            }
            // Word by word: the chip's own fast-forward has a minimum length, and QEMU's loses count of the FIFO.
            for _ in 0..words {
                registers.rx_data.get();
            }
            self.port.rx_discarded.fetch_add(1, Relaxed);
        }
        false
    }

    /// Whether the chip takes another frame of any size. Empties the TX status FIFO, which would stop the
    /// transmitter if it filled up.
    fn has_room(&mut self) -> bool {
        let registers = self.port.registers();
        let fifo = registers.tx_fifo_inf.extract();
        for _ in 0..fifo.read(TxFifoInf::STATUS_USED) {
            if registers.tx_status.is_set(TxStatus::ERROR_SUMMARY) {
                self.port.tx_errors.fetch_add(1, Relaxed);
            }
        }
        fifo.read(TxFifoInf::DATA_FREE) >= TX_ROOM
    }

    /// Has the task woken for an event of the link, and for a frame or for room if asked. The chip's flags are
    /// cleared first, so whatever came before has to be looked for after this.
    fn arm(&self, for_frame: bool, for_room: bool) {
        let registers = self.port.registers();
        registers.int_sts.write(Interrupts::RX_STATUS_LEVEL::SET + Interrupts::TX_DATA_AVAILABLE::SET);
        registers.int_en.write(
            Interrupts::PHY::SET
                + Interrupts::RX_STATUS_LEVEL.val(for_frame.into())
                + Interrupts::TX_DATA_AVAILABLE.val(for_room.into()),
        );
    }
}

impl Driver for Lan9118 {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, cx: &mut Context) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.port.waker.register(cx.waker());
        if !(self.has_frame() && self.has_room()) {
            // While a frame waits for room, the ones behind it are no news.
            let waits_for_room = self.received != 0;
            self.arm(!waits_for_room, waits_for_room);
            if !(self.has_frame() && self.has_room()) {
                return None;
            }
        }
        let Buffers { rx, tx } = &mut *self.buffers;
        let rx = RxToken { frame: &mut rx.0[..self.received], received: &mut self.received };
        Some((rx, TxToken { port: self.port, buffer: tx }))
    }

    fn transmit(&mut self, cx: &mut Context) -> Option<TxToken<'_>> {
        if !self.has_room() {
            self.port.waker.register(cx.waker());
            self.arm(true, true);
            if !self.has_room() {
                return None;
            }
        }
        Some(TxToken { port: self.port, buffer: &mut self.buffers.tx })
    }

    fn link_state(&mut self, cx: &mut Context) -> LinkState {
        self.port.waker.register(cx.waker());
        if self.port.link_event.swap(false, Relaxed) {
            // A PHY that does not answer leaves the link as it was last known.
            if let Some(link) = self.port.update_link() {
                self.link = link;
                // The partner may be another one, with another duplex mode.
                self.port.enable_mac();
            }
        }
        self.link
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac_address)
    }
}

/// A controller as its interrupt handler and its driver see it, to be put in a `static`.
pub struct Port {
    base: usize,
    waker: AtomicWaker,
    /// The PHY has asked for attention.
    link_event: AtomicBool,
    rx_frames: AtomicU32,
    rx_discarded: AtomicU32,
    rx_dropped: AtomicU32,
    rx_fifo_peak: AtomicU32,
    tx_frames: AtomicU32,
    tx_errors: AtomicU32,
}

impl Port {
    /// A controller whose registers begin at the address `base`.
    ///
    /// # Safety
    ///
    /// `base` must be the address of the register block of a LAN9118 or its like, mapped for as long as the
    /// program runs, and nothing else in the program may touch it.
    pub const unsafe fn new(base: usize) -> Self {
        Self {
            base,
            waker: AtomicWaker::new(),
            link_event: AtomicBool::new(false),
            rx_frames: AtomicU32::new(0),
            rx_discarded: AtomicU32::new(0),
            rx_dropped: AtomicU32::new(0),
            rx_fifo_peak: AtomicU32::new(0),
            tx_frames: AtomicU32::new(0),
            tx_errors: AtomicU32::new(0),
        }
    }

    /// To be called by the handler of the controller's interrupt. Returns at once: it silences the chip and
    /// wakes the network task, which looks at the chip and arms it again.
    pub fn on_interrupt(&self) {
        let registers = self.registers();
        if registers.int_sts.is_set(Interrupts::PHY) {
            self.link_event.store(true, Relaxed);
        }
        registers.int_en.set(0);
        self.waker.wake();
    }

    /// What has gone through the controller since [`Lan9118::init`].
    pub fn statistics(&self) -> Statistics {
        // The register counts from when it was last read.
        let dropped_since = self.registers().rx_drop.get();
        Statistics {
            rx_frames: self.rx_frames.load(Relaxed),
            rx_discarded: self.rx_discarded.load(Relaxed),
            rx_dropped: self.rx_dropped.fetch_add(dropped_since, Relaxed).wrapping_add(dropped_since),
            rx_fifo_peak: self.rx_fifo_peak.load(Relaxed),
            tx_frames: self.tx_frames.load(Relaxed),
            tx_errors: self.tx_errors.load(Relaxed),
        }
    }

    fn registers(&self) -> &'static Registers {
        // SAFETY: `new` was promised that a register block is at `base` for good; every bit pattern is valid in
        // it, and all access through the reference is volatile.
        unsafe { &*(self.base as *const Registers) }
    }

    fn note_rx_fifo_use(&self, bytes: u32) {
        if bytes > self.rx_fifo_peak.load(Relaxed) {
            self.rx_fifo_peak.store(bytes, Relaxed);
        }
    }
}

/// The frames on their way between the controller and the network stack, to be put in a `static`.
pub struct Buffers {
    rx: Frame,
    tx: Frame,
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { rx: Frame::EMPTY, tx: Frame::EMPTY }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Why [`Lan9118::init`] failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InitError {
    /// The register that always reads 0x87654321 reads something else: no such controller there, or the bus
    /// is set up wrongly.
    NotResponding {
        /// What it reads.
        byte_test: u32,
    },
    /// Something of the family, but no chip that this driver is for.
    UnknownChip {
        /// The whole register: chip in the upper half, revision in the lower.
        id_rev: u32,
    },
    /// The chip does not get ready after power-up.
    NotReady,
    /// The soft reset does not end.
    ResetTimeout,
    /// The address is not loaded from the EEPROM in time.
    EepromTimeout,
    /// A register of the MAC cannot be reached.
    MacTimeout,
    /// A register of the PHY cannot be reached.
    PhyTimeout,
    /// The EEPROM gave no address that a station may have.
    NoMacAddress {
        /// What it gave.
        read: [u8; 6],
    },
}

impl core::fmt::Display for InitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotResponding { byte_test } => write!(f, "no LAN9118: byte test reads {byte_test:#010x}"),
            Self::UnknownChip { id_rev } => write!(f, "not a LAN9118 or LAN9220: ID_REV is {id_rev:#010x}"),
            Self::NotReady => f.write_str("LAN9118 does not get ready"),
            Self::ResetTimeout => f.write_str("LAN9118 does not come out of reset"),
            Self::EepromTimeout => f.write_str("LAN9118 does not finish reading its EEPROM"),
            Self::MacTimeout => f.write_str("LAN9118 MAC stays busy"),
            Self::PhyTimeout => f.write_str("LAN9118 PHY stays busy"),
            Self::NoMacAddress { read } => write!(f, "LAN9118 has no valid MAC address: {read:02x?}"),
        }
    }
}

impl core::error::Error for InitError {}

/// What has gone through a controller. Counters wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Statistics {
    /// Frames given to the network stack.
    pub rx_frames: u32,
    /// Frames thrown away by the driver: errored, runt or oversize.
    pub rx_discarded: u32,
    /// Frames that the chip had no room for. QEMU (7.2 at least) drops frames without counting them: there,
    /// compare `rx_fifo_peak` with [`RX_FIFO_BYTES`].
    pub rx_dropped: u32,
    /// The most bytes that the driver has found waiting in the RX data FIFO.
    pub rx_fifo_peak: u32,
    /// Frames given to the chip.
    pub tx_frames: u32,
    /// Frames that the chip could not send.
    pub tx_errors: u32,
}

/// A received frame. A token that is dropped unused leaves the frame to the next [`Driver::receive`].
pub struct RxToken<'a> {
    frame: &'a mut [u8],
    received: &'a mut usize,
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        *self.received = 0;
        f(self.frame)
    }
}

/// Room for one frame in the chip.
pub struct TxToken<'a> {
    port: &'static Port,
    buffer: &'a mut Frame,
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    /// # Panics
    ///
    /// If `len` is more than the `max_transmission_unit` of the driver's capabilities.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let result = f(&mut self.buffer.0[..MAX_FRAME][..len]);

        // The assertion on MAX_FRAME below keeps this in its field; the slice above has checked `len`.
        #[expect(clippy::cast_possible_truncation)]
        let length = len as u32;
        let command_a = TxCommandA::FIRST_SEGMENT::SET
            + TxCommandA::LAST_SEGMENT::SET
            + TxCommandA::BUFFER_SIZE.val(length);
        let registers = self.port.registers();
        registers.tx_data.set(command_a.into());
        registers.tx_data.set(TxCommandB::PACKET_LENGTH.val(length).into());
        let (chunks, _) = self.buffer.0.as_chunks::<WORD>();
        for chunk in &chunks[..len.div_ceil(WORD)] {
            registers.tx_data.set(u32::from_le_bytes(*chunk));
        }
        self.port.tx_frames.fetch_add(1, Relaxed);
        result
    }
}

/// The longest frame with its check sequence, in whole words; aligned so that it is moved in whole words.
#[repr(align(4))]
struct Frame([u8; (MAX_FRAME + FCS).next_multiple_of(WORD)]);

impl Frame {
    const EMPTY: Self = Self([0; (MAX_FRAME + FCS).next_multiple_of(WORD)]);
}

/// Bytes that a received frame takes in the RX data FIFO, but for rounding up to words.
fn on_wire_length(status: LocalRegisterCopy<u32, RxStatus::Register>) -> usize {
    status.read(RxStatus::PACKET_LENGTH) as usize
}

/// Length of a frame without its check sequence. `None`: it is not to be passed on.
fn frame_length(status: LocalRegisterCopy<u32, RxStatus::Register>) -> Option<usize> {
    let length = on_wire_length(status).checked_sub(FCS)?;
    let is_good = !status.is_set(RxStatus::ERROR_SUMMARY) && (MIN_FRAME..=MAX_FRAME).contains(&length);
    is_good.then_some(length)
}

/// Waits for `done`, but not for ever.
fn poll(mut done: impl FnMut() -> bool) -> bool {
    (0..POLLS).any(|_| done())
}

/// Bytes of received frames that the chip holds with the memory split that the driver chooses: 16 KiB, less 5 KiB
/// for the transmitter, less the status words. It is the reset value, and the only split that QEMU has.
pub const RX_FIFO_BYTES: usize = 10_560;

/// The most bytes that all TCP receive windows together may offer if no frame is to be lost in the chip.
///
/// A segment takes its payload and 60 bytes of [`RX_FIFO_BYTES`]. Windows of this size leave 2,368 bytes for
/// that overhead: 39 frames on the way at once, of which full-size segments need 6 and the peer's bare
/// acknowledgements, one per segment of ours, the rest.
pub const SAFE_RECEIVE_WINDOW: usize = 8192;

/// What BYTE_TEST always reads.
const BYTE_TEST: u32 = 0x8765_4321;

/// Bytes of a FIFO word.
const WORD: usize = 4;

/// Bytes of the frame check sequence: the chip delivers it, and makes it when it sends.
const FCS: usize = 4;

/// Bytes of the Ethernet header, with which the shortest frame ends. Shorter than a legal frame, but QEMU does
/// not pad what it delivers.
const MIN_FRAME: usize = 14;

/// Bytes of the longest untagged Ethernet frame, header included, check sequence not.
const MAX_FRAME: usize = 1514;
const _: () = assert!(MAX_FRAME < 1 << 11, "must fit the length fields of the TX commands");

/// The reset value, and all that QEMU models.
const TX_FIFO_KIB: u32 = 5;

/// Bytes of the TX data FIFO that a frame of any size needs: its words and two command words.
#[expect(clippy::cast_possible_truncation)]
const TX_ROOM: u32 = (MAX_FRAME.next_multiple_of(WORD) + 2 * WORD) as u32;

/// `TX_ROOM` in the unit of FIFO_INT.
const TX_ROOM_LEVEL: u32 = TX_ROOM.div_ceil(64);

/// Ten milliseconds and more at 25 MHz; the chip's slowest answer, the EEPROM's, takes a few.
const POLLS: u32 = 100_000;
