//! Dates on labels: two-digit years, days that may be missing, hours and days of the year.

use std::fmt;

use serde::{Serialize, Serializer};

/// How much of a date the label gave, where it gave less than the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Year and month; the day is the last of the month.
    Month,
}

/// A date as printed on a label. Written as `2028-11-30`, or `2020-02-02T16` when the label gives the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdiDate {
    /// Four-digit year.
    pub year: i16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31; the last day of the month when the label gave none.
    pub day: u8,
    /// Hour of expiry, 0 to 23, if the label gave one.
    pub hour: Option<u8>,
    /// Whether the label gave the day itself.
    pub day_given: bool,
}

impl UdiDate {
    /// A date of year and month; day 0 stands for the last day of the month. None if no such date exists.
    pub(crate) fn new(year: i16, month: u8, day: u8, hour: Option<u8>) -> Option<Self> {
        let last = days_in_month(year, month)?;
        if day > last || hour.is_some_and(|hour| hour > 23) {
            return None;
        }
        let day_given = day != 0;
        Some(Self { year, month, day: if day_given { day } else { last }, hour, day_given })
    }

    /// A date given as the day of the year, 1 to 366.
    pub(crate) fn from_ordinal(year: i16, ordinal: u16, hour: Option<u8>) -> Option<Self> {
        let mut left = ordinal;
        for month in 1..=12 {
            let days = u16::from(days_in_month(year, month)?);
            if left >= 1 && left <= days {
                return Self::new(year, month, u8::try_from(left).ok()?, hour);
            }
            left = left.saturating_sub(days);
        }
        None
    }

    pub(crate) fn precision_to_say(self) -> Option<Precision> {
        (!self.day_given).then_some(Precision::Month)
    }
}

impl fmt::Display for UdiDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)?;
        match self.hour {
            Some(hour) => write!(formatter, "T{hour:02}"),
            None => Ok(()),
        }
    }
}

impl Serialize for UdiDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The year meant by two digits, read in `current`: 51 or more ahead is the last century, 50 or more behind is the next.
pub(crate) fn full_year(two_digits: i16, current: i16) -> i16 {
    let century = current - current % 100;
    let difference = two_digits - current % 100;
    if difference >= 51 {
        century - 100 + two_digits
    } else if difference <= -50 {
        century + 100 + two_digits
    } else {
        century + two_digits
    }
}

/// `text` as a number, if it is nothing but digits.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// YYMMDD as GS1 and HIBC write it; day 00 is the last day of the month.
pub(crate) fn yymmdd(text: &str, current: i16) -> Option<UdiDate> {
    if text.len() != 6 || !text.is_ascii() {
        return None;
    }
    let year = full_year(number(&text[..2])?, current);
    UdiDate::new(year, number(&text[2..4])?, number(&text[4..])?, None)
}

fn days_in_month(year: i16, month: u8) -> Option<u8> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;

    #[test]
    fn slides_the_century() {
        assert_eq!(full_year(76, 2026), 2076);
        assert_eq!(full_year(77, 2026), 1977);
        assert_eq!(full_year(99, 2026), 1999);
        assert_eq!(full_year(1, 2051), 2101);
        assert_eq!(full_year(2, 2051), 2002);
    }

    #[test]
    fn reads_missing_days_hours_and_days_of_the_year() {
        assert_eq!(yymmdd("280200", 2026).unwrap().to_string(), "2028-02-29");
        assert_eq!(yymmdd("281332", 2026), None);
        assert_eq!(UdiDate::from_ordinal(2028, 366, Some(7)).unwrap().to_string(), "2028-12-31T07");
        assert_eq!(UdiDate::from_ordinal(2027, 366, None), None);
        assert_eq!(UdiDate::from_ordinal(2027, 0, None), None);
        assert_eq!(UdiDate::new(2027, 1, 1, Some(24)), None);
    }
}
