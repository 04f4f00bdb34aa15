//! Well-known binary: shapes read, written with either byte order, and shown as text.

use std::fmt::Write;

/// How deep collections may be inside of each other.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Nothing is an empty point.
    Point(Option<Vec<f64>>),
    Line(Vec<Vec<f64>>),
    Polygon(Vec<Vec<Vec<f64>>>),
    /// Points, lines, polygons or any of them.
    Many(Kind, Vec<Geometry>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Points,
    Lines,
    Polygons,
    Collection,
}

/// A shape with the dimensions of its coordinates.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Geometry {
    pub shape: Shape,
    pub z: bool,
    pub m: bool,
}

/// What is wrong with the bytes, and where.
pub(super) type Wrong = (&'static str, usize);

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Longitudes and latitudes have bounds.
    globe: bool,
}

const END: &str = "Unexpected end of WKB buffer";

pub(super) fn read(bytes: &[u8], globe: bool) -> Result<Geometry, Wrong> {
    let mut reader = Reader { bytes, at: 0, globe };
    let geometry = reader.geometry(0)?;
    if reader.at < bytes.len() {
        return Err(("WKB contains extra bytes", reader.at));
    }
    Ok(geometry)
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self, little: bool) -> Result<[u8; N], Wrong> {
        let part = self.bytes.get(self.at..self.at + N).and_then(|p| <[u8; N]>::try_from(p).ok());
        let mut part = part.ok_or((END, self.at.min(self.bytes.len().saturating_sub(1))))?;
        self.at += N;
        if !little {
            part.reverse();
        }
        Ok(part)
    }

    fn uint(&mut self, little: bool) -> Result<u32, Wrong> {
        self.take::<4>(little).map(u32::from_le_bytes)
    }

    fn geometry(&mut self, depth: usize) -> Result<Geometry, Wrong> {
        if depth > MAX_DEPTH {
            return Err(("Collections are too deep", self.at));
        }
        let start = self.at;
        let order = self.take::<1>(true)?[0];
        if order > 1 {
            return Err(("Invalid byte order", start));
        }
        let little = order == 1;
        let code = self.uint(little)?;
        let (z, m) = match code / 1000 {
            0 => (false, false),
            1 => (true, false),
            2 => (false, true),
            3 => (true, true),
            _ => return Err(("Invalid or unsupported type", start + 1)),
        };
        let dimensions = 2 + usize::from(z) + usize::from(m);
        let shape = match code % 1000 {
            1 => {
                let place = self.at;
                let point = self.coordinates(little, dimensions)?;
                if point.iter().all(|c| c.is_nan()) {
                    Shape::Point(None)
                } else {
                    self.check(&point, place)?;
                    Shape::Point(Some(point))
                }
            }
            2 => {
                let line = self.line(little, dimensions)?;
                if line.len() == 1 {
                    return Err(("Too few points in linestring", self.at));
                }
                Shape::Line(line)
            }
            3 => {
                let count = self.count(little, 4)?;
                let mut rings = Vec::with_capacity(count);
                for _ in 0..count {
                    let ring = self.line(little, dimensions)?;
                    if ring.len() < 4 {
                        return Err(("Too few points in ring", self.at));
                    }
                    if ring.first() != ring.last() {
                        return Err(("Found non-closed ring", self.at));
                    }
                    rings.push(ring);
                }
                Shape::Polygon(rings)
            }
            kind @ 4..=7 => {
                let count = self.count(little, 5)?;
                let mut parts = Vec::with_capacity(count);
                for _ in 0..count {
                    let place = self.at;
                    let part = self.geometry(depth + 1)?;
                    let fits = match kind {
                        4 => matches!(part.shape, Shape::Point(_)),
                        5 => matches!(part.shape, Shape::Line(_)),
                        6 => matches!(part.shape, Shape::Polygon(_)),
                        _ => true,
                    };
                    if !fits || (part.z, part.m) != (z, m) {
                        return Err(("Invalid or unsupported type", place));
                    }
                    parts.push(part);
                }
                let kind = match kind {
                    4 => Kind::Points,
                    5 => Kind::Lines,
                    6 => Kind::Polygons,
                    _ => Kind::Collection,
                };
                Shape::Many(kind, parts)
            }
            _ => return Err(("Invalid or unsupported type", start + 1)),
        };
        Ok(Geometry { shape, z, m })
    }

    /// A number of parts, each of which takes at least `least` bytes.
    fn count(&mut self, little: bool, least: usize) -> Result<usize, Wrong> {
        let place = self.at;
        let count = self.uint(little)? as usize;
        if count.saturating_mul(least) > self.bytes.len() - self.at {
            return Err((END, place));
        }
        Ok(count)
    }

    fn coordinates(&mut self, little: bool, dimensions: usize) -> Result<Vec<f64>, Wrong> {
        (0..dimensions).map(|_| self.take::<8>(little).map(f64::from_le_bytes)).collect()
    }

    fn line(&mut self, little: bool, dimensions: usize) -> Result<Vec<Vec<f64>>, Wrong> {
        let count = self.count(little, 8 * dimensions)?;
        let mut points = Vec::with_capacity(count);
        for _ in 0..count {
            let place = self.at;
            let point = self.coordinates(little, dimensions)?;
            self.check(&point, place)?;
            points.push(point);
        }
        Ok(points)
    }

    fn check(&self, point: &[f64], place: usize) -> Result<(), Wrong> {
        let inside = |i: usize, bound: f64| point.get(i).is_some_and(|v| v.abs() <= bound);
        let good = point.iter().all(|v| v.is_finite()) && (!self.globe || (inside(0, 180.0) && inside(1, 90.0)));
        if good { Ok(()) } else { Err(("Invalid coordinate value found", place)) }
    }
}

