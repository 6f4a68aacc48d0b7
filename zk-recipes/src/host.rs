//! What stands in a lock's node when the caller has nothing to say.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::OnceLock,
};

/// This machine's address as text, as Curator writes it. Found once, without sending anything.
pub(crate) fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| outward().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string())
}

/// The address that packets to elsewhere would carry. A socket without connections sends none when
/// it is told its peer; this one's is an address set aside for examples.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
}
