//! Draws charts as SVG and as PNG. The font of PNGs is part of this program, so that the system needs none.

use std::sync::OnceLock;

use anyhow::Context as _;
use plotters::{
    backend::{BitMapBackend, DrawingBackend, SVGBackend},
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    drawing::{DrawingArea, IntoDrawingArea as _},
    element::{PathElement, Rectangle, Text},
    prelude::Cartesian2d,
    style::{
        BLACK, Color as _, FontStyle, IntoFont as _, RGBColor, TextStyle, WHITE, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    charts::{self, Chart},
    load::to_f64,
};

const WIDTH_MIN: u32 = 960;
/// Width of a group, so that neighboring names do not overlap; below, the width beside all groups.
const GROUP_WIDTH: usize = 66;
const BESIDE_GROUPS: usize = 108;
const HEIGHT: u32 = 490;
/// Height of the title and legend; below, the height of the groups' names.
const HEAD: u32 = 64;
const FOOT: u32 = 66;
const FONT: &str = "sans-serif";
/// Colors that color-blind people can distinguish (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
];
const GREY: RGBColor = RGBColor(90, 90, 90);
const RED: RGBColor = RGBColor(190, 0, 0);

/// Draws a chart as SVG.
///
/// # Errors
/// Fails if it cannot be drawn.
pub(super) fn svg(chart: &Chart) -> anyhow::Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (width(chart), HEIGHT)).into_drawing_area();
    draw(&area, chart)?;
    drop(area);
    Ok(text)
}

/// Draws a chart as PNG.
///
/// # Errors
/// Fails if it cannot be drawn.
pub(super) fn png(chart: &Chart) -> anyhow::Result<Vec<u8>> {
    let width = width(chart);
    let mut pixels = vec![0; width as usize * HEIGHT as usize * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, (width, HEIGHT)).into_drawing_area();
    draw(&area, chart)?;
    drop(area);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}

/// Returns the width that the groups' names require.
fn width(chart: &Chart) -> u32 {
    let needed = BESIDE_GROUPS + GROUP_WIDTH * chart.groups.len();
    u32::try_from(needed).unwrap_or(WIDTH_MIN).max(WIDTH_MIN)
}

type Area<B> = DrawingArea<B, Shift>;
type Plot<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw<B: DrawingBackend>(area: &Area<B>, chart: &Chart) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    static FONTS: OnceLock<bool> = OnceLock::new();
    let has_font = FONTS.get_or_init(|| register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok());
    anyhow::ensure!(has_font, "the font of charts cannot be read");
    area.fill(&WHITE)?;
    let (head, rest) = area.split_vertically(HEAD);
    let (body, foot) = rest.split_vertically(HEIGHT - HEAD - FOOT);
    legend(&head, chart)?;
    let step = charts::step(chart.highest());
    // Space above the highest bar for its value.
    let top = (chart.highest() / step + 0.7).ceil() * step;
    let mut plot = ChartBuilder::on(&body)
        .margin_left(8)
        .margin_right(20)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..to_f64(chart.groups.len() as u64), 0.0..top)?;
    plot.configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_max_light_lines(1)
        .y_labels(8)
        .y_label_formatter(&|value| charts::tick(*value))
        .y_desc(chart.y)
        .label_style(style(14, &BLACK))
        .axis_desc_style(style(15, &GREY))
        .draw()?;
    bars(&mut plot, chart)?;
    ideal(&mut plot, chart)?;
    names(&plot, &foot, chart)?;
    area.present().context("draw a chart")
}

