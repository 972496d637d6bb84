//! A VirtIO network device as a network driver.
//!
//! [`Port`] is a `static` that the interrupt handler and the driver share; [`VirtioNet::init`] brings the device up and gives
//! the driver, while the frames stay in [`Buffers`]. Queues and registers are the crate `virtio-drivers`'s: what is here lends
//! it the memory and moves frames.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::task::Context;

use critical_section::Mutex;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, WriteOnly};
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::{MmioError, MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// The network driver of a device that is up.
pub struct VirtioNet {
    port: &'static Port,
    device: Device,
    /// Each is the device's while it has a token, and the driver's otherwise.
    receive: &'static mut [Frame; RECEIVE],
    receive_tokens: [Option<u16>; RECEIVE],
    transmit: &'static mut [Frame; TRANSMIT],
    sending: [Option<Sending>; TRANSMIT],
    /// The frame that the network stack has not taken yet.
    received: Option<Received>,
}

impl VirtioNet {
    /// Resets the device, gives it all receive buffers, and has it interrupt. Call it once per `port`.
    ///
    /// # Errors
    ///
    /// See [`InitError`].
    pub fn init(port: &'static Port, buffers: &'static mut Buffers) -> Result<Self, InitError> {
        let header = NonNull::new(ptr::with_exposed_provenance_mut::<VirtIOHeader>(port.base));
        let header = header.ok_or(InitError::NotResponding)?;
        // SAFETY: `Port::new` was promised that such a register block is there for good, and nobody else uses it but
        // `Port::on_interrupt`, which touches two registers that the transport does not touch by itself.
        let transport = unsafe { MmioTransport::new(header, REGISTERS) }?;
        if transport.device_type() != DeviceType::Network {
            return Err(InitError::OtherDevice);
        }
        let mut device = Device::new(transport)?;
        device.enable_interrupts();
        let Buffers { receive, transmit } = buffers;
        let mut driver = Self {
            port,
            device,
            receive,
            receive_tokens: [None; RECEIVE],
            transmit,
            sending: [None; TRANSMIT],
            received: None,
        };
        driver.lend_buffers();
        if driver.receive_tokens.contains(&None) {
            return Err(InitError::Queue);
        }
        Ok(driver)
    }

    /// Gives the device every receive buffer that it does not have and whose frame is taken.
    fn lend_buffers(&mut self) {
        let waiting = self.received.map(|received| received.buffer);
        for (index, frame) in self.receive.iter_mut().enumerate() {
            if self.receive_tokens[index].is_none() && waiting != Some(index) {
                // SAFETY: the buffer is a static's, and nothing touches it until its token is back.
                self.receive_tokens[index] = unsafe { self.device.receive_begin(&mut frame.0) }.ok();
            }
        }
    }

    /// Takes frames back from the device up to one that is good.
    fn take_frame(&mut self) -> Option<Received> {
        while let Some(token) = self.device.poll_receive() {
            let buffer = self.receive_tokens.iter().position(|known| *known == Some(token))?;
            // SAFETY: this is the buffer that the token was given for.
            let taken = unsafe { self.device.receive_complete(token, &mut self.receive[buffer].0) };
            self.receive_tokens[buffer] = None;
            if let Ok((header, length)) = taken
                && (MIN_FRAME..=MAX_FRAME).contains(&length)
            {
                self.port.count(|statistics| &mut statistics.rx_frames);
                return Some(Received { buffer, header, length });
            }
            self.port.count(|statistics| &mut statistics.rx_discarded);
            self.lend_buffers();
        }
        None
    }

    /// Takes back the buffers that were sent, and finds one that is free.
    fn free_buffer(&mut self) -> Option<usize> {
        while let Some(token) = self.device.poll_transmit() {
            let is_it = |sending: &Option<Sending>| sending.is_some_and(|sending| sending.token == token);
            let buffer = self.sending.iter().position(is_it)?;
            let length = self.sending[buffer].take()?.length;
            // SAFETY: this is the buffer that the token was given for.
            let sent = unsafe { self.device.transmit_complete(token, &self.transmit[buffer].0[..length]) };
            if sent.is_err() {
                self.port.count(|statistics| &mut statistics.tx_errors);
            }
        }
        self.sending.iter().position(Option::is_none)
    }
}

impl Driver for VirtioNet {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.port.waker.register(context.waker());
        self.lend_buffers();
        let buffer = self.free_buffer()?;
        if self.received.is_none() {
            self.received = self.take_frame();
        }
        let Received { buffer: from, header, length } = self.received?;
        let rx =
            RxToken { frame: &mut self.receive[from].0[header..][..length], received: &mut self.received };
        let tx = TxToken {
            port: self.port,
            device: &mut self.device,
            frame: &mut self.transmit[buffer],
            sending: &mut self.sending[buffer],
        };
        Some((rx, tx))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<TxToken<'_>> {
        self.port.waker.register(context.waker());
        let buffer = self.free_buffer()?;
        Some(TxToken {
            port: self.port,
            device: &mut self.device,
            frame: &mut self.transmit[buffer],
            sending: &mut self.sending[buffer],
        })
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        // Of what can be negotiated, the link's state is not.
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.device.mac_address())
    }
}

