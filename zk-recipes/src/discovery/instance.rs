//! What a service says of itself.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::uri::UriSpec;

/// What Jackson calls the property that names a payload's class.
pub(super) const CLASS: &str = "@class";

/// One instance of a service: what stands in its node, Curator's `ServiceInstance`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceInstance {
    /// The service's name, one name of a path.
    pub name: String,
    /// The instance's id, one name of a path. An empty one is replaced by a random one when the
    /// instance is registered.
    pub id: String,
    /// Where it is: a host name or an address.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Its port for TLS.
    pub ssl_port: Option<u16>,
    /// Whatever else it says; see [`ServiceInstance::payload_as`]. As it stands in the node, with
    /// the class that Java gave it.
    pub payload: Option<Value>,
    /// When it was registered, in milliseconds since 1970, by the clock of whoever registered it.
    /// This crate reads no wall clock: set it, or leave the 0.
    pub registration_time_ms: i64,
    /// How its node lives.
    pub service_type: ServiceType,
    /// How its address is put together.
    pub uri_spec: Option<UriSpec>,
    /// Whether it is to be used.
    pub enabled: bool,
}

/// How the node of an instance lives.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ServiceType {
    /// With the session that registered it.
    #[default]
    Dynamic,
    /// Until it is deregistered.
    Static,
    /// Until it is deregistered; dropping its registration leaves it.
    Permanent,
    /// With the session, and with a number behind its name. Such instances are read, but cannot be
    /// registered with this crate: each registration would be another instance.
    DynamicSequential,
}

/// Why something is not an instance of a service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// It is not JSON, or nested too deeply.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON, but a field is missing or of another type.
    #[error("no instance: field {0} is missing or of another type")]
    Field(&'static str),
}

impl ServiceInstance {
    /// An instance of a service, with a random id, dynamic and enabled.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            id: String::new(),
            address: None,
            port: None,
            ssl_port: None,
            payload: None,
            registration_time_ms: 0,
            service_type: ServiceType::Dynamic,
            uri_spec: None,
            enabled: true,
        }
    }

    /// The id, in place of a random one. Whoever registers under an id that is taken takes it over.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Where it is.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Its port.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Its port for TLS.
    #[must_use]
    pub const fn ssl_port(mut self, port: u16) -> Self {
        self.ssl_port = Some(port);
        self
    }

    /// When it was registered, in milliseconds since 1970.
    #[must_use]
    pub const fn registration_time_ms(mut self, time: i64) -> Self {
        self.registration_time_ms = time;
        self
    }

    /// How its node lives.
    #[must_use]
    pub const fn service_type(mut self, service_type: ServiceType) -> Self {
        self.service_type = service_type;
        self
    }

    /// How its address is put together.
    #[must_use]
    pub fn uri_spec(mut self, spec: UriSpec) -> Self {
        self.uri_spec = Some(spec);
        self
    }

    /// Whether it is to be used.
    #[must_use]
    pub const fn enabled(mut self, is_enabled: bool) -> Self {
        self.enabled = is_enabled;
        self
    }

    /// What else it says. An object keeps the Java class of the payload before, if there was one.
    ///
    /// # Errors
    /// [`InstanceError::Json`] when the value cannot be written as JSON.
    pub fn payload(mut self, payload: &impl Serialize) -> Result<Self, InstanceError> {
        let class = self.java_class().map(ToOwned::to_owned);
        self.payload = Some(serde_json::to_value(payload)?).filter(|value| !value.is_null());
        Ok(match class {
            Some(class) => self.with_java_class(&class),
            None => self,
        })
    }

    /// What else it says, for readers in Java: an object of this class. Nothing changes unless the
    /// payload is an object.
    #[must_use]
    pub fn with_java_class(mut self, class: &str) -> Self {
        if let Some(Value::Object(fields)) = &mut self.payload {
            fields.insert(CLASS.into(), class.into());
        }
        self
    }

    /// The Java class of the payload, if it names one: in the object itself, or beside a value that
    /// is no object.
    pub fn java_class(&self) -> Option<&str> {
        let payload = self.payload.as_ref()?;
        match payload.as_object() {
            Some(fields) => fields.get(CLASS)?.as_str(),
            None => Some(unwrap(payload)?.0),
        }
    }

    /// What else it says, without the Java class. `None` when it says nothing.
    ///
    /// # Errors
    /// [`InstanceError::Json`] when it is of another type.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<Option<T>, InstanceError> {
        let plain = match &self.payload {
            None => return Ok(None),
            Some(Value::Object(fields)) => {
                let mut fields = fields.clone();
                fields.remove(CLASS);
                Value::Object(fields)
            }
            Some(value) => unwrap(value).map_or(value, |(_, inner)| inner).clone(),
        };
        Ok(Some(serde_json::from_value(plain)?))
    }

    /// Where to call it: what [`ServiceInstance::uri_spec`] makes of it, or
    /// `scheme://address:port`. `None` without an address.
    pub fn uri(&self) -> Option<String> {
        self.address.as_ref()?;
        Some(match &self.uri_spec {
            Some(spec) => spec.build(self),
            None => UriSpec::plain().build(self),
        })
    }
}

/// A value that is no object, as Jackson writes it with its class: `["java.lang.Long",7]`.
fn unwrap(value: &Value) -> Option<(&str, &Value)> {
    match value.as_array()?.as_slice() {
        [Value::String(class), inner] if is_class(class) => Some((class, inner)),
        _ => None,
    }
}

/// Whether a text looks like the name of a Java class: in a package, and with a capital letter.
fn is_class(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || "._$[;".contains(c);
    let name = text.rsplit_once('.').map(|(_, name)| name);
    text.chars().all(is_word) && name.is_some_and(|name| name.starts_with(char::is_uppercase))
}

impl ServiceType {
    pub(super) const ALL: [Self; 4] =
        [Self::Dynamic, Self::Static, Self::Permanent, Self::DynamicSequential];

    /// As Java names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "DYNAMIC",
            Self::Static => "STATIC",
            Self::Permanent => "PERMANENT",
            Self::DynamicSequential => "DYNAMIC_SEQUENTIAL",
        }
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
