package planner

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// observed is a good sweep at the given second that shows the ids, all known.
func observed(seconds int, ids ...int64) SweepObservation {
	rows := make([]fleet.Rental, 0, len(ids))
	for _, id := range ids {
		rows = append(rows, row(id, "", usd(40)))
	}
	return SweepObservation{
		Listing: sweepAt(seconds, rows...).Listing, IdentityUserID: 5, PinnedUserID: 5, IdentityAt: moment(seconds), KnownRunning: ids,
	}
}

// span lists the ids from first to last.
func span(first, last int64) []int64 {
	var ids []int64
	for id := first; id <= last; id++ {
		ids = append(ids, id)
	}
	return ids
}

func TestJudgeSweep(t *testing.T) {
	failing := func(kind fleet.ErrorKind) func(*SweepObservation) {
		return func(s *SweepObservation) {
			// What a client returns beside an error may even look like an empty account.
			s.Listing = fleet.Listing{Pages: 1, StartedAt: moment(0), FinishedAt: moment(1)}
			s.Err = &fleet.ProviderError{Kind: kind, Operation: "list"}
		}
	}
	tests := map[string]struct {
		edit func(*SweepObservation)
		want string
	}{
		"good":                     {func(*SweepObservation) {}, ReasonTrusted},
		"unreachable":              {failing(fleet.KindUnavailable), ReasonProviderUnreachable},
		"not sent":                 {failing(fleet.KindNotSent), ReasonProviderUnreachable},
		"key refused (401 or 404)": {failing(fleet.KindUnauthorized), ReasonCredentialsInvalid},
		"key lacks a permission":   {failing(fleet.KindForbidden), ReasonCredentialsInvalid},
		"retired endpoint (410)":   {failing(fleet.KindDeprecated), ReasonAPIDeprecated},
		"rate limited":             {failing(fleet.KindRateLimited), ReasonRateLimited},
		"HTML or an empty body":    {failing(fleet.KindInvalidResponse), ReasonInvalidResponse},
		"not found is not empty":   {failing(fleet.KindNotFound), ReasonInvalidResponse},
		"an error of another sort": {func(s *SweepObservation) { s.Err = errors.New("context canceled") }, ReasonInvalidResponse},
		"no page read":             {func(s *SweepObservation) { s.Listing.Pages = 0 }, ReasonInvalidResponse},
		"never started":            {func(s *SweepObservation) { s.Listing.StartedAt = time.Time{} }, ReasonInvalidResponse},
		"never finished":           {func(s *SweepObservation) { s.Listing.FinishedAt = time.Time{} }, ReasonInvalidResponse},
		"row without an id":        {func(s *SweepObservation) { s.Listing.Rentals[0].ID = 0 }, ReasonInvalidResponse},
		"row there twice":          {func(s *SweepObservation) { s.Listing.Rentals[1].ID = s.Listing.Rentals[0].ID }, ReasonInconsistentList},
		"first total differs":      {func(s *SweepObservation) { s.Listing.FirstTotal++ }, ReasonInconsistentList},
		"last total differs":       {func(s *SweepObservation) { s.Listing.LastTotal-- }, ReasonInconsistentList},
		"rows cut":                 {func(s *SweepObservation) { s.Listing.Rentals = s.Listing.Rentals[:2] }, ReasonInconsistentList},
		"no rows but a total":      {func(s *SweepObservation) { s.Listing.Rentals = nil }, ReasonInconsistentList},
		"one page is exact whatever we do": {func(s *SweepObservation) {
			s.OwnRents, s.OwnEnds, s.Listing.FirstTotal, s.Listing.LastTotal = 3, 3, 4, 4
		}, ReasonInconsistentList},
		"other account":                     {func(s *SweepObservation) { s.IdentityUserID = 6 }, ReasonAccountIdentityChanged},
		"no account pinned":                 {func(s *SweepObservation) { s.PinnedUserID = 0 }, ReasonIdentityUnverified},
		"identity never asked":              {func(s *SweepObservation) { s.IdentityUserID = 0 }, ReasonIdentityUnverified},
		"identity a minute before":          {func(s *SweepObservation) { s.IdentityAt = moment(-60) }, ReasonTrusted},
		"identity older than a minute":      {func(s *SweepObservation) { s.IdentityAt = moment(-61) }, ReasonIdentityUnverified},
		"identity a minute after":           {func(s *SweepObservation) { s.IdentityAt = moment(61) }, ReasonTrusted},
		"identity more than a minute after": {func(s *SweepObservation) { s.IdentityAt = moment(62) }, ReasonIdentityUnverified},
		"identity probe refused":            {func(s *SweepObservation) { s.IdentityErr = &fleet.ProviderError{Kind: fleet.KindUnauthorized} }, ReasonCredentialsInvalid},
		"identity probe unanswered":         {func(s *SweepObservation) { s.IdentityErr = errors.New("timeout") }, ReasonIdentityUnverified},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := observed(0, 1, 2, 3)
			tc.edit(&seen)
			memory, verdict := JudgeSweep(TrustMemory{}, &seen)
			if verdict.Reason != tc.want || verdict.Trusted != (tc.want == ReasonTrusted) || verdict.Message == "" {
				t.Errorf("verdict = %+v, want %s", verdict, tc.want)
			}
			if memory.SeenTrusted != verdict.Trusted {
				t.Errorf("memory %+v does not fit verdict %+v", memory, verdict)
			}
		})
	}
}

