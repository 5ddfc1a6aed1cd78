//! How much a lab holds, and how that is dealt out to tenants and tables.

/// How much a lab holds. Equal sizes give equal rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Tenants, each with a schema of its own.
    pub tenants: u32,
    /// Rows of the application, about; what the framework keeps about itself comes on top.
    pub rows: u64,
    /// How unequal tenants are: the n-th has 1/n^skew of the rows of the first. 0: all are equal.
    pub skew: f64,
    /// What everything is drawn from.
    pub seed: u64,
}

impl Size {
    /// Three tenants, about 3,000 rows.
    pub const SMALL: Size = Size { tenants: 3, rows: 3_000, skew: 0.3, seed: 7 };
    /// Fifty skewed tenants, more than a million rows.
    pub const LARGE: Size = Size { tenants: 50, rows: 1_050_000, skew: 0.8, seed: 7 };

    /// Returns how many rows each tenant gets, about.
    pub fn shares(&self) -> Vec<u64> {
        let weights: Vec<f64> = (1..=self.tenants).map(|n| f64::from(n).powf(-self.skew)).collect();
        let whole: f64 = weights.iter().sum();
        weights.iter().map(|weight| (self.rows as f64 * weight / whole) as u64).collect()
    }

    /// Returns how many users there are.
    pub fn users(&self) -> u64 {
        (u64::from(self.tenants) * 4).max(12)
    }
}

/// Returns how many rows a table of a tenant gets that has `share` rows in all.
pub(super) fn of_tenant(table: &str, share: u64) -> u64 {
    match table {
        "workflow_executionlog" => share * 45 / 100,
        "token_usage" => share * 14 / 100,
        "workflow_workflowexecution" => share * 13 / 100,
        "workflow_filehistory" => share * 12 / 100,
        "prompt_studio_output_manager_promptstudiooutputmanager" => share * 8 / 100,
        "prompt_studio_toolstudioprompt" => 10 + share / 200,
        "prompt_studio_document_manager_documentmanager" | "workflow_workflow" => 4 + share / 400,
        "workflow_endpoints" => 8 + share / 200,
        "prompt_studio_index_manager_indexmanager" => 4 + share / 400,
        "tenant_account_organizationmember" | "connector_connectorinstance" => 6,
        "adapter_adapterinstance" => 8 + share / 1000,
        "api_apikey" | "tool_instance_toolinstance" => 4 + share / 1000,
        "adapter_adapterinstance_shared_users" | "adapter_processor_userdefaultadapter" => 3,
        "prompt_studio_core_customtool_shared_users" => 4,
        "api_apideployment" | "project_project" | "prompt_prompt" => 1,
        "pipeline_pipeline" => 3 + share / 2000,
        "notification_notification"
        | "prompt_profile_manager_profilemanager"
        | "prompt_studio_core_customtool"
        | "prompt_studio_registry_promptstudioregistry"
        | "prompt_studio_registry_promptstudioregistry_shared_users" => 2,
        _ => 0,
    }
}

/// Returns how many rows a table gets that all tenants share.
pub(super) fn of_public(table: &str, size: &Size) -> u64 {
    let tenants = u64::from(size.tenants);
    match table {
        "account_user" => size.users(),
        "account_platformkey" => tenants * 2,
        "connector_auth_connectorauth" => tenants,
        "page_usage" => 20 + size.rows / 200,
        "django_session" => 5 + tenants,
        "social_auth_usersocialauth" => 2,
        "social_auth_nonce" | "social_auth_association" | "social_auth_code" | "social_auth_partial" => 1,
        "django_celery_beat_crontabschedule" => 3,
        "django_celery_beat_intervalschedule" | "django_celery_beat_clockedschedule" => 1,
        "django_celery_beat_solarschedule" | "django_celery_beat_periodictasks" => 1,
        "django_celery_beat_periodictask" => 1 + tenants * 3,
        "account_user_groups" | "auth_group" | "account_user_user_permissions" => 1,
        _ => 0,
    }
}
