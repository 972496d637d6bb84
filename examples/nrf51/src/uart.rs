//! The UART: chapter 29 of the manual, "Universal Asynchronous Receiver/Transmitter".
//!
//! It holds six received bytes. A program that looks at it too seldom loses the next ones, which is told as
//! [`LineError::Overrun`]. Where that cannot be ruled out, wire RTS and CTS, or choose a slower speed.

use core::fmt;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

/// The pins of the UART, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pins {
    /// What is sent. It must be an output, and high.
    pub txd: u32,
    /// What is received. It must be an input.
    pub rxd: u32,
}

/// Starts the UART whose registers begin at the address `base`, in both directions: 115,200 baud, 8 bits, no parity, no flow
/// control.
///
/// # Safety
///
/// The address must be that of the UART's register block, mapped for as long as the program runs, and nothing else in the
/// program may touch it.
pub unsafe fn start(base: usize, pins: Pins) -> (Receiver, Transmitter) {
    // SAFETY: the caller promises that a register block is there for good; every bit pattern is valid in it, and all
    // access through the reference is volatile.
    let registers = unsafe { &*core::ptr::with_exposed_provenance::<Registers>(base) };
    registers.pin_txd.set(pins.txd);
    registers.pin_rxd.set(pins.rxd);
    registers.baud_rate.set(BAUD_115200);
    registers.config.set(0);
    registers.enable.set(ENABLE);
    registers.received.set(0);
    registers.sent.set(0);
    // They wake who sleeps; what is masked at the interrupt controller does nothing else.
    registers.interrupts.write(Interrupts::RECEIVED::SET + Interrupts::FAILED::SET);
    registers.start_receiving.set(1);
    registers.start_sending.set(1);
    (Receiver { registers }, Transmitter { registers })
}

/// The UART's direction to here.
pub struct Receiver {
    registers: &'static Registers,
}

impl ErrorType for Receiver {
    type Error = LineError;
}

impl ReadReady for Receiver {
    fn read_ready(&mut self) -> Result<bool, LineError> {
        Ok(self.registers.received.get() != 0 || self.registers.failed.get() != 0)
    }
}

impl Read for Receiver {
    /// Waits for a byte, and takes those that are there. An error leaves the bytes behind it to the next call.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LineError> {
        let registers = self.registers;
        let mut count = 0;
        while count < buffer.len() {
            if registers.failed.get() != 0 {
                if count > 0 {
                    break;
                }
                registers.failed.set(0);
                let error = registers.error_source.extract();
                // What is written as one is cleared.
                registers.error_source.set(error.get());
                return Err(LineError::of(error));
            }
            if registers.received.get() == 0 {
                if count > 0 {
                    break;
                }
                continue;
            }
            // In this order: the next byte in the memory of six is announced when this one is taken.
            registers.received.set(0);
            let [byte, ..] = registers.rxd.get().to_le_bytes();
            buffer[count] = byte;
            count += 1;
        }
        Ok(count)
    }
}

/// The UART's direction from here.
pub struct Transmitter {
    registers: &'static Registers,
}

impl ErrorType for Transmitter {
    type Error = core::convert::Infallible;
}

impl Write for Transmitter {
    /// Sends all of it, and waits until the last byte has left.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let registers = self.registers;
        for byte in bytes {
            registers.txd.set(u32::from(*byte));
            while registers.sent.get() == 0 {}
            registers.sent.set(0);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// What is wrong on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LineError {
    /// A byte came before the ones before it were taken, and is lost.
    Overrun,
    /// A byte without its stop bit: the wrong speed, noise, or a line that is held low.
    Framing,
    /// The UART says that something is wrong, and not what.
    Unknown,
}

impl LineError {
    fn of(source: tock_registers::LocalRegisterCopy<u32, ErrorSource::Register>) -> Self {
        if source.is_set(ErrorSource::OVERRUN) {
            Self::Overrun
        } else if source.is_set(ErrorSource::FRAMING) || source.is_set(ErrorSource::BREAK) {
            Self::Framing
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overrun => "a byte was lost: the UART was not read in time",
            Self::Framing => "a byte has no stop bit",
            Self::Unknown => "the UART reports an error",
        })
    }
}

impl core::error::Error for LineError {}

impl embedded_io::Error for LineError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Overrun => ErrorKind::Other,
            Self::Framing | Self::Unknown => ErrorKind::InvalidData,
        }
    }
}