/// Draws the title, and below it the meaning of each color.
fn legend<B: DrawingBackend>(area: &Area<B>, chart: &Chart) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    area.draw(&Text::new(chart.title.clone(), (80, 10), style(20, &BLACK)))?;
    let mut left = 80;
    for (series, colour) in chart.series.iter().zip(COLOURS.iter().cycle()) {
        area.draw(&Rectangle::new([(left, 42), (left + 14, 56)], colour.filled()))?;
        area.draw(&Text::new(series.name.clone(), (left + 20, 41), style(14, &BLACK)))?;
        let (width, _) = area.estimate_text_size(&series.name, &style(14, &BLACK))?;
        left += 44 + i32::try_from(width)?;
    }
    if let Some((name, _)) = &chart.ideal {
        area.draw(&PathElement::new([(left, 49), (left + 20, 49)], BLACK.stroke_width(2)))?;
        area.draw(&Text::new(*name, (left + 26, 41), style(14, &BLACK)))?;
    }
    let (note, colour) = match chart.is_busy {
        true => ("not to be published: the machine was busy", &RED),
        false => ("bar: median; line: minimum to maximum of the repeats", &GREY),
    };
    let right = style(12, colour).pos(Pos::new(HPos::Right, VPos::Top));
    area.draw(&Text::new(note, (i32::try_from(width(chart))? - 20, 43), right))?;
    Ok(())
}

fn bars<B: DrawingBackend>(plot: &mut Plot<'_, B>, chart: &Chart) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    let count = chart.series.len();
    // Narrow bars have no room for a value.
    let has_figures = chart.groups.len() * count <= 24;
    let above = style(13, &BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
    for (at, (series, colour)) in chart.series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        for (group, bar) in series.bars.iter().enumerate() {
            let Some([least, middle, most]) = *bar else { continue };
            let [left, right] = charts::edges(group, at, count);
            let centre = f64::midpoint(left, right);
            let cap = (right - left) * 0.15;
            plot.draw_series([Rectangle::new([(left, 0.0), (right, middle)], colour.filled())])?;
            for (from, to) in [
                ((centre, least), (centre, most)),
                ((centre - cap, least), (centre + cap, least)),
                ((centre - cap, most), (centre + cap, most)),
            ] {
                plot.draw_series([PathElement::new([from, to], BLACK.stroke_width(1))])?;
            }
            if has_figures {
                plot.draw_series([Text::new(charts::short(middle), (centre, most), above.clone())])?;
            }
        }
    }
    Ok(())
}

/// Draws a line over each group at the ideal height.
fn ideal<B: DrawingBackend>(plot: &mut Plot<'_, B>, chart: &Chart) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    let heights = chart.ideal.iter().flat_map(|(_, heights)| heights.iter().enumerate());
    for (group, height) in heights.filter_map(|(group, height)| Some((to_f64(group as u64), (*height)?))) {
        plot.draw_series([PathElement::new([(group + 0.05, height), (group + 0.95, height)], BLACK.stroke_width(2))])?;
    }
    Ok(())
}

/// Draws the groups' names below their bars, and the axis label.
fn names<B: DrawingBackend>(plot: &Plot<'_, B>, foot: &Area<B>, chart: &Chart) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    let below = |size, colour: &'static RGBColor| style(size, colour).pos(Pos::new(HPos::Center, VPos::Top));
    let many = chart.groups.len() > 6;
    for (group, name) in chart.groups.iter().enumerate() {
        let (x, _) = plot.backend_coord(&(to_f64(group as u64) + 0.5, 0.0));
        let (left, _) = foot.get_base_pixel();
        // With many groups, each part of a name takes its own line.
        let lines: Vec<&str> = if many { name.split(", ").collect() } else { vec![name] };
        for (line, y) in lines.into_iter().zip((3..).step_by(12)) {
            foot.draw(&Text::new(line.to_owned(), (x - left, y), below(if many { 11 } else { 13 }, &BLACK)))?;
        }
    }
    let middle = i32::try_from(width(chart))? / 2;
    foot.draw(&Text::new(chart.x, (middle, 44), below(14, &GREY)))?;
    Ok(())
}

fn style(size: i32, colour: &'static RGBColor) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font()).color(colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row;

    #[test]
    fn every_chart_is_a_whole_svg_and_a_whole_png() {
        for chart in Chart::of(&row::samples()) {
            let svg = svg(&chart).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", chart.name);
            for word in [&chart.title, chart.x, chart.y, &chart.series[0].name] {
                assert!(svg.contains(word), "{word} is not in {}", chart.name);
            }
            let file = png(&chart).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            let dark = pixels.iter().filter(|byte| **byte < 128).count();
            assert!(dark > 2_000, "{}: {dark} dark bytes are no text", chart.name);
        }
    }
}
