//! Avro on the wire: schema ids from the registry, bodies by the contracts.

use crate::config::RegistryConfig;
use crate::{kafka, pieces};
use bytes::Bytes;
use foldhash::fast::RandomState;
use processor::{Code, Reason};
use schema_registry_converter::async_impl::schema_registry::{SrSettings, get_schema_by_id, post_schema};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use schemas::codec::{CodecError, FrameError, WriterSchema};
use schemas::{Event, TopicInfo};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;

/// Most writer schemas kept compiled.
const WRITERS_MAX: usize = 10_000;

/// The schema that a value was written with, and its body.
pub type Opened<'a> = (Arc<WriterSchema>, &'a [u8]);

/// Encodes events and finds the schema that a record was written with. Shared by all loops of a process.
pub struct Codec {
    /// None when all schemas were given at the start.
    settings: Option<SrSettings>,
    ids: RwLock<HashMap<&'static str, u32, RandomState>>,
    writers: RwLock<HashMap<u32, Arc<WriterSchema>, RandomState>>,
}

/// Why an event was not encoded or a record not decoded.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The value is not in the Confluent framing.
    #[error("WL-6001: {0}")]
    Frame(#[from] FrameError),
    /// The registry does not know the schema id.
    #[error("WL-6002: the schema registry does not know schema id {0}")]
    UnknownSchema(u32),
    /// The registered text is not an Avro schema that can be read.
    #[error("WL-6003: schema id {id} is not a readable Avro schema: {reason}")]
    UnreadableSchema {
        /// Registry id.
        id: u32,
        /// What is wrong.
        reason: String,
    },
    /// The body does not fit its schema or our type.
    #[error("WL-6004: {0}")]
    Body(#[from] CodecError),
    /// What is to be written does not fit its contract.
    #[error("WL-6008: {0}")]
    Unfit(CodecError),
    /// What is to be written is larger than a topic takes.
    #[error("WL-6008: an event of {bytes} bytes is larger than a topic takes ({})", kafka::EVENT_BYTES_MAX)]
    Large {
        /// Its size.
        bytes: usize,
    },
    /// The registry does not answer: nothing is decided about the record.
    #[error("WL-6005: the schema registry does not answer: {0}")]
    Registry(String),
    /// The registry refuses our schema.
    #[error("WL-6006: the schema registry refuses the schema of {subject}: {reason}")]
    Refused {
        /// Subject.
        subject: String,
        /// What it said.
        reason: String,
    },
    /// The topic was not prepared at start.
    #[error("WL-6007: no schema id is known for topic {0}")]
    Unprepared(&'static str),
}

impl WireError {
    /// Whether the record itself is at fault, so that it goes to the dead letters; otherwise the loop tries again.
    pub fn blames_record(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::UnknownSchema(_) | Self::UnreadableSchema { .. } | Self::Body(_))
    }

    /// Why the event that an output was made of waits for a person, when the output does not fit its contract (KEY-1); any other
    /// error is not of that event.
    pub fn unfit(&self) -> Option<Reason> {
        const CODE: Code = Code::new("WL-6008");
        match self {
            Self::Unfit(_) => {
                let message = "what was made of the event does not fit the contract of its topic";
                let fix =
                    "Look at the numbers of the event: correct them, or retry when the contract has been widened.";
                Some(Reason::new(CODE, "output-does-not-fit", message).fix(fix))
            }
            Self::Large { .. } => {
                let fix = "Look at what in the event is so large: correct it at the source and discard this one.";
                Some(Reason::new(CODE, "output-too-large", self.to_string()).fix(fix))
            }
            _ => None,
        }
    }

    /// What may be said where anybody reads it: the text of a body error can hold a value of the body (PHI-1).
    pub fn without_values(&self) -> String {
        match self {
            Self::Body(_) => "WL-6004: the body does not fit its schema, or not the type that is read here".to_owned(),
            _ => self.to_string(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Frame(_) => "WL-6001",
            Self::UnknownSchema(_) => "WL-6002",
            Self::UnreadableSchema { .. } => "WL-6003",
            Self::Body(error) => error.code(),
            Self::Unfit(_) | Self::Large { .. } => "WL-6008",
            Self::Registry(_) => "WL-6005",
            Self::Refused { .. } => "WL-6006",
            Self::Unprepared(_) => "WL-6007",
        }
    }
}

impl Codec {
    /// A codec over one registry.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(config: &RegistryConfig) -> Result<Self, WireError> {
        let mut builder = SrSettings::new_builder(config.url.clone());
        builder.set_timeout(Duration::from_millis(config.timeout_ms)).no_proxy();
        if let Some(username) = &config.username {
            builder.set_basic_authorization(username, config.password.as_ref().map(connector::Secret::expose));
        }
        let settings = builder.build().map_err(|error| WireError::Registry(error.to_string()))?;
        Ok(Self { settings: Some(settings), ids: RwLock::default(), writers: RwLock::default() })
    }

    /// A codec without a registry that knows these topics under these schema ids and nothing else: for benchmarks and
    /// tools.
    ///
    /// # Errors
    /// When a schema cannot be compiled.
    pub fn fixed(topics: &[(&'static TopicInfo, u32)]) -> Result<Self, WireError> {
        let mut ids = HashMap::default();
        let mut writers = HashMap::default();
        for (topic, id) in topics {
            ids.insert(topic.name, *id);
            writers.insert(*id, Arc::new(WriterSchema::parse(topic.schema)?));
        }
        Ok(Self { settings: None, ids: RwLock::new(ids), writers: RwLock::new(writers) })
    }

    /// Learns the schema ids of topics that will be written; registers what the registry lacks.
    ///
    /// # Errors
    /// When the registry does not answer or refuses a schema.
    pub async fn prepare(&self, topics: &[&'static TopicInfo]) -> Result<(), WireError> {
        for topic in topics {
            if topic.schema.is_empty() {
                continue;
            }
            let Some(settings) = &self.settings else {
                self.id_of(topic.name)?;
                continue;
            };
            let supplied = SuppliedSchema::new(None, SchemaType::Avro, topic.schema.to_owned());
            let registered = post_schema(settings, topic.subject.to_owned(), supplied).await.map_err(|error| {
                if error.retriable {
                    WireError::Registry(error.to_string())
                } else {
                    WireError::Refused { subject: topic.subject.to_owned(), reason: error.to_string() }
                }
            })?;
            self.ids.write().unwrap_or_else(PoisonError::into_inner).insert(topic.name, registered.id);
        }
        Ok(())
    }

    /// The framed Avro encoding of an event.
    ///
    /// # Errors
    /// When the topic was not prepared or a value does not fit the schema.
    pub fn encode<T: Event>(&self, event: &T) -> Result<Bytes, WireError> {
        let topic = T::topic().name;
        let id = self.id_of(topic)?;
        let value = pieces::written(|bytes| schemas::codec::encode(event, id, bytes).map_err(WireError::Unfit))?;
        // Sent, it would be refused, and all that is committed with it would come again for ever (KEY-1).
        if value.len() > kafka::EVENT_BYTES_MAX && !topic.starts_with("ops.") {
            return Err(WireError::Large { bytes: value.len() });
        }
        Ok(value)
    }

    /// Splits a value into its writer schema and body. Asks the registry only for ids not seen before.
    ///
    /// # Errors
    /// See [`WireError`]; [`WireError::blames_record`] tells a bad record from an unreachable registry.
    pub async fn open<'a>(&self, value: &'a [u8]) -> Result<Opened<'a>, WireError> {
        let (id, body) = schemas::codec::split_frame(value)?;
        if let Some(writer) = self.cached(id) {
            return Ok((writer, body));
        }
        let settings = self.settings.as_ref().ok_or(WireError::UnknownSchema(id))?;
        let registered = get_schema_by_id(id, settings).await.map_err(|error| by_id_error(id, &error))?;
        let writer = WriterSchema::parse(&registered.schema)
            .map_err(|error| WireError::UnreadableSchema { id, reason: error.to_string() })?;
        let writer = Arc::new(writer);
        let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
        if writers.len() >= WRITERS_MAX {
            writers.clear();
        }
        writers.insert(id, Arc::clone(&writer));
        Ok((writer, body))
    }

    /// Like [`Codec::open`] without asking: `None` when the id was not seen before.
    ///
    /// # Errors
    /// When the value is not framed.
    pub fn open_cached<'a>(&self, value: &'a [u8]) -> Result<Option<Opened<'a>>, WireError> {
        let (id, body) = schemas::codec::split_frame(value)?;
        Ok(self.cached(id).map(|writer| (writer, body)))
    }

    /// Like [`Codec::open`], for threads beside the async runtime: they wait when the registry is asked.
    ///
    /// # Errors
    /// As [`Codec::open`].
    pub fn open_on<'a>(&self, handle: &Handle, value: &'a [u8]) -> Result<Opened<'a>, WireError> {
        match self.open_cached(value)? {
            Some(opened) => Ok(opened),
            None => handle.block_on(self.open(value)),
        }
    }

    fn id_of(&self, topic: &'static str) -> Result<u32, WireError> {
        let known = self.ids.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        known.ok_or(WireError::Unprepared(topic))
    }

    fn cached(&self, id: u32) -> Option<Arc<WriterSchema>> {
        self.writers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// Only a clear "not found" of the registry blames the record; anything else blames the registry.
fn by_id_error(id: u32, error: &SRCError) -> WireError {
    let not_found = error.error.contains("404")
        || std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<RawError>())
            .is_some_and(|answer| answer.error_code == 404 || answer.error_code / 100 == 404);
    if not_found { WireError::UnknownSchema(id) } else { WireError::Registry(error.to_string()) }
}
