package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// scriptedAuditor remembers what it was told, in order.
type scriptedAuditor struct {
	err   error
	told  []string
	calls func() []int64
}

func (a *scriptedAuditor) Append(_ context.Context, entry *audit.Entry) (audit.Record, error) {
	if a.err != nil {
		return audit.Record{}, a.err
	}
	return audit.Record{}, a.Note(entry)
}

// Note writes down which calls had been made by then, and the rental if one is named.
func (a *scriptedAuditor) Note(entry *audit.Entry) error {
	told := fmt.Sprintf("%s %s", entry.Action, entry.Outcome)
	for _, name := range []string{"rental", "reason"} {
		if value := entry.Details[name].String(); value != "" && value != "0" {
			told += " " + name + "=" + value
		}
	}
	if a.calls != nil {
		told += fmt.Sprintf(" after %v", a.calls())
	}
	a.told = append(a.told, told)
	return a.err
}

// audited gives a stage an auditor.
func audited(s *stage) *scriptedAuditor {
	auditor := &scriptedAuditor{}
	s.account.Audit = auditor
	return auditor
}

func TestRentIsRecordedBeforeAndAfter(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), testInstance())
	auditor := audited(s)
	auditor.calls = func() []int64 { return s.provider.rented }
	if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	want := []string{"rent started after []", "rent ok rental=77 reason=" + planner.ReasonAdmitted + " after [9]"}
	if diff := cmp.Diff(want, auditor.told); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// TestNothingIsRentedWithoutItsRecord: the record of a rent is durable before the
// rent is sent, or there is no rent, and people are told why.
func TestNothingIsRentedWithoutItsRecord(t *testing.T) {
	instance := testInstance()
	s := newStage(t, testAccount(), testPool(), instance)
	audited(s).err = errors.New("no space left on device")
	for range 2 {
		result, err := s.account.reconcileRent(t.Context(), s.request())
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter != auditRetry {
			t.Errorf("comes back after %s, want %s", result.RequeueAfter, auditRetry)
		}
	}
	s.get(instance)
	if len(s.provider.rented) != 0 || len(instance.Status.Attempts) != 0 {
		t.Errorf("rented %v, attempts %v", s.provider.rented, instance.Status.Attempts)
	}
	for _, condition := range instance.Status.Conditions {
		if condition.Reason != reasonAuditUnavailable || !strings.Contains(condition.Message, "no space left on device") {
			t.Errorf("condition %s: %s %s", condition.Type, condition.Reason, condition.Message)
		}
	}
	if len(instance.Status.Conditions) == 0 {
		t.Error("no condition says why")
	}
	recorder, _ := s.account.Events.(*events.FakeRecorder)
	if len(recorder.Events) != 1 {
		t.Errorf("%d events, want one", len(recorder.Events))
	} else if event := <-recorder.Events; !strings.Contains(event, reasonAuditUnavailable) {
		t.Errorf("event %q", event)
	}
	// Once there is room again, it is rented.
	audited(s)
	if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	if len(s.provider.rented) != 1 {
		t.Errorf("rented %v after the disk has room", s.provider.rented)
	}
}

func TestLostJournalIsRecordedAsNotRented(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), testInstance())
	auditor := audited(s)
	s.beforeStatusWrite = func() {
		s.beforeStatusWrite = nil
		change(s, testInstance(), func(i *warmpool.WarmInstance) { i.Annotations = map[string]string{"other": "leader"} })
	}
	if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"rent started", "rent refused reason=LostTheRight"}; !slices.Equal(auditor.told, want) {
		t.Errorf("recorded %q, want %q", auditor.told, want)
	}
}

func TestDestroyIsRecordedBeforeAndAfter(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), deletedInstance())
	auditor := audited(s)
	auditor.calls = func() []int64 { return s.provider.destroyed }
	if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	if len(auditor.told) != 2 || !strings.HasPrefix(auditor.told[0], "destroy started rental=77") || !strings.HasSuffix(auditor.told[0], "after []") ||
		!strings.HasPrefix(auditor.told[1], "destroy ok rental=77") || !strings.HasSuffix(auditor.told[1], "after [77]") {
		t.Errorf("recorded %q", auditor.told)
	}
}

// TestDestroyingGoesOnWithoutRecords: what bills is ended whatever the disk does.
func TestDestroyingGoesOnWithoutRecords(t *testing.T) {
	s := newStage(t, testAccount(), testPool(), deletedInstance())
	audited(s).err = errors.New("no space left on device")
	if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.provider.destroyed, []int64{77}) {
		t.Errorf("destroyed %v, want rental 77", s.provider.destroyed)
	}
}

func TestEmergencyStopIsRecordedOnce(t *testing.T) {
	s := newStage(t, testAccount(), testPool())
	auditor := audited(s)
	for _, mode := range []warmpool.AccountMode{warmpool.AccountActive, warmpool.AccountEmergencyStop, warmpool.AccountEmergencyStop, warmpool.AccountActive} {
		change(s, testAccount(), func(a *warmpool.VastAccount) { a.Spec.Mode = mode })
		if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"emergencyStop ok", "emergencyStop ok"}; !slices.Equal(auditor.told, want) {
		t.Errorf("recorded %q, want %q", auditor.told, want)
	}
}

