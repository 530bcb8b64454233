//! A plot, drawn here: no script and no file of others is needed to see it.

use super::number;
use crate::pages::overview::Hour;
use maud::{Markup, html};

const WIDTH: usize = 960;
const HEIGHT: usize = 150;
/// Left of the first bar, and below the bars, for numbers.
const LEFT: usize = 44;
const BELOW: usize = 24;
const ABOVE: usize = 8;

/// Bars of what was raised in each hour: settled below, still open on top.
pub fn hours(hours: &[Hour]) -> Markup {
    let most = hours.iter().map(|hour| hour.open + hour.settled).max().unwrap_or_default().max(1);
    let step = (WIDTH - LEFT) / hours.len().max(1);
    let tall = HEIGHT - BELOW - ABOVE;
    // A single exception must be seen beside thousands.
    let height = |count: usize| if count == 0 { 0 } else { (count * tall / most).max(2) };
    let all: usize = hours.iter().map(|hour| hour.open + hour.settled).sum();
    let open: usize = hours.iter().map(|hour| hour.open).sum();
    html! {
        svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
            aria-label=(format!("{all} exceptions were raised in the last {} hours; {open} of them are open", hours.len()))
        {
            line.rule x1=(LEFT) x2=(WIDTH) y1=(ABOVE) y2=(ABOVE) {}
            line.rule x1=(LEFT) x2=(WIDTH) y1=(ABOVE + tall) y2=(ABOVE + tall) {}
            text x=(LEFT - 6) y=(ABOVE + 9) text-anchor="end" { (number(most as i128)) }
            text x=(LEFT - 6) y=(ABOVE + tall) text-anchor="end" { "0" }
            @for (index, hour) in hours.iter().enumerate() {
                @let x = LEFT + index * step;
                @let (settled, open) = (height(hour.settled), height(hour.open));
                @let (settled, open) = (settled.min(tall), open.min(tall.saturating_sub(settled.min(tall))));
                @if settled > 0 {
                    rect.bar x=(x + 2) width=(step - 4) y=(ABOVE + tall - settled) height=(settled) { title { (label(hour)) } }
                }
                @if open > 0 {
                    rect.open x=(x + 2) width=(step - 4) y=(ABOVE + tall - settled - open) height=(open) { title { (label(hour)) } }
                }
                @if index % 3 == 0 { text x=(x + 2) y=(HEIGHT - 6) { (clock_text(hour.start)) } }
            }
        }
        p.muted {
            (number(all as i128)) " raised, " (number(open as i128)) " of them still open. Times are UTC."
        }
    }
}

fn label(hour: &Hour) -> String {
    format!("{} UTC: {} open, {} settled", clock_text(hour.start), hour.open, hour.settled)
}

fn clock_text(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "-".to_owned(), |time| time.strftime("%H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_open_exception_is_seen_beside_thousands() {
        let all = [Hour { start: 0, settled: 5_000, open: 0 }, Hour { start: 3_600_000_000, settled: 0, open: 1 }];
        let drawn = hours(&all).into_string();
        assert!(drawn.contains("class=\"open\"") && drawn.contains("height=\"2\""), "{drawn}");
        assert!(drawn.contains("5001 exceptions were raised") && drawn.contains("01:00 UTC: 1 open"), "{drawn}");
        assert!(!drawn.contains("style="), "the policy of the pages allows no style in them");
    }
}
