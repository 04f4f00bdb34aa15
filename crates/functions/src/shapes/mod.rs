//! GEOMETRY and GEOGRAPHY: shapes with their spatial reference system.
//!
//! A value is the number of the system, four bytes with the lowest first, and the shape as well-known binary in that order.

mod wkb;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Int32Type},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

use self::wkb::{Geometry, Wrong};
use crate::{
    FunctionContext, Typed, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Bytes, Ret, Udf, binaries, call, numbers},
};

/// The system of longitudes and latitudes, the only one of GEOGRAPHY.
const WGS84: i32 = 4326;
const SYSTEMS: [i32; 3] = [0, 3857, WGS84];

pub(crate) fn udfs() -> Vec<Udf> {
    let binary = || Ret::Fixed(Arrow::Binary);
    vec![
        // (wkb, srid)
        Udf::new("st_geomfromwkb", binary(), |args| from_wkb(args, false)),
        Udf::new("st_geogfromwkb", binary(), |args| from_wkb(args, true)),
        // (shape, byte order)
        Udf::new("st_asbinary", binary(), |args| {
            let (shapes, orders) = (args.bytes(0)?, args.text(1)?);
            binaries(args, |row, out| {
                let (Some(bytes), Some(order)) = (shapes.get(row), orders.get(row)) else { return Ok(false) };
                let little = match order {
                    _ if order.eq_ignore_ascii_case("NDR") => true,
                    _ if order.eq_ignore_ascii_case("XDR") => false,
                    _ => {
                        let message =
                            format!("Endianness '{order}' must be 'NDR' (little-endian) or 'XDR' (big-endian).");
                        let error = SparkError::new("ST_INVALID_ENDIANNESS_VALUE", "22023", message);
                        return Err(external(error.param("endianness", order)));
                    }
                };
                shape(bytes)?.1.write(little, out);
                Ok(true)
            })
        }),
        Udf::new("st_srid", Ret::Fixed(Arrow::Int32), |args| {
            let shapes = args.bytes(0)?;
            numbers::<Int32Type>(args, |row| shapes.get(row).map(|bytes| Ok(shape(bytes)?.0)).transpose())
        }),
        // (shape, srid, whether on the globe)
        Udf::new("st_setsrid", binary(), |args| {
            let (shapes, systems) = (args.bytes(0)?, args.primitive::<Int32Type>(1)?);
            let globe = matches!(args.scalar(2), Some(ScalarValue::Boolean(Some(true))));
            binaries(args, |row, out| {
                let (Some(bytes), Some(srid)) = (shapes.get(row), systems.get(row)) else { return Ok(false) };
                check_system(srid, globe).map_err(external)?;
                out.extend(srid.to_le_bytes());
                out.extend(bytes.get(4..).unwrap_or_default());
                Ok(true)
            })
        }),
        // (geometry), which becomes a geography
        Udf::new("spark_geography", binary(), |args| {
            let shapes = args.bytes(0)?;
            binaries(args, |row, out| {
                let Some(bytes) = shapes.get(row) else { return Ok(false) };
                wkb::read(bytes.get(4..).unwrap_or_default(), true).map_err(|w| external(parse_error(w)))?;
                out.extend(bytes);
                Ok(true)
            })
        }),
    ]
}

fn parse_error((what, place): Wrong) -> SparkError {
    SparkError::new("WKB_PARSE_ERROR", "22023", format!("Error parsing WKB: {what} at position {place}."))
        .param("parseError", what)
        .param("pos", place.to_string())
}

fn check_system(srid: i32, globe: bool) -> SparkResult<()> {
    if if globe { srid == WGS84 } else { SYSTEMS.contains(&srid) } {
        return Ok(());
    }
    let message = format!("Invalid or unsupported SRID (spatial reference identifier) value: {srid}.");
    Err(SparkError::new("ST_INVALID_SRID_VALUE", "22023", message).param("srid", srid.to_string()))
}

fn shape(bytes: &[u8]) -> DfResult<(i32, Geometry)> {
    let (srid, rest) = bytes.split_at_checked(4).unwrap_or_default();
    let srid = srid.try_into().map(i32::from_le_bytes).unwrap_or_default();
    Ok((srid, wkb::read(rest, false).map_err(|w| external(parse_error(w)))?))
}

fn from_wkb(args: &Args<'_>, globe: bool) -> DfResult<ArrayRef> {
    let (shapes, systems) = (args.bytes(0)?, args.primitive::<Int32Type>(1)?);
    binaries(args, |row, out| {
        let (Some(bytes), Some(srid)) = (shapes.get(row), systems.get(row)) else { return Ok(false) };
        check_system(srid, globe).map_err(external)?;
        let geometry = wkb::read(bytes, globe).map_err(|w| external(parse_error(w)))?;
        out.extend(srid.to_le_bytes());
        geometry.write(true, out);
        Ok(true)
    })
}

