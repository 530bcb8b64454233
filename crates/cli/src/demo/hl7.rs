//! The day as HL7 v2 messages, as two source systems would send them.

use super::story::{Stay, Twist, Use};
use jiff::civil::Date;

/// The hospital's currency.
const CURRENCY: &str = "EUR";

/// A message on its way, with what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// MSH-10; empty for what is no message.
    pub control_id: String,
    /// Bytes inside the MLLP frame.
    pub bytes: Vec<u8>,
}

/// Writes the messages of one stay, in the order in which they are sent.
pub fn messages(stay: &Stay, date: Date) -> Vec<Message> {
    let mut writer = Writer { stay, date, minute: stay.admitted_minute, sent: Vec::new() };
    writer.tell();
    writer.sent
}

/// A frame without an MSH segment: no message at all.
pub fn not_a_message() -> Message {
    Message { control_id: String::new(), bytes: b"PID|1||no header\r".to_vec() }
}

struct Writer<'a> {
    stay: &'a Stay,
    date: Date,
    minute: u32,
    sent: Vec<Message>,
}

/// Which name the sender writes, and how it is encoded.
enum Name {
    Ascii,
    Utf8,
    Latin1,
    BadByte,
}

impl Writer<'_> {
    fn tell(&mut self) {
        let stay = self.stay;
        self.adt("A01", stay.ward, None);
        if stay.twist == Twist::AdmissionCancelled {
            self.adt("A11", stay.ward, None);
            return;
        }
        self.adt("A02", stay.theatre, Some(stay.ward));
        if stay.twist == Twist::TransferCancelled {
            self.adt("A12", stay.ward, Some(stay.theatre));
            self.adt("A02", stay.theatre, Some(stay.ward));
        }
        if stay.twist == Twist::Unmapped {
            self.adt("A60", stay.theatre, None);
        }
        self.uses();
        self.adt("A02", stay.ward, Some(stay.theatre));
        self.adt("A03", stay.ward, None);
        match stay.twist {
            Twist::DischargeCancelled => {
                self.adt("A13", stay.ward, None);
                self.adt("A08", stay.ward, None);
                self.adt("A03", stay.ward, None);
            }
            Twist::Merged => self.merge(),
            Twist::Resent => {
                // The second message of the charges, exactly as it was.
                if let Some(message) = self.sent.iter().find(|message| message.control_id.ends_with("C1")).cloned() {
                    self.sent.push(message);
                }
            }
            _ => {}
        }
    }

    /// Charges: one message for what was recorded during the procedure, one for what was recorded after it.
    fn uses(&mut self) {
        let (during, after) = self.stay.uses.split_at(self.stay.uses.len().min(2));
        let device = self.stay.twist == Twist::DeviceMessage;
        let (implants, others): (Vec<&Use>, Vec<&Use>) = during.iter().partition(|used| device && used.implant);
        self.charges("C1", &others, 0);
        if !implants.is_empty() {
            self.implants(&implants);
        }
        self.charges("C2", &after.iter().collect::<Vec<_>>(), during.len());
    }

    fn adt(&mut self, event: &str, unit: &str, prior: Option<&str>) {
        let structure = match event {
            "A01" | "A08" | "A13" => "ADT_A01",
            "A03" => "ADT_A03",
            "A11" | "A12" => "ADT_A09",
            other => &format!("ADT_{other}"),
        };
        let control_id = format!("{}-{event}-{}", self.stay.visit, self.sent.len());
        let time = self.time();
        let name = match (event, self.stay.twist) {
            ("A01", Twist::BadByte) => Name::BadByte,
            ("A01", Twist::Latin1) => Name::Latin1,
            ("A01", _) if self.stay.number % 4 == 1 => Name::Utf8,
            _ => Name::Ascii,
        };
        let discharge = if event == "A03" { time.clone() } else { String::new() };
        let mut text = self.header(&format!("ADT^{event}^{structure}"), &control_id, &name, "2.5.1");
        text.push_str(&format!("EVN|{event}|{time}||||{time}\r"));
        text.push_str(&self.pid(&name));
        text.push_str(&self.pv1(unit, prior, &discharge));
        if event == "A03" {
            text.push_str("DG1|1||M16.11^Unilateral primary osteoarthritis, right hip^I10|||F\r");
        }
        self.push(control_id, &text, &name);
    }

    fn charges(&mut self, suffix: &str, uses: &[&Use], offset: usize) {
        if uses.is_empty() {
            return;
        }
        let control_id = format!("{}-{suffix}", self.stay.visit);
        let time = self.time();
        let mut text = self.header("DFT^P03^DFT_P03", &control_id, &Name::Ascii, "2.5.1");
        text.push_str(&format!("EVN|P03|{time}\r"));
        text.push_str(&self.pid(&Name::Ascii));
        text.push_str(&self.pv1(self.stay.theatre, None, ""));
        for (place, used) in uses.iter().enumerate() {
            text.push_str(&self.charge(place + 1, offset + place + 1, used, &time));
        }
        self.push(control_id, &text, &Name::Ascii);
    }

    /// FT1 with what one comes to and the site's ZSC: item, unit, quantity, device identifier, lot, serial, expiry, wasted, label.
    fn charge(&self, set: usize, number: usize, used: &Use, time: &str) -> String {
        let Stay { visit, theatre, .. } = self.stay;
        let (kind, sign) = if used.credit { ("CD", "-") } else { ("CG", "") };
        let (lot, expires) = (used.lot.as_deref().unwrap_or_default(), used.expires.as_deref().unwrap_or_default());
        let wasted = if used.wasted { "Y" } else { "N" };
        let label = if lot.is_empty() { String::new() } else { label(used) };
        format!(
            "FT1|{set}|{visit}T{number}||{time}||{kind}|{item}^{name}^L|||{sign}{quantity}||{price}&{CURRENCY}|{theatre}^{theatre}^L|||\
             {theatre}^1^A^GENERAL||I||1001^Adams^Ann|1001^Adams^Ann\r\
             ZSC|{set}|{item}|{unit}|{quantity}|{gtin}|{lot}||{expires}|{wasted}|{label}\r",
            item = used.item,
            name = used.name,
            quantity = used.quantity,
            price = used.price,
            unit = used.unit,
            gtin = used.gtin,
        )
    }

    fn implants(&mut self, uses: &[&Use]) {
        let control_id = format!("{}-D1", self.stay.visit);
        let time = self.time();
        let mut text = self.header("ORU^R01^ORU_R01", &control_id, &Name::Ascii, "2.8.2");
        text.push_str(&self.pid(&Name::Ascii));
        text.push_str(&self.pv1(self.stay.theatre, None, ""));
        let order = format!("{}O1", self.stay.visit);
        text.push_str(&format!("ORC|RE|{order}^EHR1|F{order}^EHR1\r"));
        text.push_str(&format!(
            "OBR|1|{order}^EHR1|F{order}^EHR1|27130^Total hip arthroplasty^C4|||{time}||||||||||||||||||F\r"
        ));
        for (place, used) in uses.iter().enumerate() {
            let (set, label) = (place + 1, label(used));
            let (lot, expires) = (used.lot.as_deref().unwrap_or_default(), used.expires.as_deref().unwrap_or_default());
            text.push_str(&format!("OBX|{set}|ST|74711-3^Unique device identifier^LN|{set}|{label}||||||F|||{time}\r"));
            text.push_str(&format!(
                "PRT|{set}|AD||EQUIP^Equipment^HL70912||||||{label}^^2.16.840.1.113883.3.3719^ISO|{time}|||||||{expires}|{lot}\r"
            ));
        }
        self.push(control_id, &text, &Name::Ascii);
    }

    fn merge(&mut self) {
        let control_id = format!("{}-A40", self.stay.visit);
        let time = self.time();
        let mut text = self.header("ADT^A40^ADT_A39", &control_id, &Name::Ascii, "2.5.1");
        text.push_str(&format!("EVN|A40|{time}\r"));
        text.push_str(&self.pid(&Name::Ascii));
        text.push_str(&format!("MRG|{}9^^^GENERAL^MR\r", self.stay.patient.record_number));
        self.push(control_id, &text, &Name::Ascii);
    }

    /// Every third stay comes from a system with the original acknowledgement mode.
    fn header(&self, kind: &str, control_id: &str, name: &Name, version: &str) -> String {
        let (system, mode) = if self.stay.number.is_multiple_of(3) { ("EHR2", "|") } else { ("EHR1", "AL|NE") };
        let charset = match name {
            Name::Ascii => "",
            Name::Utf8 | Name::BadByte => "UNICODE UTF-8",
            Name::Latin1 => "8859/1",
        };
        let time = self.now();
        format!("MSH|^~\\&|{system}|GENERAL|WARDLINE|HUB|{time}||{kind}|{control_id}|P|{version}|||{mode}||{charset}\r")
    }

    fn pid(&self, name: &Name) -> String {
        let patient = &self.stay.patient;
        let family = match name {
            Name::Ascii => patient.family.clone(),
            Name::Utf8 | Name::Latin1 | Name::BadByte => format!("{}-Müller", patient.family),
        };
        format!(
            "PID|1||{}^^^GENERAL^MR||{family}^{}^^^^^L||{}|{}\r",
            patient.record_number, patient.given, patient.birth, patient.sex
        )
    }

    fn pv1(&self, unit: &str, prior: Option<&str>, discharged: &str) -> String {
        let place = |unit: &str| format!("{unit}^1^A^GENERAL^^N^MAIN");
        let mut fields = vec![String::new(); 46];
        let admitted = stamp(self.date, self.stay.admitted_minute);
        let values = [
            (0, "PV1".to_owned()),
            (1, "1".to_owned()),
            (2, "I".to_owned()),
            (3, place(unit)),
            (6, prior.map(place).unwrap_or_default()),
            (7, "1001^Adams^Ann^^^Dr".to_owned()),
            (10, "SUR".to_owned()),
            (19, format!("{}^^^GENERAL^VN", self.stay.visit)),
            (36, if discharged.is_empty() { String::new() } else { "01^Home^HL70112".to_owned() }),
            (44, admitted),
            (45, discharged.to_owned()),
        ];
        for (place, value) in values {
            if let Some(field) = fields.get_mut(place) {
                *field = value;
            }
        }
        format!("{}\r", fields.join("|").trim_end_matches('|'))
    }

    fn push(&mut self, control_id: String, text: &str, name: &Name) {
        let bytes = match name {
            Name::Ascii | Name::Utf8 => text.as_bytes().to_vec(),
            // Latin-1: one byte per character. Declared as such it is right; declared as UTF-8 it is a bad byte.
            Name::Latin1 | Name::BadByte => {
                text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
            }
        };
        self.sent.push(Message { control_id, bytes });
    }

    /// Time goes on with each message.
    fn time(&mut self) -> String {
        self.minute += 11;
        self.now()
    }

    fn now(&self) -> String {
        stamp(self.date, self.minute)
    }
}

