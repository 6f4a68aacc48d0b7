//! Bytes captured from a running Apache ZooKeeper 3.9.5, decoded and encoded again: nothing may
//! change.
//!
//! `golden/client/*.hex` hold conversations of the client port, `golden/txn/*.hex` payloads of the
//! transaction log. Each line is a kind and a frame without its length.

mod captured;

use std::collections::BTreeMap;

use captured::{files, same};
use zk_proto::{
    ErrorCode, Xid,
    client::*,
    jute::{Decode, Reader, encode},
    limits::FRAME_BYTES_MAX_DEFAULT,
    txn::TxnRecord,
};

/// Requests sent to see how they are refused, or that are legal in a form no encoder writes.
const BROKEN_ON_PURPOSE: &[&str] = &[
    "get_data_cut_short",
    "get_data_trailing",
    "get_data_watch_byte_2",
    "half_header",
    "header_only",
    "multi_unknown_kind",
    "multi_without_end",
    "unimplemented_0",
    "unimplemented_10",
    "unimplemented_13",
    "unimplemented_99",
];

#[test]
fn every_captured_message_survives_decoding_and_encoding() {
    let mut failures = Vec::new();
    let mut ops = BTreeMap::new();
    for (name, lines) in files("client") {
        if BROKEN_ON_PURPOSE.contains(&name.as_str()) {
            continue;
        }
        let mut pending = BTreeMap::new();
        for (number, (kind, bytes)) in lines.iter().enumerate() {
            let outcome = match kind.as_str() {
                "connect_request" => same::<ConnectRequest<'_>>(bytes),
                "connect_response" => same::<ConnectResponse<'_>>(bytes),
                "request" => request(bytes).map(|(xid, op)| {
                    pending.insert(xid, op);
                    *ops.entry(op.name()).or_insert(0) += 1;
                }),
                "reply" => reply(bytes, &pending),
                "notification" => notification(bytes),
                other => Err(format!("unknown kind {other}")),
            };
            if let Err(problem) = outcome {
                failures.push(format!("{name}:{number} {kind}: {problem}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let missing: Vec<_> = OpCode::ALL
        .iter()
        .filter(|op| !op.is_internal() && **op != OpCode::Check)
        .filter(|op| !ops.contains_key(op.name()))
        .collect();
    assert!(missing.is_empty(), "no capture of {missing:?}");
}

#[test]
fn what_the_server_could_not_read_we_do_not_read_either() {
    let files = files("client");
    for name in BROKEN_ON_PURPOSE {
        let lines = files.get(*name).unwrap_or_else(|| panic!("no capture {name}"));
        let (_, bytes) = lines.iter().find(|(kind, _)| kind == "request").expect("a request");
        assert!(request(bytes).is_err(), "{name}");
    }
}

#[test]
fn every_captured_transaction_survives_decoding_and_encoding() {
    let mut kinds = BTreeMap::new();
    for (name, lines) in files("txn") {
        for (number, (_, bytes)) in lines.iter().enumerate() {
            let record = TxnRecord::decode(bytes, FRAME_BYTES_MAX_DEFAULT)
                .unwrap_or_else(|error| panic!("{name}:{number}: {error}"));
            assert_eq!(record.header.kind, record.txn.kind(), "{name}:{number}");
            assert_eq!(encode(&record), *bytes, "{name}:{number}");
            *kinds.entry(record.header.kind).or_insert(0) += 1;
        }
    }
    for kind in [-11, -10, -1, 1, 2, 5, 7, 14, 15, 19, 20, 21] {
        assert!(kinds.contains_key(&kind), "no capture of transaction kind {kind}");
    }
}

fn request(bytes: &[u8]) -> Result<(Xid, OpCode), String> {
    let mut reader = Reader::new(bytes);
    let header = RequestHeader::decode(&mut reader).map_err(|error| error.to_string())?;
    let op = OpCode::new(header.op).ok_or_else(|| format!("operation {}", header.op))?;
    let body = reader.rest();
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            same::<CreateRequest<'_>>(body)
        }
        OpCode::CreateTtl => same::<CreateTtlRequest<'_>>(body),
        OpCode::Delete => same::<DeleteRequest<'_>>(body),
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            same::<ReadRequest<'_>>(body)
        }
        OpCode::SetData => same::<SetDataRequest<'_>>(body),
        OpCode::GetAcl | OpCode::Sync | OpCode::GetAllChildrenNumber | OpCode::DeleteContainer => {
            same::<PathRequest<'_>>(body)
        }
        OpCode::SetAcl => same::<SetAclRequest<'_>>(body),
        OpCode::Check => same::<CheckRequest<'_>>(body),
        OpCode::Multi | OpCode::MultiRead => same::<MultiRequest<'_>>(body),
        OpCode::Reconfig => same::<ReconfigRequest<'_>>(body),
        OpCode::CheckWatches | OpCode::RemoveWatches => same::<WatchRemovalRequest<'_>>(body),
        OpCode::Auth => same::<AuthPacket<'_>>(body),
        OpCode::SetWatches => same::<SetWatchesRequest<'_>>(body),
        OpCode::SetWatches2 => same::<SetWatches2Request<'_>>(body),
        OpCode::Sasl => same::<SaslToken<'_>>(body),
        OpCode::GetEphemerals => same::<PrefixRequest<'_>>(body),
        OpCode::AddWatch => same::<AddWatchRequest<'_>>(body),
        OpCode::CreateSession => same::<i32>(body),
        OpCode::Ping | OpCode::WhoAmI | OpCode::CloseSession => empty(body),
    }?;
    Ok((header.xid, op))
}

fn reply(bytes: &[u8], pending: &BTreeMap<Xid, OpCode>) -> Result<(), String> {
    let mut reader = Reader::new(bytes);
    let header = ReplyHeader::decode(&mut reader).map_err(|error| error.to_string())?;
    let op = *pending.get(&header.xid).ok_or_else(|| format!("answers nothing: {header:?}"))?;
    let body = reader.rest();
    if ErrorCode::new(header.error) != ErrorCode::Ok {
        // Two operations carry something behind an error that nobody may read.
        let is_excepted = matches!(op, OpCode::Sasl | OpCode::MultiRead);
        return if is_excepted { Ok(()) } else { empty(body) };
    }
    match op {
        OpCode::Create => same::<CreateResponse<'_>>(body),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            same::<CreateStatResponse<'_>>(body)
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => same::<StatResponse>(body),
        OpCode::GetData | OpCode::Reconfig => same::<DataResponse<'_>>(body),
        OpCode::GetAcl => same::<AclResponse>(body),
        OpCode::GetChildren => same::<ChildrenResponse<'_>>(body),
        OpCode::GetChildren2 => same::<ChildrenStatResponse<'_>>(body),
        OpCode::Sync => same::<PathResponse<'_>>(body),
        OpCode::Multi | OpCode::MultiRead => same::<MultiResponse<'_>>(body),
        OpCode::GetEphemerals => same::<EphemeralsResponse<'_>>(body),
        OpCode::GetAllChildrenNumber => same::<ChildCountResponse>(body),
        OpCode::AddWatch => same::<AddWatchResponse>(body),
        OpCode::WhoAmI => same::<WhoAmIResponse<'_>>(body),
        OpCode::Sasl => same::<SaslToken<'_>>(body),
        OpCode::Delete
        | OpCode::Ping
        | OpCode::Check
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::DeleteContainer
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::CreateSession
        | OpCode::CloseSession => empty(body),
    }
}

fn notification(bytes: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(bytes);
    let header = ReplyHeader::decode(&mut reader).map_err(|error| error.to_string())?;
    if header.xid != Xid::NOTIFICATION {
        return Err(format!("{header:?}"));
    }
    same::<WatcherEvent<'_>>(reader.rest())
}

fn empty(body: &[u8]) -> Result<(), String> {
    if body.is_empty() { Ok(()) } else { Err(format!("{} bytes where none belong", body.len())) }
}
