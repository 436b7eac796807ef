package controllers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestOutcomeOf(t *testing.T) {
	refused := &fleet.ProviderError{Kind: fleet.KindOfferGone, Status: 410, Definite: true, Message: "gone"}
	for name, test := range map[string]struct {
		id   int64
		err  error
		want warmpool.AttemptOutcome
		made int64
	}{
		"a rental":                   {id: 7, want: warmpool.AttemptSucceeded, made: 7},
		"a definite refusal":         {err: refused, want: warmpool.AttemptRejected},
		"a wrapped refusal":          {err: fmt.Errorf("renting: %w", refused), want: warmpool.AttemptRejected},
		"a timeout":                  {err: &fleet.ProviderError{Kind: fleet.KindUnavailable}, want: warmpool.AttemptUnknown},
		"an unreadable answer":       {err: &fleet.ProviderError{Kind: fleet.KindInvalidResponse, Status: 200}, want: warmpool.AttemptUnknown},
		"an error nobody knows":      {err: errors.New("odd"), want: warmpool.AttemptUnknown},
		"a refusal that rented":      {err: &fleet.ProviderError{Kind: fleet.KindInvalidRequest, Status: 400, RentalID: 9}, want: warmpool.AttemptRejected, made: 9},
		"nothing was sent":           {err: &fleet.ProviderError{Kind: fleet.KindNotSent, Definite: true}, want: warmpool.AttemptRejected},
		"the limiter refused":        {err: &fleet.ProviderError{Kind: fleet.KindRateLimited, Status: 429, Definite: true}, want: warmpool.AttemptRejected},
		"a 429 that may have rented": {err: &fleet.ProviderError{Kind: fleet.KindRateLimited, Status: 429}, want: warmpool.AttemptUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			got := outcomeOf(test.id, test.err)
			if got.outcome != test.want || got.rentalID != test.made {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestApplyOutcomeSettlesAPendingAttemptOnce(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	instance := &warmpool.WarmInstance{Status: warmpool.WarmInstanceStatus{Attempts: []warmpool.RentAttempt{
		{Number: 1, Outcome: warmpool.AttemptRejected}, {Number: 2, Outcome: warmpool.AttemptPending, MachineID: 5, QuotedUSDPerHour: "0.40"},
	}}}
	outcome := rentOutcome{outcome: warmpool.AttemptSucceeded, rentalID: 77, gpuName: "RTX 4090", gpus: 1}
	if !applyOutcome(instance, 2, &outcome, now, "inst") {
		t.Fatal("the pending attempt was not settled")
	}
	want := &warmpool.Rental{ID: 77, MachineID: 5, RecordedTime: &now, GPUName: "RTX 4090", GPUs: 1, Label: "wp1.inst..2"}
	if diff := cmp.Diff(want, instance.Status.Rental); diff != "" {
		t.Error(diff)
	}
	late := rentOutcome{outcome: warmpool.AttemptUnknown}
	if applyOutcome(instance, 2, &late, now, "inst") || applyOutcome(instance, 1, &late, now, "inst") || applyOutcome(instance, 9, &late, now, "inst") {
		t.Error("a settled or missing attempt was settled again")
	}
}

func TestForgetRejectedMakesRoomForOne(t *testing.T) {
	var full []warmpool.RentAttempt
	for number := range int32(10) {
		full = append(full, warmpool.RentAttempt{Number: number + 1, Outcome: warmpool.AttemptRejected})
	}
	full[0].Outcome = warmpool.AttemptAbandoned
	full[1].RentalID = 8
	kept := forgetRejected(full)
	if len(kept) != 9 || kept[0].Number != 1 || kept[1].Number != 2 || kept[2].Number != 4 {
		t.Errorf("kept %+v", kept)
	}
	if len(full) != 10 || full[2].Number != 3 {
		t.Error("the journal that was given has changed")
	}
	// The newest stays, or the next attempt would get its number and its label.
	for at := range full {
		full[at].Outcome = warmpool.AttemptAbandoned
	}
	full[9].Outcome = warmpool.AttemptRejected
	if all := forgetRejected(full); len(all) != 10 {
		t.Errorf("of a journal that holds only what must be remembered %d are left", len(all))
	}
	if short := forgetRejected(full[:3]); len(short) != 3 {
		t.Error("a journal with room was cut")
	}
}
