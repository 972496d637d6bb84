//! How much of the stack has been used, by the paint that cortex-m-rt puts on it before `main`.

use core::ptr;

use cortex_m_rt::STACK_PAINT_VALUE;

/// The most bytes that the stack has held since reset.
///
/// It is found from the far end: the first word without paint is the deepest that anything was written. Space
/// that a function reserved but never wrote at its end is not seen. A result equal to [`size`] means that
/// the stack has most likely run into the statics below it.
pub fn peak() -> usize {
    let (end, start) = bounds();
    let mut word = end;
    // SAFETY: `bounds` gives an aligned range of RAM that is the stack's alone, and the loop stays inside it.
    // Volatile, because what is read there are other functions' frames and not objects of this one.
    while word < start && unsafe { word.read_volatile() } == STACK_PAINT_VALUE {
        // SAFETY: `word` is below `start`, so the next one is inside the range or at its end.
        word = unsafe { word.add(1) };
    }
    start as usize - word as usize
}

/// Bytes from the initial stack pointer down to the last static: what the linker left to the stack.
pub fn size() -> usize {
    let (end, start) = bounds();
    start as usize - end as usize
}

/// Lowest address of the stack and the address just above it.
fn bounds() -> (*const u32, *const u32) {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    (ptr::addr_of!(_stack_end), ptr::addr_of!(_stack_start))
}