func TestJudgeSweepZeroObservation(t *testing.T) {
	if _, verdict := JudgeSweep(TrustMemory{}, &SweepObservation{}); verdict.Trusted {
		t.Error("nothing at all was trusted")
	}
}

func TestJudgeSweepExplainedDrift(t *testing.T) {
	tests := map[string]struct {
		rows, first, last int
		rents, ends       int
		want              bool
	}{
		"a rent after the first page":                  {51, 50, 51, 1, 0, true},
		"a rent after the last page was cut":           {50, 50, 51, 1, 0, true},
		"a rent that nobody made":                      {51, 50, 51, 0, 1, false},
		"two rents where one was made":                 {52, 50, 52, 1, 0, false},
		"an end before its page":                       {49, 50, 49, 0, 1, true},
		"an end after its page":                        {50, 50, 49, 0, 1, true},
		"an end that nobody asked for":                 {49, 50, 49, 1, 0, false},
		"a rent and an end":                            {50, 50, 50, 1, 1, true},
		"a rent and an end that show":                  {50, 51, 51, 1, 1, true},
		"a rent that ended at once, without the end":   {51, 50, 50, 1, 0, false},
		"a rent that ended at once, without the rent":  {51, 50, 50, 0, 1, false},
		"an end that was made up for, without a rent":  {49, 50, 50, 0, 1, false},
		"an end that was made up for, without the end": {49, 50, 50, 1, 0, false},
		"ends do not explain any list":                 {0, 50, 50, 0, 50, false},
		"ends up to pages + 1":                         {46, 50, 46, 0, 50, true},
		"ends beyond pages + 1":                        {45, 50, 45, 0, 50, false},
		"negative counts explain nothing":              {49, 50, 49, 0, -1, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := observed(0, span(1, int64(tc.rows))...)
			seen.Listing.FirstTotal, seen.Listing.LastTotal, seen.Listing.Pages = tc.first, tc.last, 3
			seen.OwnRents, seen.OwnEnds = tc.rents, tc.ends
			if _, verdict := JudgeSweep(TrustMemory{}, &seen); verdict.Trusted != tc.want {
				t.Errorf("verdict = %+v, want trusted %t", verdict, tc.want)
			}
		})
	}
}

func TestJudgeSweepDrop(t *testing.T) {
	tests := map[string]struct {
		known, shown []int64
		want         bool
	}{
		"nothing known":                    {nil, nil, true},
		"two of two":                       {span(1, 2), nil, true},
		"three of three":                   {span(1, 3), nil, false},
		"two of ten":                       {span(1, 10), span(3, 10), true},
		"three of ten are 30 %":            {span(1, 10), span(4, 10), true},
		"four of ten":                      {span(1, 10), span(5, 10), false},
		"thirty of a hundred":              {span(1, 100), span(31, 100), true},
		"thirty-one of a hundred":          {span(1, 100), span(32, 100), false},
		"all of a hundred":                 {span(1, 100), nil, false},
		"foreign ones do not fill the gap": {span(1, 10), span(101, 200), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := observed(0, tc.shown...)
			seen.KnownRunning = tc.known
			memory, verdict := JudgeSweep(TrustMemory{}, &seen)
			if verdict.Trusted != tc.want || memory.BreakerTripped == tc.want {
				t.Errorf("verdict = %+v, breaker %t, want trusted %t", verdict, memory.BreakerTripped, tc.want)
			}
			if !tc.want && verdict.Reason != ReasonSuspiciousDrop {
				t.Errorf("reason = %s", verdict.Reason)
			}
		})
	}
}

