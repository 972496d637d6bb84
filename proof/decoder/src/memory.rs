//! What the compiler expects of an environment, in a form that can be executed symbolically.

use core::{hint, panic::PanicInfo, ptr};

unsafe extern "C" {
    /// Of the C library where the processor runs this; to a solver, what must not be reached.
    safe fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}

/// Answers `value`. A solver splits the path here into one for each value that it can have, so that what follows is
/// concrete. This must stay a function of its own: it is known by its name.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn choose(value: usize) -> usize {
    hint::black_box(value)
}

// The accesses are volatile because a compiler would make a call to these very functions of the loops otherwise.

/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    let mut at = 0;
    // SAFETY: both places have `size` bytes, as the caller promises. They need no alignment on the processors that this is
    // built for, but the language asks for it, so a word is an array of bytes.
    unsafe {
        while size - at >= size_of::<Word>() {
            ptr::write_volatile(to.add(at).cast::<Word>(), ptr::read_volatile(from.add(at).cast::<Word>()));
            at += size_of::<Word>();
        }
        while at < size {
            ptr::write_volatile(to.add(at), ptr::read_volatile(from.add(at)));
            at += 1;
        }
    }
    to
}

/// Bytes that are moved at once.
type Word = [u8; 8];

/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    if to.cast_const() <= from {
        // SAFETY: what the caller promises; each byte is read before it is overwritten.
        return unsafe { memcpy(to, from, size) };
    }
    for i in (0..size).rev() {
        // SAFETY: both places have `size` bytes, as the caller promises.
        unsafe { ptr::write_volatile(to.add(i), ptr::read_volatile(from.add(i))) };
    }
    to
}

/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "C's memset takes its byte so")]
pub(crate) unsafe extern "C" fn memset(to: *mut u8, value: i32, size: usize) -> *mut u8 {
    for i in 0..size {
        // SAFETY: the place has `size` bytes, as the caller promises.
        unsafe { ptr::write_volatile(to.add(i), value as u8) };
    }
    to
}