impl Geometry {
    pub(super) fn write(&self, little: bool, out: &mut Vec<u8>) {
        let uint = |out: &mut Vec<u8>, v: usize| {
            let v = v as u32;
            out.extend(if little { v.to_le_bytes() } else { v.to_be_bytes() });
        };
        let double = |out: &mut Vec<u8>, v: f64| out.extend(if little { v.to_le_bytes() } else { v.to_be_bytes() });
        let line = |out: &mut Vec<u8>, points: &[Vec<f64>]| {
            uint(out, points.len());
            points.iter().flatten().for_each(|v| double(out, *v));
        };
        out.push(u8::from(little));
        let code = match &self.shape {
            Shape::Point(_) => 1,
            Shape::Line(_) => 2,
            Shape::Polygon(_) => 3,
            Shape::Many(Kind::Points, _) => 4,
            Shape::Many(Kind::Lines, _) => 5,
            Shape::Many(Kind::Polygons, _) => 6,
            Shape::Many(Kind::Collection, _) => 7,
        };
        uint(out, code + 1000 * usize::from(self.z) + 2000 * usize::from(self.m));
        match &self.shape {
            Shape::Point(Some(point)) => point.iter().for_each(|v| double(out, *v)),
            Shape::Point(None) => {
                (0..2 + usize::from(self.z) + usize::from(self.m)).for_each(|_| double(out, f64::NAN));
            }
            Shape::Line(points) => line(out, points),
            Shape::Polygon(rings) => {
                uint(out, rings.len());
                rings.iter().for_each(|ring| line(out, ring));
            }
            Shape::Many(_, parts) => {
                uint(out, parts.len());
                parts.iter().for_each(|part| part.write(little, out));
            }
        }
    }

    /// Well-known text.
    pub(super) fn show(&self, out: &mut String) {
        out.push_str(match &self.shape {
            Shape::Point(_) => "POINT",
            Shape::Line(_) => "LINESTRING",
            Shape::Polygon(_) => "POLYGON",
            Shape::Many(Kind::Points, _) => "MULTIPOINT",
            Shape::Many(Kind::Lines, _) => "MULTILINESTRING",
            Shape::Many(Kind::Polygons, _) => "MULTIPOLYGON",
            Shape::Many(Kind::Collection, _) => "GEOMETRYCOLLECTION",
        });
        match (self.z, self.m) {
            (true, true) => out.push_str(" ZM "),
            (true, false) => out.push_str(" Z "),
            (false, true) => out.push_str(" M "),
            _ => {}
        }
        self.body(out, !self.z && !self.m);
    }

    fn body(&self, out: &mut String, spaced: bool) {
        let empty = match &self.shape {
            Shape::Point(point) => point.is_none(),
            Shape::Line(points) => points.is_empty(),
            Shape::Polygon(rings) => rings.is_empty(),
            Shape::Many(_, parts) => parts.is_empty(),
        };
        if empty {
            out.push_str(if spaced { " EMPTY" } else { "EMPTY" });
            return;
        }
        out.push('(');
        match &self.shape {
            Shape::Point(point) => coordinates(out, point.as_deref().unwrap_or_default()),
            Shape::Line(points) => points_of(out, points),
            Shape::Polygon(rings) => {
                for (i, ring) in rings.iter().enumerate() {
                    out.push_str(if i > 0 { ",(" } else { "(" });
                    points_of(out, ring);
                    out.push(')');
                }
            }
            Shape::Many(kind, parts) => {
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    if *kind == Kind::Collection { part.show(out) } else { part.body(out, false) }
                }
            }
        }
        out.push(')');
    }
}

fn points_of(out: &mut String, points: &[Vec<f64>]) {
    for (i, point) in points.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        coordinates(out, point);
    }
}

fn coordinates(out: &mut String, point: &[f64]) {
    for (i, v) in point.iter().enumerate() {
        let _ = if i > 0 { write!(out, " {v}") } else { write!(out, "{v}") };
    }
}
