//! How the address of an instance is put together.

use super::instance::ServiceInstance;

/// A pattern for an instance's address: text and variables in braces. Curator's `UriSpec`.
///
/// Variables are `scheme` (`https` if there is a port for TLS, else `http`), `name`, `id`,
/// `address`, `port`, `ssl-port`, `registration-time-utc`, `service-type` (in small letters), and
/// `[` and `]` for braces themselves. What is not known is left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UriSpec {
    pub(super) parts: Vec<UriPart>,
}

/// A piece of a [`UriSpec`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct UriPart {
    pub(super) value: String,
    pub(super) is_variable: bool,
}

impl UriSpec {
    /// Reads a pattern such as `{scheme}://{address}:{port}/v2`. A brace without its counterpart is
    /// text.
    // Curator: UriSpec(String)
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((text, variable, behind)) = next_variable(rest) {
            push(&mut parts, text, false);
            push(&mut parts, variable.trim(), true);
            rest = behind;
        }
        push(&mut parts, rest, false);
        Self { parts }
    }

    /// `{scheme}://{address}:{port}`.
    pub(super) fn plain() -> Self {
        Self::new("{scheme}://{address}:{port}")
    }

    /// The address of an instance.
    pub fn build(&self, instance: &ServiceInstance) -> String {
        let parts = self.parts.iter().map(|part| {
            if part.is_variable { value_of(&part.value, instance) } else { part.value.clone() }
        });
        parts.collect()
    }
}

fn push(parts: &mut Vec<UriPart>, value: &str, is_variable: bool) {
    if !value.is_empty() {
        parts.push(UriPart { value: value.into(), is_variable });
    }
}

/// What stands before the next variable, the variable, and what stands behind.
fn next_variable(pattern: &str) -> Option<(&str, &str, &str)> {
    let (text, rest) = pattern.split_once('{')?;
    let (variable, behind) = rest.split_once('}')?;
    Some((text, variable, behind))
}

// Curator: UriSpec.build(ServiceInstance, Map)
fn value_of(variable: &str, instance: &ServiceInstance) -> String {
    let number = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
    match variable {
        "scheme" => if instance.ssl_port.is_some() { "https" } else { "http" }.into(),
        "name" => instance.name.clone(),
        "id" => instance.id.clone(),
        "address" => instance.address.clone().unwrap_or_default(),
        "port" => number(instance.port),
        "ssl-port" => number(instance.ssl_port),
        "registration-time-utc" => instance.registration_time_ms.to_string(),
        "service-type" => instance.service_type.name().to_lowercase(),
        "[" => "{".into(),
        "]" => "}".into(),
        _ => String::new(),
    }
}
