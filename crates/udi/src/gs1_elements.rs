//! The GS1 application identifiers: how long each value is, what it may hold, whether a separator must follow.

/// What characters a value may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Digits.
    Digits,
    /// Digits with a GS1 check digit at the end.
    Checked,
    /// A date YYMMDD (more may follow it).
    Date,
    /// The GS1 character set 82.
    Text,
}

/// The rule of one application identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    /// Fewest characters.
    pub(crate) min: usize,
    /// Most characters.
    pub(crate) max: usize,
    /// What they may be.
    pub(crate) class: Class,
    /// No separator is needed after it (GS1 General Specifications, predefined-length table).
    pub(crate) self_ending: bool,
}

/// The application identifier at the start of `text` and its rule. Identifiers have two to four digits and no prefix of
/// one is another, so the first that matches is the one.
pub(crate) fn at_start(text: &str) -> Option<(&str, Element)> {
    (2..=4).find_map(|length| {
        let identifier = text.get(..length)?;
        Some((identifier, lookup(identifier)?))
    })
}

/// The rule of an application identifier, if GS1 has given it out.
pub(crate) fn lookup(identifier: &str) -> Option<Element> {
    if !identifier.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (min, max, class) = match identifier.len() {
        2 => two_digits(identifier),
        3 => three_digits(identifier),
        4 => four_digits(identifier),
        _ => None,
    }?;
    let self_ending = matches!(
        &identifier[..2],
        "00" | "01"
            | "02"
            | "03"
            | "04"
            | "11"
            | "12"
            | "13"
            | "14"
            | "15"
            | "16"
            | "17"
            | "18"
            | "19"
            | "20"
            | "31"
            | "32"
            | "33"
            | "34"
            | "35"
            | "36"
            | "41"
    );
    Some(Element { min, max, class, self_ending })
}

/// Whether a character belongs to the GS1 character set 82.
pub(crate) fn is_character_82(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!\"%&'()*+,-./:;<=>?_".contains(character)
}

type Rule = (usize, usize, Class);

fn two_digits(identifier: &str) -> Option<Rule> {
    Some(match identifier {
        "00" => (18, 18, Class::Checked),
        "01" | "02" | "03" => (14, 14, Class::Checked),
        "10" | "21" | "22" => (1, 20, Class::Text),
        "11" | "12" | "13" | "15" | "16" | "17" => (6, 6, Class::Date),
        "20" => (2, 2, Class::Digits),
        "30" | "37" => (1, 8, Class::Digits),
        "90" => (1, 30, Class::Text),
        "91" | "92" | "93" | "94" | "95" | "96" | "97" | "98" | "99" => (1, 90, Class::Text),
        _ => return None,
    })
}

fn three_digits(identifier: &str) -> Option<Rule> {
    Some(match identifier {
        "235" => (1, 28, Class::Text),
        "240" | "241" | "250" | "251" | "400" | "401" | "403" => (1, 30, Class::Text),
        "242" => (1, 6, Class::Digits),
        "243" | "254" | "420" | "427" | "710" | "711" | "712" | "713" | "714" | "715" | "716" | "717" => {
            (1, 20, Class::Text)
        }
        "253" => (13, 30, Class::Text),
        "255" => (13, 25, Class::Digits),
        "402" => (17, 17, Class::Checked),
        "410" | "411" | "412" | "413" | "414" | "415" | "416" | "417" => (13, 13, Class::Checked),
        "421" => (4, 12, Class::Text),
        "422" | "424" | "426" => (3, 3, Class::Digits),
        "423" | "425" => (3, 15, Class::Digits),
        _ => return None,
    })
}

