package integration

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// faultTests says which test shows what a user sees of each fault. Faults of a
// table are found in the table itself.
func faultTests() map[string]func(*testing.T) {
	tests := map[string]func(*testing.T){
		simulator.FaultStaleOffer:      TestOffersThatAreAlwaysGone,
		simulator.FaultCreateWithError: TestRefusalThatNamesARentalIsEnded,
		simulator.FaultCreateDearer:    TestRentalsThatAreDearerThanTheirOffer,
		simulator.FaultReadLag:         TestReadsThatLagLoseNothing,
		simulator.FaultPageDrop:        TestPageThatIsMissingIsNoticed,
		simulator.FaultEmptyList:       TestEmptyListOfManyTripsTheBreaker,
		simulator.FaultHiddenRental:    TestRentalThatNobodyShowsIsReplacedAndReportedAsALeak,
		simulator.FaultStatusFlicker:   TestFlickeringStatusIsNotBelieved,
		simulator.FaultLabelChanged:    TestChangedLabelLosesNothing,
		simulator.FaultBadAddress:      TestBlanksInAnAddressAreCutOff,
		simulator.FaultPriceRaise:      TestPriceRaiseAboveTheCeilingEndsTheInstance,
		simulator.FaultCredit:          TestCreditRunsOut,
		simulator.FaultNoLogs:          TestLogThatNeverComesHoldsUpNoEnd,
		// The operator meets neither of these: it never stops, starts or labels a
		// rental and never asks the retired list. The witness checks that of every
		// test, and these show what the client makes of them.
		simulator.FaultResourcesTaken: TestStartThatIsQueuedIsNoSuccess,
		simulator.FaultV0Empty:        TestRetiredListIsNeverAsked,
	}
	for _, test := range listFaults() {
		tests[test.spec.Name] = TestBadListIsSaidAndCostsNothing
	}
	for _, test := range searchFaults() {
		tests[test.spec.Name] = TestSearchThatFindsNothingIsSaid
	}
	for _, test := range refusedRents() {
		tests[test.spec.Name] = TestRefusedRentIsSaidAndTheNextOneTried
	}
	for _, test := range lostRents() {
		tests[test.spec.Name] = TestLostAnswerOfARentIsFoundByItsLabel
	}
	for _, test := range lifeFaults() {
		tests[test.spec.Name] = TestMishapsOfNewRentals
		if test.running {
			tests[test.spec.Name] = TestMishapsOfReadyRentals
		}
	}
	for _, test := range endFaults() {
		tests[test.spec.Name] = TestEndThatGoesWrongIsRepeated
	}
	return tests
}

// TestEveryFaultHasATest compares the registry of the simulator with the tests.
func TestEveryFaultHasATest(t *testing.T) {
	t.Parallel()
	var registered []string
	for _, fault := range simulator.FaultKinds() {
		registered = append(registered, fault.Name)
	}
	slices.Sort(registered)
	if diff := cmp.Diff(registered, slices.Sorted(maps.Keys(faultTests()))); diff != "" {
		t.Errorf("faults without a test (-) and tests without a fault (+):\n%s", diff)
	}
}
