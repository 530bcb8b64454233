//! A supply use, put together from whatever segments tell of it.

use rust_decimal::Decimal;
use schemas::{
    Action, Code, Date, Location, Money, Precision, SupplyUsage, Udi, UdiIssuer, UsageKind, Warning, event_type, topics,
};

use super::MappedEvent;
use super::context::{Context, Fact, When, warning};

/// What the segments of one use say.
#[derive(Default)]
pub(super) struct Use {
    /// Codes that may name the article, best first.
    pub(super) items: Vec<Code>,
    /// Complete identifier as sent.
    pub(super) udi: Option<String>,
    /// Device identifier sent on its own.
    pub(super) device_identifier: Option<String>,
    pub(super) lot: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) expiry: Option<(Date, Precision)>,
    /// With its sign.
    pub(super) quantity: Decimal,
    pub(super) uom: Option<String>,
    pub(super) location: Option<Location>,
    pub(super) department: Option<String>,
    pub(super) procedure: Option<Code>,
    pub(super) performer: Option<String>,
    pub(super) usage: UsageKind,
    pub(super) consignment: Option<bool>,
    pub(super) orders: Vec<String>,
    /// What the sender says all of it comes to; below zero when it is given back.
    pub(super) stated_amount: Option<Money>,
    pub(super) occurred: Option<When>,
    /// Place of the segment, for warnings.
    pub(super) path: String,
    /// What the fact is in its visit where the device itself does not say; none if message and position are the only identity.
    pub(super) fact: Option<String>,
    pub(super) action: Action,
    pub(super) warnings: Vec<Warning>,
}

impl Use {
    /// The identifier as understood. Lot and serial of the message decide where its parts end if separators were lost.
    pub(super) fn parsed_udi(&self, year: i16) -> Option<udi::Udi> {
        let hints = udi::Hints { lot: self.lot.as_deref(), serial: self.serial.as_deref() };
        self.udi.as_deref().map(|raw| udi::parse_with(raw, year, hints))
    }

    /// Makes the event.
    pub(super) fn into_event(mut self, context: &Context<'_>, encounter_ref: &str, position: usize) -> MappedEvent {
        if self.action == Action::Unknown {
            self.action = Action::Create;
        }
        let parsed = self.parsed_udi(year(self.occurred, context));
        if let Some(parsed) = &parsed {
            self.take_from_udi(parsed);
        }
        let identifier = parsed
            .as_ref()
            .and_then(|parsed| parsed.device_identifier.clone())
            .or_else(|| self.device_identifier.clone());
        if let Some(sent) = &self.device_identifier {
            let code = udi::gtin14(sent).unwrap_or_else(|| sent.clone());
            self.items.push(Code { code, system: Some("GTIN".to_owned()), ..Code::default() });
        }
        let device_key = self.device_key(context, encounter_ref, identifier.as_deref());
        // A credit of the one device is no fact of its own: it takes the use of it back.
        if device_key.is_some() && self.quantity.is_sign_negative() {
            self.action = Action::Retract;
        }
        let business_key = device_key.unwrap_or_else(|| self.business_key(context, encounter_ref, position));
        let usage_event = event_type(topics::CLINICAL_SUPPLY_USAGE_V1.name(), None);
        let meta = context.meta(Fact {
            event_type: usage_event,
            position,
            business_key,
            revision: i32::from(self.action == Action::Retract),
            action: self.action,
            occurred: self.occurred,
            nulled: Vec::new(),
            warnings: std::mem::take(&mut self.warnings),
        });
        let mut items = self.items.into_iter();
        let (expiry, expiry_precision) =
            self.expiry.map_or((None, Precision::Unknown), |(date, precision)| (Some(date), precision));
        MappedEvent::SupplyUsage(Box::new(SupplyUsage {
            meta,
            encounter_ref: encounter_ref.to_owned(),
            patient_ref: context.patient_ref(context.message.segment("PID")),
            item_ref: items.next(),
            item_refs: items.collect(),
            udi: parsed.zip(self.udi).map(|(parsed, raw)| contract_udi(parsed, raw)),
            lot: self.lot,
            serial: self.serial,
            expiry,
            expiry_precision,
            quantity: self.quantity,
            uom: self.uom,
            location: self.location,
            department: self.department,
            procedure: self.procedure,
            performer_ref: self.performer,
            usage: self.usage,
            consignment: self.consignment,
            order_refs: self.orders,
            stated_amount: self.stated_amount,
            phi: context.direct_identifiers(),
        }))
    }

