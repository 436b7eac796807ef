package metrics

// Description says what one metric is, for the reference page.
type Description struct {
	// Name is the full name.
	Name string
	// Help is the sentence that Prometheus shows.
	Help string
	// Type is gauge, counter or histogram.
	Type string
	// Labels in order.
	Labels []string
}

// names of the metrics.
const (
	namePoolInfo       = "warmpool_pool_info"
	nameReplicas       = "warmpool_replicas"
	nameDesired        = "warmpool_desired_replicas"
	nameMinimum        = "warmpool_min_ready_replicas"
	namePoolCommitted  = "warmpool_committed_usd_per_hour"
	namePoolObserved   = "warmpool_observed_usd_per_hour"
	namePoolCeiling    = "warmpool_ceiling_usd_per_hour"
	namePoolHeadroom   = "warmpool_headroom_usd_per_hour"
	namePoolToday      = "warmpool_spent_today_usd"
	namePoolMonth      = "warmpool_spent_month_usd"
	namePoolProjected  = "warmpool_projected_month_usd"
	nameCondition      = "warmpool_condition"
	nameFailures       = "warmpool_consecutive_failures"
	nameAccountBalance = "warmpool_account_balance_usd"
	nameAccountCommit  = "warmpool_account_committed_usd_per_hour"
	nameAccountCeiling = "warmpool_account_ceiling_usd_per_hour"
	nameAccountToday   = "warmpool_account_spent_today_usd"
	nameAccountMonth   = "warmpool_account_spent_month_usd"
	nameAccountProject = "warmpool_account_projected_month_usd"
	nameLedgerAge      = "warmpool_account_ledger_age_seconds"
	nameCorrection     = "warmpool_account_ledger_correction_usd"
	nameAccountList    = "warmpool_account_instances"
	nameLeaks          = "warmpool_suspected_leaks"
	nameListTrusted    = "warmpool_list_trusted"
	nameBlocked        = "warmpool_blocked_machines"
	nameSweepAge       = "warmpool_trusted_list_age_seconds"
	nameUnknownRents   = "warmpool_unknown_rents"
	nameUnknownAge     = "warmpool_unknown_rent_oldest_seconds"
	nameTerminatingAge = "warmpool_terminating_oldest_seconds"
	nameLeading        = "warmpool_leading"
	nameRequests       = "warmpool_provider_requests_total"
	nameRequestTime    = "warmpool_provider_request_seconds"
	nameThrottle       = "warmpool_provider_throttle_wait_seconds"
	nameRentOutcomes   = "warmpool_rent_outcomes_total"
	nameAdmissions     = "warmpool_admission_decisions_total"
	nameRentToReady    = "warmpool_rent_to_ready_seconds"
	nameEnds           = "warmpool_instances_ended_total"
	nameAuditRecords   = "warmpool_audit_records_total"
	nameAuditFailures  = "warmpool_audit_failures_total"
	nameClaims         = "warmpool_claims"
	nameClaimBind      = "warmpool_claim_bind_seconds"
)

