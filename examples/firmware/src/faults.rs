//! How the firmware ends when it goes wrong: with a line in the log, and with QEMU's failure status.
//!
//! Crates exist for panics (panic-probe, panic-semihosting), but none does both: panic-probe logs through defmt
//! and then halts in a fault, so that an emulator runs on for ever, and panic-semihosting writes its text between
//! defmt's frames, which garbles both.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::semihosting;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    once(|| defmt::error!("{}", defmt::Display2Format(info)))
}

/// `defmt::panic!` and its like have logged their message already.
#[defmt::panic_handler]
fn defmt_panic() -> ! {
    semihosting::exit(false)
}

/// Logs and ends the run. A fault inside the logger must not log again.
fn once(log: impl FnOnce()) -> ! {
    static FAILED: AtomicBool = AtomicBool::new(false);
    // Not in one step, which a Cortex-M0 does not have: whoever comes in between does not come back.
    if !FAILED.load(Ordering::Relaxed) {
        FAILED.store(true, Ordering::Relaxed);
        log();
    }
    semihosting::exit(false)
}

/// What the processor calls when an instruction fails or an interrupt has no handler.
#[cfg(target_arch = "arm")]
mod exceptions {
    use cortex_m_rt::{ExceptionFrame, exception};

    use super::once;

    #[exception]
    unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
        once(|| defmt::error!("hard fault at {=u32:#x}, called from {=u32:#x}", frame.pc(), frame.lr()))
    }

    #[exception]
    unsafe fn DefaultHandler(interrupt: i16) -> ! {
        once(|| defmt::error!("no handler for interrupt {}", interrupt))
    }
}

#[cfg(target_arch = "riscv32")]
mod exceptions {
    use riscv::register::{mcause, mepc, mtval};

    use super::once;

    // SAFETY: riscv-rt calls what has this name, with this argument.
    #[unsafe(export_name = "ExceptionHandler")]
    fn on_exception(_: &riscv_rt::TrapFrame) -> ! {
        let [cause, value] = [mcause::read().bits(), mtval::read()];
        once(|| {
            defmt::error!("exception {=usize} at {=usize:#x}, with {=usize:#x}", cause, mepc::read(), value);
        })
    }

    // SAFETY: riscv-rt calls what has this name, without an argument.
    #[unsafe(export_name = "DefaultHandler")]
    fn on_interrupt() -> ! {
        once(|| defmt::error!("no handler for interrupt {=usize}", mcause::read().code()))
    }
}
