//! Nothing: what the other programs are compared with.

#![no_std]
#![no_main]

use footprint as _;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    loop {}
}
