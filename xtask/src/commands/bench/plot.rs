//! Plots of a report: horizontal bars with the range of the rounds, as SVG for light and dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
/// Room for the names on the left, and for the numbers on the right.
const NAMES: f64 = 220.0;
const NUMBERS: f64 = 90.0;
/// Above the first bar.
const HEAD: f64 = 58.0;
const BAR: f64 = 22.0;
const GAP: f64 = 12.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1c2733}.title{font-weight:600;font-size:15px}.note{fill:#5b6875}\
    .rival{fill:#9aa7b4}.ours{fill:#0b7285}.range{stroke:#1c2733;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){text{fill:#e6ebf0}.note{fill:#9fb0c0}.rival{fill:#66727e}.ours{fill:#3bc9db}\
    .range{stroke:#e6ebf0}}";

/// One job: least, median and most of its rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Name of the job.
    pub name: String,
    /// Least of the rounds.
    pub least: f64,
    /// The one in the middle: the length of the bar.
    pub median: f64,
    /// Most of the rounds.
    pub most: f64,
    /// Wardline's, and not a rival's.
    pub ours: bool,
}

/// A plot of one measure of all jobs.
pub fn svg(title: &str, note: &str, bars: &[Bar]) -> String {
    let rows: f64 = bars.iter().map(|_| BAR + GAP).sum();
    let height = HEAD + rows;
    let most = bars.iter().map(|bar| bar.most).fold(1e-9, f64::max);
    let length = |value: f64| value / most * (WIDTH - NAMES - NUMBERS);
    let said: Vec<String> = bars.iter().map(|bar| format!("{}: {}", bar.name, grouped(bar.median))).collect();
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{}</title>\n\
         <desc>{}</desc>\n<style>{STYLE}</style>\n<text class=\"title\" x=\"0\" y=\"18\">{}</text>\n\
         <text class=\"note\" x=\"0\" y=\"38\">{}</text>\n",
        escaped(title),
        escaped(&said.join("; ")),
        escaped(title),
        escaped(note),
    );
    let mut top = HEAD;
    for bar in bars {
        let class = if bar.ours { "ours" } else { "rival" };
        let (middle, text) = (top + BAR / 2.0, top + BAR / 2.0 + 4.5);
        let (from, to) = (NAMES + length(bar.least), NAMES + length(bar.most));
        // Writing to a String cannot fail.
        let _ = write!(
            drawn,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect class=\"{class}\" x=\"{NAMES}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\n\
             <path class=\"range\" d=\"M{from:.1} {middle:.1}H{to:.1}\"/>\n\
             <text x=\"{:.1}\" y=\"{text:.1}\">{}</text>\n",
            NAMES - 10.0,
            escaped(&bar.name),
            length(bar.median),
            to + 10.0,
            grouped(bar.median),
        );
        top += BAR + GAP;
    }
    drawn.push_str("</svg>\n");
    drawn
}

/// A number as people read it: thousands apart, small ones with two decimal places.
fn grouped(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_takes_the_whole_width_and_the_others_their_share() {
        let bar = |name: &str, median: f64, most: f64| Bar {
            name: name.to_owned(),
            least: median,
            median,
            most,
            ours: name == "wardline",
        };
        let drawn =
            svg("Events & seconds", "3 rounds", &[bar("wardline", 900.0, 1_000.0), bar("a <rival>", 250.0, 250.0)]);
        assert!(drawn.contains("Events &amp; seconds") && drawn.contains("a &lt;rival&gt;: 250"), "{drawn}");
        assert!(drawn.contains("class=\"ours\" x=\"220\" y=\"58.0\" width=\"405.0\""), "{drawn}");
        assert!(drawn.contains("M625.0 69.0H670.0"), "{drawn}");
        assert!(drawn.contains("class=\"rival\" x=\"220\" y=\"92.0\" width=\"112.5\""), "{drawn}");
        assert!(svg("nothing", "", &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        assert_eq!(
            [0.5, 99.99, 100.0, 86_132.6, 1_234_567.0].map(grouped),
            ["0.50", "99.99", "100", "86,133", "1,234,567"]
        );
    }
}
