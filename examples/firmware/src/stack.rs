//! How much of the stack has been used, by the paint on it: cortex-m-rt puts it there before `main`, elsewhere `main` does.

use core::ptr;

#[cfg(target_arch = "arm")]
use cortex_m_rt::STACK_PAINT_VALUE;

/// Paints what is free of the stack. To be called first in `main`, with interrupts masked.
// In a frame of its own: in that of `main`, what `main` has would lie below `here`, and be painted over.
#[cfg(not(target_arch = "arm"))]
#[inline(never)]
pub fn paint() {
    let (end, _) = bounds();
    let here = 0_u32;
    let top = ptr::from_ref(&here).expose_provenance().saturating_sub(UNPAINTED);
    for address in (end..top).step_by(size_of::<u32>()) {
        // SAFETY: `bounds` gives an aligned range of RAM that is the stack's alone, and below what is in use of it nobody
        // has anything.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(STACK_PAINT_VALUE) };
    }
}

/// Logs the peak and the size.
pub fn log() {
    defmt::info!("stack peak {=usize} of {=usize} B", peak(), size());
}

/// The most bytes that the stack has held since reset.
///
/// It is found from the far end: the first word without paint is the deepest that anything was written. Space
/// that a function reserved but never wrote at its end is not seen. A result equal to [`size`] means that
/// the stack has most likely run into the statics below it.
pub fn peak() -> usize {
    let (end, start) = bounds();
    let painted = (end..start).step_by(size_of::<u32>()).take_while(|&address| {
        let word = ptr::with_exposed_provenance::<u32>(address);
        // SAFETY: `bounds` gives an aligned range of RAM that is the stack's alone, and `address` is inside it. Volatile,
        // because what is read there are other functions' frames and not objects of this one.
        unsafe { word.read_volatile() == STACK_PAINT_VALUE }
    });
    start - end - painted.count() * size_of::<u32>()
}

/// Bytes from the initial stack pointer down to the last static: what the linker left to the stack.
pub fn size() -> usize {
    let (end, start) = bounds();
    start - end
}

/// Lowest address of the stack and the address just above it.
fn bounds() -> (usize, usize) {
    // Places that the linker script names; nothing is stored in them.
    unsafe extern "C" {
        static _stack_end: [u32; 0];
        static _stack_start: [u32; 0];
    }
    (ptr::addr_of!(_stack_end).expose_provenance(), ptr::addr_of!(_stack_start).expose_provenance())
}

/// As cortex-m-rt has it.
#[cfg(not(target_arch = "arm"))]
const STACK_PAINT_VALUE: u32 = 0xcccc_cccc;

/// Bytes below a variable of `paint` that may be in use.
#[cfg(not(target_arch = "arm"))]
const UNPAINTED: usize = 256;
