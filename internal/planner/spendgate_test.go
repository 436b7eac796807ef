package planner

import (
	"testing"
	"time"
)

func TestSpendGate(t *testing.T) {
	tests := map[string]struct {
		edit func(*AccountState)
		want string
	}{
		"all good":                     {func(*AccountState) {}, ""},
		"emergency stop":               {func(a *AccountState) { a.Mode = AccountEmergencyStop }, ReasonEmergencyStop},
		"frozen":                       {func(a *AccountState) { a.Mode = AccountFrozen }, ReasonAccountFrozen},
		"unknown mode is no leave":     {func(a *AccountState) { a.Mode = "" }, ReasonAccountFrozen},
		"deleting":                     {func(a *AccountState) { a.Deleting = true }, ReasonAccountDeleting},
		"lease not fresh":              {func(a *AccountState) { a.LeaseFresh = false }, ReasonLeaseNotFresh},
		"credentials not verified":     {func(a *AccountState) { a.CredentialsVerified = false }, ReasonCredentialsInvalid},
		"other account":                {func(a *AccountState) { a.IdentityStable = false }, ReasonAccountIdentityChanged},
		"no trusted sweep since start": {func(a *AccountState) { a.SeenTrustedSweep = false }, ReasonAwaitingFirstSweep},
		"sweep time missing":           {func(a *AccountState) { a.LastTrustedSweepAt = time.Time{} }, ReasonAwaitingFirstSweep},
		"breaker tripped":              {func(a *AccountState) { a.BreakerTripped = true }, ReasonSuspiciousDrop},
		"latest sweep untrusted":       {func(a *AccountState) { a.LastSweep.Trusted = false }, ReasonProviderUntrusted},
		"sweep as old as allowed":      {func(a *AccountState) { a.LastTrustedSweepAt = moment(70) }, ""},
		"sweep too old":                {func(a *AccountState) { a.LastTrustedSweepAt = moment(69) }, ReasonSweepStale},
		"sweep from the future":        {func(a *AccountState) { a.LastTrustedSweepAt = moment(101) }, ReasonSweepStale},
		"balance unknown":              {func(a *AccountState) { a.BalanceKnown = false }, ReasonBalanceUnknown},
		"balance at the minimum":       {func(a *AccountState) { a.BalanceUSD = a.MinBalanceUSD }, ""},
		"balance below the minimum":    {func(a *AccountState) { a.BalanceUSD = a.MinBalanceUSD - 1 }, ReasonBalanceLow},
		"people's decisions go first":  {func(a *AccountState) { *a = AccountState{Mode: AccountEmergencyStop} }, ReasonEmergencyStop},
		"the zero value may not spend": {func(a *AccountState) { *a = AccountState{} }, ReasonAccountFrozen},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			account := goodAccount()
			tc.edit(&account)
			deferral := SpendGate(&account, moment(100))
			got := ""
			if deferral != nil {
				got = deferral.Reason
				if deferral.Message == "" {
					t.Error("a deferral needs a message for people")
				}
			}
			if got != tc.want {
				t.Errorf("SpendGate = %q, want %q", got, tc.want)
			}
		})
	}
}