// Descriptions lists every metric of this package.
func Descriptions() []Description {
	pool, account := []string{"namespace", "pool"}, []string{"namespace", "account"}
	with := func(base []string, more ...string) []string { return append(append([]string(nil), base...), more...) }
	return []Description{
		{namePoolInfo, "1 for every pool: the account that pays for it, and its spec.mode.", "gauge", with(pool, "account", "mode")},
		{nameReplicas, "WarmInstances of a pool by state: ready, claimed, pending (costs nothing), provisioning, unhealthy, unknown (price reserved), terminating (price reserved).", "gauge", with(pool, "state")},
		{nameDesired, "spec.replicas of a pool: instances that shall be ready and unclaimed.", "gauge", pool},
		{nameMinimum, "spec.minReadyReplicas of a pool, or spec.replicas when it is not set: ready instances below which the pool is not Ready.", "gauge", pool},
		{namePoolCommitted, "What all rentals of a pool may cost, in dollars per hour.", "gauge", pool},
		{namePoolObserved, "What Vast.ai reports for the rentals of a pool, in dollars per hour.", "gauge", pool},
		{namePoolCeiling, "Ceiling of a pool, in dollars per hour.", "gauge", pool},
		{namePoolHeadroom, "Ceiling of a pool less what is committed, in dollars per hour.", "gauge", pool},
		{namePoolToday, "What a pool has spent since midnight UTC, in dollars.", "gauge", pool},
		{namePoolMonth, "What a pool has spent since the month began in UTC, in dollars.", "gauge", pool},
		{namePoolProjected, "What the month will cost a pool if everything goes on as it is, in dollars.", "gauge", pool},
		{nameClaims, "WarmClaims of a pool by state: waiting, bound, finished (they stay until somebody deletes them).", "gauge", with(pool, "state")},
		{nameFailures, "Failures of a pool in a row since an instance became ready.", "gauge", pool},
		{nameCondition, "1 for the present status of a condition of a pool or an account.", "gauge", []string{"kind", "namespace", "name", "type", "status", "reason"}},
		{nameUnknownRents, "Rents of a pool whose outcome is not known.", "gauge", pool},
		{nameUnknownAge, "Age of the oldest rent of a pool whose outcome is not known, in seconds; 0 when there is none.", "gauge", pool},
		{nameTerminatingAge, "Age of the oldest deletion of a pool's instances that is not confirmed, in seconds.", "gauge", pool},
		{nameLeading, "1 while this process holds a fresh leader lease, so that it may rent and end.", "gauge", nil},
		{nameAccountBalance, "Spendable credit of an account, in dollars; absent until Vast.ai has said it.", "gauge", account},
		{nameAccountCommit, "What everything in an account may cost, in dollars per hour.", "gauge", account},
		{nameAccountCeiling, "Ceiling of an account, in dollars per hour.", "gauge", account},
		{nameAccountToday, "What everything in an account has spent since midnight UTC, in dollars.", "gauge", account},
		{nameAccountMonth, "What everything in an account has spent since the month began in UTC, in dollars.", "gauge", account},
		{nameAccountProject, "What the month will cost an account if everything goes on as it is, in dollars.", "gauge", account},
		{nameLedgerAge, "Time since when spending is not counted yet, in seconds.", "gauge", account},
		{nameCorrection, "What the last comparison with the charges added to the ledger of an account, in dollars.", "gauge", account},
		{nameAccountList, "Instances in the last trusted sweep: ours or foreign.", "gauge", with(account, "owner")},
		{nameLeaks, "Rentals with our label that no WarmInstance records.", "gauge", account},
		{nameListTrusted, "1 when the last sweep may be acted upon.", "gauge", account},
		{nameSweepAge, "Time since the last sweep that may be acted upon, in seconds; absent before the first one.", "gauge", account},
		{nameBlocked, "Machines of an account that are avoided.", "gauge", account},
		{nameRequests, "Calls to Vast.ai by endpoint and result (an HTTP status or a kind of error).", "counter", []string{"endpoint", "code"}},
		{nameRequestTime, "Duration of calls to Vast.ai, in seconds, without the wait for a turn.", "histogram", []string{"endpoint"}},
		{nameThrottle, "Time that calls to Vast.ai waited for their turn, in seconds.", "histogram", []string{"endpoint"}},
		{nameRentOutcomes, "Rents by what became of the call.", "counter", []string{"outcome"}},
		{nameAdmissions, "Answers to the question whether an instance may be rented, when they change.", "counter", []string{"decision", "reason"}},
		{nameRentToReady, "Time from the rent to the first rendered prompt, in seconds.", "histogram", nil},
		{nameClaimBind, "Time from the creation of a claim until it got its instance, in seconds.", "histogram", nil},
		{nameEnds, "Instances that were given up or ended, by reason.", "counter", []string{"reason"}},
		{nameAuditRecords, "Audit records that are durable, by outcome.", "counter", []string{"outcome"}},
		{nameAuditFailures, "Failures of the audit log: record (an act that could not be recorded) or upkeep (rotation, retention, publishing the head).", "counter", []string{"what"}},
	}
}
