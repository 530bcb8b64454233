//! The chart has one workload per room, in the image family of the room's folder; others run a command of `wardline`.

use serde_json::Value;

use super::{Finding, Tree};

/// Values of the chart.
const VALUES: &str = "helm/wardline/values.yaml";

/// Checks the workloads of the chart against the rooms.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(VALUES).unwrap_or_default();
    let values: Value = match serde_saphyr::from_str(text) {
        Ok(values) => values,
        Err(error) => return vec![Finding::new(VALUES, 0, format!("is no YAML: {error}"))],
    };
    let mut findings = Vec::new();
    let mut rooms = Vec::new();
    for family in ["connectors", "processors"] {
        for room in tree.crates_below(family) {
            rooms.push(room);
            match values["workloads"][room]["family"].as_str() {
                None => findings.push(Finding::new(VALUES, 0, format!("has no workload `{room}`"))),
                Some(named) if named != family => {
                    findings.push(Finding::new(
                        VALUES,
                        0,
                        format!("workload `{room}` belongs to the family `{family}`"),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    for (name, workload) in values["workloads"].as_object().into_iter().flatten() {
        let is_command = workload["family"] == "cli" && workload["command"].is_array();
        if !is_command && !rooms.contains(&name.as_str()) {
            findings.push(Finding::new(VALUES, 0, format!("workload `{name}` is no room")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(values: &str) -> usize {
        check(&Tree::of(&[("connectors/a/Cargo.toml", ""), ("processors/b/Cargo.toml", ""), (VALUES, values)])).len()
    }

    #[test]
    fn every_room_is_a_workload_of_its_family_and_nothing_else() {
        assert_eq!(count("workloads:\n  a: {family: connectors}\n  b: {family: processors}\n"), 0);
        assert_eq!(count("workloads:\n  a: {family: processors}\n  c: {family: processors}\n"), 3);
        let command = "workloads:\n  a: {family: connectors}\n  b: {family: processors}\n  c: {family: cli";
        assert_eq!(count(&format!("{command}, command: [sla]}}\n")), 0);
        assert_eq!(count(&format!("{command}}}\n")), 1, "the family alone runs nothing");
        assert_eq!(count("workloads: [\n"), 1);
    }
}
