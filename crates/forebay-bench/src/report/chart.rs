//! Charts as SVG, for the report of a run and of a tuning: scales, colours, and what all charts have.
//!
//! [`Lines`] draws named series of points, [`Rows`] one row for each name. Text is laid out by whoever shows the SVG, so
//! no fonts are needed here. Each chart has its colours for a dark background with it.

mod axis;
mod lines;
mod rows;

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};

pub use axis::{Axis, Scale, Unit};
pub use lines::{Line, Lines, Series};
pub use rows::{Mark, Row, Rows, Shape};

/// Points to a pixel: coordinates are whole numbers here, and a reader's screen has more than one to a pixel.
const GRAIN: i32 = 2;
/// Width of a chart in pixels: that of a phone, so that its text can be read on one.
const WIDTH: i32 = 460;
/// Of the text in a chart.
const FONT: i32 = 12;
/// Height of a line of it.
const LINE: i32 = 18;

const BACKGROUND: Ink = Ink { light: RGBColor(255, 255, 255), dark: "#17191D" };
const TEXT: Ink = Ink { light: RGBColor(31, 35, 40), dark: "#E4E7EA" };
const MUTED: Ink = Ink { light: RGBColor(87, 96, 106), dark: "#A2AAB4" };
const GRID: Ink = Ink { light: RGBColor(225, 228, 232), dark: "#353A41" };

/// A colour, and what it is on a dark background.
#[derive(Clone, Copy)]
struct Ink {
    light: RGBColor,
    dark: &'static str,
}

/// Who is shown, by colour. They can be told apart by the colour-blind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The buffer.
    Forebay,
    /// A connection for each worker.
    Direct,
    /// What cannot be surpassed.
    Limit,
    /// Everybody else.
    Other,
}

impl Tone {
    const ALL: [Self; 4] = [Self::Forebay, Self::Direct, Self::Limit, Self::Other];

    fn ink(self) -> Ink {
        let (light, dark) = match self {
            Self::Forebay => (RGBColor(0, 114, 178), "#3F9FDB"),
            Self::Direct => (RGBColor(213, 94, 0), "#E5812F"),
            Self::Limit => (RGBColor(0, 158, 115), "#2BAC82"),
            Self::Other => (RGBColor(140, 147, 156), "#8B939D"),
        };
        Ink { light, dark }
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// What explains a colour or a mark.
struct Key<'a> {
    name: &'a str,
    ink: Ink,
    sign: Sign,
}

/// How it is drawn.
#[derive(Clone, Copy)]
enum Sign {
    Line(Line),
    Mark(Mark),
}

/// Draws a chart: its title, what its vertical axis is, its legend, and below them, in the height that is left, what
/// `paint` paints.
fn draw(
    title: &str,
    vertical: &str,
    keys: &[Key<'_>],
    height: i32,
    paint: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String> {
    let mut svg = String::new();
    let legend = arranged(keys);
    let lines =
        1 + legend.last().map_or(0, |(_, line, _)| line + 1) + i32::from(!vertical.is_empty());
    let head = lines * LINE + 10;
    let size = ((WIDTH * GRAIN) as u32, ((head + height) * GRAIN) as u32);
    let all = || -> Drawn {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&BACKGROUND.light)?;
        write(&area, title, (4, 11), TEXT, FONT + 1, HPos::Left, true)?;
        for (x, line, key) in &legend {
            sign(&area, key, (*x, 11 + (1 + line) * LINE))?;
            let at = (x + 22, 11 + (1 + line) * LINE);
            write(&area, key.name, at, TEXT, FONT, HPos::Left, false)?;
        }
        if !vertical.is_empty() {
            write(&area, vertical, (4, head - LINE + 3), MUTED, FONT, HPos::Left, false)?;
        }
        let (_, body) = area.split_vertically(head * GRAIN);
        paint(&body)?;
        area.present()
    };
    all().map_err(|error| Error::new(format!("cannot draw the chart {title:?}: {error}")))?;
    Ok(dressed(&svg, title))
}

/// Keys side by side, as many as there is room for in a line.
fn arranged<'a, 'b>(keys: &'a [Key<'b>]) -> Vec<(i32, i32, &'a Key<'b>)> {
    let (mut x, mut line) = (4, 0);
    let mut places = Vec::new();
    for key in keys {
        let width = 40 + key.name.chars().count() as i32 * FONT * 11 / 20;
        if x > 4 && x + width > WIDTH {
            (x, line) = (4, line + 1);
        }
        places.push((x, line, key));
        x += width;
    }
    places
}

fn sign(area: &Area<'_>, key: &Key<'_>, (x, y): (i32, i32)) -> Drawn {
    let color = key.ink.light;
    match key.sign {
        Sign::Line(line) => {
            let parts: &[(i32, i32)] =
                if line == Line::Dashed { &[(0, 7), (10, 17)] } else { &[(0, 17)] };
            for (from, to) in parts {
                let ends = [(x + from, y), (x + to, y)].map(|(x, y)| (x * GRAIN, y * GRAIN));
                area.draw(&PathElement::new(ends.to_vec(), color.stroke_width(4)))?;
            }
        }
        Sign::Mark(mark) => rows::draw_mark(area, mark, ((x + 10) * GRAIN, y * GRAIN), color)?,
    }
    Ok(())
}

/// Writes a text, its middle at this height.
fn write(
    area: &Area<'_>,
    text: &str,
    (x, y): (i32, i32),
    ink: Ink,
    size: i32,
    from: HPos,
    is_bold: bool,
) -> Drawn {
    let style = if is_bold { FontStyle::Bold } else { FontStyle::Normal };
    let style = font(size, style).color(&ink.light).pos(Pos::new(from, VPos::Center));
    area.draw_text(text, &style, (x * GRAIN, y * GRAIN))
}

/// A font of this many pixels. The backend takes off what it thinks a line has above and below.
fn font(size: i32, style: FontStyle) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, f64::from(size * GRAIN) * 1.24, style)
}

/// With its title for those who do not see it, and its colours in the dark.
fn dressed(svg: &str, title: &str) -> String {
    let inks = [BACKGROUND, TEXT, MUTED, GRID].into_iter().chain(Tone::ALL.map(Tone::ink));
    let dark: String = inks
        .map(|Ink { light: RGBColor(red, green, blue), dark }| {
            let light = format!("#{red:02X}{green:02X}{blue:02X}");
            format!(
                "svg [fill=\"{light}\"]{{fill:{dark}}}svg [stroke=\"{light}\"]{{stroke:{dark}}}"
            )
        })
        .collect();
    let title = escaped(title);
    let head = format!(
        " role=\"img\">\n<title>{title}</title>\n<style>@media(prefers-color-scheme:dark){{{dark}}}</style>\n"
    );
    svg.replacen(">\n", &head, 1)
}

/// A text as it stands in XML and HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // What XML has no way to write.
            one if one.is_control() && !one.is_whitespace() => safe.push('\u{FFFD}'),
            one => safe.push(one),
        }
    }
    safe
}
