//! A place in a resource: its JSON and its FHIR path, and the data types read from it.

use crate::outcome::{Refusal, code};
use crate::time::{Moment, last_day, moment};
use fhir_gate::json::Json;
use rust_decimal::Decimal;
use schemas::{AltCode, Code, Date, Precision};

/// A place in a resource.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// What stands there.
    pub json: &'a Json,
    /// Where it is, for example `Procedure.focalDevice[0].manipulated`.
    pub path: String,
}

/// A reference to another resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it points: `Device/d1`, an absolute address, `urn:uuid:...` or `#contained`.
    pub target: Option<String>,
    /// Value of its business identifier.
    pub identifier: Option<String>,
    /// What a person reads.
    pub display: Option<String>,
}

impl<'a> Node<'a> {
    /// The resource itself.
    pub fn root(json: &'a Json) -> Self {
        Self { json, path: json.text("resourceType").unwrap_or("resource").to_owned() }
    }

    /// A child element; `None` when it is absent.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.json.get(name).map(|json| Self { json, path: format!("{}.{name}", self.path) })
    }

    /// A descendant.
    pub fn descend(&self, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(self.clone(), |node, name| node.child(name))
    }

    /// The items of a repeating element. An element that repeats in one version only is read in both.
    pub fn items(&self, name: &str) -> Vec<Self> {
        let Some(json) = self.json.get(name) else { return Vec::new() };
        let single = !matches!(json, Json::List(_));
        let path =
            |index| if single { format!("{}.{name}", self.path) } else { format!("{}.{name}[{index}]", self.path) };
        json.items()
            .iter()
            .enumerate()
            .filter(|(_, item)| !item.is_null())
            .map(|(index, json)| Node { json, path: path(index) })
            .collect()
    }

    /// A text element that is not blank.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.json.text(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A decimal, exactly as written.
    ///
    /// # Errors
    /// When it is no number, or one that an event cannot hold without changing it (18 digits, 6 after the point).
    pub fn decimal(&self, name: &str) -> Result<Option<Decimal>, Refusal> {
        let Some(value) = self.child(name) else { return Ok(None) };
        let exact = match value.json {
            Json::Number(text) if text.contains(['e', 'E']) => Decimal::from_scientific(text).ok(),
            Json::Number(text) => Decimal::from_str_exact(text).ok(),
            _ => None,
        };
        let fits = |decimal: &Decimal| {
            let mut scaled = decimal.normalize();
            let short = scaled.scale() <= 6;
            scaled.rescale(6);
            short && scaled.scale() == 6 && scaled.mantissa().unsigned_abs() < 10_u128.pow(18)
        };
        exact.filter(fits).map(Some).ok_or_else(|| {
            Refusal::new(
                code::VALUE,
                value.path,
                "the number does not fit 12 digits before and 6 after the point",
                "correct the quantity at the source",
            )
        })
    }

    /// A `date`, `dateTime` or `instant`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn moment(&self, name: &str) -> Result<Option<Moment>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        moment(text).map(Some).ok_or_else(|| self.no_date(name))
    }

    /// The last day of a `date` or `dateTime`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn last_day(&self, name: &str) -> Result<Option<(Date, Precision)>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        last_day(text).map(Some).ok_or_else(|| self.no_date(name))
    }

    /// When something happened: `<name>DateTime`, else start or end of `<name>Period`.
    ///
    /// # Errors
    /// When a value is no time.
    pub fn happened(&self, name: &str) -> Result<Option<Moment>, Refusal> {
        if let Some(at) = self.moment(&format!("{name}DateTime"))? {
            return Ok(Some(at));
        }
        let Some(period) = self.child(&format!("{name}Period")) else { return Ok(None) };
        let start = period.moment("start")?;
        if start.is_some() { Ok(start) } else { period.moment("end") }
    }

    /// This node as a CodeableConcept or a Coding; `None` when it has neither code nor text.
    pub fn code(&self) -> Option<Code> {
        let mut codings = if self.json.get("coding").is_some() { self.items("coding") } else { vec![self.clone()] }
            .into_iter()
            .filter_map(|coding| {
                let code = coding.text("code")?.to_owned();
                let system = coding.text("system").map(str::to_owned);
                Some(AltCode { code, system, text: coding.text("display").map(str::to_owned) })
            });
        let text = self.text("text").map(str::to_owned);
        match codings.next() {
            Some(first) => {
                Some(Code { code: first.code, system: first.system, text: first.text.or(text), alt: codings.collect() })
            }
            None => text.map(|text| Code { code: text.clone(), system: None, text: Some(text), alt: Vec::new() }),
        }
    }

    /// A child as [`Node::code`].
    pub fn child_code(&self, name: &str) -> Option<Code> {
        self.child(name)?.code()
    }

    /// This node as a Reference; `None` when it says nothing.
    pub fn reference(&self) -> Option<Reference> {
        let reference = Reference {
            target: self.text("reference").map(str::to_owned),
            identifier: self.child("identifier").and_then(|identifier| identifier.text("value").map(str::to_owned)),
            display: self.text("display").map(str::to_owned),
        };
        (reference.target.is_some() || reference.identifier.is_some() || reference.display.is_some())
            .then_some(reference)
    }

    /// A child as [`Node::reference`].
    pub fn child_reference(&self, name: &str) -> Option<Reference> {
        self.child(name)?.reference()
    }

    /// That an element the event needs is missing.
    pub fn missing(&self, name: &str, fix: &str) -> Refusal {
        Refusal::new(code::MISSING, format!("{}.{name}", self.path), "the event needs it and it is missing", fix)
    }

    fn no_date(&self, name: &str) -> Refusal {
        Refusal::new(
            code::VALUE,
            format!("{}.{name}", self.path),
            "this is no FHIR date or time",
            "send YYYY-MM-DD, or a time with seconds and offset",
        )
    }
}