fn four_digits(identifier: &str) -> Option<Rule> {
    let family = &identifier[..3];
    Some(match identifier {
        "4300" | "4301" | "4310" | "4311" | "4320" => (1, 35, Class::Text),
        "4302" | "4303" | "4304" | "4305" | "4306" | "4312" | "4313" | "4314" | "4315" | "4316" => (1, 70, Class::Text),
        "4307" | "4317" => (2, 2, Class::Text),
        "4308" | "4319" => (1, 30, Class::Text),
        "4309" => (20, 20, Class::Digits),
        "4318" => (1, 20, Class::Text),
        "4321" | "4322" | "4323" => (1, 1, Class::Digits),
        "4324" | "4325" | "7003" => (10, 10, Class::Date),
        "4326" => (6, 6, Class::Date),
        "4330" | "4331" | "4332" | "4333" => (6, 7, Class::Text),
        "7001" => (13, 13, Class::Digits),
        "7002" => (1, 30, Class::Text),
        "7004" => (1, 4, Class::Digits),
        "7005" => (1, 12, Class::Text),
        "7006" => (6, 6, Class::Date),
        "7007" => (6, 12, Class::Date),
        "7008" => (1, 3, Class::Text),
        "7009" => (1, 10, Class::Text),
        "7010" => (1, 2, Class::Text),
        "7011" => (6, 10, Class::Date),
        "7020" | "7021" | "7022" => (1, 20, Class::Text),
        "7023" | "7240" => (1, 30, Class::Text),
        "7040" => (4, 4, Class::Text),
        "7241" => (2, 2, Class::Digits),
        "7242" => (1, 25, Class::Text),
        "8001" => (14, 14, Class::Digits),
        "8002" | "8012" => (1, 20, Class::Text),
        "8003" => (14, 30, Class::Text),
        "8004" | "8013" | "8014" => (1, 30, Class::Text),
        "8005" => (6, 6, Class::Digits),
        "8006" | "8026" => (18, 18, Class::Digits),
        "8007" => (1, 34, Class::Text),
        "8008" => (8, 12, Class::Date),
        "8009" => (1, 50, Class::Text),
        "8010" => (1, 30, Class::Text),
        "8011" => (1, 12, Class::Digits),
        "8017" | "8018" => (18, 18, Class::Checked),
        "8019" => (1, 10, Class::Digits),
        "8020" => (1, 25, Class::Text),
        "8110" | "8112" | "8200" => (1, 70, Class::Text),
        "8111" => (4, 4, Class::Digits),
        _ if identifier.starts_with("703") => (3, 30, Class::Text),
        _ if identifier.starts_with("723") => (2, 30, Class::Text),
        _ => return measures(family),
    })
}

/// Weights, lengths, areas, volumes and amounts: the fourth digit is the place of the decimal point.
fn measures(family: &str) -> Option<Rule> {
    let number: u16 = family.parse().ok()?;
    match number {
        310..=316 | 320..=337 | 340..=357 | 360..=369 => Some((6, 6, Class::Digits)),
        390 | 392 => Some((1, 15, Class::Digits)),
        391 | 393 => Some((4, 18, Class::Digits)),
        394 => Some((4, 4, Class::Digits)),
        395 => Some((6, 6, Class::Digits)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_identifiers_of_every_length() {
        assert_eq!(at_start("0100844588003288").map(|found| found.0), Some("01"));
        assert_eq!(at_start("240ABC").map(|found| found.0), Some("240"));
        assert_eq!(at_start("80124.2.1").map(|found| found.0), Some("8012"));
        assert_eq!(at_start("3103000123").map(|found| found.0), Some("3103"));
        assert_eq!(at_start("HELLO"), None);
        assert_eq!(at_start("é"), None);
    }

    #[test]
    fn no_identifier_is_the_start_of_another() {
        for long in 0..10_000_u32 {
            let long = format!("{long:04}");
            if lookup(&long).is_some() {
                assert!(lookup(&long[..2]).is_none() && lookup(&long[..3]).is_none(), "{long}");
            }
        }
        for long in 0..1_000_u32 {
            let long = format!("{long:03}");
            assert!(lookup(&long).is_none() || lookup(&long[..2]).is_none(), "{long}");
        }
    }
}