/// What the interrupt handler and the driver share of a device.
pub struct Port {
    base: usize,
    waker: AtomicWaker,
    statistics: Mutex<Cell<Statistics>>,
}

impl Port {
    /// The device whose registers, of the MMIO transport, begin at the address `base`.
    ///
    /// # Safety
    ///
    /// The address must be that of such a register block, mapped for as long as the program runs, and nothing but this and
    /// its driver may touch it.
    pub const unsafe fn new(base: usize) -> Self {
        let none = Statistics { rx_frames: 0, rx_discarded: 0, tx_frames: 0, tx_errors: 0 };
        Self { base, waker: AtomicWaker::new(), statistics: Mutex::new(Cell::new(none)) }
    }

    /// To be called by the handler of the device's interrupt. Silences it and wakes the network task.
    pub fn on_interrupt(&self) {
        // SAFETY: `new` was promised that a register block is there for good; both registers may be used at any time, and all
        // access is volatile.
        let registers = unsafe { &*ptr::with_exposed_provenance::<InterruptRegisters>(self.base) };
        registers.acknowledge.set(registers.status.get());
        self.waker.wake();
    }

    /// What has gone through the device since [`VirtioNet::init`].
    pub fn statistics(&self) -> Statistics {
        critical_section::with(|cs| self.statistics.borrow(cs).get())
    }

    fn count(&self, counter: fn(&mut Statistics) -> &mut u32) {
        critical_section::with(|cs| {
            let cell = self.statistics.borrow(cs);
            let mut statistics = cell.get();
            let counter = counter(&mut statistics);
            *counter = counter.wrapping_add(1);
            cell.set(statistics);
        });
    }
}

/// What has gone through a device. Counters wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Statistics {
    /// Frames given to the network stack.
    pub rx_frames: u32,
    /// Frames thrown away by the driver: runt or oversize.
    pub rx_discarded: u32,
    /// Frames given to the device.
    pub tx_frames: u32,
    /// Frames that the device could not be given.
    pub tx_errors: u32,
}

/// The frames on their way between the device and the network stack, to be put in a `static`.
pub struct Buffers {
    receive: [Frame; RECEIVE],
    transmit: [Frame; TRANSMIT],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { receive: [const { Frame::EMPTY }; RECEIVE], transmit: [const { Frame::EMPTY }; TRANSMIT] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Why [`VirtioNet::init`] failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InitError {
    /// There is no VirtIO device there.
    NotResponding,
    /// There is one, but it is not for a network.
    OtherDevice,
    /// A queue cannot be set up.
    Queue,
}

impl From<MmioError> for InitError {
    fn from(_: MmioError) -> Self {
        Self::NotResponding
    }
}

impl From<virtio_drivers::Error> for InitError {
    fn from(_: virtio_drivers::Error) -> Self {
        Self::Queue
    }
}

impl core::fmt::Display for InitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotResponding => "there is no VirtIO device",
            Self::OtherDevice => "the VirtIO device is not for a network",
            Self::Queue => "a queue of the network device cannot be set up",
        })
    }
}

impl core::error::Error for InitError {}

/// A received frame. A token that is dropped unused leaves the frame to the next [`Driver::receive`].
pub struct RxToken<'a> {
    frame: &'a mut [u8],
    received: &'a mut Option<Received>,
}

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        // The buffer goes back to the device when it is next looked for frames.
        *self.received = None;
        f(self.frame)
    }
}

/// Room for one frame.
pub struct TxToken<'a> {
    port: &'static Port,
    device: &'a mut Device,
    frame: &'a mut Frame,
    sending: &'a mut Option<Sending>,
}

impl embassy_net_driver::TxToken for TxToken<'_> {
    /// # Panics
    ///
    /// If `len` is more than the `max_transmission_unit` of the driver's capabilities.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { port, device, frame, sending } = self;
        // A buffer is longer than any header.
        let header = device.fill_buffer_header(&mut frame.0).unwrap_or_default();
        let result = f(&mut frame.0[header..][..len]);
        let length = header + len;
        // SAFETY: the buffer is a static's, and nothing touches it until its token is back.
        match unsafe { device.transmit_begin(&frame.0[..length]) } {
            Ok(token) => {
                *sending = Some(Sending { token, length });
                port.count(|statistics| &mut statistics.tx_frames);
            }
            Err(_) => port.count(|statistics| &mut statistics.tx_errors),
        }
        result
    }
}