/// A value as results show it.
pub(crate) fn write_shown(out: &mut String, values: &ArrayRef, row: usize) -> DfResult<()> {
    if let Some(bytes) = Bytes::new(values, false)?.get(row) {
        let (srid, geometry) = shape(bytes)?;
        if srid != 0 {
            out.push_str(&format!("SRID={srid};"));
        }
        geometry.show(out);
    }
    Ok(())
}

/// Whether a cast between shapes exists: to the type of any system, and from the globe to the plane and back.
pub(crate) fn can_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Geography, Geometry};
    match (from, to) {
        (Geometry(_), Geometry(None)) | (Geography(_), Geography(None)) => true,
        (Geography(Some(a)), Geometry(Some(b))) | (Geometry(Some(a)), Geography(Some(b))) => a == b,
        _ => false,
    }
}

/// The cast of a shape to one on the globe, whose coordinates have bounds. Other casts of shapes change nothing.
pub(crate) fn cast(value: &Typed, to: &DataType) -> Option<SparkResult<Typed>> {
    match (&value.data_type, to) {
        (DataType::Geometry(_), DataType::Geography(_)) => {
            Some(call("spark_geography", vec![value.expr.clone()]).map(|e| Typed::new(e, to.clone(), value.nullable)))
        }
        _ => None,
    }
}

/// A system that is known when the statement is analyzed.
fn constant_system(srid: &Typed) -> Option<u32> {
    match literal::fold(srid) {
        Some(ScalarValue::Int32(Some(v))) => u32::try_from(v).ok(),
        _ => None,
    }
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("st_geomfromwkb", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 2)?;
            let srid = if args.len() > 1 { args.remove(1) } else { literal::int(0) };
            let srid = want(ctx, name, 1, 'i', srid)?;
            let bytes = binary(name, args.remove(0))?;
            let folded = literal::fold(&srid);
            if let Some(ScalarValue::Int32(Some(v))) = folded {
                check_system(v, false)?;
            }
            let data_type = DataType::Geometry(constant_system(&srid));
            Ok(Typed::new(call("st_geomfromwkb", vec![bytes.expr, srid.expr])?, data_type, true))
        }),
        F::resolve("st_geogfromwkb", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let bytes = binary(name, args.remove(0))?;
            let exprs = vec![bytes.expr, literal::int(WGS84).expr];
            Ok(Typed::new(call("st_geogfromwkb", exprs)?, DataType::Geography(Some(WGS84 as u32)), true))
        }),
        F::resolve("st_asbinary", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 2)?;
            let order = if args.len() > 1 { args.remove(1) } else { literal::text("NDR") };
            let order = want(ctx, name, 1, 's', order)?;
            let shape = any_shape(name, args.remove(0))?;
            Ok(Typed::new(call("st_asbinary", vec![shape.expr, order.expr])?, DataType::Binary, true))
        }),
        F::resolve("st_srid", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let shape = any_shape(name, args.remove(0))?;
            Ok(Typed::new(call("st_srid", vec![shape.expr])?, DataType::Integer, true))
        }),
        F::resolve("st_setsrid", |ctx: &FunctionContext, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let srid = want(ctx, name, 1, 'i', args.remove(1))?;
            let shape = any_shape(name, args.remove(0))?;
            let globe = matches!(shape.data_type, DataType::Geography(_));
            if let Some(ScalarValue::Int32(Some(v))) = literal::fold(&srid) {
                check_system(v, globe)?;
            }
            let system = constant_system(&srid);
            let data_type = if globe { DataType::Geography(system) } else { DataType::Geometry(system) };
            let globe = literal::of(ScalarValue::Boolean(Some(globe)), DataType::Boolean);
            let exprs = vec![shape.expr, srid.expr, globe.expr];
            Ok(Typed::new(call("st_setsrid", exprs)?, data_type, true))
        }),
    ]
}

fn binary(name: &str, arg: Typed) -> SparkResult<Typed> {
    match &arg.data_type {
        DataType::Binary => Ok(arg),
        DataType::Null => literal::null(&DataType::Binary),
        _ => Err(errors::unexpected_input(name, 0, "BINARY", &arg)),
    }
}

fn any_shape(name: &str, arg: Typed) -> SparkResult<Typed> {
    match &arg.data_type {
        DataType::Geometry(_) | DataType::Geography(_) => Ok(arg),
        DataType::Null => literal::null(&DataType::Geometry(None)),
        _ => Err(errors::unexpected_input(name, 0, "(\"GEOMETRY\" or \"GEOGRAPHY\")", &arg)),
    }
}
