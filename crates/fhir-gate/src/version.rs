//! FHIR versions and how a payload says which one it is.

use crate::json::Json;
use serde::{Deserialize, Serialize};

/// A FHIR version that is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// 4.0.1 (and 4.3.0, whose clinical resources are the same).
    #[default]
    R4,
    /// 5.0.0.
    R5,
}

impl Version {
    /// From the `fhirVersion` parameter of a media type, for example `application/fhir+json; fhirVersion=5.0`.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let parameter = media_type.split(';').skip(1).find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("fhirVersion").then(|| value.trim().trim_matches('"'))
        })?;
        Self::of_number(parameter)
    }

    /// From a version number such as `4.0` or `5.0.0`.
    pub fn of_number(number: &str) -> Option<Self> {
        match number.split('.').next()? {
            "4" => Some(Self::R4),
            "5" => Some(Self::R5),
            _ => None,
        }
    }

    /// From elements that only one version has, for a file that comes without a media type.
    pub fn of_content(resource: &Json) -> Option<Self> {
        let has = |names: &[&str]| names.iter().any(|name| resource.get(name).is_some());
        let list = |name: &str| matches!(resource.get(name), Some(Json::List(_)));
        let object = |name: &str| matches!(resource.get(name), Some(Json::Object(_)));
        let status = resource.text("status");
        let (r4, r5) = match resource.text("resourceType")? {
            "Encounter" => (
                object("class") || has(&["hospitalization", "period", "statusHistory"]),
                list("class")
                    || has(&["admission", "actualPeriod"])
                    || matches!(status, Some("completed" | "discharged" | "on-hold" | "discontinued")),
            ),
            "Procedure" => (
                has(&["usedReference", "usedCode", "performedDateTime", "performedPeriod", "reasonCode"]),
                has(&["used", "occurrenceDateTime", "occurrencePeriod", "reported", "recorded"]),
            ),
            "Device" => (has(&["patient", "deviceName", "specialization"]) || object("type"), list("type")),
            "SupplyDelivery" => (object("suppliedItem"), list("suppliedItem")),
            "ChargeItem" => (
                has(&["context", "priceOverride", "productReference", "productCodeableConcept"]),
                has(&["encounter", "product", "unitPriceComponent", "totalPriceComponent"]),
            ),
            "DeviceUseStatement" => (true, false),
            "DeviceUsage" | "InventoryItem" | "InventoryReport" | "SubscriptionStatus" => (false, true),
            _ => (false, false),
        };
        match (r4, r5) {
            (true, false) => Some(Self::R4),
            (false, true) => Some(Self::R5),
            _ => None,
        }
    }

    /// The resource types that the connector polls, in the order in which a page of each is read.
    pub fn mapped_types(self) -> &'static [&'static str] {
        match self {
            Self::R4 => &["Encounter", "Device", "Procedure", "DeviceUseStatement", "SupplyDelivery", "ChargeItem"],
            Self::R5 => &["Encounter", "Device", "Procedure", "DeviceUsage", "SupplyDelivery", "ChargeItem"],
        }
    }
}
