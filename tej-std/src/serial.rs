//! Serial lines: a UART, a USB adapter, a modem.
//!
//! A line has no connections: it does not say when the peer begins, ends or is gone. What is on it when it is opened may be
//! the middle of something, so let the peer begin after us, or be ready for a first error and open the line again. A device
//! that reads through tej-core's `io::IdleGap` forgets half a frame when it hears nothing for the gap, a second say: after an
//! error or a frame that was broken off, which end the connection, stay silent for longer than that on a new connection over
//! the line, before its first frame ([`Receiver::discard_until_silent`](crate::Receiver::discard_until_silent)). Set
//! [`Timeouts::idle`](crate::Timeouts::idle), with pings from the peer, to notice that it is gone.

use std::io;

use tokio::io::{ReadHalf, WriteHalf, split};
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt, SerialStream};

use crate::{Config, Connection};

/// A connection over a serial line.
pub type SerialConnection = Connection<ReadHalf<SerialStream>, WriteHalf<SerialStream>>;

/// Opens the line `path` (`/dev/ttyUSB0`, `COM3`) at `baud` bits per second, with 8 data bits, no parity, one stop bit and no
/// flow control, as boards have it. What was received before is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tej_std::{Config, Status, serial};
///
/// let (_receiver, mut sender) = serial::open("/dev/ttyUSB0", 115_200, &Config::default())?.split();
/// sender.send_message(Status::ZERO, b"Hello").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// There is no such line, it is in use, or it does not know this speed.
pub fn open(path: &str, baud: u32, config: &Config) -> io::Result<SerialConnection> {
    let stream = tokio_serial::new(path, baud).open_native_async()?;
    stream.clear(ClearBuffer::Input)?;
    Ok(over(stream, config))
}

/// Speaks TEJ over a line that was opened otherwise, with settings of one's own.
pub fn over(stream: SerialStream, config: &Config) -> SerialConnection {
    let (read, write) = split(stream);
    Connection::new(read, write, config)
}
