//! The driver on memory in place of a chip.

use std::boxed::Box;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::vec::Vec;

use embassy_net_driver::{RxToken as _, TxToken as _};

use super::*;

#[test]
fn init_names_what_is_wrong() {
    let chip = Chip::new();
    let init = || Lan9118::init(chip.port, Box::leak(Box::new(Buffers::new()))).err();
    chip.set(BYTE_TEST_OFFSET, 0x4321_8765);
    assert_eq!(init(), Some(InitError::NotResponding { byte_test: 0x4321_8765 }));
    chip.set(BYTE_TEST_OFFSET, BYTE_TEST);
    chip.set(ID_REV, 0x0117_0002);
    assert_eq!(init(), Some(InitError::UnknownChip { id_rev: 0x0117_0002 }));
    chip.set(ID_REV, 0x0118_0001);
    assert_eq!(init(), Some(InitError::NotReady));
    chip.set(PMT_CTRL, 1);
    // Memory keeps the reset bit that a chip clears.
    assert_eq!(init(), Some(InitError::ResetTimeout));
}

#[test]
fn bad_frames_are_thrown_away_whole() {
    let error = 1 << 15;
    for status in [error | 64 << 16, 0, 3 << 16, (13 + 4) << 16, (1515 + 4) << 16, 0x3fff << 16] {
        let chip = Chip::new();
        let mut driver = chip.driver();
        chip.offer_frame(status, 0);
        assert!(driver.receive(&mut Context::from_waker(Waker::noop())).is_none(), "{status:#x}");
        let statistics = chip.port.statistics();
        // Memory offers the frame again when the driver looks once more.
        assert_eq!((statistics.rx_frames, statistics.rx_discarded), (0, 2), "{status:#x}");
        assert_eq!(chip.get(INT_EN), PHY | RX_LEVEL);
    }
}

#[test]
fn good_frames_arrive_without_their_check_sequence() {
    for length in [14, 15, 60, 1513, 1514] {
        let chip = Chip::new();
        let mut driver = chip.driver();
        chip.offer_frame(u32::try_from(length + FCS).unwrap() << 16, u32::from_le_bytes(*b"abcd"));
        let (rx, _) = driver.receive(&mut Context::from_waker(Waker::noop())).unwrap();
        let expected: Vec<u8> = b"abcd".iter().copied().cycle().take(length).collect();
        rx.consume(|frame| assert_eq!(frame, expected));
    }
}

#[test]
fn a_frame_stays_until_it_is_consumed() {
    let chip = Chip::new();
    let mut driver = chip.driver();
    let mut context = Context::from_waker(Waker::noop());
    chip.offer_frame(64 << 16, 7);
    assert!(driver.receive(&mut context).is_some());
    chip.set(RX_FIFO_INF, 0);
    let (rx, _) = driver.receive(&mut context).unwrap();
    rx.consume(|frame| assert_eq!(frame.len(), 60));
    assert!(driver.receive(&mut context).is_none());
    assert_eq!(chip.port.statistics().rx_frames, 1);
}

#[test]
fn without_room_nothing_is_sent_and_the_chip_is_asked_to_tell() {
    let chip = Chip::new();
    let mut driver = chip.driver();
    let mut context = Context::from_waker(Waker::noop());
    chip.set(TX_FIFO_INF, 1523);
    assert!(driver.transmit(&mut context).is_none());
    assert_eq!(chip.get(INT_EN), PHY | TX_AVAILABLE | RX_LEVEL);

    // A token to receive comes with one to send, so the frame waits, and is no news while it does.
    chip.offer_frame(64 << 16, 0);
    chip.set(TX_FIFO_INF, 1523);
    assert!(driver.receive(&mut context).is_none());
    assert_eq!(chip.get(INT_EN), PHY | TX_AVAILABLE);

    chip.set(TX_FIFO_INF, 1524);
    assert!(driver.receive(&mut context).is_some());
    let sent = driver.transmit(&mut context).unwrap().consume(6, |frame| {
        frame.copy_from_slice(b"abcdef");
        frame.len()
    });
    assert_eq!((sent, chip.port.statistics().tx_frames), (6, 1));
    // Memory shows the last word that went into the FIFO.
    assert_eq!(&chip.get(TX_DATA).to_le_bytes()[..2], b"ef");
}

#[test]
fn failed_sends_are_counted() {
    let chip = Chip::new();
    chip.set(TX_FIFO_INF, 3 << 16 | 4608);
    chip.set(TX_STATUS, 1 << 15);
    assert!(chip.driver().transmit(&mut Context::from_waker(Waker::noop())).is_some());
    assert_eq!(chip.port.statistics().tx_errors, 3);
}

#[test]
fn an_interrupt_silences_the_chip_and_wakes_the_task() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }
    let chip = Chip::new();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    assert!(chip.driver().receive(&mut Context::from_waker(&waker)).is_none());
    assert_eq!(chip.get(INT_EN), PHY | RX_LEVEL);
    chip.set(INT_STS, RX_LEVEL);
    chip.port.on_interrupt();
    assert_eq!(chip.get(INT_EN), 0);
    assert!(flag.0.load(Relaxed));
    assert!(!chip.port.link_event.load(Relaxed));
    chip.set(INT_STS, PHY);
    chip.port.on_interrupt();
    assert!(chip.port.link_event.load(Relaxed));
}

#[test]
fn a_phy_that_does_not_answer_leaves_the_link_as_it_was() {
    let chip = Chip::new();
    let mut driver = chip.driver();
    chip.port.link_event.store(true, Relaxed);
    // Memory keeps the busy bit that a chip clears.
    assert!(driver.link_state(&mut Context::from_waker(Waker::noop())) == LinkState::Up);
}

/// Memory in place of a chip: it keeps what is written, and its FIFOs never run empty.
struct Chip {
    port: &'static Port,
    words: &'static [AtomicU32; 0xb4 / WORD],
}

impl Chip {
    fn new() -> Self {
        let words: &'static [AtomicU32; _] = Box::leak(Box::new([const { AtomicU32::new(0) }; _]));
        // SAFETY: the memory is as large as the register block, never freed, and may be written through a
        // shared reference.
        let port = unsafe { Port::new(words.as_ptr().expose_provenance()) };
        Self { port: Box::leak(Box::new(port)), words }
    }

    fn driver(&self) -> Lan9118 {
        let buffers = Box::leak(Box::new(Buffers::new()));
        Lan9118 { port: self.port, buffers, mac_address: [2; 6], link: LinkState::Up, received: 0 }
    }

    fn offer_frame(&self, status: u32, data: u32) {
        self.set(RX_FIFO_INF, 1 << 16);
        self.set(RX_STATUS, status);
        self.set(RX_DATA, data);
        self.set(TX_FIFO_INF, 4608);
    }

    fn set(&self, offset: usize, value: u32) {
        self.words[offset / WORD].store(value, Relaxed);
    }

    fn get(&self, offset: usize) -> u32 {
        self.words[offset / WORD].load(Relaxed)
    }
}

// Offsets and bits once more in figures, so that a slip in the register block is seen.
const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const ID_REV: usize = 0x50;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5c;
const BYTE_TEST_OFFSET: usize = 0x64;
const RX_FIFO_INF: usize = 0x7c;
const TX_FIFO_INF: usize = 0x80;
const PMT_CTRL: usize = 0x84;
const PHY: u32 = 1 << 18;
const TX_AVAILABLE: u32 = 1 << 9;
const RX_LEVEL: u32 = 1 << 3;
