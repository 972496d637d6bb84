//! An Ethernet address for a board that was not given one.

/// An Ethernet address for this device alone, from a number that no other device has, as flash chips and
/// microcontrollers carry one.
///
/// It is locally administered, as addresses must be that nobody bought: two devices have the same one with a chance of
/// 1 in 2⁴⁰. The same number makes the same address at each start, so that a DHCP server knows the device again.
#[must_use]
pub fn hardware_address(unique: &[u8]) -> [u8; 6] {
    // FNV-1a: the bytes that differ between two chips of a wafer may be any.
    let hash = unique.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [LOCAL, a ^ f, b ^ g, c ^ h, d, e]
}

/// Locally administered, and of one station.
const LOCAL: u8 = 0b10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_an_address_of_its_own() {
        let mut chip = *b"\x25\x00\x3f\x00\x0e\x51\x30\x32\x30\x35\x38\x36";
        let first = hardware_address(&chip);
        assert_eq!(hardware_address(&chip), first);
        for byte in 0..chip.len() {
            chip[byte] ^= 1;
            let other = hardware_address(&chip);
            assert_ne!(other, first);
            assert_eq!(other[0] & 0b11, 0b10, "locally administered, not multicast");
            chip[byte] ^= 1;
        }
    }
}
