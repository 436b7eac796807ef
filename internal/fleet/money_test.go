package fleet_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestParseUSD(t *testing.T) {
	for text, want := range map[string]fleet.USDMicros{
		"0": 0, "0.0": 0, "1.50": 1_500_000, "0.348301": 348_301, "0.3483011": 348_302, "12": 12_000_000,
		"1e-3": 1000, "2.5E-7": 1, "1e2": 100_000_000, ".5": 500_000, "-0.25": -250_000, " 1 ": 1_000_000,
		"0.00000000001": 1, "1e-300": 1, "0e-300": 0, "0.3666666666666667": 366_667, "000000000000.1": 100_000,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := fleet.ParseUSD(text)
			if err != nil || got != want {
				t.Errorf("got %d, %v; want %d", got, err, want)
			}
		})
	}
}

func TestParseUSDRefuses(t *testing.T) {
	for _, text := range []string{"", ".", "-", "1,50", "$1", "1.5.0", "NaN", "inf", "1e99", "9999999999", "0x10", "1 2"} {
		t.Run(text, func(t *testing.T) {
			if got, err := fleet.ParseUSD(text); !errors.Is(err, fleet.ErrMalformedUSD) {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestUSDStringReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := fleet.USDMicros(rapid.Int64Range(-1e14, 1e14).Draw(t, "micros"))
		got, err := fleet.ParseUSD(want.String())
		if err != nil || got != want {
			t.Fatalf("%q reads back as %d, %v", want.String(), got, err)
		}
	})
}

func TestUSDStrings(t *testing.T) {
	for want, amount := range map[string]fleet.USDMicros{"1.50": 1_500_000, "0.348301": 348_301, "0.00": 0, "-0.05": -50_000, "0.001": 1000} {
		if got := amount.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := fleet.USDMicros(348_301).Cents(); got != "0.35" {
		t.Errorf("cents round up: got %s", got)
	}
}

func TestUSDArithmeticSaturates(t *testing.T) {
	if got := fleet.USDMicros(math.MaxInt64 / 2).Times(3); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
	if got := fleet.USDMicros(math.MinInt64).Times(-1); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
	if got := fleet.USDMicros(1_000_000).ForSeconds(1); got != 278 {
		t.Errorf("a second of $1/h rounds up to 278 micros, got %d", got)
	}
	if got := fleet.USDMicros(math.MaxInt64 - 1).ForSeconds(1); got != math.MaxInt64/3600+1 {
		t.Errorf("a second of the largest rate is %d", got)
	}
}

func TestLabelReadsBack(t *testing.T) {
	label := fleet.Label{Installation: "abcd1234", InstanceUID: "0f8fad5b-d9cb-469f-a165-70867728950e", Attempt: 10}
	if len(label.String()) > 60 {
		t.Errorf("%q is longer than 60", label)
	}
	got, ok := fleet.ParseLabel(label.String())
	if !ok || got != label {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, text := range []string{"", "wp1", "wp2.a.b.1", "wp1.a.b.0", "wp1.a.b.x", "wp1.a.b.01", "wp1.a.b.+1", "wp1..b.1", "wp1.a.b.1.2"} {
		if _, ok := fleet.ParseLabel(text); ok {
			t.Errorf("%q is no label of ours", text)
		}
	}
}
