//! The log of the embedded registry on a Kafka that is not in this process.

use embedded::registry::{LogError, LogRecord, SchemaLog};
use runtime::admin::AdminError;
use runtime::config::KafkaConfig;
use runtime::kept_log::KeptLog;

/// A log on the topic `_schemas`.
pub struct KafkaLog(KeptLog);

impl KafkaLog {
    /// Creates the topic when it is not there.
    pub async fn open(kafka: &KafkaConfig) -> Result<Self, AdminError> {
        KeptLog::open(kafka, super::start::SCHEMAS).await.map(Self)
    }
}

impl SchemaLog for KafkaLog {
    fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError> {
        self.0.append(key, value).map_err(|error| LogError(error.to_string()))
    }

    fn read_all(&self) -> Result<Vec<LogRecord>, LogError> {
        self.0.read_all().map_err(|error| LogError(error.to_string()))
    }
}
