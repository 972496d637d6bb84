//! What a program asks of the debugger or emulator that it runs in.
//!
//! Every call is a breakpoint instruction that something outside has to be waiting for: on a processor that runs
//! by itself it ends in a fault. Under QEMU, `-semihosting-config enable=on,target=native` answers them.

use core::ptr;

use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use cortex_m_semihosting::{nr, syscall1};

/// Reads the command line into `buffer` and gives it as text. The first word is the program's name.
///
/// QEMU joins the values of its `arg=` options by spaces; without any it gives the path of the kernel image,
/// and the value of `-append` if there is one. The host ends the text with a NUL byte, for which `buffer` must
/// have room and which the result does not have.
pub fn command_line(buffer: &mut [u8]) -> Result<&str, CommandLineError> {
    let mut block = CommandLineBlock { text: buffer.as_mut_ptr(), len: buffer.len() };
    // SAFETY: the operation takes the address of such a block, writes at most `len` bytes at `text`, which is
    // that many bytes borrowed for writing, and then puts the length of the text into `len`.
    let status = unsafe { syscall1(nr::GET_CMDLINE, ptr::from_mut(&mut block).expose_provenance()) };
    if status != 0 {
        return Err(CommandLineError::Refused { capacity: buffer.len() });
    }
    text(buffer, block.len)
}

/// Seconds since 1970 by the host's clock; wraps in 2106.
pub fn host_time() -> u32 {
    // SAFETY: the operation ignores its argument and touches no memory.
    let seconds = unsafe { syscall1(nr::TIME, 0) };
    // A word of the target; only the build for host tests has wider ones.
    #[expect(clippy::cast_possible_truncation)]
    let seconds = seconds as u32;
    seconds
}

/// Ends the run. Under QEMU the process exits with status 0 for `success` and with 1 otherwise.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { EXIT_SUCCESS } else { EXIT_FAILURE });
    // A debugger may let the program run on.
    loop {
        core::hint::spin_loop();
    }
}

/// Why there is no command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CommandLineError {
    /// The host gave none. A text that does not fit is the likely reason.
    Refused {
        /// Bytes that there were room for.
        capacity: usize,
    },
    /// It is not UTF-8.
    NotText {
        /// Offset of the first byte at fault.
        offset: usize,
    },
}

impl core::fmt::Display for CommandLineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused { capacity } => {
                write!(f, "no command line from the host (room for {capacity} bytes)")
            }
            Self::NotText { offset } => write!(f, "command line is not UTF-8 at byte {offset}"),
        }
    }
}

impl core::error::Error for CommandLineError {}

/// The argument block of SYS_GET_CMDLINE, in the layout that the host expects.
#[repr(C)]
struct CommandLineBlock {
    text: *mut u8,
    len: usize,
}

/// The text in `buffer`, which the host says is `len` bytes long.
fn text(buffer: &[u8], len: usize) -> Result<&str, CommandLineError> {
    // Hosts differ in whether they count the NUL.
    let text = &buffer[..len.min(buffer.len())];
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    str::from_utf8(text).map_err(|error| CommandLineError::NotText { offset: error.valid_up_to() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminator_is_not_text_whether_counted_or_not() {
        assert_eq!(text(b"tej x\0..", 5), Ok("tej x"));
        assert_eq!(text(b"tej x\0..", 6), Ok("tej x"));
    }

    #[test]
    fn a_host_that_counts_too_much_is_not_believed() {
        assert_eq!(text(b"tej", 4), Ok("tej"));
        assert_eq!(text(b"", usize::MAX), Ok(""));
    }

    #[test]
    fn bytes_that_are_not_text_are_located() {
        assert_eq!(text(b"tej \xff", 5), Err(CommandLineError::NotText { offset: 4 }));
    }
}
