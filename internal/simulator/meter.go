package simulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// StateInterval is a stretch of a rental's life at one rate.
type StateInterval struct {
	// State is "loading", "running", "stopped", "offline" and so on.
	State string `json:"state"`
	// From and To bound it in simulated time; To is zero while it lasts.
	From time.Time `json:"from"`
	// To is zero while the interval lasts.
	To time.Time `json:"to,omitzero"`
	// GPUMicrosPerHour and StorageMicrosPerHour are what is billed meanwhile.
	GPUMicrosPerHour int64 `json:"gpuMicrosPerHour"`
	// StorageMicrosPerHour is the storage part.
	StorageMicrosPerHour int64 `json:"storageMicrosPerHour"`
}

// PricePoint is a price from a time on.
type PricePoint struct {
	// At is when it began.
	At time.Time `json:"at"`
	// MicrosPerHour is the rental's "dph_total", rounded up.
	MicrosPerHour int64 `json:"microsPerHour"`
}

// RentalRecord is everything the meter knows about one rental. Records of ended
// rentals are kept.
type RentalRecord struct {
	// ID is the contract, OfferID what was rented, MachineID and HostID where.
	ID int64 `json:"id"`
	// OfferID is the offer that was rented.
	OfferID int64 `json:"offerID"`
	// MachineID is the machine.
	MachineID int64 `json:"machineID"`
	// HostID is the owner of the machine.
	HostID int64 `json:"hostID"`
	// Label is the label at the rent, whatever became of it later.
	Label string `json:"label"`
	// Origin is "api", or "admin" for a rental that nobody ordered here.
	Origin string `json:"origin"`
	// Start and End bound the rental; End is zero while it lives.
	Start time.Time `json:"start"`
	// End is zero while the rental lives.
	End time.Time `json:"end,omitzero"`
	// EndReason is "destroyed", "expired" or "vanished"; empty while it lives.
	EndReason string `json:"endReason,omitempty"`
	// Prices is the history of "dph_total".
	Prices []PricePoint `json:"prices"`
	// Intervals is the history of states.
	Intervals []StateInterval `json:"intervals"`
	// CostMicros is what it cost until now, in micro-dollars, rounded up.
	CostMicros int64 `json:"costMicros"`
	// GPUCostMicros and StorageCostMicros are its parts, each rounded up.
	GPUCostMicros int64 `json:"gpuCostMicros"`
	// StorageCostMicros is the storage part, rounded up.
	StorageCostMicros int64 `json:"storageCostMicros"`
}

// Live is true while nobody ended the rental.
func (r *RentalRecord) Live() bool { return r.End.IsZero() }

// costs sums the intervals exactly, up to now.
func (r *RentalRecord) costs(now time.Time) (gpu, storage cost) {
	for _, interval := range r.Intervals {
		end := interval.To
		if end.IsZero() {
			end = now
		}
		gpu = gpu.after(interval.GPUMicrosPerHour, end.Sub(interval.From))
		storage = storage.after(interval.StorageMicrosPerHour, end.Sub(interval.From))
	}
	return gpu, storage
}

// costsWithin sums the parts of the intervals that lie in a stretch of time.
func (r *RentalRecord) costsWithin(from, to time.Time) (gpu, storage cost) {
	for _, interval := range r.Intervals {
		begins, ends := interval.From, interval.To
		if begins.Before(from) {
			begins = from
		}
		if ends.IsZero() || ends.After(to) {
			ends = to
		}
		if begins.Before(ends) {
			gpu = gpu.after(interval.GPUMicrosPerHour, ends.Sub(begins))
			storage = storage.after(interval.StorageMicrosPerHour, ends.Sub(begins))
		}
	}
	return gpu, storage
}

// Meter is what the witness saw, at one moment. It is a copy.
type Meter struct {
	// Now is the simulated time of the copy.
	Now time.Time
	// CreditMicros is the account's balance, rounded down; negative is debt.
	CreditMicros int64
	// Records holds every rental ever made in the account, by id.
	Records []RentalRecord
}

// Select returns the records whose label starts with the prefix; every record
// for the empty prefix.
func (m Meter) Select(prefix string) []RentalRecord {
	return slices.DeleteFunc(slices.Clone(m.Records), func(r RentalRecord) bool {
		return !strings.HasPrefix(r.Label, prefix)
	})
}

// Total returns the exact cost until now of the rentals with a label prefix,
// in micro-dollars, rounded up once.
func (m Meter) Total(prefix string) int64 {
	var total cost
	for _, r := range m.Select(prefix) {
		gpu, storage := r.costs(m.Now)
		total = total.plus(gpu).plus(storage)
	}
	return total.up()
}

