//! The register block of the LAN9118 family, and the names of the fields that the driver uses.
//!
//! Names are the data sheet's ("LAN9118 High Performance Single-Chip 10/100 Non-PCI Ethernet Controller",
//! chapter 5), spelt out where its abbreviation says nothing.

use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_structs! {
    pub(super) Registers {
        (0x00 => pub(super) rx_data: ReadOnly<u32>),
        (0x04 => _rx_data_aliases),
        (0x20 => pub(super) tx_data: WriteOnly<u32>),
        (0x24 => _tx_data_aliases),
        (0x40 => pub(super) rx_status: ReadOnly<u32, RxStatus::Register>),
        // QEMU 7.2 indexes the peek register wrongly: a status is popped, never peeked at.
        (0x44 => _rx_status_peek),
        (0x48 => pub(super) tx_status: ReadOnly<u32, TxStatus::Register>),
        (0x4c => _tx_status_peek),
        (0x50 => pub(super) id_rev: ReadOnly<u32, IdRev::Register>),
        (0x54 => pub(super) irq_cfg: ReadWrite<u32, IrqCfg::Register>),
        (0x58 => pub(super) int_sts: ReadWrite<u32, Interrupts::Register>),
        (0x5c => pub(super) int_en: ReadWrite<u32, Interrupts::Register>),
        (0x60 => _reserved_60),
        (0x64 => pub(super) byte_test: ReadOnly<u32>),
        (0x68 => pub(super) fifo_int: ReadWrite<u32, FifoInt::Register>),
        (0x6c => pub(super) rx_cfg: ReadWrite<u32>),
        (0x70 => pub(super) tx_cfg: ReadWrite<u32, TxCfg::Register>),
        (0x74 => pub(super) hw_cfg: ReadWrite<u32, HwCfg::Register>),
        (0x78 => _rx_dp_ctl),
        (0x7c => pub(super) rx_fifo_inf: ReadOnly<u32, RxFifoInf::Register>),
        (0x80 => pub(super) tx_fifo_inf: ReadOnly<u32, TxFifoInf::Register>),
        (0x84 => pub(super) pmt_ctrl: ReadWrite<u32, PmtCtrl::Register>),
        (0x88 => _gpio_timers_word_swap),
        (0xa0 => pub(super) rx_drop: ReadOnly<u32>),
        (0xa4 => pub(super) mac_csr_cmd: ReadWrite<u32, MacCsrCmd::Register>),
        (0xa8 => pub(super) mac_csr_data: ReadWrite<u32>),
        (0xac => _afc_cfg),
        (0xb0 => pub(super) e2p_cmd: ReadWrite<u32, E2pCmd::Register>),
        (0xb4 => @END),
    }
}

