//! The events that suppliers may be told about.

use processor::{Input, told};
use schemas::codec::{CodecError, WriterSchema, decode, from_json};
use schemas::{Action, EnrichedUsage, Event, EventMeta, GoodsReceipt, PurchaseOrder, TopicInfo};
use serde_json::Value;

/// An event that a supplier may be told about.
#[derive(Clone, Debug, PartialEq)]
pub enum FanoutInput {
    /// An article was used.
    Usage(Box<EnrichedUsage>),
    /// An order was approved, changed or cancelled.
    Order(Box<PurchaseOrder>),
    /// Goods arrived.
    Receipt(Box<GoodsReceipt>),
}

impl FanoutInput {
    /// The envelope.
    #[must_use]
    pub fn meta(&self) -> &EventMeta {
        match self {
            Self::Usage(usage) => &usage.meta,
            Self::Order(order) => &order.meta,
            Self::Receipt(receipt) => &receipt.meta,
        }
    }

    /// The supplier that the event names.
    pub(crate) fn names(&self) -> Option<&str> {
        let named = match self {
            Self::Usage(usage) => usage.supplier_id.as_deref(),
            Self::Order(order) => Some(order.supplier_id.as_str()),
            Self::Receipt(receipt) => Some(receipt.supplier_id.as_str()),
        };
        named.filter(|id| !id.is_empty())
    }

    /// The supplier that the event concerns by what it says. What is taken back concerns whoever was told of it, also when the
    /// item is another supplier's by now.
    pub(crate) fn supplier_id(&self) -> Option<&str> {
        self.names().filter(|_| !self.takes_back())
    }

    /// Whether a usage is taken back as a whole.
    pub(crate) fn takes_back(&self) -> bool {
        matches!(self, Self::Usage(usage) if matches!(usage.meta.action, Action::Cancel | Action::Retract))
    }

    /// Whether it corrects something that a supplier may have been told. Orders and receipts say everything anew.
    pub(crate) fn corrects(&self) -> bool {
        matches!(self, Self::Usage(usage) if usage.meta.revision > 0 || usage.meta.correction > 0) || self.takes_back()
    }

    /// Whether a statement came before it, which may still be on its way. First statements of orders have revisions above 0 as well.
    pub(crate) fn follows(&self) -> bool {
        let changes = matches!(self.meta().action, Action::Update | Action::Cancel | Action::Retract);
        self.corrects() || !matches!(self, Self::Usage(_)) && changes
    }
}

impl Input for FanoutInput {
    fn topics() -> Vec<&'static TopicInfo> {
        vec![EnrichedUsage::topic(), PurchaseOrder::topic(), GoodsReceipt::topic()]
    }

    fn decode(topic: &str, writer: &WriterSchema, body: &[u8]) -> Result<Self, CodecError> {
        if topic == EnrichedUsage::topic().name {
            return Ok(Self::Usage(Box::new(decode(writer, body)?)));
        }
        if topic == PurchaseOrder::topic().name {
            return Ok(Self::Order(Box::new(decode(writer, body)?)));
        }
        if topic == GoodsReceipt::topic().name {
            return Ok(Self::Receipt(Box::new(decode(writer, body)?)));
        }
        Err(CodecError::Decode(format!("supplier-fanout tells nobody about {topic}")))
    }

    fn to_json(&self) -> Result<Value, CodecError> {
        match self {
            Self::Usage(usage) => told(usage.as_ref()),
            Self::Order(order) => told(order.as_ref()),
            Self::Receipt(receipt) => told(receipt.as_ref()),
        }
    }

    fn from_json(topic: &str, event: Value) -> Result<Self, CodecError> {
        if topic == EnrichedUsage::topic().name {
            return Ok(Self::Usage(Box::new(from_json(event)?)));
        }
        if topic == PurchaseOrder::topic().name {
            return Ok(Self::Order(Box::new(from_json(event)?)));
        }
        if topic == GoodsReceipt::topic().name {
            return Ok(Self::Receipt(Box::new(from_json(event)?)));
        }
        Err(CodecError::Decode(format!("supplier-fanout tells nobody about {topic}")))
    }

    fn envelope(&self) -> Option<&EventMeta> {
        Some(self.meta())
    }
}