type Device = VirtIONetRaw<Memory, MmioTransport<'static>, RECEIVE>;

/// Where a frame lies that the device has filled in.
#[derive(Clone, Copy)]
struct Received {
    buffer: usize,
    /// Bytes in front of it.
    header: usize,
    length: usize,
}

/// What the device has of a frame that it sends.
#[derive(Clone, Copy)]
struct Sending {
    token: u16,
    /// With its header.
    length: usize,
}

/// A frame with its header, aligned as the device's header is.
#[repr(align(4))]
struct Frame([u8; FRAME]);

impl Frame {
    const EMPTY: Self = Self([0; FRAME]);
}

/// The memory that the device shares: all of it, at the addresses that the program knows.
struct Memory;

// SAFETY: physical addresses are the program's own, as without address translation, so that what is shared is where it
// is; pages for queues are aligned, zeroed, and given out once.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = critical_section::with(|cs| {
            let given = GIVEN.borrow(cs);
            given.replace(given.get() + pages)
        });
        assert!(first + pages <= PAGES, "the queues are larger than they were");
        // SAFETY: the pages are inside of the static, as was just checked.
        let page = unsafe { QUEUES.0.get().cast::<u8>().add(first * PAGE_SIZE) };
        (page.expose_provenance() as PhysAddr, NonNull::new(page).expect("a static has an address"))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // Only a driver that could not be brought up gives any back.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        // An address of this machine's width.
        #[expect(clippy::cast_possible_truncation)]
        let address = address as usize;
        NonNull::new(ptr::with_exposed_provenance_mut(address)).expect("no device is at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// Memory for queues.
#[repr(align(4096))]
struct Pages(core::cell::UnsafeCell<[u8; PAGES * PAGE_SIZE]>);

// SAFETY: each page is given out once, and this is the only access.
unsafe impl Sync for Pages {}

static QUEUES: Pages = Pages(core::cell::UnsafeCell::new([0; PAGES * PAGE_SIZE]));

/// Pages that were given out.
static GIVEN: Mutex<Cell<usize>> = Mutex::new(Cell::new(0));

register_structs! {
    InterruptRegisters {
        (0x00 => _others),
        /// "Virtual I/O Device (VIRTIO) Version 1.2", "MMIO Device Register Layout": InterruptStatus and InterruptACK.
        (0x60 => status: ReadOnly<u32>),
        (0x64 => acknowledge: WriteOnly<u32>),
        (0x68 => @END),
    }
}

/// Bytes of a device's registers.
const REGISTERS: usize = 0x200;

/// Receive buffers, and the length of both queues.
const RECEIVE: usize = 8;
const TRANSMIT: usize = 4;

/// Two queues of two pages each.
const PAGES: usize = 4;

/// Bytes of a buffer: the least that the device is given, in whole words.
const FRAME: usize = 1528;

/// Bytes of the Ethernet header, with which the shortest frame ends: QEMU does not pad what it delivers.
const MIN_FRAME: usize = 14;

/// Bytes of the longest untagged Ethernet frame, header included, check sequence not.
const MAX_FRAME: usize = 1514;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn init_names_what_is_wrong() {
        let words: &'static [AtomicU32; REGISTERS / 4] =
            Box::leak(Box::new([const { AtomicU32::new(0) }; _]));
        // SAFETY: the memory is as large as the register block, never freed, and may be written through a shared reference.
        let port = Box::leak(Box::new(unsafe { Port::new(words.as_ptr().expose_provenance()) }));
        let init = || VirtioNet::init(port, Box::leak(Box::new(Buffers::new()))).err();
        let [magic, version, device] = [&words[0], &words[1], &words[2]];
        assert_eq!(init(), Some(InitError::NotResponding));
        magic.store(u32::from_le_bytes(*b"virt"), Relaxed);
        version.store(2, Relaxed);
        device.store(2, Relaxed);
        assert_eq!(init(), Some(InitError::OtherDevice));
        device.store(1, Relaxed);
        // Memory has queues of no length.
        assert_eq!(init(), Some(InitError::Queue));
    }

    #[test]
    fn an_interrupt_is_acknowledged_and_frames_are_counted() {
        let words: &'static [AtomicU32; REGISTERS / 4] =
            Box::leak(Box::new([const { AtomicU32::new(0) }; _]));
        // SAFETY: as above.
        let port = unsafe { Port::new(words.as_ptr().expose_provenance()) };
        words[0x60 / 4].store(3, Relaxed);
        port.on_interrupt();
        assert_eq!(words[0x64 / 4].load(Relaxed), 3);
        port.count(|statistics| &mut statistics.tx_frames);
        assert_eq!((port.statistics().tx_frames, port.statistics().rx_frames), (1, 0));
    }
}
