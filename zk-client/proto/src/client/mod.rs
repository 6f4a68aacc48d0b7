//! Messages of the client port, one file per family.
//!
//! A request frame is a [`RequestHeader`] and the record of its [`OpCode`]; an answer is a
//! [`ReplyHeader`] and, when its error is zero, the record the operation answers with. The first
//! frame each way is the exception: a bare [`ConnectRequest`] and [`ConnectResponse`].

mod auth;
mod children;
mod connect;
mod create;
mod data;
mod header;
mod multi;
mod opcode;
mod watch;

pub use auth::{AuthPacket, SaslToken, WhoAmIResponse};
pub use children::{
    ChildCountResponse, ChildrenResponse, ChildrenStatResponse, EphemeralsResponse, PrefixRequest,
};
pub use connect::{ConnectRequest, ConnectResponse};
pub use create::{
    CreateMode, CreateRequest, CreateResponse, CreateStatResponse, CreateTtlRequest, DeleteRequest,
};
pub use data::{
    AclResponse, CheckRequest, DataResponse, PathRequest, PathResponse, ReadRequest,
    ReconfigRequest, SetAclRequest, SetDataRequest, StatResponse,
};
pub use header::{ReplyHeader, RequestHeader};
pub use multi::{MultiHeader, MultiOp, MultiRequest, MultiResponse, MultiResult};
pub use opcode::OpCode;
pub use watch::{
    AddWatchMode, AddWatchRequest, AddWatchResponse, EventType, KeeperState, SetWatches2Request,
    SetWatchesRequest, WatchRemovalRequest, WatcherEvent, WatcherType,
};
