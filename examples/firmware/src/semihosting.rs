//! What a program asks of the debugger or emulator that it runs in.
//!
//! Every call is a breakpoint instruction that something outside has to be waiting for: on a processor that runs
//! by itself it ends in a fault. Under QEMU, `-semihosting-config enable=on,target=native` answers them.

#[cfg(all(feature = "tls", target_os = "none"))]
use core::ffi::CStr;
#[cfg(target_os = "none")]
use core::mem::MaybeUninit;

#[cfg(all(feature = "tls", target_os = "none"))]
use semihosting::{
    fs::File,
    io::{self, Read},
};
#[cfg(target_os = "none")]
use semihosting::{process::ExitCode, sys::arm_compat};

/// Reads the command line into `buffer` and gives it as text. The first word is the program's name.
///
/// QEMU joins the values of its `arg=` options by spaces; without any it gives the path of the kernel image,
/// and the value of `-append` if there is one. The host ends the text with a NUL byte, for which `buffer` must
/// have room and which the result does not have.
#[cfg(target_os = "none")]
pub fn command_line(buffer: &mut [MaybeUninit<u8>]) -> Result<&str, CommandLineError> {
    let capacity = buffer.len();
    let line = arm_compat::sys_get_cmdline_uninit(buffer);
    text(line.map_err(|_| CommandLineError::Refused { capacity })?)
}

/// Seconds since 1970 by the host's clock; wraps in 2106. 0 if the host does not tell.
#[cfg(target_os = "none")]
pub fn host_time() -> u32 {
    // A word, and words of these targets have 32 bits.
    arm_compat::sys_time().ok().and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or_default()
}

/// Fills `buffer` with random bytes from the host's `/dev/urandom`: they are fit for keys.
#[cfg(all(feature = "tls", target_os = "none"))]
pub fn fill_random(buffer: &mut [u8]) -> io::Result<()> {
    File::open(c"/dev/urandom")?.read_exact(buffer)
}

/// Reads a file of the host's into `buffer`, which must have room for more than it, and gives its bytes.
#[cfg(all(feature = "tls", target_os = "none"))]
pub fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut file = File::open(path)?;
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..])? {
            0 => return Ok(&buffer[..filled]),
            n => filled += n,
        }
    }
}

/// Ends the run. Under QEMU the process exits with status 0 for `success` and with 1 otherwise.
#[cfg(target_os = "none")]
pub fn exit(success: bool) -> ! {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }.exit_process()
}

/// Why there is no command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
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

/// The text that the host gave. Hosts differ in whether they count the NUL.
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "only tests call it there"))]
fn text(line: &[u8]) -> Result<&str, CommandLineError> {
    let text = line.strip_suffix(b"\0").unwrap_or(line);
    str::from_utf8(text).map_err(|error| CommandLineError::NotText { offset: error.valid_up_to() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminator_is_not_text_whether_counted_or_not() {
        assert_eq!(text(b"tej x\0"), Ok("tej x"));
        assert_eq!(text(b"tej x"), Ok("tej x"));
        assert_eq!(text(b""), Ok(""));
    }

    #[test]
    fn bytes_that_are_not_text_are_located() {
        assert_eq!(text(b"tej \xff"), Err(CommandLineError::NotText { offset: 4 }));
    }
}
