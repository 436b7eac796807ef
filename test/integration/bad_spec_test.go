package integration

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// refusal is a manifest that the API server must not take, and what it says.
type refusal struct {
	// kind is WarmPool when empty; spec is its YAML.
	kind, spec string
	// field and rule are parts of the error: a person has to find both in it.
	field, rule string
}

// badSpecs are specs that break a rule.
func badSpecs() map[string]refusal {
	const cost = "cost: {ceilingUSDPerHour: \"1.50\"}\n"
	template := func(text string) string { return cost + "template: {" + text + "}" }
	budgets := func(text string) string { return "cost: {ceilingUSDPerHour: \"1.50\", budgets: [" + text + "]}" }
	offers := func(text string) string { return cost + "offers: {" + text + "}" }
	return map[string]refusal{
		"no cost":               {spec: "replicas: 1", field: "spec.cost", rule: "Required value"},
		"no ceiling":            {spec: "cost: {}", field: "spec.cost.ceilingUSDPerHour", rule: "Required value"},
		"ceiling as a number":   {spec: "cost: {ceilingUSDPerHour: 1.5}", field: "spec.cost.ceilingUSDPerHour", rule: "must be of type string"},
		"ceiling with a sign":   {spec: "cost: {ceilingUSDPerHour: \"$1.50\"}", field: "spec.cost.ceilingUSDPerHour", rule: "should match '^(0|[1-9][0-9]{0,5})"},
		"negative ceiling":      {spec: "cost: {ceilingUSDPerHour: \"-1\"}", field: "spec.cost.ceilingUSDPerHour", rule: "should match"},
		"ceiling in exponents":  {spec: "cost: {ceilingUSDPerHour: \"1e3\"}", field: "spec.cost.ceilingUSDPerHour", rule: "should match"},
		"seven decimals":        {spec: "cost: {ceilingUSDPerHour: \"1.0000001\"}", field: "spec.cost.ceilingUSDPerHour", rule: "should match"},
		"cap above the ceiling": {spec: "cost: {ceilingUSDPerHour: \"1.50\", maxInstanceUSDPerHour: \"1.51\"}", field: "spec.cost.maxInstanceUSDPerHour", rule: "cost.maxInstanceUSDPerHour must not exceed cost.ceilingUSDPerHour"},
		"negative replicas":     {spec: cost + "replicas: -1", field: "spec.replicas", rule: "should be greater than or equal to 0"},
		"too many replicas":     {spec: cost + "replicas: 501", field: "spec.replicas", rule: "should be less than or equal to 500"},
		"minimum above replicas": {
			spec: cost + "replicas: 1\nminReadyReplicas: 2", field: "spec.minReadyReplicas", rule: "minReadyReplicas must not exceed replicas",
		},
		"maximum below replicas": {spec: cost + "replicas: 3\nmaxReplicas: 2", field: "spec.maxReplicas", rule: "maxReplicas must not be less than replicas"},
		"unknown mode":           {spec: cost + "mode: Sleep", field: "spec.mode", rule: `supported values: "Active", "Paused", "DryRun", "Drain"`},
		"unknown order":          {spec: cost + "scaleDown: {order: Random}", field: "spec.scaleDown.order", rule: `supported values: "HighestCost", "Newest", "Oldest"`},
		"unknown policy":         {spec: "cost: {ceilingUSDPerHour: \"1.50\", overCeilingPolicy: Panic}", field: "spec.cost.overCeilingPolicy", rule: `supported values: "Hold", "ScaleDownUnclaimed", "ScaleDownAll"`},
		"unknown ranking":        {spec: offers("ranking: Best"), field: "spec.offers.ranking", rule: `supported values: "Price", "PriceReliability", "PricePerformance", "Score"`},
		"minimum of GPUs above the maximum": {
			spec: offers("minGPUs: 4, maxGPUs: 2"), field: "spec.offers.minGPUs", rule: "offers.minGPUs must not exceed offers.maxGPUs",
		},
		"negative GPU memory":   {spec: offers("minGPUMemoryMB: -1"), field: "spec.offers.minGPUMemoryMB", rule: "should be greater than or equal to 0"},
		"reliability above 100": {spec: offers("minReliabilityPercent: 101"), field: "spec.offers.minReliabilityPercent", rule: "should be less than or equal to 100"},
		"country in lower case": {spec: offers("geolocations: {include: [de]}"), field: "spec.offers.geolocations.include[0]", rule: "should match '^[A-Z]{2}$'"},
		"country in both lists": {
			spec: offers("geolocations: {include: [DE], exclude: [DE]}"), field: "spec.offers.geolocations", rule: "a country must not be in both geolocations.include and geolocations.exclude",
		},
		"two values for one": {
			spec:  offers("extra: [{key: cpu_arch, operator: Eq, values: [arm, amd64]}]"),
			field: "spec.offers.extra[0]", rule: "operators other than In and NotIn take exactly one value",
		},
		"WEB_PASSWORD": {
			spec: template("env: [{name: WEB_PASSWORD, value: mine}]"), field: "spec.template.env", rule: "WEB_PASSWORD cannot be set: every instance gets a random password of its own",
		},
		"value and valueFrom": {
			spec:  template("env: [{name: HF_TOKEN, value: x, valueFrom: {secretKeyRef: {name: a, key: b}}}]"),
			field: "spec.template.env[0]", rule: "set exactly one of value and valueFrom",
		},
		"neither value nor valueFrom": {spec: template("env: [{name: HF_TOKEN}]"), field: "spec.template.env[0]", rule: "set exactly one of value and valueFrom"},
		"a variable twice": {
			spec: template("env: [{name: A, value: x}, {name: A, value: y}]"), field: "spec.template.env[1]", rule: "Duplicate value",
		},
		"a variable with a blank": {spec: template("env: [{name: \"-e X\", value: x}]"), field: "spec.template.env[0].name", rule: "should match '^[A-Za-z_][A-Za-z0-9_]*$'"},
		"Custom without an image": {spec: template("preset: Custom"), field: "spec.template.image", rule: "template.image is required when template.preset is Custom"},
		"CA without a ConfigMap":  {spec: template("tls: {mode: CA}"), field: "spec.template.tls.caConfigMapRef", rule: "template.tls.caConfigMapRef is required when template.tls.mode is CA"},
		"too small a disk":        {spec: template("diskGB: 7"), field: "spec.template.diskGB", rule: "should be greater than or equal to 8"},
		"port 0":                  {spec: template("ports: [{name: extra, containerPort: 0}]"), field: "spec.template.ports[0].containerPort", rule: "should be greater than or equal to 1"},
		"script from a file":      {spec: template("provisioningScriptURL: /tmp/x.sh"), field: "spec.template.provisioningScriptURL", rule: "should match '^https?://"},
		"too low a threshold":     {spec: cost + "probes: {failureThreshold: 1}", field: "spec.probes.failureThreshold", rule: "should be greater than or equal to 2"},
		"share without percent":   {spec: cost + "remediation: {maxUnhealthy: \"40\"}", field: "spec.remediation.maxUnhealthy", rule: "should match '^(100|[1-9]?[0-9])%$'"},
		"pause above its maximum": {
			spec: cost + "remediation: {backoff: {initialSeconds: 60, maxSeconds: 30}}", field: "spec.remediation.backoff.initialSeconds", rule: "backoff.initialSeconds must not exceed backoff.maxSeconds",
		},
		"a budget without an amount": {spec: budgets("{name: a, period: Day}"), field: "spec.cost.budgets[0].limitUSD", rule: "Required value"},
		"a budget without a name":    {spec: budgets("{period: Day, limitUSD: \"5\"}"), field: "spec.cost.budgets[0].name", rule: "Required value"},
		"a budget of a year":         {spec: budgets("{name: a, period: Year, limitUSD: \"5\"}"), field: "spec.cost.budgets[0].period", rule: `supported values: "Day", "Week", "Month"`},
		"a budget that does nothing known": {
			spec: budgets("{name: a, period: Day, limitUSD: \"5\", action: Stop}"), field: "spec.cost.budgets[0].action", rule: `supported values: "Alert", "StopRenting", "DrainUnclaimed", "TerminateAll"`,
		},
		"a budget with a negative amount": {spec: budgets("{name: a, period: Day, limitUSD: \"-5\"}"), field: "spec.cost.budgets[0].limitUSD", rule: "should match"},
		"a zone with a blank":             {spec: budgets("{name: a, period: Day, limitUSD: \"5\", timeZone: \"Europe/Os lo\"}"), field: "spec.cost.budgets[0].timeZone", rule: "should match"},
		"two budgets of one name":         {spec: budgets("{name: a, period: Day, limitUSD: \"5\"}, {name: a, period: Week, limitUSD: \"5\"}"), field: "spec.cost.budgets[1]", rule: "Duplicate value"},
		"five budgets": {
			spec:  budgets(strings.Repeat("{name: a, period: Day, limitUSD: \"5\"}, ", 4) + "{name: b, period: Week, limitUSD: \"5\"}"),
			field: "spec.cost.budgets", rule: "must have at most 4 items",
		},
		"an account's budget of a year": {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\nbudgets: [{name: a, period: Year, limitUSD: \"5\"}]", field: "spec.budgets[0].period", rule: "supported values"},
		"no account ceiling":            {kind: "VastAccount", spec: "{}", field: "spec.ceilingUSDPerHour", rule: "Required value"},
		"malformed balance":             {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\nminBalanceUSD: five", field: "spec.minBalanceUSD", rule: "should match"},
		"polling all the time":          {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\npollPeriodSeconds: 1", field: "spec.pollPeriodSeconds", rule: "should be greater than or equal to 5"},
		"unknown account mode":          {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\nmode: Stop", field: "spec.mode", rule: `supported values: "Active", "Frozen", "EmergencyStop"`},
		"unknown leak action":           {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\nleakPolicy: {action: Kill}", field: "spec.leakPolicy.action", rule: `supported values: "Report", "Terminate"`},
		"leaks ended at once":           {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\nleakPolicy: {minAgeSeconds: 1}", field: "spec.leakPolicy.minAgeSeconds", rule: "should be greater than or equal to 120"},
		"a default time above the maximum": {
			spec: cost + "claimPolicy: {defaultTTLSeconds: 600, maxTTLSeconds: 300}", field: "spec.claimPolicy.defaultTTLSeconds", rule: "claimPolicy.defaultTTLSeconds must not exceed claimPolicy.maxTTLSeconds",
		},
		"recycling for a day":            {spec: cost + "claimPolicy: {recycleDeadlineSeconds: 86400}", field: "spec.claimPolicy.recycleDeadlineSeconds", rule: "should be less than or equal to 3600"},
		"a queue without an end":         {spec: cost + "claimPolicy: {maxPending: 1001}", field: "spec.claimPolicy.maxPending", rule: "should be less than or equal to 1000"},
		"a claim on no pool":             {kind: "WarmClaim", spec: "{}", field: "spec.poolRef", rule: "Required value"},
		"a claim for no time":            {kind: "WarmClaim", spec: "poolRef: {name: sdxl}\nttlSeconds: 0", field: "spec.ttlSeconds", rule: "should be greater than or equal to 1"},
		"a claim that waits for ever":    {kind: "WarmClaim", spec: "poolRef: {name: sdxl}\nbindTimeoutSeconds: 86401", field: "spec.bindTimeoutSeconds", rule: "should be less than or equal to 86400"},
		"a claim that keeps what it had": {kind: "WarmClaim", spec: "poolRef: {name: sdxl}\nonRelease: Keep", field: "spec.onRelease", rule: `supported values: "Terminate", "Recycle"`},
		"an empty name of the key":       {kind: "VastAccount", spec: "ceilingUSDPerHour: \"5\"\ncredentialsSecretRef: {key: \"\"}", field: "spec.credentialsSecretRef.key", rule: "should be at least 1 chars long"},
	}
}

// TestBadSpecsAreRefused sends manifests that break a rule: the API server
// names the field and the rule.
func TestBadSpecsAreRefused(t *testing.T) {
	t.Parallel()
	namespace := shared.Namespace(t)
	for name, test := range badSpecs() {
		t.Run(name, func(t *testing.T) {
			object := manifest(t, test.kind, test.spec)
			object.SetNamespace(namespace)
			refused(t, shared.Client.Create(t.Context(), object), test.field, test.rule)
		})
	}
}

// manifest builds an object from the YAML of its spec.
func manifest(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	var content map[string]any
	if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
		t.Fatalf("the spec of the test: %v", err)
	}
	if kind == "" {
		kind = "WarmPool"
	}
	object.Object["spec"] = content
	object.SetAPIVersion(warmpool.GroupVersion.String())
	object.SetKind(kind)
	object.SetName("bad")
	return object
}

// refused demands an error that names the field and the rule.
func refused(t *testing.T, err error, field, rule string) {
	t.Helper()
	if !apierrors.IsInvalid(err) {
		t.Fatalf("the API server answers %v, it should refuse the object as invalid", err)
	}
	for _, part := range []string{field, rule} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the API server says %q, it should say %q", err, part)
		}
	}
}

// TestWhatCannotBeChanged changes fields that are fixed for life.
func TestWhatCannotBeChanged(t *testing.T) {
	t.Parallel()
	namespace := shared.Namespace(t)
	wp := pool(0, "1.50")
	instance := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Name: "fixed"},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"},
		},
	}
	claim := newClaim("fixed")
	for _, object := range []client.Object{wp, instance, claim} {
		object.SetNamespace(namespace)
		if err := shared.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("the account of a pool", func(t *testing.T) {
		wp.Spec.AccountRef.Name = "another"
		refused(t, shared.Client.Update(t.Context(), wp), "spec.accountRef", "accountRef cannot be changed: rentals stay with the account that pays them. Make a new pool.")
	})
	t.Run("the template of an instance", func(t *testing.T) {
		changed := instance.DeepCopy()
		changed.Spec.Template.Image = "another"
		refused(t, shared.Client.Update(t.Context(), changed), "spec", "the spec of a WarmInstance cannot be changed: it records one rental. Change the WarmPool, or delete this instance.")
	})
	t.Run("the pool of a claim", func(t *testing.T) {
		changed := claim.DeepCopy()
		changed.Spec.PoolRef.Name = "another"
		refused(t, shared.Client.Update(t.Context(), changed), "spec.poolRef", "poolRef cannot be changed: make a new claim for another pool.")
	})
	t.Run("the requirements of a claim", func(t *testing.T) {
		changed := claim.DeepCopy()
		changed.Spec.Requirements.MinGPUMemoryMB = 24000
		refused(t, shared.Client.Update(t.Context(), changed), "spec.requirements", "requirements cannot be changed: make a new claim.")
	})
	t.Run("a claim's name is a label", func(t *testing.T) {
		long := newClaim(strings.Repeat("a", 64))
		long.Namespace = namespace
		refused(t, shared.Client.Create(t.Context(), long), "WarmClaim", "the name of a WarmClaim has at most 63 characters")
	})
	t.Run("the pool of an instance", func(t *testing.T) {
		changed := instance.DeepCopy()
		changed.Spec.PoolRef.Name = "another"
		refused(t, shared.Client.Update(t.Context(), changed), "spec", "the spec of a WarmInstance cannot be changed")
	})
}