func TestAbandonedRentalIsRecorded(t *testing.T) {
	instance := deletedInstance()
	instance.Annotations = map[string]string{warmpool.AnnotationAbandonRental: "77"}
	s := newStage(t, testAccount(), testPool(), instance)
	auditor := audited(s)
	for range 2 {
		if _, err := s.account.reconcileTerminate(t.Context(), s.request()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(auditor.told, "abandon ok rental=77") {
		t.Errorf("recorded %q, want the abandoned rental", auditor.told)
	}
}

func TestAdoptionIsRecorded(t *testing.T) {
	instance := testInstance()
	instance.Spec.Adopt = &warmpool.RentalAdoption{RentalID: 78, CredentialsSecretRef: warmpool.LocalReference{Name: "old"}}
	secret := keySecret("")
	secret.Name, secret.Data = "old", map[string][]byte{warmpool.SecretKeyWebPassword: []byte("the old password")}
	s := newStage(t, testAccount(), testPool(), instance, secret)
	auditor := audited(s)
	row := fleet.Rental{ID: 78, MachineID: 700, PriceUSDPerHour: 400_000}
	in := &sweepInput{account: testAccount(), session: s.session(), link: s.session().link}
	live, err := s.account.liveInstances(t.Context(), accountKey)
	if err != nil {
		t.Fatal(err)
	}
	in.instances, in.planned = live, plannerInstances(live, notInFlight)
	plan := &sweepPlan{adoptions: []planner.Adoption{{UID: "uid-a", RentalID: 78, Row: &row}}}
	if err := s.account.adopt(t.Context(), in, plan); err != nil {
		t.Fatal(err)
	}
	if want := []string{"adopt ok rental=78"}; !slices.Equal(auditor.told, want) {
		t.Errorf("recorded %q, want %q", auditor.told, want)
	}
}

func TestResolvedRentIsRecorded(t *testing.T) {
	s := newStage(t, testAccount())
	auditor := audited(s)
	s.account.noteResolution(rentedInstance(), &note{reason: reasonAttemptAdopted})
	s.account.noteResolution(testInstance(), &note{reason: reasonAttemptAbandoned})
	s.account.noteResolution(testInstance(), &note{reason: "SomethingElse"})
	want := []string{"rentResolved ok rental=77 reason=Adopted", "rentResolved refused reason=AttemptAbandoned"}
	if !slices.Equal(auditor.told, want) {
		t.Errorf("recorded %q, want %q", auditor.told, want)
	}
}

func TestBudgetIsRecordedWhenItTurns(t *testing.T) {
	within := func(status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: warmpool.ConditionWithinBudget, Status: status, Reason: reason}}
	}
	pool := testPool()
	for name, test := range map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"no budget":       {nil, nil, nil},
		"begins within":   {nil, within(metav1.ConditionTrue, "AsExpected"), nil},
		"is spent":        {within(metav1.ConditionTrue, "AsExpected"), within(metav1.ConditionFalse, "BudgetSpent"), []string{"budget ok reason=BudgetSpent"}},
		"stays spent":     {within(metav1.ConditionFalse, "BudgetSpent"), within(metav1.ConditionFalse, "BudgetSpent"), nil},
		"a new day":       {within(metav1.ConditionFalse, "BudgetSpent"), within(metav1.ConditionTrue, "AsExpected"), []string{"budget ok reason=AsExpected"}},
		"begins as spent": {nil, within(metav1.ConditionFalse, "BudgetSpent"), []string{"budget ok reason=BudgetSpent"}},
	} {
		auditor := &scriptedAuditor{}
		noteBudget(auditor, "WarmPool", pool, test.before, test.after)
		if !slices.Equal(auditor.told, test.want) {
			t.Errorf("%s: recorded %q, want %q", name, auditor.told, test.want)
		}
	}
}

// TestBudgetOfAPoolReachesTheAuditLog goes through the pool's own reconcile.
func TestBudgetOfAPoolReachesTheAuditLog(t *testing.T) {
	pool := testPool()
	pool.Spec.Cost.Budgets = []warmpool.Budget{{Name: "day", Period: warmpool.BudgetDay, LimitUSD: "1"}}
	s := newStage(t, testAccount(), pool)
	auditor := &scriptedAuditor{}
	pools := &WarmPoolReconciler{
		Client: s.client, APIReader: s.client, Events: events.NewFakeRecorder(100), Audit: auditor, Clock: s.clock,
		LastTrustedSweep: s.account.LastTrustedSweep,
	}
	request := s.request()
	request.NamespacedName = types.NamespacedName{Namespace: pool.Namespace, Name: pool.Name}
	for range 3 {
		if _, err := pools.Reconcile(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	if len(auditor.told) != 1 || !strings.HasPrefix(auditor.told[0], "budget ok reason=") {
		t.Errorf("recorded %q, want that the budget cannot be counted yet", auditor.told)
	}
}
