//! The nodes a load works on: their paths, their values, and request templates.
//!
//! Paths of one kind have one length, so a request is a copy of a template with
//! the xid patched in. A value names the node it was written to and who wrote
//! it, followed by filler that every reader can check:
//!
//! ```text
//! | node u32 | writer u32 | sequence u64 | filler … |
//! ```

use crate::wire::{self, op};

/// Bytes at the head of a value that tell who wrote it where.
pub(crate) const STAMP_BYTES: usize = 16;
/// The node named by values that the do-nothing server gives out for any path.
pub(crate) const ANY_NODE: u32 = u32::MAX;

/// Where a load works and what it writes.
#[derive(Debug)]
pub(crate) struct Layout {
    root: String,
    nodes: u32,
    /// A whole value: a stamp to be overwritten, then the filler.
    value: Vec<u8>,
    /// Framed `getData` requests without and with a watch, one stride per node.
    get: Vec<u8>,
    get_watched: Vec<u8>,
    exists: Vec<u8>,
    /// Framed `setData` requests up to and including the length of the value.
    set: Vec<u8>,
    read_stride: usize,
    set_stride: usize,
}

impl Layout {
    /// Lays out `nodes` nodes below `root`, each with a value of `value_bytes`.
    pub(crate) fn new(root: &str, nodes: u32, value_bytes: usize) -> Self {
        assert!(value_bytes >= STAMP_BYTES, "a value must have room for its stamp");
        assert!(nodes > 0, "a load needs a node");
        let mut layout = Self {
            root: root.to_owned(),
            nodes,
            value: filler(value_bytes),
            get: Vec::new(),
            get_watched: Vec::new(),
            exists: Vec::new(),
            set: Vec::new(),
            read_stride: 0,
            set_stride: 0,
        };
        for node in 0..nodes {
            layout.add_templates(node);
        }
        layout.read_stride = layout.get.len() / nodes as usize;
        layout.set_stride = layout.set.len() / nodes as usize;
        layout
    }

