//! Which boot the machine is in, as far as the operating system says.

use std::fs;

use zk_server_core::storage::boot::BootId;

/// Where Linux says it. In a container it is the boot of the machine around it, whose memory
/// outlives the container: that is what counts.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The boot the machine is in; `None` where nobody says.
pub(crate) fn boot() -> Option<BootId> {
    parse(&fs::read_to_string(BOOT_ID).ok()?)
}

/// A number of 128 bits as 32 digits in base 16, in groups.
fn parse(text: &str) -> Option<BootId> {
    let digits: String = text.trim().chars().filter(|&letter| letter != '-').collect();
    let is_plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let raw = u128::from_str_radix(&digits, 16).ok().filter(|&raw| is_plain && raw != 0)?;
    Some(BootId::new(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_a_number_of_thirty_two_digits() {
        let boot = Some(BootId::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
        assert_eq!(parse("01234567-89ab-cdef-0011-223344556677\n"), boot);
    }

    #[test]
    fn anything_else_is_no_boot() {
        let zeros = "00000000-0000-0000-0000-000000000000";
        for text in ["", "\n", "1234", "+1234567-89ab-cdef-0011-223344556677", zeros] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_stays_the_same_while_the_machine_runs() {
        assert_eq!(boot(), boot());
    }
}
