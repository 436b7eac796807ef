package main

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/dotenv"
)

// move is what becomes of a .env.
type move struct {
	secretName string
	secret     map[string]string
	spec       warmpool.WarmPoolSpec
	report     []line
}

// line says where one variable went. It holds no value.
type line struct {
	name, where, note string
}

// migrate moves every variable, in the order of the .env.
func migrate(variables []dotenv.Pair, s *settings) (*move, error) {
	m := &move{secretName: s.secret, secret: map[string]string{}}
	known := rules()
	for _, v := range variables {
		r, isKnown := known[v.Name]
		switch {
		case !isKnown:
			m.report = append(m.report, line{v.Name, "nowhere", "no variable of the legacy server"})
			continue
		case v.Value == "":
			m.report = append(m.report, line{v.Name, "nowhere", "it is empty"})
			continue
		}
		if r.apply != nil {
			if err := r.apply(m, v.Value); err != nil {
				return nil, fmt.Errorf("%s: %w", v.Name, err)
			}
		}
		m.report = append(m.report, line{v.Name, r.where, r.note})
	}
	return m, nil
}

// keep puts a value into the Secret under a name.
func keep(name string) func(*move, string) error {
	return func(m *move, value string) error {
		m.secret[name] = value
		return nil
	}
}

// keepUnlessThere does so for another name of the same thing, which the first wins over.
func keepUnlessThere(name string) func(*move, string) error {
	return func(m *move, value string) error {
		if m.secret[name] == "" {
			m.secret[name] = value
		}
		return nil
	}
}

// handOver puts a secret into the Secret and hands it to every instance, as the
// legacy server did.
func handOver(name string) func(*move, string) error {
	return func(m *move, value string) error {
		m.secret[name] = value
		m.spec.Template.Env = append(m.spec.Template.Env, warmpool.EnvVar{
			Name:      name,
			ValueFrom: &warmpool.EnvVarSource{SecretKeyRef: warmpool.SecretKeyReference{Name: m.secretName, Key: name}},
		})
		return nil
	}
}

// hand hands a plain value to every instance.
func hand(name string) func(*move, string) error {
	return func(m *move, value string) error {
		m.spec.Template.Env = append(m.spec.Template.Env, warmpool.EnvVar{Name: name, Value: &value})
		return nil
	}
}

var errNotWhole = errors.New("it is no whole number")

// whole sets a field to a whole number between two bounds, divided by a unit.
func whole(least, most, unit int64, set func(*move, int32)) func(*move, string) error {
	return func(m *move, value string) error {
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return errNotWhole
		}
		number /= unit
		if number < least || number > most {
			return fmt.Errorf("it makes %d, and %d to %d is possible", number, least, most)
		}
		set(m, int32(number)) //nolint:gosec // within the bounds
		return nil
	}
}

var (
	amountPattern     = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$`)
	capabilityPattern = regexp.MustCompile(`^\d{1,3}\.\d{1,2}$`)
	scriptPattern     = regexp.MustCompile(`^https?://[^\s]+$`)
	errNoAmount       = errors.New(`it is no amount of dollars such as "1.50"`)
	errNoVersion      = errors.New(`it is no version such as "8.9"`)
	errNoAddress      = errors.New("it is no address that begins with https:// or http://")
	errNoShare        = errors.New("it is no number between 0 and 1")
)

// dollars sets an amount.
func dollars(set func(*move, warmpool.USD)) func(*move, string) error {
	return func(m *move, value string) error {
		if !amountPattern.MatchString(value) {
			return errNoAmount
		}
		set(m, warmpool.USD(value))
		return nil
	}
}

// capability takes "6" for "6.0".
func capability(m *move, value string) error {
	if !strings.Contains(value, ".") {
		value += ".0"
	}
	if !capabilityPattern.MatchString(value) {
		return errNoVersion
	}
	m.spec.Offers.MinComputeCapability = value
	return nil
}

// reliability turns a share into whole percents, rounded down.
func reliability(m *move, value string) error {
	const hundred = 100
	share, ok := new(big.Rat).SetString(value)
	if !ok || share.Sign() < 0 || share.Cmp(big.NewRat(1, 1)) > 0 {
		return errNoShare
	}
	percents := share.Mul(share, big.NewRat(hundred, 1))
	whole := int32(new(big.Int).Quo(percents.Num(), percents.Denom()).Int64()) //nolint:gosec // 0 to 100
	m.spec.Offers.MinReliabilityPercent = &whole
	return nil
}

// image leaves "auto" to the preset.
func image(m *move, value string) error {
	if value != "auto" {
		m.spec.Template.Image = value
	}
	return nil
}

func script(m *move, value string) error {
	if !scriptPattern.MatchString(value) {
		return errNoAddress
	}
	m.spec.Template.ProvisioningScriptURL = value
	return nil
}

// safeMode takes what the legacy server took for true.
func safeMode(m *move, value string) error {
	if value == "1" || strings.EqualFold(value, "true") {
		m.spec.Mode = warmpool.PoolDrain
	}
	return nil
}
