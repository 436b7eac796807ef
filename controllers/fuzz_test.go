package controllers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// asJSON encodes an object for a seed.
func asJSON(f *testing.F, object any) string {
	f.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		f.Fatal(err)
	}
	return string(text)
}

// samples are the manifests of config/samples as JSON.
func samples(f *testing.F) []string {
	f.Helper()
	files, err := filepath.Glob("../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d samples, %v", len(files), err)
	}
	var texts []string
	for _, file := range files {
		manifest, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for document := range strings.SplitSeq(string(manifest), "\n---") {
			text, err := yaml.YAMLToJSON([]byte(document))
			if err != nil {
				f.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	return texts
}

// FuzzConvertInstance converts any WarmInstance, whatever an older version or a
// person with an editor has put into it: nothing panics, nothing costs less than
// nothing, and what may bill is neither pending nor free to go.
func FuzzConvertInstance(f *testing.F) {
	f.Add(asJSON(f, testInstance()), `{}`)
	f.Add(asJSON(f, rentedInstance()), `{"ID":77,"PriceUSDPerHour":1}`)
	f.Add(asJSON(f, deletedInstance()), `{"ID":77,"MachineID":700,"ActualStatus":"running","PublicIP":"1.2.3.4","Ports":{"8188":40001}}`)
	f.Add(`{"metadata":{"annotations":{"warmpool.dev/abandon-rental":"99999999999999999999"}},"status":{"attempts":[{"quotedUSDPerHour":"x","number":-1,"outcome":"Odd"}]}}`, `{}`)
	f.Fuzz(func(t *testing.T, text, seen string) {
		var instance warmpool.WarmInstance
		var row fleet.Rental
		if json.Unmarshal([]byte(text), &instance) != nil || json.Unmarshal([]byte(seen), &row) != nil {
			return
		}
		planned := plannerInstance(&instance)
		if cost := planner.Cost(&planned); cost < 0 {
			t.Errorf("costs %d", cost)
		}
		if planned.IsPending() && planned.IsBilling() {
			t.Error("it waits to be rented and may bill at once")
		}
		for _, rental := range planned.RecordedRentals() {
			if rental.USDPerHour < 0 {
				t.Errorf("rental %+v", rental)
			}
		}
		for _, attempt := range planned.Attempts {
			if next := planned.NextAttemptNumber(); next <= attempt.Number && next > 0 {
				t.Errorf("the next attempt is number %d, and there is a number %d", next, attempt.Number)
			}
		}
		if instance.Status.Rental != nil {
			observeRow(&instance, &row, metav1.NewTime(noon))
			checkText(t, instance.Status.Provider.Message, maxMessage)
			checkText(t, instance.Status.Rental.GPUName, maxName)
		}
		verdictInstances([]warmpool.WarmInstance{instance})
	})
}

// checkText demands a text to be within its bound, and whole.
func checkText(t *testing.T, text string, limit int) {
	t.Helper()
	if len(text) > limit {
		t.Errorf("%d bytes where %d are allowed", len(text), limit)
	}
}

// FuzzConvertPool converts any WarmPool and plans for it.
func FuzzConvertPool(f *testing.F) {
	for _, sample := range samples(f) {
		f.Add(sample, asJSON(f, testAccount()))
	}
	f.Add(asJSON(f, testPool()), asJSON(f, testAccount()))
	f.Add(`{"spec":{"replicas":-1,"cost":{"ceilingUSDPerHour":"-5"},"offers":{"minCUDAVersion":"12.8","extra":[{"key":"a","operator":"Odd"}]},"remediation":{"maxUnhealthy":"%"}}}`, `{}`)
	f.Fuzz(func(t *testing.T, text, paying string) {
		var pool warmpool.WarmPool
		var account warmpool.VastAccount
		if json.Unmarshal([]byte(text), &pool) != nil || json.Unmarshal([]byte(paying), &account) != nil {
			return
		}
		query := offerQuery(&pool.Spec.Offers, pool.Spec.Template.DiskGB)
		if query.Key() == "" || query.MinGPUs < 1 || query.MaxGPUs < 1 {
			t.Errorf("query %+v", query)
		}
		admission := admissionPool(&pool)
		state := planner.AdmissionState{Listing: &fleet.Listing{}, Account: (&accountSession{}).spendState(&account, true), Now: noon}
		candidate := planner.Candidate{Instance: plannerInstance(testInstance()), Pool: admission}
		if got := planner.Admit(&candidate, []fleet.Offer{goodOffer()}, &state); got.Decision == planner.DecisionAdmitted {
			t.Error("a session that has seen nothing admits a rent")
		}
		plan := planPool(&poolInput{pool: &pool, account: &account, now: noon})
		if plan.size.Create < 0 || len(plan.size.Delete) != 0 {
			t.Errorf("plans %+v for a pool without instances", plan.size)
		}
		if account.Spec.PollPeriodSeconds >= 0 && maxSweepAge(&account, time.Second) <= 0 {
			t.Errorf("a sweep may be %s old", maxSweepAge(&account, time.Second))
		}
	})
}

// moneyPattern reads the pattern of an amount from the CRDs, as the API server
// applies it.
func moneyPattern(f *testing.F, field string) *regexp.Regexp {
	f.Helper()
	files, err := filepath.Glob("../config/crd/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if match := regexp.MustCompile(field + `:\n(?: +[^\n]*\n)*? +pattern: ([^\n]+)\n`).FindSubmatch(text); match != nil {
			return regexp.MustCompile(string(match[1]))
		}
	}
	f.Fatalf("no CRD has a pattern for %s", field)
	return nil
}

// FuzzMoneyStrings: every amount that the API server accepts is read exactly,
// and every amount that we write is one that it accepts.
func FuzzMoneyStrings(f *testing.F) {
	accepted, written := moneyPattern(f, "ceilingUSDPerHour"), moneyPattern(f, "committedUSDPerHour")
	const longest = 13
	for _, seed := range []string{"0", "1.50", "999999.999999", "0.000001", "01", "1.", "-1", "1e3"} {
		f.Add(seed, int64(1_500_000))
	}
	f.Fuzz(func(t *testing.T, text string, amount int64) {
		if accepted.MatchString(text) && len(text) <= longest {
			read, err := fleet.ParseUSD(text)
			if err != nil || read < 0 || usdOf(text) != read {
				t.Errorf("%q is read as %d, %v", text, read, err)
			}
			if again := usdOf(read.String()); again != read {
				t.Errorf("%q is written as %s", text, read)
			}
		}
		shown := string(signedUSD(fleet.USDMicros(amount)))
		if !written.MatchString(shown) || len(shown) > 24 {
			t.Errorf("%d is written as %q, which the API server refuses", amount, shown)
		}
	})
}

// FuzzTexts: texts of providers and containers fit their fields, and stay UTF-8.
func FuzzTexts(f *testing.F) {
	f.Add("short", "secret-value", 100)
	f.Add(strings.Repeat("ä", 300), "ä", 7)
	f.Add("line\nsecret-value\nline", "secret-value", 12)
	f.Fuzz(func(t *testing.T, text, secret string, limit int) {
		limit = 4 + limit&0xFFF
		if cut := bounded(text, limit); len(cut) > limit || utf8.ValidString(text) && !utf8.ValidString(cut) {
			t.Errorf("bounded to %d bytes: %q", limit, cut)
		}
		if tail := lastPart(text, limit); len(tail) > limit || !utf8.ValidString(tail) {
			t.Errorf("the last %d bytes: %q", limit, tail)
		}
		const shortest = 6
		// Beside letters of the placeholder the rest of the text may spell it anew.
		if len(secret) >= shortest && !strings.ContainsAny(secret, "REDACTED") && strings.Contains(withoutSecrets(text, []string{secret}), secret) {
			t.Errorf("the secret stays in %q", withoutSecrets(text, []string{secret}))
		}
		if percent := percentOf(text); strings.TrimSpace(text) == "" && percent != 0 {
			t.Errorf("nothing is %d percent", percent)
		}
	})
}