// step is one sweep of a breaker story.
type breakerStep struct {
	shown []int64
	err   error
	want  bool
}

func TestJudgeSweepBreaker(t *testing.T) {
	down := errors.New("down")
	all, half := span(1, 10), span(1, 5)
	tests := map[string][]breakerStep{
		"the drop is believed after three further lists": {
			{all, nil, true}, {half, nil, false}, {half, nil, false}, {half, nil, false}, {half, nil, true}, {half, nil, true},
		},
		"a drop that was a mistake is cleared up by three lists as well": {
			{all, nil, true}, {nil, nil, false}, {all, nil, false}, {all, nil, false}, {all, nil, true},
		},
		"lists that disagree start anew": {
			{all, nil, true},
			{half, nil, false},
			{half, nil, false},
			{half, nil, false},
			{span(1, 4), nil, false},
			{span(1, 4), nil, false},
			{span(1, 4), nil, true},
		},
		"one that comes back starts anew as well": {
			{all, nil, true}, {half, nil, false}, {half, nil, false}, {span(1, 6), nil, false}, {span(1, 6), nil, false}, {span(1, 6), nil, true},
		},
		"a failure breaks the row": {
			{all, nil, true},
			{half, nil, false},
			{half, nil, false},
			{half, nil, false},
			{nil, down, false},
			{half, nil, false},
			{half, nil, false},
			{half, nil, true},
		},
		"a failure does not clear the breaker": {
			{all, nil, true}, {nil, nil, false}, {nil, down, false}, {all, nil, false},
		},
		"a believed drop is not suspicious again, a second one is": {
			{all, nil, true}, {half, nil, false}, {half, nil, false}, {half, nil, false}, {half, nil, true}, {half, nil, true}, {nil, nil, false},
		},
		"a drop over an outage is still one drop": {
			{all, nil, true}, {nil, down, false}, {nil, nil, false},
		},
		"a slow decline is not a drop": {
			{all, nil, true}, {span(1, 8), nil, true}, {span(1, 6), nil, true}, {span(1, 4), nil, true},
		},
		"the first list after a start can be a drop": {
			{nil, nil, false},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			memory, got, want := TrustMemory{}, []bool{}, []bool{}
			for k, step := range steps {
				seen := observed(15*k, step.shown...)
				seen.KnownRunning, seen.Err = all, step.err
				var verdict SweepVerdict
				memory, verdict = JudgeSweep(memory, &seen)
				got, want = append(got, verdict.Trusted), append(want, step.want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("trusted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeSweepBreakerForgetsWhatIsNoLongerKnown(t *testing.T) {
	seen := observed(0, span(1, 5)...)
	seen.KnownRunning = span(1, 10)
	memory, _ := JudgeSweep(TrustMemory{}, &seen)
	// A person deletes two of the vanished instances meanwhile: that is no disagreement.
	trusted := []bool{}
	for k := range 3 {
		seen = observed(15*(k+1), span(1, 5)...)
		seen.KnownRunning = span(1, 10-int64(k))
		var verdict SweepVerdict
		memory, verdict = JudgeSweep(memory, &seen)
		trusted = append(trusted, verdict.Trusted)
	}
	if diff := cmp.Diff([]bool{false, false, true}, trusted); diff != "" {
		t.Errorf("trusted (-want +got):\n%s", diff)
	}
}

func TestJudgeSweepLeavesItsMemoryAlone(t *testing.T) {
	before := TrustMemory{SeenTrusted: true, LastTrustedAt: moment(0), Missing: []int64{4}, Suspect: []int64{4, 5}}
	kept := before
	kept.Missing, kept.Suspect = []int64{4}, []int64{4, 5}
	seen := observed(15, 1)
	seen.KnownRunning = span(1, 9)
	JudgeSweep(before, &seen)
	if diff := cmp.Diff(kept, before); diff != "" {
		t.Errorf("the argument changed (-before +after):\n%s", diff)
	}
}