    /// Fills what the fields of the message leave open, and notes where the two disagree.
    fn take_from_udi(&mut self, parsed: &udi::Udi) {
        for word in parsed.errors.iter().chain(&parsed.warnings) {
            self.warnings.push(warning(udi::code_of(word), &self.path, &format!("UDI: {word}")));
        }
        let differ = |sent: &Option<String>, read: &Option<String>| sent.is_some() && read.is_some() && sent != read;
        if differ(&self.lot, &parsed.lot)
            || differ(&self.serial, &parsed.serial)
            || differ(&self.device_identifier, &parsed.device_identifier)
        {
            self.warnings.push(warning(
                "WL-1018",
                &self.path,
                "lot, serial number or device identifier differs between field and UDI; the field was taken",
            ));
        }
        self.lot = self.lot.take().or_else(|| parsed.lot.clone());
        self.serial = self.serial.take().or_else(|| parsed.serial.clone());
        if self.expiry.is_none()
            && let Some(date) = parsed.expiry
            && let (Ok(month), Ok(day)) = (i8::try_from(date.month), i8::try_from(date.day))
        {
            let precision = if date.day_given { Precision::Day } else { Precision::Month };
            self.expiry = Date::from_ymd(date.year, month, day).map(|date| (date, precision));
        }
    }

    /// The same use has the same key, whichever message tells of it. A device with a serial number is used once per visit, and
    /// a credit of it is about that use, so its key has that sign too.
    fn device_key(&self, context: &Context<'_>, encounter_ref: &str, identifier: Option<&str>) -> Option<String> {
        let serial = self.serial.as_ref().filter(|_| context.mapper.config.one_use_per_serial)?;
        Some(format!("{encounter_ref}/{}/{serial}/+", identifier?))
    }

    /// Without a serial number a charge has its transaction and an observation its order. Both are numbers of the sender that may
    /// come again in another visit. A charge and a credit are two facts: the credit may be of a part.
    fn business_key(&self, context: &Context<'_>, encounter_ref: &str, position: usize) -> String {
        let sign = if self.quantity.is_sign_negative() { '-' } else { '+' };
        match &self.fact {
            Some(fact) => format!("{encounter_ref}/{fact}/{sign}"),
            None => {
                let identity = context.identity;
                format!(
                    "{}/{}/{}/{}/{position}/{sign}",
                    identity.system,
                    identity.facility,
                    identity.control_id,
                    &identity.hash[..16]
                )
            }
        }
    }
}

/// The year in which a label was read, for the century of its dates.
pub(super) fn year(occurred: Option<When>, context: &Context<'_>) -> i16 {
    let micros = occurred.map_or(context.now.micros(), |time| time.micros);
    jiff::Timestamp::from_microsecond(micros).map_or(2000, |time| jiff::tz::TimeZone::UTC.to_datetime(time).year())
}

/// A date YYYYMMDD or YYYYMM; the last day of the month if no day is given.
pub(super) fn date(text: &str) -> Option<(Date, Precision)> {
    let digits = text.get(..8).or_else(|| text.get(..6))?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, month) = (digits[..4].parse().ok()?, digits[4..6].parse().ok()?);
    match digits.get(6..8).filter(|day| *day != "00") {
        Some(day) => Some((Date::from_ymd(year, month, day.parse().ok()?)?, Precision::Day)),
        None => {
            let last = jiff::civil::Date::new(year, month, 1).ok()?.last_of_month();
            Some((last.into(), Precision::Month))
        }
    }
}

fn contract_udi(parsed: udi::Udi, raw: String) -> Udi {
    let issuer = match parsed.issuer {
        Some(udi::Issuer::Gs1) => UdiIssuer::Gs1,
        Some(udi::Issuer::Hibcc) => UdiIssuer::Hibcc,
        Some(udi::Issuer::Iccbba) => UdiIssuer::Iccbba,
        None => UdiIssuer::Unknown,
    };
    Udi { raw, issuer, di: parsed.device_identifier, errors: parsed.errors }
}
