//! Firmware for QEMU's `mps2-an385` that has no network: on a processor of 32 bits, a file of more than 4 GiB passes through
//! what counts bytes in tej-core and tej-files, and the stack is no deeper for it.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::{semihosting, stack};
use qemu_mps2_an385::IMAGE;
use tej_apps::large_file;

#[entry]
fn main() -> ! {
    // Of which `entry` makes a reference, for there is one call.
    static mut MEMORY: [u8; PIECE] = [0; PIECE];

    IMAGE.time.start();
    let mut peak = None;
    for size in SIZES {
        if let Err(fault) = large_file::pass(size, MEMORY) {
            defmt::error!("a file of {} bytes: {}", size, fault);
            semihosting::exit(false);
        }
        let first = *peak.get_or_insert(stack::peak());
        if stack::peak() != first {
            defmt::error!("{} bytes of stack for {} bytes, and {} before", stack::peak(), size, first);
            semihosting::exit(false);
        }
    }
    stack::log();
    defmt::info!("all passed");
    semihosting::exit(true)
}

/// The first is as long as a buffer; the others are those about which a number of 32 bits is wrong: 0 is what it has of the
/// second last, and of what is left of the last one at some time.
const SIZES: [u64; 4] = [PIECE as u64, (1 << 32) - 1, 1 << 32, (1 << 32) + 1];

/// Bytes of the longest piece.
const PIECE: usize = 32 * 1024;
