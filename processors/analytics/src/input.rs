//! The events that become rows.

use processor::Input;
use schemas::codec::{CodecError, WriterSchema, decode, from_json};
use schemas::{
    Encounter, EnrichedUsage, ErpPosting, Event, EventMeta, GoodsReceipt, MasterCostCenter, MasterItem, PurchaseOrder,
    SupplierNotice, TopicInfo,
};
use serde_json::Value;

/// Makes the enum of events and everything that goes by its variants.
macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($event:ty)),+ $(,)?) => {
        /// An event that becomes a row.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnalyticsInput {
            $($(#[$doc])* $variant(Box<$event>),)+
        }

        /// The topics of these events.
        pub(crate) fn topics() -> Vec<&'static TopicInfo> {
            vec![$(<$event>::topic()),+]
        }

        impl AnalyticsInput {
            /// The event by the names of its contract.
            pub(crate) fn fields(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$variant(event) => serde_json::to_value(event),)+
                }
            }

            /// An example of each kind, for tests and documents.
            #[must_use]
            pub fn examples() -> Vec<(&'static str, Self)> {
                let mut all = Vec::new();
                $(all.extend(schemas::examples::<$event>().into_iter().map(|event| (
                    <$event>::topic().name,
                    Self::$variant(Box::new(event)),
                )));)+
                all
            }
        }

        impl Input for AnalyticsInput {
            fn topics() -> Vec<&'static TopicInfo> {
                topics()
            }

            fn decode(topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Self, CodecError> {
                $(if topic == <$event>::topic().name {
                    return Ok(Self::$variant(Box::new(decode(writer, body)?)));
                })+
                Err(CodecError::Decode(format!("analytics makes no rows of {topic}")))
            }

            fn to_json(&self) -> Result<Value, CodecError> {
                self.fields().map_err(|error| CodecError::Encode(error.to_string()))
            }

            fn from_json(topic: &str, event: Value) -> Result<Self, CodecError> {
                $(if topic == <$event>::topic().name {
                    return Ok(Self::$variant(Box::new(from_json(event)?)));
                })+
                Err(CodecError::Decode(format!("analytics makes no rows of {topic}")))
            }

            fn envelope(&self) -> Option<&EventMeta> {
                match self {
                    $(Self::$variant(event) => event.meta(),)+
                }
            }
        }
    };
}

events! {
    /// Stays: length, class, discharges.
    Encounter(Encounter),
    /// What was used, with item, place, cost centre and price.
    Usage(EnrichedUsage),
    /// What became of it in the ERP.
    Posting(ErpPosting),
    /// What suppliers were told and answered.
    Notice(SupplierNotice),
    /// Orders.
    Order(PurchaseOrder),
    /// Receipts.
    Receipt(GoodsReceipt),
    /// Items, for names in reports.
    Item(MasterItem),
    /// Cost centres, for names in reports.
    CostCentre(MasterCostCenter),
}
