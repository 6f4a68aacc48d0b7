//! Replies with everything taken out that differs between two runs of the same server.

use zk_proto::{
    ErrorCode, SessionId, Stat, WallMillis,
    client::{
        AclResponse, ChildrenResponse, ChildrenStatResponse, ConnectResponse, CreateStatResponse,
        DataResponse, EphemeralsResponse, MultiResponse, MultiResult, OpCode, ReplyHeader,
        StatResponse, WhoAmIResponse,
    },
    jute::{Decode, Encode, Reader, WireStr, encode},
};

/// What stands in place of a session's name.
const SOME_SESSION: SessionId = SessionId::new(0x5e55);

/// The frame of a reply to `op` without times and sessions, unordered lists sorted. A body that is
/// not what the operation answers with stays as it is.
pub fn reply(op: i32, frame: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(frame);
    let Ok(header) = ReplyHeader::decode(&mut reader) else {
        return frame.to_vec();
    };
    let body = reader.rest();
    let is_good = ErrorCode::new(header.error) == ErrorCode::Ok;
    let masked = match OpCode::new(op) {
        Some(op) if is_good => self::body(op, body),
        // What reads had answered before one of them could not be read; nobody may look at it.
        Some(OpCode::MultiRead) => Some(Vec::new()),
        Some(_) | None => None,
    };
    let mut bytes = encode(&header);
    bytes.extend_from_slice(masked.as_deref().unwrap_or(body));
    bytes
}

/// The frame of a connect response without the session's name and password.
pub fn connect_response(frame: &[u8]) -> Vec<u8> {
    let Some(mut response) = exactly::<ConnectResponse<'_>>(frame) else {
        return frame.to_vec();
    };
    if response.session != SessionId::NONE {
        assert_eq!(response.password.map(<[u8]>::len), Some(16), "a password of 16 bytes");
        response.session = SOME_SESSION;
        response.password = Some(b"some password...");
    }
    encode(&response)
}

/// A stat without times and sessions.
pub fn stat(mut stat: Stat) -> Stat {
    for time in [&mut stat.ctime, &mut stat.mtime] {
        if time.get() != 0 {
            *time = WallMillis::new(1);
        }
    }
    if stat.ephemeral_owner != SessionId::NONE {
        stat.ephemeral_owner = SOME_SESSION;
    }
    stat
}

fn body(op: OpCode, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match op {
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            let mut record = exactly::<CreateStatResponse<'_>>(bytes)?;
            record.stat = stat(record.stat);
            encode(&record)
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => {
            encode(&StatResponse { stat: stat(exactly::<StatResponse>(bytes)?.stat) })
        }
        OpCode::GetData | OpCode::Reconfig => {
            let mut record = exactly::<DataResponse<'_>>(bytes)?;
            record.stat = stat(record.stat);
            encode(&record)
        }
        OpCode::GetAcl => {
            let mut record = exactly::<AclResponse>(bytes)?;
            record.stat = stat(record.stat);
            encode(&record)
        }
        OpCode::GetChildren => {
            let mut record = exactly::<ChildrenResponse<'_>>(bytes)?;
            record.children.sort_by_key(|name| name.bytes());
            encode(&record)
        }
        OpCode::GetChildren2 => {
            let mut record = exactly::<ChildrenStatResponse<'_>>(bytes)?;
            record.children.sort_by_key(|name| name.bytes());
            record.stat = stat(record.stat);
            encode(&record)
        }
        OpCode::GetEphemerals => {
            let mut record = exactly::<EphemeralsResponse<'_>>(bytes)?;
            record.paths.sort_by_key(|path| path.bytes());
            encode(&record)
        }
        OpCode::WhoAmI => {
            let mut record = exactly::<WhoAmIResponse<'_>>(bytes)?;
            record.identities.sort_by_key(|one| (one.scheme.bytes(), one.user.bytes()));
            encode(&record)
        }
        OpCode::Multi | OpCode::MultiRead => {
            let record = exactly::<MultiResponse<'_>>(bytes)?;
            encode(&MultiResponse { results: record.results.into_iter().map(result).collect() })
        }
        OpCode::Create
        | OpCode::Delete
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::Sasl
        | OpCode::GetAllChildrenNumber
        | OpCode::SetWatches2
        | OpCode::AddWatch
        | OpCode::CreateSession
        | OpCode::CloseSession => return None,
    })
}

fn result(result: MultiResult<'_>) -> MultiResult<'_> {
    match result {
        MultiResult::Create2(path, of) => MultiResult::Create2(path, stat(of)),
        MultiResult::SetData(of) => MultiResult::SetData(stat(of)),
        MultiResult::GetData(data, of) => MultiResult::GetData(data, stat(of)),
        MultiResult::GetChildren(mut names) => {
            names.sort_by_key(|name: &WireStr<'_>| name.bytes());
            MultiResult::GetChildren(names)
        }
        MultiResult::Create(_)
        | MultiResult::Delete
        | MultiResult::Check
        | MultiResult::Error(_) => result,
    }
}

/// The record, if the bytes are one and nothing else.
fn exactly<'a, T: Decode<'a> + Encode>(bytes: &'a [u8]) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}
