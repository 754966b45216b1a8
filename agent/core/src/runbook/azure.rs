//! The same deeds by way of Azure: CLI, PowerShell and the request itself.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::Writer;

/// Columns of a line of a shell command.
const COMMAND: usize = 70;

impl Writer<'_> {
    /// A failover by Azure, three ways. `path` and `body` are those of the request.
    pub(super) fn azure_failover(&mut self, path: &str, body: &str) {
        let Some(azure) = self.azure().cloned() else { return };
        let group = self.sheet.spec.group.clone();
        let kind = if body.contains("Planned") { "Planned" } else { "ForcedAllowDataLoss" };
        self.page.text("Or, only if it is certain that the statement had no effect, by Azure; one of these three, which are the same:");
        if taken_by_cli(&group) {
            self.page.code(
                "sh",
                &format!(
                    "az sql mi link failover --subscription {} \\\n  --resource-group {} --mi {} \\\n  --name {} --failover-type {kind}",
                    sh(&azure.subscription), sh(&azure.resource_group), sh(&azure.instance), sh(&group)
                ),
            );
        } else {
            self.page
                .text("(az sql mi link failover refuses the name of this link by itself: use another way.)");
        }
        self.page.code(
            "powershell",
            &format!(
                "Set-AzContext -Subscription {}\nStart-AzSqlInstanceLinkFailover `\n  -ResourceGroupName {} `\n  -InstanceName {} `\n  -Name {} -FailoverType {kind}",
                ps(&azure.subscription), ps(&azure.resource_group), ps(&azure.instance), ps(&group)
            ),
        );
        let mut lines = pieces(path);
        lines.push(format!(
            "az rest --method post \\\n  --url \"{}$P?api-version={}\" \\\n  --body '{body}'",
            azure.base_url.trim_end_matches('/'),
            azure.api_version
        ));
        self.page.code("sh", &lines.join("\n"));
        self.page.text("It answers 202 and goes on by itself: that is no success yet. Ask for the roles (part 2) until they have changed.");
        if kind == "Planned" {
            self.page.text("Azure takes a planned failover only while the managed instance is PRIMARY (else 400 InvalidDistributedAvailabilityGroupFailoverInstanceRole).");
        } else {
            self.page.text(
                "Azure takes this over a healthy, living primary too. You are the only gate.",
            );
        }
    }

    /// The link as Azure shows it.
    pub(super) fn azure_show(&mut self) {
        let Some(azure) = self.azure().cloned() else { return };
        self.page.code(
            "sh",
            &format!(
                "az sql mi link show --subscription {} \\\n  --resource-group {} --mi {} --name {}",
                sh(&azure.subscription),
                sh(&azure.resource_group),
                sh(&azure.instance),
                sh(&self.sheet.spec.group)
            ),
        );
    }

    /// Has the managed instance commit synchronously, two ways.
    pub(super) fn azure_synchronous(&mut self) {
        let Some(azure) = self.azure().cloned() else {
            self.page.text("In the portal: replication mode of the link to Sync.");
            return;
        };
        let group = self.sheet.spec.group.clone();
        self.page.code(
            "sh",
            &format!(
                "az sql mi link update --subscription {} \\\n  --resource-group {} --mi {} --name {} \\\n  --replication-mode Sync",
                sh(&azure.subscription), sh(&azure.resource_group), sh(&azure.instance), sh(&group)
            ),
        );
        self.page.text("Or the request itself:");
        let path = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Sql/managedInstances/{}/distributedAvailabilityGroups/{group}",
            azure.subscription, azure.resource_group, azure.instance
        );
        let mut lines = pieces(&path);
        lines.push(format!(
            "az rest --method patch \\\n  --url \"{}$P?api-version={}\" \\\n  --body '{{\"properties\":{{\"replicationMode\":\"Sync\"}}}}'",
            azure.base_url.trim_end_matches('/'),
            azure.api_version
        ));
        self.page.code("sh", &lines.join("\n"));
    }

    /// Gives up the link.
    pub(super) fn azure_delete(&mut self) {
        let Some(azure) = self.azure().cloned() else {
            self.page.text("Delete the link in the portal, under the managed instance.");
            return;
        };
        let group = self.sheet.spec.group.clone();
        self.page.code(
            "sh",
            &format!(
                "az sql mi link delete --subscription {} \\\n  --resource-group {} --mi {} --name {}",
                sh(&azure.subscription),
                sh(&azure.resource_group),
                sh(&azure.instance),
                sh(&group)
            ),
        );
        self.page.code(
            "powershell",
            &format!(
                "Set-AzContext -Subscription {}\nRemove-AzSqlInstanceLink `\n  -ResourceGroupName {} `\n  -InstanceName {} `\n  -Name {}",
                ps(&azure.subscription), ps(&azure.resource_group), ps(&azure.instance), ps(&group)
            ),
        );
        self.page.text("Both ask before they delete: read the names. Look again afterwards until the link is not found (404); 202 alone says nothing.");
    }
}

/// A path as shell variables, none of them wider than paper.
fn pieces(path: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = "P=".to_string();
    for segment in path.split('/').skip(1) {
        if line.len() + 1 + segment.len() > COMMAND && line.len() > "P=$P".len() {
            lines.push(line);
            line = "P=$P".to_string();
        }
        line.push('/');
        line.push_str(&sh(segment));
    }
    lines.push(line);
    lines
}

/// Whether `az sql mi link failover` takes the name.
fn taken_by_cli(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '#';
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "_@#$".contains(c);
    name.starts_with(begins) && name.chars().all(goes_on)
}

/// One word of a shell.
pub(super) fn sh(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// One word of PowerShell.
fn ps(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_have_to_be() {
        assert_eq!(sh("LinkSales"), "LinkSales");
        assert_eq!(sh("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(ps("o'neill"), "'o''neill'");
        assert!(taken_by_cli("Link_1") && !taken_by_cli("link-1") && !taken_by_cli("1link"));
        let long = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/a-group/providers/Microsoft.Sql";
        let lines = pieces(long);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= COMMAND + 20));
        assert!(lines[1].starts_with("P=$P/"));
    }
}
