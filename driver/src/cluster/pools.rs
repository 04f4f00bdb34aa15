//! The pools of FAIR mode, from Spark's allocation file.

use std::sync::Arc;

use firesteel_plan::{SparkConf, SparkError, SparkResult, conf::keys};
use firesteel_scheduler::{PoolSchedule, PoolsConfig, SchedulingMode};
use quick_xml::{Reader, events::Event};

/// As in Spark: a file that cannot be read is an error, a setting within it that cannot be understood is a warning and
/// has its default.
pub fn pools(conf: &SparkConf) -> SparkResult<PoolsConfig> {
    let mode = conf.text(&keys::SCHEDULER_MODE).trim();
    let Some(mode) = mode_of(mode) else {
        return Err(SparkError::new(
            "INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS",
            "22022",
            format!(
                "The value '{mode}' in the config \"{}\" is invalid. The value must be one of FIFO, FAIR.",
                keys::SCHEDULER_MODE.name
            ),
        )
        .param("confName", keys::SCHEDULER_MODE.name)
        .param("confValue", mode)
        .param("confOptions", "FIFO, FAIR"));
    };
    let file = conf.text(&keys::SCHEDULER_ALLOCATION_FILE).trim();
    if mode == SchedulingMode::Fifo || file.is_empty() {
        return Ok(PoolsConfig { mode, pools: Vec::new() });
    }
    let path = file.strip_prefix("file://").or_else(|| file.strip_prefix("file:")).unwrap_or(file);
    let failed = |problem: String| {
        let key = keys::SCHEDULER_ALLOCATION_FILE.name;
        SparkError::new("INVALID_CONF_VALUE.REQUIREMENT", "22022", format!("The pools of {file} ({key}): {problem}."))
            .param("confName", key)
            .param("confValue", file)
            .param("confRequirement", "a file of this machine with pools as XML")
    };
    let text = std::fs::read_to_string(path).map_err(|e| failed(format!("cannot be read: {e}")))?;
    Ok(PoolsConfig { mode, pools: parse(&text).map_err(failed)? })
}

fn mode_of(text: &str) -> Option<SchedulingMode> {
    match text.to_ascii_uppercase().as_str() {
        "FIFO" => Some(SchedulingMode::Fifo),
        "FAIR" => Some(SchedulingMode::Fair),
        _ => None,
    }
}

/// `<allocations><pool name="…"><schedulingMode>…</schedulingMode><weight>…</weight><minShare>…</minShare></pool></allocations>`
fn parse(text: &str) -> Result<Vec<(Arc<str>, PoolSchedule)>, String> {
    let mut reader = Reader::from_str(text);
    let mut pools: Vec<(Arc<str>, PoolSchedule)> = Vec::new();
    let mut property: Option<String> = None;
    let mut in_pool = false;
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|e| format!("not XML at byte {at}: {e}"))?;
        match event {
            Event::Eof if in_pool => return Err("a pool does not end".to_owned()),
            Event::Eof => return Ok(pools),
            Event::Start(tag) if tag.name().as_ref() == b"pool" => {
                pools.push((name_of(&tag)?, PoolSchedule::default()));
                in_pool = true;
            }
            Event::Empty(tag) if tag.name().as_ref() == b"pool" => {
                pools.push((name_of(&tag)?, PoolSchedule::default()));
            }
            Event::End(tag) if tag.name().as_ref() == b"pool" => in_pool = false,
            Event::Start(tag) => property = Some(String::from_utf8_lossy(tag.name().as_ref()).into_owned()),
            Event::End(_) => property = None,
            Event::Text(value) => {
                let (Some(property), Some((pool, schedule))) = (&property, pools.last_mut().filter(|_| in_pool)) else {
                    continue;
                };
                let value = value.decode().map_err(|e| format!("not text at byte {at}: {e}"))?;
                set(pool, schedule, property, value.trim());
            }
            _ => {}
        }
    }
}

fn name_of(tag: &quick_xml::events::BytesStart<'_>) -> Result<Arc<str>, String> {
    let name = tag.try_get_attribute("name").map_err(|e| e.to_string())?.ok_or("a pool without a name")?;
    let name = String::from_utf8_lossy(&name.value).into_owned();
    Ok(quick_xml::escape::unescape(&name).map_err(|e| e.to_string())?.into())
}

fn set(pool: &str, schedule: &mut PoolSchedule, property: &str, value: &str) {
    let number = || value.parse::<u32>().ok();
    let understood = match property {
        "schedulingMode" => mode_of(value).map(|mode| schedule.mode = mode),
        "weight" => number().filter(|weight| *weight > 0).map(|weight| schedule.weight = weight),
        "minShare" => number().map(|share| schedule.min_share = share),
        _ => None,
    };
    if understood.is_none() && !value.is_empty() {
        tracing::warn!(pool, property, value, "a setting of a pool cannot be understood and has its default");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"<?xml version="1.0"?>
        <!-- as in Spark's manual -->
        <allocations>
          <pool name="production">
            <schedulingMode>FAIR</schedulingMode>
            <weight>3</weight>
            <minShare> 2 </minShare>
          </pool>
          <pool name="a &amp; b"><schedulingMode>NONE</schedulingMode><weight>many</weight></pool>
          <pool name="bare"/>
        </allocations>"#;

    #[test]
    fn pools_as_spark_writes_them() {
        let pools = parse(FILE).unwrap();
        let production = PoolSchedule { mode: SchedulingMode::Fair, weight: 3, min_share: 2 };
        let plain = PoolSchedule::default();
        assert_eq!(pools, [("production".into(), production), ("a & b".into(), plain), ("bare".into(), plain)]);
    }

    #[test]
    fn what_is_not_xml_is_told() {
        assert!(parse("<allocations><pool name='a'>").is_err());
        assert!(parse("<allocations><pool></pool></allocations>").unwrap_err().contains("without a name"));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_in_fair_mode_alone() {
        let mut conf = SparkConf::new();
        conf.set("spark.scheduler.allocation.file", "/nowhere/pools.xml").unwrap();
        assert_eq!(pools(&conf).unwrap(), PoolsConfig::default());
        conf.set("spark.scheduler.mode", "fair").unwrap();
        assert!(pools(&conf).unwrap_err().message().contains("/nowhere/pools.xml"));
    }
}
