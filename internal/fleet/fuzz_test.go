package fleet_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// FuzzParseUSD compares with exact arithmetic: an amount is never taken for
// less than it is, nor for a whole micro-dollar more, and reads back.
func FuzzParseUSD(f *testing.F) {
	for _, seed := range []string{"1.50", "0.3483011", "1e-3", "-0.25", "0.3666666666666667", "000000000000.1", "9999999999", ".", "1e-300", "+1", "1_0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := fleet.ParseUSD(text)
		if err != nil {
			if got != 0 {
				t.Errorf("%q is refused and yet worth %d", text, got)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(strings.TrimSpace(text))
		if !ok {
			t.Fatalf("%q is no number, and was read as %d", text, got)
		}
		exact.Mul(exact, big.NewRat(1_000_000, 1))
		above := new(big.Rat).Sub(new(big.Rat).Abs(new(big.Rat).SetInt64(int64(got))), new(big.Rat).Abs(exact))
		if above.Sign() < 0 || above.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Errorf("%q was read as %d micro-dollars", text, got)
		}
		if again, err := fleet.ParseUSD(got.String()); err != nil || again != got {
			t.Errorf("%q prints as %s, which reads back as %d, %v", text, got, again, err)
		}
	})
}

// FuzzMoney compares with exact arithmetic: what does not fit looks too dear.
func FuzzMoney(f *testing.F) {
	f.Add(int64(348_301), int64(3600))
	f.Add(int64(math.MaxInt64), int64(2))
	f.Add(int64(math.MinInt64), int64(-1))
	f.Fuzz(func(t *testing.T, amount, times int64) {
		exact := new(big.Int).Mul(big.NewInt(amount), big.NewInt(times))
		want := int64(math.MaxInt64)
		if exact.IsInt64() {
			want = exact.Int64()
		}
		if got := fleet.USDMicros(amount).Times(times); int64(got) != want {
			t.Errorf("%d × %d = %d, want %d", amount, times, got, want)
		}
		// The largest amount stands for all that do not fit, and stays.
		if got := int64(fleet.USDMicros(amount).ForSeconds(times)); amount > 0 && times > 0 && want < math.MaxInt64 && got != (want-1)/3600+1 {
			t.Errorf("%d for %d seconds is %d, want %d", amount, times, got, (want-1)/3600+1)
		}
		if text := fleet.USDMicros(amount).Cents(); text == "" {
			t.Error("cents print as nothing")
		}
	})
}

// FuzzParseLabel: what is a label of ours reads back, and has no part that
// another label could be made of.
func FuzzParseLabel(f *testing.F) {
	for _, seed := range []string{"wp1.abcd1234.0f8fad5b-d9cb-469f-a165-70867728950e.10", "wp1.a.b.01", "wp1.a.b.+1", "wp2.a.b.1", "wp1..b.1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		label, ok := fleet.ParseLabel(text)
		if !ok {
			return
		}
		if label.Installation == "" || label.InstanceUID == "" || label.Attempt < 1 || strings.Contains(label.Installation+label.InstanceUID, ".") {
			t.Errorf("%q was read as %+v", text, label)
		}
		if again, ok := fleet.ParseLabel(label.String()); !ok || again != label || label.String() != text {
			t.Errorf("%q prints as %q", text, label)
		}
	})
}
