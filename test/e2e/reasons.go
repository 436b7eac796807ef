package main

// reasons says why the operator and the sidecar in its pod have rights that this
// test does not come to need, in the words of right.String.
func reasons() map[string]string {
	const (
		informers = "how older API servers fill caches; newer ones stream with watch"
		claims    = "legacy clients claim and release over HTTP"
		page      = "the admin page shows events"
		restart   = "the pm2 routes restart the Deployment; they answer on this host only"
		tokens    = "the routes for tokens change this Secret"
	)
	return map[string]string{
		"list vastaccounts.warmpool.dev":                                  informers,
		"list warmclaims.warmpool.dev":                                    informers,
		"create warmclaims.warmpool.dev in " + poolNamespace:              claims,
		"delete warmclaims.warmpool.dev in " + poolNamespace:              claims,
		"get warmclaims.warmpool.dev in " + poolNamespace:                 claims,
		"list events in " + poolNamespace:                                 page,
		"patch deployments.apps/warmpool-manager in " + operatorNamespace: restart,
		"patch secrets/warmpool-credentials in " + poolNamespace:          tokens,
	}
}
