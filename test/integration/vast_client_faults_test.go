package integration

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// newClient is a client of a simulator of its own, without an operator.
func newClient(t *testing.T) (*vastai.Client, *simulator.Server) {
	t.Helper()
	clock := testkit.NewScaledClock(factor)
	config := simulator.Config{Clock: clock, Keys: []string{apiKey}, Seed: 1, Market: market(0.40, 0.41)}
	hurry(&config)
	vast, err := simulator.Start(context.WithoutCancel(t.Context()), config)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if closeErr := vast.Close(); closeErr != nil {
			t.Error(closeErr)
		}
	})
	client, err := vastai.New(vastai.Options{BaseURL: vast.URL(), APIKey: apiKey, Clock: clock, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return client, vast
}

// TestStartThatIsQueuedIsNoSuccess starts a rental whose GPU is taken. The
// operator never stops or starts a rental (the witness checks that of every
// test), so this is about the client.
func TestStartThatIsQueuedIsNoSuccess(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	client, vast := newClient(t)
	offers, err := client.SearchOffers(t.Context(), fleet.OfferQuery{DiskGB: 10})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	id, err := vast.RentAside(offers[0].ID, "by-hand")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	rental := func() fleet.Rental {
		found, lookupErr := client.GetRental(t.Context(), id)
		if lookupErr != nil || found == nil {
			return fleet.Rental{}
		}
		return *found
	}
	state := func() string { return rental().CurrentState }
	status := func() fleet.ActualStatus { return rental().ActualStatus }
	g.Eventually(status, patience, 100*time.Millisecond).Should(gomega.Equal(fleet.StatusRunning))
	g.Expect(client.StopRental(t.Context(), id)).To(gomega.Succeed())
	g.Eventually(state, patience, 100*time.Millisecond).Should(gomega.Equal("stopped"))
	_, err = vast.AddFault(simulator.FaultSpec{Name: simulator.FaultResourcesTaken, Params: map[string]string{"fires": "60"}})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	err = client.StartRental(t.Context(), id)
	g.Expect(fleet.KindOf(err)).To(gomega.Equal(fleet.KindResourcesUnavailable), "%v", err)
	g.Expect(fleet.IsDefinite(err)).To(gomega.BeFalse(), "the start may fire later")
	g.Eventually(state, patience, 100*time.Millisecond).Should(gomega.Equal("running"), "and it does")
}

// TestRetiredListIsNeverAsked reads a list while the retired one answers 200
// and nothing: it is not asked, so nobody takes its answer for an empty account.
func TestRetiredListIsNeverAsked(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	client, vast := newClient(t)
	offers, err := client.SearchOffers(t.Context(), fleet.OfferQuery{DiskGB: 10})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	_, err = vast.RentAside(offers[0].ID, "by-hand")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	_, err = vast.AddFault(simulator.FaultSpec{Name: simulator.FaultV0Empty})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	listing, err := client.ListRentals(t.Context())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(listing.Rentals).To(gomega.HaveLen(1))
	g.Expect(vast.Requests()).NotTo(gomega.HaveKey(string(simulator.EndpointListV0)))
}