register_bitfields![u32,
    /// Status word of a received frame.
    pub(super) RxStatus [
        /// Length in bytes, frame check sequence included.
        PACKET_LENGTH OFFSET(16) NUMBITS(14) [],
        /// Any of: length, runt, too long, collision, watchdog, MII, CRC.
        ERROR_SUMMARY OFFSET(15) NUMBITS(1) [],
    ],
    /// Status word of a sent frame.
    pub(super) TxStatus [
        ERROR_SUMMARY OFFSET(15) NUMBITS(1) [],
    ],
    pub(super) IdRev [
        CHIP_ID OFFSET(16) NUMBITS(16) [
            Lan9118 = 0x0118,
            Lan9220 = 0x9220,
        ],
        REVISION OFFSET(0) NUMBITS(16) [],
    ],
    pub(super) IrqCfg [
        ENABLE OFFSET(8) NUMBITS(1) [],
        POLARITY OFFSET(4) NUMBITS(1) [ActiveLow = 0, ActiveHigh = 1],
        BUFFER OFFSET(0) NUMBITS(1) [OpenDrain = 0, PushPull = 1],
    ],
    /// INT_STS (write one to clear) and INT_EN share their layout.
    pub(super) Interrupts [
        PHY OFFSET(18) NUMBITS(1) [],
        /// More free bytes in the TX data FIFO than FIFO_INT asks for.
        TX_DATA_AVAILABLE OFFSET(9) NUMBITS(1) [],
        /// More frames in the RX status FIFO than FIFO_INT asks for.
        RX_STATUS_LEVEL OFFSET(3) NUMBITS(1) [],
    ],
    pub(super) FifoInt [
        /// In units of 64 bytes.
        TX_DATA_AVAILABLE_LEVEL OFFSET(24) NUMBITS(8) [],
        RX_STATUS_LEVEL OFFSET(0) NUMBITS(8) [],
    ],
    pub(super) TxCfg [
        ENABLE OFFSET(1) NUMBITS(1) [],
    ],
    pub(super) HwCfg [
        /// "Must be one" in the data sheet; drivers call it store-and-forward.
        MUST_BE_ONE OFFSET(20) NUMBITS(1) [],
        /// KiB of the 16 KiB buffer memory that belong to the transmitter.
        TX_FIFO_KIB OFFSET(16) NUMBITS(4) [],
        SOFT_RESET OFFSET(0) NUMBITS(1) [],
    ],
    pub(super) RxFifoInf [
        /// Frames whose status waits.
        STATUS_USED OFFSET(16) NUMBITS(8) [],
        /// Bytes of the data FIFO in use.
        DATA_USED OFFSET(0) NUMBITS(16) [],
    ],
    pub(super) TxFifoInf [
        STATUS_USED OFFSET(16) NUMBITS(8) [],
        /// Bytes of the data FIFO that are free.
        DATA_FREE OFFSET(0) NUMBITS(16) [],
    ],
    pub(super) PmtCtrl [
        READY OFFSET(0) NUMBITS(1) [],
    ],
    pub(super) MacCsrCmd [
        BUSY OFFSET(31) NUMBITS(1) [],
        DIRECTION OFFSET(30) NUMBITS(1) [Write = 0, Read = 1],
        ADDRESS OFFSET(0) NUMBITS(8) [],
    ],
    pub(super) E2pCmd [
        BUSY OFFSET(31) NUMBITS(1) [],
    ],
    /// First word in front of a frame in the TX data FIFO.
    pub(super) TxCommandA [
        FIRST_SEGMENT OFFSET(13) NUMBITS(1) [],
        LAST_SEGMENT OFFSET(12) NUMBITS(1) [],
        BUFFER_SIZE OFFSET(0) NUMBITS(11) [],
    ],
    /// Second word in front of a frame in the TX data FIFO.
    pub(super) TxCommandB [
        PACKET_LENGTH OFFSET(0) NUMBITS(11) [],
    ],
    /// MAC_CR, reached through MAC_CSR_CMD.
    pub(super) MacControl [
        FULL_DUPLEX OFFSET(20) NUMBITS(1) [],
        TX_ENABLE OFFSET(3) NUMBITS(1) [],
        RX_ENABLE OFFSET(2) NUMBITS(1) [],
    ],
    /// MII_ACC, reached through MAC_CSR_CMD.
    pub(super) MiiAccess [
        PHY_ADDRESS OFFSET(11) NUMBITS(5) [Internal = 1],
        REGISTER OFFSET(6) NUMBITS(5) [],
        DIRECTION OFFSET(1) NUMBITS(1) [Read = 0, Write = 1],
        BUSY OFFSET(0) NUMBITS(1) [],
    ],
];

register_bitfields![u16,
    pub(super) PhyControl [
        AUTO_NEGOTIATION OFFSET(12) NUMBITS(1) [],
        RESTART_AUTO_NEGOTIATION OFFSET(9) NUMBITS(1) [],
    ],
    pub(super) PhyStatus [
        LINK_UP OFFSET(2) NUMBITS(1) [],
    ],
    /// What this end advertises and what the partner is able to do share their layout.
    pub(super) PhyAbility [
        FULL_DUPLEX_100 OFFSET(8) NUMBITS(1) [],
        HALF_DUPLEX_100 OFFSET(7) NUMBITS(1) [],
        FULL_DUPLEX_10 OFFSET(6) NUMBITS(1) [],
    ],
    pub(super) PhyInterrupts [
        AUTO_NEGOTIATION_DONE OFFSET(6) NUMBITS(1) [],
        LINK_DOWN OFFSET(4) NUMBITS(1) [],
    ],
];