impl Reference {
    /// `Type/id` of a relative or absolute reference, without a version.
    pub fn type_and_id(&self) -> Option<String> {
        let target = self.target.as_deref()?;
        if target.starts_with('#') || target.starts_with("urn:") {
            return None;
        }
        let path = target.split(['?', '#']).next()?;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let end = parts.iter().position(|part| *part == "_history").unwrap_or(parts.len());
        let [.., resource_type, id] = &parts[..end] else { return None };
        let is_type = resource_type.starts_with(|first: char| first.is_ascii_uppercase());
        is_type.then(|| format!("{resource_type}/{id}"))
    }

    /// Whether it points to a resource of this type, as far as the reference itself says.
    pub fn is_of_type(&self, resource_type: &str) -> bool {
        self.type_and_id().is_some_and(|target| target.split('/').next() == Some(resource_type))
    }

    /// Whether it may point to a resource of this type: it says so, or says nothing (`urn:uuid:...`).
    pub fn may_be(&self, resource_type: &str) -> bool {
        self.type_and_id().is_none() || self.is_of_type(resource_type)
    }

    /// How a person or a master record names the target: its identifier, else its id, else its display text.
    pub fn name(&self) -> Option<String> {
        let id = || self.type_and_id().and_then(|target| target.split('/').nth(1).map(str::to_owned));
        self.identifier.clone().or_else(id).or_else(|| self.display.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(target: &str) -> Reference {
        Reference { target: Some(target.to_owned()), identifier: None, display: None }
    }

    #[test]
    fn references_are_reduced_to_type_and_id() {
        let of = |target: &str| reference(target).type_and_id();
        assert_eq!(of("Device/d1").as_deref(), Some("Device/d1"));
        assert_eq!(of("Device/d1/_history/3").as_deref(), Some("Device/d1"));
        assert_eq!(of("https://f/fhir/Device/d1").as_deref(), Some("Device/d1"));
        assert_eq!((of("#d1"), of("urn:uuid:7f1a"), of("d1")), (None, None, None));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let json = Json::read(br#"{"a":1.50,"b":12345678901234567.890,"c":0.0000001,"d":1e2,"e":"1","f":3.000000000}"#)
            .unwrap();
        let node = Node { json: &json, path: "Quantity".to_owned() };
        assert_eq!(node.decimal("a").unwrap().unwrap().to_string(), "1.50");
        assert_eq!(node.decimal("d").unwrap().unwrap().to_string(), "100");
        assert_eq!(node.decimal("f").unwrap().unwrap().normalize().to_string(), "3");
        assert_eq!(node.decimal("z").unwrap(), None);
        for name in ["b", "c", "e"] {
            let refusal = node.decimal(name).unwrap_err();
            assert_eq!((refusal.code, refusal.path), (code::VALUE, format!("Quantity.{name}")));
        }
    }
}