/// The label as GS1 prints it for people.
pub fn label(used: &Use) -> String {
    let expires = used.expires.as_deref().and_then(|expires| expires.get(2..)).map(|short| format!("(17){short}"));
    let lot = used.lot.as_deref().map(|lot| format!("(10){lot}"));
    format!("(01){}{}{}", used.gtin, expires.unwrap_or_default(), lot.unwrap_or_default())
}

/// Time stamp of HL7 v2, UTC.
fn stamp(date: Date, minute: u32) -> String {
    let minute = minute.min(23 * 60 + 59);
    format!("{}{:02}{:02}00+0000", date.strftime("%Y%m%d"), minute / 60, minute % 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use crate::demo::story;
    use std::collections::HashMap;

    const DATE: Date = Date::constant(2026, 3, 2);

    fn day() -> Vec<Message> {
        let hospital = components::Hospital::load().unwrap();
        story::stays(&hospital, DATE, 24).iter().flat_map(|stay| messages(stay, DATE)).collect()
    }

    #[test]
    fn a_control_id_means_one_text() {
        let mut seen: HashMap<String, Vec<u8>> = HashMap::new();
        let mut resent = 0;
        for message in day() {
            if let Some(before) = seen.insert(message.control_id.clone(), message.bytes.clone()) {
                assert_eq!(before, message.bytes, "{}", message.control_id);
                resent += 1;
            }
        }
        assert_eq!(resent, 1);
    }

    #[test]
    fn one_message_breaks_its_character_set() {
        let declared = |message: &&Message| message.bytes.windows(13).any(|window| window == b"UNICODE UTF-8");
        let day = day();
        let broken = day.iter().filter(declared).filter(|message| std::str::from_utf8(&message.bytes).is_err());
        assert_eq!(broken.count(), 1);
    }

    #[test]
    fn a_charge_names_item_lot_and_label() {
        let all: Vec<u8> = day().into_iter().flat_map(|message| message.bytes).collect();
        let text = String::from_utf8_lossy(&all);
        let charge = text.split('\r').find(|segment| segment.starts_with("ZSC|1|71-1")).unwrap();
        assert_eq!(charge.split('|').count(), 11, "{charge}");
        assert!(text.contains("|CD|"));
        assert_eq!(components::Hospital::load().unwrap().currency, CURRENCY);
        let charges = text.split('\r').filter(|segment| segment.starts_with("FT1|"));
        let unpriced = |segment: &&str| !segment.split('|').nth(12).is_some_and(|price| price.ends_with("&EUR"));
        assert_eq!(charges.filter(unpriced).count(), 0, "what waits has its money");
    }
}