    fn add_templates(&mut self, node: u32) {
        let path = self.path(node);
        for (templates, opcode, watch) in [
            (&mut self.get, op::GET_DATA, 0),
            (&mut self.get_watched, op::GET_DATA, 1),
            (&mut self.exists, op::EXISTS, 0),
        ] {
            wire::put_request(templates, 0, opcode, |out| {
                wire::put_buffer(out, path.as_bytes());
                out.push(watch);
            });
        }
        let mut whole = Vec::new();
        wire::put_request(&mut whole, 0, op::SET_DATA, |out| {
            wire::put_buffer(out, path.as_bytes());
            wire::put_buffer(out, &self.value);
            wire::put_i32(out, -1);
        });
        let head = whole.len() - 4 - self.value.len();
        self.set.extend_from_slice(&whole[..head]);
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(crate) fn nodes(&self) -> u32 {
        self.nodes
    }

    pub(crate) fn value_bytes(&self) -> usize {
        self.value.len()
    }

    /// Path of a node that exists for the whole load.
    pub(crate) fn path(&self, node: u32) -> String {
        format!("{}/n{node:07}", self.root)
    }

    /// Path of a node that one connection creates and deletes again.
    pub(crate) fn passing_path(&self, writer: u32, sequence: u32) -> String {
        format!("{}/c{writer:05}-{sequence:010}", self.root)
    }

    pub(crate) fn put_get(&self, out: &mut Vec<u8>, xid: i32, node: u32) {
        put_patched(out, stride(&self.get, self.read_stride, node), xid);
    }

    pub(crate) fn put_get_watched(&self, out: &mut Vec<u8>, xid: i32, node: u32) {
        put_patched(out, stride(&self.get_watched, self.read_stride, node), xid);
    }

    pub(crate) fn put_exists(&self, out: &mut Vec<u8>, xid: i32, node: u32) {
        put_patched(out, stride(&self.exists, self.read_stride, node), xid);
    }

    pub(crate) fn put_set(&self, out: &mut Vec<u8>, xid: i32, node: u32, writer: u32, seq: u64) {
        put_patched(out, stride(&self.set, self.set_stride, node), xid);
        self.put_value(out, node, writer, seq);
        wire::put_i32(out, -1);
    }

    /// One multi of `count` sets on successive nodes, beginning at `first`.
    pub(crate) fn put_multi(&self, out: &mut Vec<u8>, xid: i32, first: u32, count: u32, seq: u64) {
        wire::put_request(out, xid, op::MULTI, |out| {
            for step in 0..count {
                let node = (first + step) % self.nodes;
                put_multi_header(out, op::SET_DATA, false);
                // The body of a framed request begins after length, xid and opcode.
                out.extend_from_slice(&stride(&self.set, self.set_stride, node)[12..]);
                self.put_value(out, node, 0, seq);
                wire::put_i32(out, -1);
            }
            put_multi_header(out, -1, true);
        });
    }

    pub(crate) fn put_create(&self, out: &mut Vec<u8>, xid: i32, writer: u32, sequence: u32) {
        let path = self.passing_path(writer, sequence);
        wire::put_request(out, xid, op::CREATE, |out| {
            wire::put_create_body(out, &path, b"passing");
        });
    }

    pub(crate) fn put_delete(&self, out: &mut Vec<u8>, xid: i32, writer: u32, sequence: u32) {
        let path = self.passing_path(writer, sequence);
        wire::put_request(out, xid, op::DELETE, |out| {
            wire::put_buffer(out, path.as_bytes());
            wire::put_i32(out, -1);
        });
    }

    /// Appends the value that `writer` stores at `node`.
    pub(crate) fn put_value(&self, out: &mut Vec<u8>, node: u32, writer: u32, sequence: u64) {
        let begin = out.len();
        out.extend_from_slice(&self.value);
        stamp(&mut out[begin..], node, writer, sequence);
    }

    /// Tells whether `value` is one that somebody stored at `node`, whole and untouched.
    pub(crate) fn is_value_of(&self, node: u32, value: &[u8]) -> bool {
        if value.len() != self.value.len() {
            return false;
        }
        let named = [value[0], value[1], value[2], value[3]];
        let named = u32::from_be_bytes(named);
        (named == node || named == ANY_NODE) && value[STAMP_BYTES..] == self.value[STAMP_BYTES..]
    }
}

/// A value that [`Layout::is_value_of`] accepts for every node.
pub(crate) fn value_of_any_node(value_bytes: usize) -> Vec<u8> {
    let mut value = filler(value_bytes);
    stamp(&mut value, ANY_NODE, 0, 0);
    value
}

pub(crate) fn put_multi_header(out: &mut Vec<u8>, kind: i32, is_end: bool) {
    wire::put_i32(out, kind);
    out.push(u8::from(is_end));
    wire::put_i32(out, -1);
}

fn stamp(value: &mut [u8], node: u32, writer: u32, sequence: u64) {
    value[0..4].copy_from_slice(&node.to_be_bytes());
    value[4..8].copy_from_slice(&writer.to_be_bytes());
    value[8..16].copy_from_slice(&sequence.to_be_bytes());
}

/// Bytes that differ from place to place, so that shifted or swapped data is seen.
fn filler(value_bytes: usize) -> Vec<u8> {
    (0_u8..=250).cycle().map(|byte| byte.wrapping_mul(31)).take(value_bytes).collect()
}

fn stride(templates: &[u8], stride: usize, node: u32) -> &[u8] {
    let begin = node as usize * stride;
    &templates[begin..begin + stride]
}

fn put_patched(out: &mut Vec<u8>, template: &[u8], xid: i32) {
    let begin = out.len();
    out.extend_from_slice(template);
    out[begin + 4..begin + 8].copy_from_slice(&xid.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_template_is_the_request_it_stands_for() {
        let layout = Layout::new("/bench", 12, 64);
        let mut templated = Vec::new();
        layout.put_get(&mut templated, 77, 11);

        let mut plain = Vec::new();
        wire::put_request(&mut plain, 77, op::GET_DATA, |out| {
            wire::put_buffer(out, b"/bench/n0000011");
            out.push(0);
        });
        assert_eq!(templated, plain);
    }

    #[test]
    fn a_set_template_is_the_request_it_stands_for() {
        let layout = Layout::new("/bench", 3, 64);
        let mut templated = Vec::new();
        layout.put_set(&mut templated, 5, 2, 9, 4);

        let mut value = Vec::new();
        layout.put_value(&mut value, 2, 9, 4);
        let mut plain = Vec::new();
        wire::put_request(&mut plain, 5, op::SET_DATA, |out| {
            wire::put_buffer(out, b"/bench/n0000002");
            wire::put_buffer(out, &value);
            wire::put_i32(out, -1);
        });
        assert_eq!(templated, plain);
    }

    #[test]
    fn a_value_belongs_to_its_node_only() {
        let layout = Layout::new("/bench", 3, 64);
        let mut value = Vec::new();
        layout.put_value(&mut value, 2, 1, 1);

        assert!(layout.is_value_of(2, &value));
        assert!(!layout.is_value_of(1, &value));
    }

    #[test]
    fn a_value_with_one_wrong_byte_is_seen() {
        let layout = Layout::new("/bench", 3, 64);
        let mut value = Vec::new();
        layout.put_value(&mut value, 2, 1, 1);
        value[40] ^= 1;

        assert!(!layout.is_value_of(2, &value));
        assert!(!layout.is_value_of(2, &value[..63]));
    }

    #[test]
    fn the_canned_value_belongs_to_every_node() {
        let layout = Layout::new("/bench", 3, 64);

        assert!(layout.is_value_of(1, &value_of_any_node(64)));
        assert!(!layout.is_value_of(1, &value_of_any_node(65)));
    }
}
