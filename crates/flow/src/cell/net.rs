//! UUIDs and network addresses: between their texts and their bytes.

use super::refuse::CellError;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address families of the binary form (src/include/utils/inet.h).
const FAMILY_4: u8 = 2;
const FAMILY_6: u8 = 3;

/// Reads a UUID with or without its hyphens.
pub fn parse_uuid(text: &str) -> Result<[u8; 16], CellError> {
    let odd = CellError::Form { wanted: "a UUID like 6ba7b810-9dad-11d1-80b4-00c04fd430c8" };
    let hyphens = text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| (b == b'-') == matches!(at, 8 | 13 | 18 | 23));
    if !hyphens && text.len() != 32 {
        return Err(odd);
    }
    let mut digits = text.bytes().filter(|byte| !hyphens || *byte != b'-');
    let mut digit = || digits.next().and_then(|byte| char::from(byte).to_digit(16)).map(|digit| digit as u8);
    let mut out = [0; 16];
    for byte in &mut out {
        *byte = digit().zip(digit()).map(|(high, low)| high << 4 | low).ok_or_else(|| odd.clone())?;
    }
    Ok(out)
}

/// Appends a UUID.
pub fn print_uuid(out: &mut String, bytes: &[u8; 16]) {
    for (at, byte) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
}

/// Reads an address and appends its binary form; a `cidr` has no bits right of its mask.
pub fn encode_address(text: &str, cidr: bool, out: &mut Vec<u8>) -> Result<(), CellError> {
    let odd = CellError::Form { wanted: "an address like 192.0.2.0/24 or 2001:db8::/32" };
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| odd.clone())?;
    let (family, bytes) = match address {
        IpAddr::V4(address) => (FAMILY_4, address.octets().to_vec()),
        IpAddr::V6(address) => (FAMILY_6, address.octets().to_vec()),
    };
    let longest = 8 * bytes.len() as u8;
    let bits = match mask {
        None => longest,
        Some(mask) if mask.bytes().all(|byte| byte.is_ascii_digit()) => {
            mask.parse().ok().filter(|bits| *bits <= longest).ok_or_else(|| odd.clone())?
        }
        Some(_) => return Err(odd),
    };
    let right_of_mask = |(at, byte): (usize, &u8)| {
        let left = usize::from(bits).saturating_sub(8 * at).min(8);
        u32::from(*byte) & (0xFF_u32 >> left) != 0
    };
    if cidr && bytes.iter().enumerate().any(right_of_mask) {
        return Err(CellError::Form { wanted: "a network: it has bits to the right of its mask" });
    }
    out.extend_from_slice(&[family, bits, u8::from(cidr), bytes.len() as u8]);
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends the text of an address: the mask is shown unless it is that of a single host.
pub fn print_address(out: &mut String, bytes: &[u8], cidr: bool) -> Result<(), CellError> {
    let broken = CellError::Broken { wanted: "inet" };
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(broken.clone())?;
    let address = match (head[0], usize::from(head[3]), rest.len()) {
        (FAMILY_4, 4, 4) => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(rest).map_err(|_| broken)?)),
        (FAMILY_6, 16, 16) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(rest).map_err(|_| broken)?)),
        _ => return Err(broken),
    };
    let _ = write!(out, "{address}");
    if cidr || usize::from(head[1]) != 8 * rest.len() {
        let _ = write!(out, "/{}", head[1]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_uuids_come_back() {
        for (text, cidr) in [
            ("192.0.2.1", false),
            ("192.0.2.1/24", false),
            ("192.0.2.0/24", true),
            ("2001:db8::1", false),
            ("::/0", true),
            ("10.0.0.0/32", true),
        ] {
            let mut bytes = Vec::new();
            encode_address(text, cidr, &mut bytes).unwrap();
            let mut shown = String::new();
            print_address(&mut shown, &bytes, cidr).unwrap();
            assert_eq!(shown, text);
        }
        for odd in ["192.0.2.1/24", "192.0.2.0/33", "192.0.2", "::/129", "10.0.0.0/+8", ""] {
            assert!(encode_address(odd, true, &mut Vec::new()).is_err(), "{odd}");
        }
        let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        for text in [uuid.to_owned(), uuid.replace('-', ""), uuid.to_uppercase()] {
            let mut shown = String::new();
            print_uuid(&mut shown, &parse_uuid(&text).unwrap());
            assert_eq!(shown, uuid);
        }
        for odd in [
            "",
            "6ba7b8109dad11d180b400c04fd430c",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
            "6ba7b8109-dad-11d1-80b4-00c04fd430c8",
        ] {
            assert!(parse_uuid(odd).is_err(), "{odd}");
        }
    }
}
