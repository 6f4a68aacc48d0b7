//! Faults a test asks for: requests and replies that get lost.

use zk_proto::{
    Xid,
    client::{MultiRequest, OpCode, RequestHeader},
    jute::{Decode as _, Reader},
};

/// Whether the server had carried a request out when its connection broke.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Applied {
    /// It had: only the reply is lost.
    Yes,
    /// It had not: the request itself is lost.
    No,
}

/// One reply to be lost.
#[derive(Clone, Debug)]
pub(crate) struct LostReply {
    pub(crate) op: OpCode,
    /// The request's path is this one or lies below it.
    pub(crate) under: Box<str>,
    /// Matching requests to let pass first.
    pub(crate) skip: usize,
    pub(crate) applied: Applied,
}

/// What is to become of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It is not carried out and its connection breaks.
    LoseRequest,
    /// It is carried out, and the connection breaks before the reply with this number.
    LoseReply(Xid),
}

/// The faults still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: Vec<LostReply>,
}

impl Faults {
    pub(crate) fn add(&mut self, lost: LostReply) {
        self.waiting.push(lost);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a request is the one a fault waits for; that fault is then used up.
    pub(crate) fn judge(&mut self, frame: &[u8]) -> Option<Fault> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).ok()?;
        let op = OpCode::new(header.op)?;
        let hit = self.waiting.iter_mut().position(|lost| {
            let is_meant = lost.op == op && is_under(op, reader.clone(), &lost.under);
            let is_due = is_meant && lost.skip == 0;
            if is_meant && !is_due {
                lost.skip -= 1;
            }
            is_due
        })?;
        Some(match self.waiting.remove(hit).applied {
            Applied::No => Fault::LoseRequest,
            Applied::Yes => Fault::LoseReply(header.xid),
        })
    }
}

/// Whether a request concerns `under` or something below it; one without a path always does.
fn is_under(op: OpCode, mut body: Reader<'_>, under: &str) -> bool {
    match op {
        OpCode::Multi | OpCode::MultiRead => {
            let Ok(request) = MultiRequest::decode(&mut body) else {
                return false;
            };
            request.ops.iter().any(|op| {
                let bytes = zk_proto::jute::encode(op);
                // Every operation begins with a header of nine bytes and the path.
                let path = bytes.get(9..).map(Reader::new);
                path.is_some_and(|mut path| begins_under(&mut path, under))
            })
        }
        OpCode::Ping
        | OpCode::Auth
        | OpCode::Sasl
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::WhoAmI
        | OpCode::CreateSession
        | OpCode::CloseSession
        | OpCode::Reconfig => true,
        OpCode::Create
        | OpCode::Create2
        | OpCode::CreateContainer
        | OpCode::CreateTtl
        | OpCode::Delete
        | OpCode::DeleteContainer
        | OpCode::Exists
        | OpCode::GetData
        | OpCode::SetData
        | OpCode::GetAcl
        | OpCode::SetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Sync
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch => begins_under(&mut body, under),
    }
}

fn begins_under(body: &mut Reader<'_>, under: &str) -> bool {
    let Ok(path) = body.text() else {
        return false;
    };
    let below = path.strip_prefix(under.trim_end_matches('/'));
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Where the reply to `xid` begins in a buffer of whole frames that starts at `start`.
pub(crate) fn find_reply(bytes: &[u8], start: usize, xid: Xid) -> Option<usize> {
    let mut at = start;
    loop {
        let mut reader = Reader::new(bytes.get(at..)?);
        let length = usize::try_from(reader.i32().ok()?).ok()?;
        if reader.i32().ok()? == xid.get() {
            return Some(at);
        }
        at = at.checked_add(4)?.checked_add(length)?;
    }
}

#[cfg(test)]
mod tests {
    use zk_proto::{Version, client::DeleteRequest, jute::Encode as _, jute::Writer};

    use super::*;

    fn delete(xid: i32, path: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        RequestHeader { xid: Xid::new(xid), op: OpCode::Delete.get() }.encode(&mut writer);
        DeleteRequest { path: path.into(), version: Version::ANY }.encode(&mut writer);
        writer.into_vec()
    }

    fn faults(under: &str, skip: usize, applied: Applied) -> Faults {
        let mut faults = Faults::default();
        faults.add(LostReply { op: OpCode::Delete, under: under.into(), skip, applied });
        faults
    }

    #[test]
    fn the_nth_request_below_a_path_is_hit_once() {
        let mut faults = faults("/locks", 1, Applied::Yes);
        assert_eq!(faults.judge(&delete(1, "/other")), None);
        assert_eq!(faults.judge(&delete(2, "/locksmith")), None);
        assert_eq!(faults.judge(&delete(3, "/locks/a")), None, "the first passes");
        let hit = faults.judge(&delete(4, "/locks"));
        assert_eq!(hit, Some(Fault::LoseReply(Xid::new(4))));
        assert!(faults.is_empty());
    }

    #[test]
    fn the_root_stands_for_everything() {
        assert_eq!(faults("/", 0, Applied::No).judge(&delete(1, "/a")), Some(Fault::LoseRequest));
    }

    #[test]
    fn a_reply_is_found_between_others() {
        let mut writer = Writer::new();
        for xid in [-1, 7, 8] {
            writer.frame(|writer| {
                writer.i32(xid);
                writer.i64(0);
            });
        }
        assert_eq!(find_reply(writer.as_slice(), 0, Xid::new(7)), Some(16));
        assert_eq!(find_reply(writer.as_slice(), 16, Xid::new(8)), Some(32));
        assert_eq!(find_reply(writer.as_slice(), 32, Xid::new(7)), None);
    }
}
