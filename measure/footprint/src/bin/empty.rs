//! Does nothing: start code, panic handler and the driver of a serial port, which all programs have.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    footprint::stop()
}
