//! The picture for the README, drawn from the figures alone.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use plotters::prelude::*;

use crate::{
    scenario::{by_key, mixed},
    sheet::Sheet,
};

const SIZE: (u32, u32) = (960, 560);
const OURS: RGBColor = RGBColor(0x1b, 0x6e, 0xc2);
const OTHERS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const LINES: RGBColor = RGBColor(0xd5, 0xda, 0xe0);
const INK: RGBColor = RGBColor(0x22, 0x2b, 0x36);

/// One bar.
struct Bar {
    name: String,
    value: f64,
    ours: bool,
    /// Reads that were stale, in the mixed load.
    stale: f64,
}

/// Two panels: reads by key, and the mixed load. Bars of ops/s, on a scale of powers of ten.
pub fn draw(sheet: &Sheet, path: &Path) -> Result<()> {
    let many = by_key::case(64);
    let two = mixed::case(95, 2);
    let panels = [
        (format!("A row by its key, {many}: reads/s (powers of ten)"), bars(sheet, by_key::SCENARIO, &many)),
        (
            format!("Zipf reads/writes {two}: operations/s (powers of ten)"),
            bars(sheet, mixed::SCENARIO, &two),
        ),
    ];
    let panels: Vec<_> = panels.into_iter().filter(|(_, bars)| !bars.is_empty()).collect();
    ensure!(!panels.is_empty(), "there are no figures to draw; run the scenarios by-key and mixed first");
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(told)?;
    for ((title, bars), area) in panels.iter().zip(root.split_evenly((panels.len(), 1))) {
        panel(title, bars, &area)?;
    }
    root.present().map_err(told)
}

fn bars(sheet: &Sheet, scenario: &str, case: &str) -> Vec<Bar> {
    let mut bars: Vec<_> = sheet
        .systems(scenario, case)
        .into_iter()
        .filter_map(|system| {
            let value = sheet.median(scenario, case, system, "ops/s")?;
            let stale = mixed::total(sheet, case, system, "stale reads");
            Some(Bar { name: system.to_owned(), value, ours: system.starts_with("ours"), stale })
        })
        .collect();
    bars.sort_by(|one, other| other.value.total_cmp(&one.value));
    bars
}

fn panel(
    title: &str,
    bars: &[Bar],
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<()> {
    const LEFT: i32 = 280;
    const RIGHT: i32 = 230;
    const TOP: i32 = 44;
    const BOTTOM: i32 = 34;
    let (width, height) = (area.dim_in_pixel().0 as i32, area.dim_in_pixel().1 as i32);
    let style = |size: i32| ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(title.to_owned(), (16, 14), style(18))).map_err(told)?;
    let (least, most) = (bars.last().map_or(1.0, |bar| bar.value), bars.first().map_or(1.0, |bar| bar.value));
    // From the power of ten below the smallest, so that a bar has a length.
    let (low, high) = (least.max(1.0).log10().floor(), most.max(10.0).log10());
    let place_of = |value: f64| {
        let share = ((value.max(1.0).log10() - low) / (high - low).max(f64::EPSILON)).clamp(0.01, 1.0);
        LEFT + (f64::from(width - LEFT - RIGHT) * share) as i32
    };
    // Lines at the powers of ten: the lengths are no ratios, and must not be taken for them.
    for power in low as i32 + 1..=high as i32 {
        let (value, bottom) = (10_f64.powi(power), height - BOTTOM);
        let line = PathElement::new(vec![(place_of(value), TOP - 8), (place_of(value), bottom)], LINES);
        area.draw(&line).map_err(told)?;
        area.draw(&Text::new(grouped(value), (place_of(value) - 20, bottom + 4), style(11))).map_err(told)?;
    }
    let step = (height - TOP - BOTTOM) / bars.len() as i32;
    for (place, bar) in bars.iter().enumerate() {
        let top = TOP + place as i32 * step;
        let right = place_of(bar.value);
        let color = if bar.ours { OURS } else { OTHERS };
        let shape = Rectangle::new([(LEFT, top), (right, top + step * 7 / 10)], color.filled());
        area.draw(&shape).map_err(told)?;
        let middle = top + step * 7 / 20 - 7;
        let figure = match bar.stale {
            0.0 => grouped(bar.value),
            stale => format!("{}, {} stale reads", grouped(bar.value), grouped(stale)),
        };
        area.draw(&Text::new(bar.name.clone(), (16, middle), style(14))).map_err(told)?;
        area.draw(&Text::new(figure, (right + 8, middle), style(14))).map_err(told)?;
    }
    Ok(())
}

/// `1 234 567`.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn told(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the chart: {error}")
}
