package planner

import (
	"testing"
	"time"
	_ "time/tzdata" // the tests need the zones wherever they run

	"pgregory.net/rapid"
)

// zone loads a zone that has to be there.
func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loaded, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// utc reads a moment.
func utc(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05Z", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPeriods(t *testing.T) {
	for name, tc := range map[string]struct {
		zone           string
		period         SpendPeriod
		at, start, end string
	}{
		"a day":                            {"Etc/UTC", PeriodDay, "2026-11-25T13:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"},
		"the first moment of a day":        {"Etc/UTC", PeriodDay, "2026-11-25T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"},
		"the last moment of a day":         {"Etc/UTC", PeriodDay, "2026-11-25T23:59:59Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"},
		"a leap second is none":            {"Etc/UTC", PeriodDay, "2016-12-31T23:59:59Z", "2016-12-31T00:00:00Z", "2017-01-01T00:00:00Z"},
		"Oslo in winter":                   {"Europe/Oslo", PeriodDay, "2026-01-14T22:59:59Z", "2026-01-13T23:00:00Z", "2026-01-14T23:00:00Z"},
		"Oslo: a day of 23 hours":          {"Europe/Oslo", PeriodDay, "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		"Oslo: a day of 25 hours":          {"Europe/Oslo", PeriodDay, "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		"Oslo: the hour that comes twice":  {"Europe/Oslo", PeriodDay, "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		"Oslo: a week with a change":       {"Europe/Oslo", PeriodWeek, "2026-03-25T10:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"},
		"Oslo: a month with a change":      {"Europe/Oslo", PeriodMonth, "2026-03-31T10:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		"Sao Paulo: no midnight":           {"America/Sao_Paulo", PeriodDay, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		"Sao Paulo: before no midnight":    {"America/Sao_Paulo", PeriodDay, "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
		"Sao Paulo: an hour twice":         {"America/Sao_Paulo", PeriodDay, "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"},
		"Sao Paulo: after the hour":        {"America/Sao_Paulo", PeriodDay, "2018-02-18T03:00:00Z", "2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z"},
		"Sao Paulo: today, without change": {"America/Sao_Paulo", PeriodMonth, "2026-11-30T12:00:00Z", "2026-11-01T03:00:00Z", "2026-12-01T03:00:00Z"},
		"a month that began elsewhere":     {"Pacific/Auckland", PeriodMonth, "2026-11-30T12:00:00Z", "2026-11-30T11:00:00Z", "2026-12-31T11:00:00Z"},
		"a day that was skipped":           {"Pacific/Apia", PeriodDay, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		"the 29th of February":             {"Etc/UTC", PeriodMonth, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		"February without a 29th":          {"Etc/UTC", PeriodMonth, "2026-02-28T12:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		"the end of a year":                {"Etc/UTC", PeriodMonth, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		"a week on Sunday":                 {"Etc/UTC", PeriodWeek, "2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		"a week on Monday":                 {"Etc/UTC", PeriodWeek, "2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"},
		"a week over two years":            {"Etc/UTC", PeriodWeek, "2027-01-02T00:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			in := zone(t, tc.zone)
			start := PeriodStart(tc.period, in, utc(t, tc.at))
			if want := utc(t, tc.start); !start.Equal(want) {
				t.Errorf("begins at %v, want %v", start.UTC(), want)
			}
			if end, want := PeriodEnd(tc.period, in, start), utc(t, tc.end); !end.Equal(want) {
				t.Errorf("ends at %v, want %v", end.UTC(), want)
			}
		})
	}
}

// TestPeriodsFollowEachOther: every moment is in exactly one period.
func TestPeriodsFollowEachOther(t *testing.T) {
	names := []string{"Etc/UTC", "Europe/Oslo", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca"}
	rapid.Check(t, func(r *rapid.T) {
		in := zone(t, rapid.SampledFrom(names).Draw(r, "zone"))
		period := rapid.SampledFrom([]SpendPeriod{PeriodDay, PeriodWeek, PeriodMonth}).Draw(r, "period")
		at := time.Unix(rapid.Int64Range(1_262_300_400, 2_000_000_000).Draw(r, "at"), 0)
		start := PeriodStart(period, in, at)
		end := PeriodEnd(period, in, start)
		if start.After(at) || !end.After(at) {
			r.Fatalf("%v is not in the period from %v to %v", at, start, end)
		}
		if next := PeriodStart(period, in, end); !next.Equal(end) {
			r.Fatalf("the period ends at %v, the next begins at %v", end, next)
		}
		if again := PeriodStart(period, in, end.Add(-time.Second)); !again.Equal(start) {
			r.Fatalf("one second before the end the period began at %v, not %v", again, start)
		}
	})
}
