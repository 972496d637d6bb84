//! The driver of a serial port with a place for reports: all that the programs touch of the outer world.
//!
//! Never inlined and always there, so that its size is the same in every program and a call costs what it costs.

/// Reads what has arrived, at least one byte and at most a `buffer` full, and gives the part that was filled.
#[inline(never)]
#[unsafe(link_section = ".device")]
pub fn receive(buffer: &mut [u8]) -> &[u8] {
    let mut n = 0;
    for byte in buffer.iter_mut() {
        if n > 0 && !is_ready() {
            break;
        }
        while !is_ready() {}
        // SAFETY: a register.
        *byte = unsafe { (&raw const REGISTERS.data).read_volatile() };
        n += 1;
    }
    buffer.get(..n).unwrap_or_default()
}

/// Writes all of `bytes`.
#[inline(never)]
#[unsafe(link_section = ".device")]
pub fn send(bytes: &[u8]) {
    for &byte in bytes {
        // SAFETY: a register.
        unsafe { (&raw mut REGISTERS.data).write_volatile(byte) };
    }
}

/// Tells a number to whoever is watching.
#[inline(never)]
#[unsafe(link_section = ".device")]
pub fn report(what: u32, value: u64) {
    // SAFETY: registers.
    unsafe {
        (&raw mut REGISTERS.value).write_volatile(value);
        (&raw mut REGISTERS.what).write_volatile(what);
    }
}

/// Whether it has something to read, or room for what is written.
pub fn is_ready() -> bool {
    // SAFETY: a register.
    unsafe { (&raw const REGISTERS.status).read_volatile() != 0 }
}

#[repr(C)]
struct Registers {
    status: u32,
    data: u8,
    what: u32,
    value: u64,
}

unsafe extern "C" {
    static mut REGISTERS: Registers;
}

// Kept in programs that call only a part, and their callers hidden from the optimiser.
#[used]
static RECEIVE: fn(&mut [u8]) -> &[u8] = receive;
#[used]
static SEND: fn(&[u8]) = send;
#[used]
static REPORT: fn(u32, u64) = report;
