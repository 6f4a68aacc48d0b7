//! How Curator packs what it puts into a queue: pure bytes.
//!
//! ```text
//!   00 01 00 01   01 <length> <bytes>   01 <length> <bytes>   02
//!   version       item                  item                  end
//! ```
// Curator: ItemSerializer

use bytes::Bytes;

/// The only version there is.
const VERSION: [u8; 4] = [0, 1, 0, 1];

/// Before an item.
const ITEM: u8 = 1;

/// After the last item.
const END: u8 = 2;

/// One item, packed.
pub(super) fn pack(item: &[u8]) -> Option<Vec<u8>> {
    let length = i32::try_from(item.len()).ok()?.to_be_bytes();
    Some([&VERSION, &[ITEM][..], &length, item, &[END]].concat())
}

/// The items of a pack; `None` for anything else.
pub(super) fn unpack(data: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = data.strip_prefix(&VERSION).map(|rest| data.slice_ref(rest))?;
    let mut items = Vec::new();
    loop {
        let (&kind, after) = rest.split_first()?;
        match kind {
            END => return Some(items),
            ITEM => {
                let (length, after) = after.split_first_chunk()?;
                let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
                let (item, after) = after.split_at_checked(length)?;
                items.push(rest.slice_ref(item));
                rest = rest.slice_ref(after);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"\x00\x01\x00\x01\x01\x00\x00\x00\x05hello\x02";

    #[test]
    fn an_item_is_packed_as_curator_packs_it() {
        assert_eq!(pack(b"hello").as_deref(), Some(HELLO));
        assert_eq!(unpack(&Bytes::from_static(HELLO)), Some(vec![Bytes::from_static(b"hello")]));
    }

    #[test]
    fn a_pack_may_hold_several_items_or_none() {
        let two = b"\x00\x01\x00\x01\x01\x00\x00\x00\x01a\x01\x00\x00\x00\x00\x02";
        let items = unpack(&Bytes::from_static(two)).expect("two items");
        assert_eq!(items, [&b"a"[..], b""]);
        assert_eq!(unpack(&Bytes::from_static(b"\x00\x01\x00\x01\x02")), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_is_no_pack() {
        for end in 0..HELLO.len() {
            assert_eq!(unpack(&Bytes::from_static(&HELLO[..end])), None, "{end}");
        }
        for data in [
            &b"\x00\x01\x00\x02\x02"[..],
            b"\x00\x01\x00\x01\x03",
            b"\x00\x01\x00\x01\x01\xff\xff\xff\xffhello\x02",
            b"\x00\x01\x00\x01\x01\x7f\xff\xff\xffhello\x02",
        ] {
            assert_eq!(unpack(&Bytes::copy_from_slice(data)), None, "{data:?}");
        }
    }
}