// Live returns the rentals with a label prefix that nobody ended.
func (m Meter) Live(prefix string) []RentalRecord {
	return slices.DeleteFunc(m.Select(prefix), func(r RentalRecord) bool { return !r.Live() })
}

// Peak returns the highest sum of "dph_total" of rentals that lived at the same
// time, in micro-dollars per hour, and when it was first reached. A rental
// counts from the rent to the destroy, whatever its state: it can bill that much.
func (m Meter) Peak(prefix string) (microsPerHour int64, at time.Time) {
	type change struct {
		at    time.Time
		delta int64
	}
	var changes []change
	for _, r := range m.Select(prefix) {
		price := int64(0)
		for _, p := range r.Prices {
			changes = append(changes, change{p.At, p.MicrosPerHour - price})
			price = p.MicrosPerHour
		}
		if !r.Live() {
			changes = append(changes, change{r.End, -price})
		}
	}
	// What ends at a moment ends before what begins then.
	slices.SortStableFunc(changes, func(a, b change) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.delta, b.delta))
	})
	sum := int64(0)
	for _, c := range changes {
		if sum += c.delta; sum > microsPerHour {
			microsPerHour, at = sum, c.at
		}
	}
	return microsPerHour, at
}

// Rents counts the rentals per label, with a prefix. Two under one label of a
// write-ahead record are a double rent.
func (m Meter) Rents(prefix string) map[string]int {
	rents := map[string]int{}
	for _, r := range m.Select(prefix) {
		rents[r.Label]++
	}
	return rents
}

// DoubleRents returns the labels with a prefix that were rented more than
// once, sorted. Rentals without a label are not counted.
func (m Meter) DoubleRents(prefix string) []string {
	rents := m.Rents(prefix)
	maps.DeleteFunc(rents, func(label string, n int) bool { return n < 2 || label == "" })
	labels := slices.AppendSeq([]string{}, maps.Keys(rents))
	slices.Sort(labels)
	return labels
}

// MeterSummary is a Meter in figures, for one label prefix.
type MeterSummary struct {
	// Prefix is the label prefix the figures are for.
	Prefix string `json:"prefix"`
	// Rentals is how many were ever made; LiveRentals how many nobody ended.
	Rentals int `json:"rentals"`
	// LiveRentals is how many nobody ended.
	LiveRentals int `json:"liveRentals"`
	// CostMicros is what they cost in micro-dollars.
	CostMicros int64 `json:"costMicros"`
	// LiveMicrosPerHour is the sum of "dph_total" of the live ones.
	LiveMicrosPerHour int64 `json:"liveMicrosPerHour"`
	// PeakMicrosPerHour is the highest such sum ever.
	PeakMicrosPerHour int64 `json:"peakMicrosPerHour"`
	// PeakAt is when the peak was first reached.
	PeakAt time.Time `json:"peakAt,omitzero"`
	// DoubleRents are labels that were rented more than once.
	DoubleRents []string `json:"doubleRents"`
	// LiveIDs are the rentals that nobody ended.
	LiveIDs []int64 `json:"liveIDs"`
}

// Summary computes the figures for one label prefix.
func (m Meter) Summary(prefix string) MeterSummary {
	live := m.Live(prefix)
	s := MeterSummary{
		Prefix: prefix, Rentals: len(m.Select(prefix)), LiveRentals: len(live),
		CostMicros: m.Total(prefix), DoubleRents: m.DoubleRents(prefix), LiveIDs: []int64{},
	}
	s.PeakMicrosPerHour, s.PeakAt = m.Peak(prefix)
	for _, r := range live {
		s.LiveMicrosPerHour += r.Prices[len(r.Prices)-1].MicrosPerHour
		s.LiveIDs = append(s.LiveIDs, r.ID)
	}
	return s
}

// meter copies the witness's book. Lock held.
func (w *world) meter() Meter {
	w.account.settle(w.now)
	m := Meter{Now: w.now, CreditMicros: w.account.credit(), Records: make([]RentalRecord, 0, len(w.records))}
	for _, r := range w.records {
		record := *r
		record.Prices = slices.Clone(r.Prices)
		record.Intervals = slices.Clone(r.Intervals)
		gpu, storage := record.costs(w.now)
		record.GPUCostMicros, record.StorageCostMicros = gpu.up(), storage.up()
		record.CostMicros = gpu.plus(storage).up()
		m.Records = append(m.Records, record)
	}
	return m
}
