//! What all of the measured programs have, the empty one included: start code, a panic handler and a driver.
//!
//! Each program under `src/bin` is a small firmware that does one thing with `tej-core`. What `tej-core` costs is its
//! size less that of the program `empty`. Nothing of it can be optimised away, because all the input comes from
//! registers and everything that is found out goes to registers.

#![no_std]

pub mod asynchronous;
pub mod decoding;
pub mod device;
pub mod encoding;
pub mod opaque;
pub mod port;
mod start;

pub use start::stop;

/// A zeroed array of the program's own. Use it in `main` itself, which runs once.
#[macro_export]
macro_rules! buffer {
    ($len:literal) => {{
        static mut BUFFER: [u8; $len] = [0; $len];
        // SAFETY: `main` runs once, so this is the only reference.
        unsafe { &mut *(&raw mut BUFFER) }
    }};
}

/// A decoder with constant limits, in a static, where firmware keeps what it needs from start to end. Use it in `main`
/// itself, which runs once.
#[macro_export]
macro_rules! decoder {
    () => {{
        static mut DECODER: tej_core::Decoder<[u8; 64], tej_core::DefaultLimits> =
            tej_core::Decoder::new([0; 64], tej_core::DefaultLimits);
        // SAFETY: `main` runs once, so this is the only reference.
        unsafe { &mut *(&raw mut DECODER) }
    }};
}

/// A variable of the size of each type, under the type's name in the results.
#[macro_export]
macro_rules! sizes {
    ($($name:literal: $type:ty,)*) => {$(
        const _: () = {
            #[used]
            #[unsafe(export_name = concat!("ram/", $name))]
            static SIZE: [u8; size_of::<$type>()] = [0; size_of::<$type>()];
        };
    )*};
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "no-panic")]
    {
        unsafe extern "C" {
            safe fn a_panic_is_left() -> !;
        }
        a_panic_is_left()
    }
    #[cfg(not(feature = "no-panic"))]
    stop()
}
