//! What lies behind the register block: the registers of the MAC, and behind those the ones of the PHY.
//!
//! Every access takes several steps with a wait in between; `None` is an end that stayed busy for too long.

use embassy_net_driver::LinkState;
use tock_registers::LocalRegisterCopy;
use tock_registers::fields::FieldValue;
use tock_registers::interfaces::{Readable, Writeable};

use super::registers::{MacControl, MacCsrCmd, MiiAccess, PhyAbility, PhyControl, PhyInterrupts, PhyStatus};
use super::{POLLS, Port, poll};

impl Port {
    /// The address that the chip has loaded from its EEPROM.
    pub(super) fn mac_address(&self) -> Option<[u8; 6]> {
        let [a, b, c, d] = self.read_mac(MAC_ADDRL)?.to_le_bytes();
        let [e, f, _, _] = self.read_mac(MAC_ADDRH)?.to_le_bytes();
        Some([a, b, c, d, e, f])
    }

    /// Lets the PHY agree upon speed and duplex with its partner, and report when it has or when the link is lost.
    pub(super) fn start_negotiation(&self) -> Option<()> {
        let events = PhyInterrupts::AUTO_NEGOTIATION_DONE::SET + PhyInterrupts::LINK_DOWN::SET;
        self.write_phy(PHY_INTERRUPT_MASK, events.into())?;
        let restart = PhyControl::AUTO_NEGOTIATION::SET + PhyControl::RESTART_AUTO_NEGOTIATION::SET;
        self.write_phy(PHY_CONTROL, restart.into())
    }

    /// Acknowledges what the PHY has reported and reads the state of the link.
    pub(super) fn update_link(&self) -> Option<LinkState> {
        self.read_phy(PHY_INTERRUPT_SOURCE)?;
        // A link that was lost stays reported as lost until read once.
        self.read_phy(PHY_STATUS)?;
        let status = LocalRegisterCopy::<u16, PhyStatus::Register>::new(self.read_phy(PHY_STATUS)?);
        Some(if status.is_set(PhyStatus::LINK_UP) { LinkState::Up } else { LinkState::Down })
    }

    /// Enables both directions, in the duplex mode that the ends have agreed upon.
    pub(super) fn enable_mac(&self) -> Option<()> {
        let mut control = MacControl::TX_ENABLE::SET + MacControl::RX_ENABLE::SET;
        if self.is_full_duplex()? {
            control += MacControl::FULL_DUPLEX::SET;
        }
        self.write_mac(MAC_CR, control.into())
    }

    fn is_full_duplex(&self) -> Option<bool> {
        let common = self.read_phy(PHY_ADVERTISED)? & self.read_phy(PHY_PARTNER)?;
        let common = LocalRegisterCopy::<u16, PhyAbility::Register>::new(common);
        // In the order of preference of IEEE 802.3, annex 28B.3.
        Some(if common.is_set(PhyAbility::FULL_DUPLEX_100) {
            true
        } else if common.is_set(PhyAbility::HALF_DUPLEX_100) {
            false
        } else {
            common.is_set(PhyAbility::FULL_DUPLEX_10)
        })
    }

    /// Reads a register of the MAC.
    fn read_mac(&self, address: u32) -> Option<u32> {
        self.command_mac(address, MacCsrCmd::DIRECTION::Read)?;
        Some(self.registers().mac_csr_data.get())
    }

    /// Writes a register of the MAC.
    fn write_mac(&self, address: u32, value: u32) -> Option<()> {
        self.registers().mac_csr_data.set(value);
        self.command_mac(address, MacCsrCmd::DIRECTION::Write)
    }

    fn command_mac(&self, address: u32, direction: FieldValue<u32, MacCsrCmd::Register>) -> Option<()> {
        let command = &self.registers().mac_csr_cmd;
        command.write(MacCsrCmd::BUSY::SET + direction + MacCsrCmd::ADDRESS.val(address));
        poll(|| !command.is_set(MacCsrCmd::BUSY)).then_some(())
    }

    /// Reads a register of the PHY.
    fn read_phy(&self, register: u32) -> Option<u16> {
        self.command_phy(register, MiiAccess::DIRECTION::Read)?;
        let [low, high, _, _] = self.read_mac(MAC_MII_DATA)?.to_le_bytes();
        Some(u16::from_le_bytes([low, high]))
    }

    /// Writes a register of the PHY.
    fn write_phy(&self, register: u32, value: u16) -> Option<()> {
        self.write_mac(MAC_MII_DATA, value.into())?;
        self.command_phy(register, MiiAccess::DIRECTION::Write)
    }

    fn command_phy(&self, register: u32, direction: FieldValue<u32, MiiAccess::Register>) -> Option<()> {
        let command = MiiAccess::PHY_ADDRESS::Internal
            + MiiAccess::REGISTER.val(register)
            + direction
            + MiiAccess::BUSY::SET;
        self.write_mac(MAC_MII_ACC, command.into())?;
        for _ in 0..POLLS {
            if !LocalRegisterCopy::new(self.read_mac(MAC_MII_ACC)?).is_set(MiiAccess::BUSY) {
                return Some(());
            }
        }
        None
    }
}

/// Registers of the MAC.
const MAC_CR: u32 = 1;
const MAC_ADDRH: u32 = 2;
const MAC_ADDRL: u32 = 3;
const MAC_MII_ACC: u32 = 6;
const MAC_MII_DATA: u32 = 7;

/// Registers of the PHY.
const PHY_CONTROL: u32 = 0;
const PHY_STATUS: u32 = 1;
const PHY_ADVERTISED: u32 = 4;
const PHY_PARTNER: u32 = 5;
const PHY_INTERRUPT_SOURCE: u32 = 29;
const PHY_INTERRUPT_MASK: u32 = 30;
