//! A plot, drawn here: no script and no file of others is needed to see it.

use super::{number, zone};
use maud::{Markup, html};
use operations::exceptions::Hour;

const WIDTH: usize = 960;
const HEIGHT: usize = 150;
/// Left of the first bar, and below the bars, for numbers.
const LEFT: usize = 44;
const BELOW: usize = 24;
const ABOVE: usize = 8;
/// Of plots of lines, which stand beside each other.
const LINES_WIDTH: usize = 460;
const LINES_HEIGHT: usize = 170;
const LINES_LEFT: usize = 64;

/// One line of a plot.
pub struct Series {
    name: &'static str,
    /// Gives its colour and its dashes.
    kind: &'static str,
    values: Vec<Option<u64>>,
}

impl Series {
    /// A line with a value for each hour; none where nothing is known.
    pub const fn new(name: &'static str, kind: &'static str, values: Vec<Option<u64>>) -> Self {
        Self { name, kind, values }
    }
}

/// Lines over hours, which begin at these milliseconds since 1970; `said` is how a value is told.
pub fn lines(title: &str, starts_ms: &[i64], all: &[Series], said: fn(u64) -> String) -> Markup {
    let most = all.iter().flat_map(|series| series.values.iter().flatten()).max().copied().unwrap_or_default();
    let known = |series: &Series| series.values.iter().flatten().max().copied();
    let told: Vec<String> = all
        .iter()
        .map(|series| format!("{} at most {}", series.name, known(series).map_or_else(|| "-".to_owned(), said)))
        .collect();
    let tall = LINES_HEIGHT - BELOW - ABOVE;
    html! {
        figure.lines {
            figcaption { (title) }
            svg.plot viewBox=(format!("0 0 {LINES_WIDTH} {LINES_HEIGHT}")) role="img" aria-label=(format!("{title} over {} hours: {}", starts_ms.len(), told.join("; "))) {
                line.rule x1=(LINES_LEFT) x2=(LINES_WIDTH) y1=(ABOVE) y2=(ABOVE) {}
                line.rule x1=(LINES_LEFT) x2=(LINES_WIDTH) y1=(ABOVE + tall) y2=(ABOVE + tall) {}
                text x=(LINES_LEFT - 6) y=(ABOVE + 9) text-anchor="end" { (said(most)) }
                text x=(LINES_LEFT - 6) y=(ABOVE + tall) text-anchor="end" { "0" }
                @for (index, start) in starts_ms.iter().enumerate().filter(|(index, _)| index % 6 == 0) {
                    text x=(LINES_LEFT + index * step(starts_ms.len())) y=(LINES_HEIGHT - 6) { (clock_text(start * 1_000)) }
                }
                @for series in all { (line(series, starts_ms, most, said)) }
            }
            p.legend {
                @for series in all { span { svg.key viewBox="0 0 24 8" aria-hidden="true" { line.(series.kind) x1="0" x2="24" y1="4" y2="4" {} } (series.name) } }
            }
        }
    }
}

/// A line, in pieces where something is not known, with a point for each value that tells it.
fn line(series: &Series, starts_ms: &[i64], most: u64, said: fn(u64) -> String) -> Markup {
    let tall = u64::try_from(LINES_HEIGHT - BELOW - ABOVE).unwrap_or_default();
    let step = step(starts_ms.len());
    let place = |index: usize, value: u64| {
        let height = u128::from(value) * u128::from(tall) / u128::from(most.max(1));
        let below = tall.saturating_sub(u64::try_from(height).unwrap_or(tall));
        (LINES_LEFT + index * step + step / 2, u64::try_from(ABOVE).unwrap_or_default() + below)
    };
    let points: Vec<_> = series
        .values
        .iter()
        .enumerate()
        .map(|(index, value)| value.map(|value| (place(index, value), value)))
        .collect();
    html! {
        @for piece in points.split(Option::is_none).filter(|piece| piece.len() > 1) {
            polyline.(series.kind) points=(piece.iter().flatten().map(|((x, y), _)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")) {}
        }
        @for (index, ((x, y), value)) in points.iter().enumerate().filter_map(|(index, point)| Some((index, point.as_ref()?))) {
            circle.(series.kind) cx=(x) cy=(y) r="3" {
                title { (starts_ms.get(index).map(|start| zone::told(|zone| zone.clock(start * 1_000))).unwrap_or_default()) ": " (series.name) " " (said(*value)) }
            }
        }
    }
}

fn step(hours: usize) -> usize {
    (LINES_WIDTH - LINES_LEFT) / hours.max(1)
}

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
            (number(all as i128)) " raised, " (number(open as i128)) " of them still open. Times are " (zone::told(|zone| zone.name().to_owned())) "."
        }
    }
}

fn label(hour: &Hour) -> String {
    format!("{}: {} open, {} settled", zone::told(|zone| zone.clock(hour.start)), hour.open, hour.settled)
}

/// A time of day of microseconds since 1970, in the time zone of the page.
pub fn clock_text(micros: i64) -> String {
    zone::told(|zone| zone.bare_clock(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let values = vec![Some(10), Some(20), None, Some(0)];
        let drawn =
            lines("Took", &[0, 3_600_000, 7_200_000, 10_800_000], &[Series::new("half", "one", values)], |value| {
                value.to_string()
            });
        let drawn = drawn.into_string();
        assert_eq!(drawn.matches("<polyline").count(), 1, "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 3, "{drawn}");
        assert!(
            drawn.contains("Took over 4 hours: half at most 20") && drawn.contains("01:00 UTC: half 20"),
            "{drawn}"
        );
        assert!(!drawn.contains("style="), "the policy of the pages allows no style in them");
        // The highest value is at the top, and nothing is drawn outside of the frame.
        assert!(drawn.contains(&format!("cy=\"{ABOVE}\"")), "{drawn}");
        let none =
            lines("Took", &[], &[Series::new("half", "one", Vec::new())], |value| value.to_string()).into_string();
        assert!(none.contains("half at most -"), "{none}");
    }

    #[test]
    fn one_open_exception_is_seen_beside_thousands() {
        let all = [Hour { start: 0, settled: 5_000, open: 0 }, Hour { start: 3_600_000_000, settled: 0, open: 1 }];
        let drawn = hours(&all).into_string();
        assert!(drawn.contains("class=\"open\"") && drawn.contains("height=\"2\""), "{drawn}");
        assert!(drawn.contains("5001 exceptions were raised") && drawn.contains("01:00 UTC: 1 open"), "{drawn}");
        assert!(!drawn.contains("style="), "the policy of the pages allows no style in them");
    }
}
