//! From reset to `main`.

use core::arch::global_asm;

// The initial stack pointer and the first instruction.
#[cfg(target_arch = "arm")]
global_asm!(".section .vectors, \"a\"", ".word _stack_start", ".word start", ".text");

#[cfg(target_arch = "riscv32")]
global_asm!(".section .vectors, \"ax\"", "la sp, _stack_start", "j start", ".text");

unsafe extern "C" {
    static mut _bss_start: u32;
    static mut _bss_end: u32;

    /// What the program does.
    safe fn main() -> !;
}

#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    let mut word = &raw mut _bss_start;
    while word < &raw mut _bss_end {
        // SAFETY: the linker script reserves whole words between the two, and no variable is in use yet. Volatile, so
        // that this does not become a call of `memset`, which would then be missing from the sizes of programs.
        unsafe {
            word.write_volatile(0);
            word = word.add(1);
        }
    }
    main()
}

/// The end of a program that has nothing more to do.
#[expect(clippy::empty_loop, reason = "the smallest there is, to be compared with")]
pub fn stop() -> ! {
    loop {}
}
