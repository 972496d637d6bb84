//! Nothing: what the other programs are compared with.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    footprint::stop()
}