register_structs! {
    Registers {
        (0x000 => start_receiving: WriteOnly<u32>),
        (0x004 => _stop_receiving),
        (0x008 => start_sending: WriteOnly<u32>),
        (0x00c => _stop_sending_suspend),
        (0x108 => received: ReadWrite<u32>),
        (0x10c => _reserved_10c),
        (0x11c => sent: ReadWrite<u32>),
        (0x120 => _reserved_120),
        (0x124 => failed: ReadWrite<u32>),
        (0x128 => _receive_timeout_shortcuts),
        (0x304 => interrupts: ReadWrite<u32, Interrupts::Register>),
        (0x308 => _interrupts_clear),
        (0x480 => error_source: ReadWrite<u32, ErrorSource::Register>),
        (0x484 => _reserved_484),
        (0x500 => enable: ReadWrite<u32>),
        (0x504 => _pin_rts),
        (0x50c => pin_txd: ReadWrite<u32>),
        (0x510 => _pin_cts),
        (0x514 => pin_rxd: ReadWrite<u32>),
        (0x518 => rxd: ReadOnly<u32>),
        (0x51c => txd: WriteOnly<u32>),
        (0x520 => _reserved_520),
        (0x524 => baud_rate: ReadWrite<u32>),
        (0x528 => _reserved_528),
        (0x56c => config: ReadWrite<u32>),
        (0x570 => @END),
    }
}

register_bitfields![u32,
    Interrupts [
        RECEIVED OFFSET(2) NUMBITS(1) [],
        FAILED OFFSET(9) NUMBITS(1) [],
    ],
    ErrorSource [
        OVERRUN OFFSET(0) NUMBITS(1) [],
        FRAMING OFFSET(2) NUMBITS(1) [],
        BREAK OFFSET(3) NUMBITS(1) [],
    ],
];

/// The manual's values of ENABLE and BAUDRATE.
const ENABLE: u32 = 4;
const BAUD_115200: u32 = 0x01d7_e000;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn start_connects_the_pins_and_enables_both_directions() {
        let (words, ..) = uart();
        let offsets = [0x000, 0x008, 0x500, 0x50c, 0x514, 0x524];
        assert_eq!(offsets.map(|at| words.get(at)), [1, 1, 4, 24, 25, 0x01d7_e000]);
    }

    #[test]
    fn a_byte_is_taken_once() {
        let (words, mut receiver, _) = uart();
        assert_eq!(receiver.read_ready(), Ok(false));
        words.set(RXDRDY, 1);
        words.set(RXD, 0x5a);
        assert_eq!(receiver.read_ready(), Ok(true));
        let mut buffer = [0; 4];
        assert_eq!((receiver.read(&mut buffer), buffer), (Ok(1), [0x5a, 0, 0, 0]));
        assert_eq!((receiver.read_ready(), words.get(RXDRDY)), (Ok(false), 0));
        assert_eq!(receiver.read(&mut []), Ok(0));
    }

    #[test]
    fn errors_are_named_and_cleared() {
        let (words, mut receiver, _) = uart();
        for (source, error) in [
            (1, LineError::Overrun),
            (4, LineError::Framing),
            (8, LineError::Framing),
            (9, LineError::Overrun),
            (2, LineError::Unknown),
        ] {
            words.set(ERROR, 1);
            words.set(ERRORSRC, source);
            assert_eq!(receiver.read_ready(), Ok(true));
            assert_eq!(receiver.read(&mut [0]), Err(error));
            assert_eq!(receiver.read_ready(), Ok(false));
        }
    }

    #[test]
    fn what_is_written_is_all_sent() {
        let (words, _, mut transmitter) = uart();
        words.set(TXDRDY, 1);
        assert_eq!(transmitter.write(b"x"), Ok(1));
        assert_eq!((words.get(TXD), words.get(TXDRDY)), (u32::from(b'x'), 0));
        assert_eq!((transmitter.write(b""), transmitter.flush()), (Ok(0), Ok(())));
    }

    /// Memory in place of a UART: it keeps what is written, and nothing happens in it by itself.
    struct Words(&'static [AtomicU32; 0x570 / 4]);

    impl Words {
        fn get(&self, offset: usize) -> u32 {
            self.0[offset / 4].load(Relaxed)
        }

        fn set(&self, offset: usize, value: u32) {
            self.0[offset / 4].store(value, Relaxed);
        }
    }

    fn uart() -> (Words, Receiver, Transmitter) {
        let words = Words(Box::leak(Box::new([const { AtomicU32::new(0) }; _])));
        // SAFETY: the memory is as large as the register block, never freed, and may be written through a shared reference.
        let (receiver, transmitter) =
            unsafe { start(words.0.as_ptr().expose_provenance(), Pins { txd: 24, rxd: 25 }) };
        (words, receiver, transmitter)
    }

    const RXDRDY: usize = 0x108;
    const TXDRDY: usize = 0x11c;
    const ERROR: usize = 0x124;
    const ERRORSRC: usize = 0x480;
    const RXD: usize = 0x518;
    const TXD: usize = 0x51c;
}
